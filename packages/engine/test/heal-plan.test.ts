import { expect, test } from 'vitest';

import { type Holding, planHeal } from '../src/storage/jetstream/heal-plan.js';
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
    generation: async (who) => (who === 'stream' ? 1 : 2),
  });

const first = head('first', 1);
const second = head('second', 5, [ancestor(first)]);

test('nothing is done where the stream has all', async () => {
  expect(await plan({ a: second }, { a: second }, { a: first })).toEqual({
    mendings: [],
    forks: [],
    contests: [],
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
  expect((await plan({}, { a: second }, { a: tombstone })).mendings).toEqual([]);
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
  const { mendings, forks } = await plan(
    { a: other, 'a/x': side('x', 4) },
    { a: second, 'a/2': side('two', 4) },
  );
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
