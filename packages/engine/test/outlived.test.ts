import { expect, onTestFinished, test, vi } from 'vitest';

import { admitted } from '../src/storage/jetstream/admission.js';
import type { Holding } from '../src/storage/jetstream/heal-futures.js';
import { takeOutlived } from '../src/storage/jetstream/heal-outlived.js';
import type { Whole } from '../src/storage/jetstream/intake.js';
import { Layout } from '../src/storage/jetstream/layout.js';
import type { Standpoint } from '../src/storage/jetstream/lineage.js';
import { Replica } from '../src/storage/jetstream/replica.js';
import type { ReplicaEntry } from '../src/storage/jetstream/replica-contract.js';
import { Sweeper, type SweeperOptions } from '../src/storage/jetstream/sweeper.js';
import { bytes, temporaryFolder } from './support.js';

const PRINT = '00'.repeat(8);
const record = (sequence: number, after: number): Whole => ({
  kind: 'record',
  sequence,
  batch: undefined,
  key: bytes('s'),
  bytes: bytes('x'),
  isHead: true,
  lineage: [],
  after,
  beside: undefined,
  removed: false,
  chunks: 0,
  print: PRINT,
});

/** A replica that has the stream up to 20, of which all had read up to 11 long ago. */
async function newReplica(): Promise<Replica> {
  const replica = await Replica.open(await temporaryFolder(), {
    minFreeBytes: 0,
    onFatal: (error) => {
      throw error;
    },
  });
  onTestFinished(() => replica.close());
  await replica.bind({ incarnation: Buffer.alloc(16, 7), epoch: 1, created: '2026-01-01T00:00:00Z' });
  await replica.apply([], [], 20);
  await replica.outlive(11, 1);
  return replica;
}

const ADMISSION = { admit: () => {}, authenticate: () => undefined };

test.each([
  ['by who had read what all have', 25, 11, true],
  ['by who had not', 25, 10, false],
  ['further than it lies, in a stream that was put back since', 25, 25, false],
  ['before something that was under way at the same time, and was missed', 12, 10, true],
])(
  'a record of which nothing is known that was written %s (at %i, after %i) is taken over: %s',
  async (_, at, after, isTaken) => {
    const replica = await newReplica();
    const taken = admitted([record(at, after)], replica, ADMISSION, true, AbortSignal.timeout(5_000));
    if (isTaken) expect(await taken).toHaveLength(1);
    else await expect(taken).rejects.toMatchObject({ name: 'Regression', kind: 'fork' });
  },
);

const entry = (revision: number, after?: number, fingerprint = PRINT): ReplicaEntry => ({
  revision,
  removed: false,
  isHead: true,
  fingerprint,
  lineage: [],
  chunks: 0,
  after,
  beside: undefined,
});
const holding = (who: string, standpoint: Standpoint | undefined, own?: ReplicaEntry): Holding => ({
  who,
  entries: new Map(own ? [['s', own]] : []),
  standpoint,
});

const taken = (present: ReplicaEntry, ...replicas: Holding[]) => {
  const whole = new Map([['s', present]]);
  const found = takeOutlived(whole, replicas).length === 1;
  expect(whole.has('s')).toBe(!found);
  return { found, entries: replicas.map(({ entries }) => entries.has('s')) };
};

const OLD = { position: 20, outlived: 11 };
const NEW = { position: 30, outlived: 0 };

test('an old message is taken out by a heal where one instance refused it, and from those that took it over', () => {
  expect(taken(entry(25, 10), holding('old', OLD), holding('new', NEW, entry(25)))).toEqual({
    found: true,
    entries: [false, false],
  });
  expect(taken(entry(25, 10), holding('new', NEW, entry(25))).found).toBe(false);
});

test('a heal takes nothing out that an instance missed, has not read yet, or knows in another state', () => {
  const all = { ...OLD, position: 26 };
  expect(taken(entry(25, 10), holding('missed', all), holding('two', all, entry(25))).found).toBe(false);
  expect(taken(entry(25, 11), holding('behind', OLD), holding('two', all, entry(25))).found).toBe(false);
  expect(taken(entry(25, 10), holding('one', OLD), holding('two', OLD, entry(9))).found).toBe(false);
  expect(taken(entry(25, 10), holding('of another stream', undefined)).found).toBe(false);
});

test('a message of a stream that was put back is taken out, though others know more of its record', () => {
  const own = entry(9, undefined, '11'.repeat(8));
  expect(taken(entry(25, 40), holding('one', OLD, own), holding('new', NEW, entry(25)))).toEqual({
    found: true,
    entries: [true, false],
  });
});

test('what all have read counts some time later, and not while a member turns up that has read less', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const replica = await newReplica();
  const members = { level: 13, epochLevel: 13 };
  const options = { layout: new Layout('test'), replica, members, leases: {}, underWayMs: 60_000 };
  const sweeper = new Sweeper(options as unknown as SweeperOptions);
  const after = async (ms: number, level: number) => {
    vi.advanceTimersByTime(ms);
    members.level = level;
    await sweeper.outlive();
    return replica.outlived;
  };
  expect(await after(0, 13)).toBe(11);
  expect(await after(59_000, 15)).toBe(11);
  expect(await after(1_000, 17)).toBe(13);
  expect(await after(30_000, 4)).toBe(13);
  expect(await after(1_000, 17)).toBe(13);
  expect(await after(59_999, 19)).toBe(13);
  expect(await after(1, 19)).toBe(17);
});
