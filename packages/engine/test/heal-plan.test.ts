import { expect, test } from 'vitest';

import type { Holding } from '../src/storage/jetstream/heal-futures.js';
import { planHeal } from '../src/storage/jetstream/heal-plan.js';
import type { Ancestor, ReplicaEntry } from '../src/storage/jetstream/replica-contract.js';

const print = (text: string) => Buffer.from(text.padEnd(8)).toString('hex').slice(0, 16);

const head = (name: string, revision: number, before: readonly Ancestor[] = []): ReplicaEntry => ({
  revision,
  fingerprint: print(name),
  removed: false,
  isHead: true,
  lineage: before,
  chunks: 0,
});
const removed = (revision: number, before: readonly Ancestor[]): ReplicaEntry => ({
  ...head('', revision, before),
  removed: true,
});
const side = (name: string, revision: number): ReplicaEntry => ({ ...head(name, revision), isHead: false });
const ancestor = ({ revision, fingerprint }: ReplicaEntry): Ancestor => ({ revision, fingerprint });
const holding = (who: string, entries: Record<string, ReplicaEntry>): Holding => ({
  who,
  entries: new Map(Object.entries(entries)),
});

const plan = (stream: Record<string, ReplicaEntry>, ...replicas: Record<string, ReplicaEntry>[]) =>
  planHeal({
    stream: holding('stream', stream),
    replicas: replicas.map((entries, index) => holding(`r${index}`, entries)),
    groupOf: (key) => key.split('/')[0] ?? '',
    generation: async () => 1,
  });

const options = (stream: ReplicaEntry, own: ReplicaEntry) => ({
  stream: { ...holding('stream', { a: stream }), era: 2 },
  replicas: [{ ...holding('away', { a: own }), era: 1 }],
  groupOf: (key: string) => key.split('/')[0] ?? '',
});

const first = head('first', 1);
const second = head('second', 5, [ancestor(first)]);

test('nothing is done where the stream has all', async () => {
  expect(await plan({ a: second }, { a: second }, { a: first })).toEqual({
    mendings: [],
    forks: [],
    contests: [],
    lost: [],
  });
});

test('a head that was lost comes back with what is beside it, from who has it', async () => {
  const { mendings, forks } = await plan(
    { a: first, 'a/1': side('one', 1) },
    { a: first, 'a/1': side('one', 1) },
    { a: second, 'a/1': side('one', 1), 'a/2': side('two', 4) },
  );
  expect(mendings.map(({ key, from }) => [key, from])).toEqual([
    ['a/2', 'r1'],
    ['a', 'r1'],
  ]);
  expect(forks).toEqual([]);
});

test('what was removed is not revived by who has not heard of it', async () => {
  const tombstone = removed(7, [ancestor(second), ancestor(first)]);
  const { mendings } = await plan({ a: first }, { a: second }, { a: tombstone });
  expect(mendings).toMatchObject([{ key: 'a', from: 'r1', entry: { removed: true } }]);
  // Nothing may be left of it in the stream: who is away would revive it.
  const nothingLeft = await plan({}, { a: second }, { a: tombstone });
  expect(nothingLeft.mendings).toMatchObject([{ key: 'a', entry: { removed: true } }]);
});

test('a removal wins over another future of the same record, which is kept', async () => {
  const { mendings, forks } = await plan(
    { a: head('other', 4, [ancestor(first)]) },
    { a: removed(4, [ancestor(first)]) },
  );
  expect(mendings).toMatchObject([{ key: 'a', entry: { removed: true } }]);
  expect(forks).toMatchObject([{ key: 'a', winner: 'r0', loser: 'stream', lost: [{ key: 'a' }] }]);
});

test('of two futures the higher generation wins, and nothing of the other is left beside it', async () => {
  const other = head('other', 5, [ancestor(first)]);
  const { mendings, forks } = await planHeal({
    ...options(other, second),
    stream: holding('stream', { a: other, 'a/x': side('x', 4) }),
    replicas: [holding('r0', { a: second, 'a/2': side('two', 4) })],
    generation: async (who) => (who === 'stream' ? 1 : 2),
  });
  expect(mendings).toMatchObject([
    { key: 'a/x', entry: { removed: true } },
    { key: 'a/2', from: 'r0' },
    { key: 'a', from: 'r0' },
  ]);
  expect(forks).toMatchObject([{ winner: 'r0', loser: 'stream', lost: [{ key: 'a' }, { key: 'a/x' }] }]);
});

test('a hole beside a head that the stream has is filled', async () => {
  const { mendings } = await plan({ a: second }, { a: second, 'a/2': side('two', 4) });
  expect(mendings).toMatchObject([{ key: 'a/2', from: 'r0' }]);
});

test('what was lost and brought back says what was before it to all who had only a part of it', async () => {
  const third = head('third', 6, [ancestor(second), ancestor(first)]);
  const { mendings, lost } = await plan({ a: first }, { a: third }, { a: second });
  expect(mendings).toMatchObject([{ key: 'a', from: 'r0', lineage: [ancestor(second), ancestor(first)] }]);
  expect(lost).toEqual([]);
  const brought = { ...third, revision: 9, lineage: mendings[0]?.lineage ?? [] };
  const again = { ...options(brought, second), generation: async () => 1 };
  expect((await planHeal(again)).lost).toEqual([]);
});

/** A head of so many changes, and the lineage that it names. */
function chain(changes: number, from: number): ReplicaEntry {
  const all: ReplicaEntry[] = [];
  for (let index = 0; index < changes; index++) {
    const before = [...all].reverse().slice(0, 8).map(ancestor);
    all.push(head(`c${from + index}`, from + index, before));
  }
  return all.at(-1) as ReplicaEntry;
}

const planWith = (stream: ReplicaEntry, own: ReplicaEntry, more: Partial<Holding>) =>
  planHeal({
    stream: { ...holding('stream', { a: stream }), era: 1 },
    replicas: [{ ...holding('away', { a: own }), ...more }],
    groupOf: (key) => key,
    generation: async (who) => (who === 'stream' ? 9 : 1),
  });

test('a head that so much came after that it is named no more was common if its instance had confirmed it', async () => {
  const far = chain(12, 10);
  const { lost, contests, forks } = await planWith(far, first, { era: 1 });
  expect(lost).toMatchObject([[{ key: 'a', from: 'away' }]]);
  expect(contests).toMatchObject([{ losers: [{ isSure: false }] }]);
  expect(forks).toEqual([]);
  expect((await planWith(far, first, { era: 1, common: 1 })).lost).toEqual([]);
  // It names more than the other is old, and not that.
  const between = { ...first, revision: 14 };
  expect((await planWith(far, between, { era: 1, common: 14 })).forks).toHaveLength(1);
});

test('a removal that all had confirmed, and of which nothing is left, takes away no later life', async () => {
  const life = head('life', 20);
  const tombstone = removed(7, [ancestor(first)]);
  expect(await planWith(life, tombstone, { era: 1, common: 8 })).toMatchObject({ mendings: [], forks: [] });
  expect((await planWith(life, tombstone, { era: 1, common: 6 })).mendings).toHaveLength(1);
});

test('revisions of a stream that is no more are older than all of the one that is there', async () => {
  const life = { ...head('life', 2), lineage: [] };
  const own = { ...head('own', 900), lineage: [] };
  const same = { ...options(life, own), generation: async () => 1 };
  expect((await planHeal(same)).mendings).toEqual([]);
});

test('what names a newer record as one before it is no newer for that', async () => {
  const own = head('own', 5, [ancestor(first)]);
  const put = head('put back', 9, [ancestor(own), ancestor(first)]);
  const { mendings, lost } = await planHeal({
    ...options(put, own),
    generation: async (who) => (who === 'stream' ? 1 : 2),
  });
  expect(mendings).toMatchObject([{ key: 'a', from: 'away' }]);
  expect(lost).toMatchObject([[{ from: 'stream' }]]);
});

test('all that lost is kept, be it what a loser had before', async () => {
  const other = head('other', 5, [ancestor(first)]);
  const further = head('further', 6, [ancestor(other), ancestor(first)]);
  const { lost, forks, contests } = await planHeal({
    ...options(second, other),
    replicas: [holding('r0', { a: other }), holding('r1', { a: further })],
    generation: async (who) => (who === 'stream' ? 2 : 1),
  });
  const names = lost.map(([one]) => one?.entry.fingerprint);
  expect(names).toContain(print('other'));
  expect(forks.map(({ lost: [one] }) => one?.entry.fingerprint)).not.toContain(print('other'));
  expect(contests).toHaveLength(1);
});

test('what lost is named as before the winner, so that it does not win when somebody puts it there again', async () => {
  const other = head('other', 4, [ancestor(first)]);
  const { mendings, forks } = await plan({ a: other }, { a: second });
  expect(forks).toMatchObject([{ winner: 'r0', loser: 'stream' }]);
  expect(mendings).toMatchObject([{ key: 'a', lineage: [ancestor(other), ancestor(first)] }]);
  const healed = { ...second, revision: 8, lineage: mendings[0]?.lineage ?? [] };
  const again = await plan({ a: { ...other, revision: 12 } }, { a: healed });
  expect(again.mendings).toMatchObject([{ key: 'a', from: 'r0' }]);
  expect(again.forks).toEqual([]);
});

test('a record that came from one stream into another forgets first what is oldest, whatever number it has', async () => {
  // Six changes in a stream that is gone, then four in the one that was made in its place.
  const old = Array.from({ length: 6 }, (_, index) => head(`o${index}`, 900 + index)).reverse();
  const young = Array.from({ length: 3 }, (_, index) => head(`y${index}`, 10 + index)).reverse();
  const last = head('last', 20, [...young, ...old].map(ancestor).slice(0, 8));
  const { mendings } = await plan({}, { a: last });
  // With the next change the oldest is named no more, and not the one with the lowest number.
  const healed = { ...last, revision: 30, lineage: mendings[0]?.lineage ?? [] };
  const next = head(
    'next',
    31,
    [healed, ...healed.lineage].map(({ revision, fingerprint }) => ({ revision, fingerprint })).slice(0, 8),
  );
  const away = young.at(-1) as ReplicaEntry;
  const back = await planHeal({ ...options(next, away), generation: async () => 1 });
  expect(back.lost).toEqual([]);
});

test('an older state of a value is told by its bytes in a stream that was made anew, too', async () => {
  const old = side('old', 3);
  const now: ReplicaEntry = { ...side('now', 7), lineage: [ancestor(old)] };
  const both = (value: ReplicaEntry) =>
    new Map([
      ['a', second],
      ['a/1', value],
    ]);
  const { mendings } = await planHeal({
    stream: { who: 'stream', entries: both({ ...old, revision: 4 }), era: 2 },
    replicas: [{ who: 'away', entries: both(now), era: 1 }],
    groupOf: (key) => key.split('/')[0] ?? '',
    generation: async () => 1,
  });
  expect(mendings).toMatchObject([{ key: 'a/1', from: 'away', entry: { fingerprint: print('now') } }]);
});
