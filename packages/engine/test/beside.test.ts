import { expect, test } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { cameTrue, parseBeside, straysOf } from '../src/storage/jetstream/beside.js';
import type { Holding } from '../src/storage/jetstream/heal-futures.js';
import { takeStrays } from '../src/storage/jetstream/heal-strays.js';
import { LINEAGE, token } from '../src/storage/jetstream/layout.js';
import { fingerprint, lineageBehind } from '../src/storage/jetstream/messages.js';
import type { ReplicaEntry } from '../src/storage/jetstream/replica-contract.js';
import { bytes } from './support.js';

const HEAD = bytes('s');
const printOf = (state: string) => fingerprint(bytes(canary(state)));
const blank = { removed: false, isHead: false, fingerprint: printOf('value'), lineage: [], chunks: 0 };

/** A head that was changed so, at the revisions 10, 20, … */
function head(...states: string[]): ReplicaEntry {
  let entry: ReplicaEntry | undefined;
  for (const [index, state] of states.entries()) {
    const lineage = entry ? lineageBehind(entry) : [];
    entry = { ...blank, isHead: true, revision: 10 * (index + 1), fingerprint: printOf(state), lineage };
  }
  if (!entry) throw new Error('a head has a state');
  return entry;
}

const beside = (state: string) => ({ head: HEAD, fingerprint: printOf(state) });
/** A value that came first at 1, and what came in its place. */
const first: ReplicaEntry = { ...blank, revision: 1 };
const removal = (revision: number, state: string): ReplicaEntry => ({
  ...blank,
  revision,
  removed: true,
  fingerprint: fingerprint(bytes('')),
  lineage: lineageBehind(first),
  beside: beside(state),
});

const later = Array.from({ length: LINEAGE + 1 }, (_, index) => `later ${index}`);

test.each([
  ['the head of its change', head('a', 'b'), 21, 'b', true],
  ['one that came after that', head('a', 'b', 'c'), 21, 'b', true],
  ['one that came so long after it that it does not name it', head('a', 'b', ...later), 21, 'b', true],
  ['one that was removed', { ...head('a', 'c'), removed: true }, 21, 'b', true],
  ['one before it', head('a'), 21, 'b', false],
  ['one that was made in its place', head('a', 'c'), 15, 'b', false],
  [
    'one that was made in its place, and has more before it than it names',
    head(...later, 'c'),
    101,
    'b',
    false,
  ],
])('that its change came true is said of what is beside %s: (%#)', (_, entry, revision, state, is) => {
  expect(cameTrue(entry, { revision, lineage: [], beside: beside(state) })).toBe(is);
});

test('the removal of an earlier life does not vouch for what is beside that of a later one', () => {
  const { revision, fingerprint: print, lineage } = head('a', 'gone', 'b');
  const gone = fingerprint(bytes(''));
  const line = {
    ...head('a'),
    revision,
    fingerprint: print,
    lineage: lineage.map((one) => (one.revision === 20 ? { ...one, fingerprint: gone } : one)),
  };
  const stray = (of: number) => ({
    revision: 35,
    lineage: [{ revision: of, fingerprint: printOf('value') }],
    beside: { head: HEAD, fingerprint: gone },
  });
  expect(cameTrue(line, stray(11))).toBe(true);
  expect(cameTrue(line, stray(29))).toBe(false);
});

test('what is written together vouches for what is beside it, and what is beside an unknown head needs none', () => {
  const key = bytes('s/v');
  const straysIn = (known: ReplicaEntry | undefined | 'all', ...written: ReplicaEntry[]) =>
    straysOf(
      new Map(
        written.map((one) => [token(one.isHead ? HEAD : key), { key: one.isHead ? HEAD : key, known: one }]),
      ),
      known === 'all' ? undefined : { entry: () => known },
    ).map(({ revision }) => revision);
  expect(straysIn(head('a'), removal(21, 'b'))).toEqual([21]);
  expect(straysIn(head('a'), removal(21, 'b'), head('a', 'b'))).toEqual([]);
  expect(straysIn(head('a'), removal(21, 'b'), head('a', 'c'))).toEqual([21]);
  expect(straysIn(undefined, removal(21, 'b'))).toEqual([]);
  expect(straysIn('all', removal(21, 'b'))).toEqual([21]);
  expect(straysIn('all', removal(21, 'b'), head('a', 'b'))).toEqual([]);
  expect(straysIn(head('a'), { ...removal(21, 'b'), beside: undefined })).toEqual([]);
});

test.each([
  '',
  'cw',
  'cw:',
  ':0123456789abcdef',
  'cw:0123456789abcde',
  'c w:0123456789abcdef',
  'cx:0123456789abcdef',
])('“%s” is the head of nothing', (text) => {
  expect(parseBeside(text)).toBeUndefined();
  expect(parseBeside('cw:0123456789abcdef')).toEqual({ head: HEAD, fingerprint: '0123456789abcdef' });
});

const STANDPOINT = { position: 20, outlived: 0 };
const holding = (
  own: ReplicaEntry,
  value: ReplicaEntry | undefined,
  standpoint?: Holding['standpoint'],
): Holding => ({
  who: 'one',
  entries: new Map([[token(HEAD), own], ...(value ? [['v', value] as const] : [])]),
  standpoint,
});
function taken(stream: ReplicaEntry | undefined, value: ReplicaEntry, ...replicas: Holding[]): number {
  const whole = new Map([...(stream ? [[token(HEAD), stream] as const] : []), ['v', value] as const]);
  const { length } = takeStrays(whole, replicas);
  expect(whole.has('v')).toBe(length === 0);
  return length;
}

test('a heal takes out what was beside a refused change, and of who took it over, where one instance has what came before', () => {
  const stray = removal(25, 'b');
  const misled = holding(head('a'), stray, STANDPOINT);
  expect(taken(head('a'), stray, holding(head('a'), first, STANDPOINT), misled)).toBe(1);
  expect(misled.entries.has('v')).toBe(false);
  expect(taken(head('a', 'c'), stray, holding(head('a'), first, STANDPOINT))).toBe(1);
  // Whoever has removed the head as well.
  expect(taken(undefined, stray, holding(head('a'), first, STANDPOINT))).toBe(1);
});

test('a heal leaves what came true: where the stream says so, somebody who has it, or nobody says otherwise', () => {
  const removed = removal(21, 'b');
  const behind = holding(head('a'), first, STANDPOINT);
  expect(taken(head('a', 'b'), removed, behind)).toBe(0);
  expect(taken(head('a'), removed, behind, holding(head('a', 'b'), removed))).toBe(0);
  expect(taken(head('a'), removed, holding(head('a'), first))).toBe(0);
  expect(taken(head('a'), removed, holding(head('a'), removed, STANDPOINT))).toBe(0);
  const another = { ...first, revision: 5, fingerprint: printOf('another') };
  expect(taken(head('a'), removed, holding(head('a'), another, STANDPOINT))).toBe(0);
});
