import { headers, type Msg, type NatsConnection } from '@nats-io/nats-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { CofferError } from '../../packages/engine/src/errors.js';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import type { JetStreamStorage } from '../../packages/engine/src/storage/jetstream/storage.js';
import { canary } from '../support/canary.mjs';
import { type Gate, NatsCluster } from '../support/cluster.mjs';
import { connectTo, openStorage, removeFolders } from './jetstream-support.js';

/** What somebody can do to a change whose answer was lost who may read and write in the bucket, and has no key. */

const layout = new Layout('test');
const bytes = (text: string) => Buffer.from(text);

let cluster: NatsCluster;
let gate: Gate;
/** What `one` is told can be held back. */
let one: JetStreamStorage;
let two: JetStreamStorage;
let stranger: Stranger;

beforeEach(async () => {
  cluster = await NatsCluster.start({ size: 1 });
  gate = await cluster.gate('one');
  one = await openStorage(cluster, { urls: gate.urls });
  two = await openStorage(cluster);
  stranger = await Stranger.of(await connectTo(cluster.urls), layout.mark(one.shared.instance));
});

afterEach(async () => {
  gate.mend();
  await Promise.all([one?.close(), two?.close(), stranger?.close()]);
  await cluster?.stop();
  removeFolders();
});

/** Somebody who overhears an instance's marks. */
class Stranger {
  readonly overheard: Msg[] = [];

  private constructor(readonly connection: NatsConnection) {}

  static async of(connection: NatsConnection, subject: string): Promise<Stranger> {
    const stranger = new Stranger(connection);
    connection.subscribe(subject, {
      callback: (_, message) => {
        stranger.overheard.push(message);
      },
    });
    await connection.flush();
    return stranger;
  }

  /** The next mark. */
  async hear(known = this.overheard.length): Promise<Msg> {
    await expect.poll(() => this.overheard.length).toBeGreaterThan(known);
    return this.overheard[known] as Msg;
  }

  /** Puts a mark into the stream as a batch of its own, with all that it says but what it asks of the server. */
  async put(mark: Msg, { sealed = true, batch = mark.headers?.get('Nats-Batch-Id') ?? '' } = {}) {
    const said = headers();
    for (const name of sealed ? (mark.headers?.keys() ?? []) : []) {
      if (!name.startsWith('Nats-')) said.set(name, mark.headers?.get(name) ?? '');
    }
    said.set('Nats-Batch-Id', batch);
    said.set('Nats-Batch-Sequence', '1');
    said.set('Nats-Batch-Commit', '1');
    const answer = await this.connection.request(mark.subject, mark.data, { headers: said, timeout: 5_000 });
    expect(answer.json<{ seq?: number }>().seq).toBeGreaterThan(0);
  }

  close(): Promise<void> {
    return this.connection.close();
  }
}

const set = (storage: JetStreamStorage, text: string | undefined, expectedRevision: number) =>
  storage.commit({
    head: { key: bytes('s'), bytes: text === undefined ? undefined : bytes(canary(text)) },
    expectedRevision,
  });

const read = (storage: JetStreamStorage, key = 's') => {
  const record = storage.get(bytes(key));
  return record && Buffer.from(record.bytes).toString();
};

const outcomeOf = (asked: Promise<number>) =>
  asked.then(
    () => 'done',
    ({ code }: CofferError) => code,
  );

/** Both have it. */
async function agreed(storage: JetStreamStorage): Promise<void> {
  for (const other of [one, two]) await other.shared.reached(storage.shared.position);
}

/** What came for `one` meanwhile, the answer of its change too, is lost with its connection. */
function loseAnswer(): void {
  gate.break();
  gate.mend();
}

test.each([
  ['that nobody sealed', { sealed: false }],
  ['that was overheard', {}],
])('a change that another one overtook is not stored because of a mark %s', async (_, how) => {
  const first = await set(one, 'first', 0);
  await agreed(one);
  gate.cut(undefined, 'back');
  const second = await set(two, 'second', first);
  const heard = stranger.hear();
  const lost = outcomeOf(set(one, 'lost', first));
  await stranger.put(await heard, how);
  await set(two, 'third', second);
  loseAnswer();
  expect(await lost).toBe('conflict');
  await agreed(two);
  expect([read(one), read(two)]).toEqual([canary('third'), canary('third')]);
});

test('the mark of an earlier change does not count for a later one, whatever batch it is put into', async () => {
  const earlier = stranger.hear();
  const first = await set(one, 'first', 0);
  await agreed(one);
  gate.cut(undefined, 'back');
  const second = await set(two, 'second', first);
  const heard = stranger.hear();
  const lost = outcomeOf(set(one, 'lost', first));
  await stranger.put(await earlier, { batch: (await heard).headers?.get('Nats-Batch-Id') });
  await set(two, 'third', second);
  loseAnswer();
  expect(await lost).toBe('conflict');
});

test('of a removal that another instance made, too, a mark that was overheard says no more', async () => {
  const first = await set(one, 'first', 0);
  await agreed(one);
  gate.cut(undefined, 'back');
  const heard = stranger.hear();
  await set(two, undefined, first);
  const lost = outcomeOf(set(one, undefined, first));
  await stranger.put(await heard);
  const second = await set(two, 'second', 0);
  await set(two, undefined, second);
  loseAnswer();
  expect(await lost).not.toBe('done');
});

test('a change that came true is not told to be overtaken because another mark lies over its own', async () => {
  const earlier = stranger.hear();
  const first = await set(one, 'first', 0);
  await agreed(one);
  gate.cut(undefined, 'back');
  const lost = outcomeOf(set(one, 'second', first));
  await expect.poll(() => read(two)).toBe(canary('second'));
  await stranger.put(await earlier);
  loseAnswer();
  expect(await lost).toBe('in_doubt');
  await agreed(two);
  expect(read(one)).toBe(canary('second'));
});

test('a change whose answer was lost is stored where nobody has touched its mark, though others have changed the same since', async () => {
  const first = await set(one, 'first', 0);
  await agreed(one);
  gate.cut(undefined, 'back');
  const lost = set(one, 'second', first);
  await expect.poll(() => read(two)).toBe(canary('second'));
  const revision = two.get(bytes('s'))?.revision ?? 0;
  const third = await set(two, 'third', revision);
  await set(two, undefined, third);
  loseAnswer();
  expect(await lost).toBe(revision);
});

test('a large change whose records another one wrote is not stored because of a mark that was overheard', async () => {
  await set(one, 'first', 0);
  await agreed(one);
  const sides = (label: string) =>
    Array.from({ length: 2_000 }, (_, n) => ({ key: bytes(`side-${n}`), bytes: bytes(canary(label)) }));
  gate.cut(undefined, 'back');
  const [side = { key: bytes(''), bytes: bytes('') }] = sides('other');
  await two.commit({ head: { key: bytes('other'), bytes: bytes('x') }, expectedRevision: 0, put: [side] });
  const heard = stranger.hear();
  const lost = outcomeOf(
    one.commit({
      head: { key: bytes('large'), bytes: bytes('x') },
      expectedRevision: 0,
      put: sides('large'),
      divisible: true,
    }),
  );
  await stranger.put(await heard);
  const other = two.get(side.key)?.revision ?? 0;
  expect(other).toBeGreaterThan(0);
  loseAnswer();
  expect(await lost).toBe('conflict');
  expect(read(one, 'large')).toBeUndefined();
  expect([...one.scan(bytes('side-'))]).toHaveLength(1);
});
