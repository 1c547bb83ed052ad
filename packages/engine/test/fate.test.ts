import { describe, expect, test } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { type Acknowledged, fateOf, isShown, type Lost } from '../src/storage/jetstream/fate.js';
import { LINEAGE } from '../src/storage/jetstream/layout.js';
import { fingerprint, lineageBehind } from '../src/storage/jetstream/messages.js';
import type { ReplicaEntry } from '../src/storage/jetstream/replica-contract.js';

const printOf = (text: string) => fingerprint(Buffer.from(text && canary(text)));

/** A head that was changed so, at the revisions 10, 20, … */
function head(...states: string[]): ReplicaEntry | undefined {
  let entry: ReplicaEntry | undefined;
  for (const [index, state] of states.entries()) {
    const lineage = entry ? lineageBehind(entry) : [];
    const removed = state === '';
    entry = {
      revision: 10 * (index + 1),
      removed,
      isHead: true,
      fingerprint: printOf(state),
      lineage,
      chunks: 0,
    };
  }
  return entry;
}

/** Made on what was at 10, and to be at 20. */
const lost = (state = 'ours', more: Partial<Lost> = {}): Lost => ({
  expected: 10,
  fingerprint: printOf(state),
  place: 20,
  isSealed: true,
  ...more,
});

const since = (count: number) => Array.from({ length: count }, (_, n) => `later ${n}`);

describe('a change whose answer was lost', () => {
  test('is stored where the head is what was sent, and where the mark says', () => {
    expect(fateOf(head('first', 'ours'), lost())).toEqual({ is: 'stored', revision: 20 });
    expect(fateOf(head('ours'), lost('ours', { expected: 0, place: 10 }))).toEqual({
      is: 'stored',
      revision: 10,
    });
  });

  test('is stored as long as those that followed on it say so', () => {
    const most = LINEAGE;
    expect(fateOf(head('first', 'ours', ...since(most)), lost())).toEqual({ is: 'stored', revision: 20 });
    expect(fateOf(head('first', 'ours', ...since(most + 1)), lost())).toEqual({ is: 'unknown' });
  });

  test('is not stored while the head is as it was, whatever a mark says', () => {
    expect(fateOf(head('first'), lost())).toEqual({ is: 'unchanged' });
    expect(fateOf(undefined, lost('ours', { expected: 0 }))).toEqual({ is: 'unchanged' });
  });

  test('was overtaken where another followed in its place, whatever a mark says, and what came later', () => {
    for (const later of [[], ['third'], ['ours'], since(LINEAGE - 1)]) {
      expect(fateOf(head('first', 'other', ...later), lost())).toEqual({ is: 'overtaken' });
    }
    expect(fateOf(head('other'), lost('ours', { expected: 0, place: 10 }))).toEqual({ is: 'overtaken' });
  });

  test('is in doubt where another may have made the same, or nobody can tell any more', () => {
    expect(fateOf(head('first', 'ours'), lost('ours', { place: undefined }))).toEqual({ is: 'unknown' });
    expect(fateOf(head('first', ''), lost('', { place: 21 }))).toEqual({ is: 'unknown' });
    expect(fateOf(undefined, lost())).toEqual({ is: 'unknown' });
    expect(fateOf(head('first'), lost('ours', { expected: 30 }))).toEqual({ is: 'unknown' });
  });

  test('of a record that is not sealed only its own bytes vouch for', () => {
    const ring = lost('ours', { isSealed: false, place: undefined });
    expect(fateOf(head('first', 'ours'), ring)).toEqual({ is: 'stored', revision: 20 });
    expect(fateOf(head('first', 'ours', 'later'), { ...ring, place: 20 })).toEqual({ is: 'unknown' });
    expect(fateOf(head('first', 'other'), ring)).toEqual({ is: 'overtaken' });
  });
});

describe('a change that the server is said to have stored', () => {
  const said = (state = 'ours', more: Partial<Acknowledged> = {}): Acknowledged => ({
    fingerprint: printOf(state),
    place: 20,
    isMarked: true,
    isSealed: true,
    ...more,
  });

  test('is shown by the head, and by those that followed on it', () => {
    for (const later of [[], ['third'], [''], since(LINEAGE)]) {
      expect(isShown(head('first', 'ours', ...later), said('ours', { isMarked: false }))).toBe(true);
    }
    expect(isShown(head('first', ''), said(''))).toBe(true);
  });

  test('is not shown where another is in its place, or it lies elsewhere, whatever a mark says', () => {
    for (const later of [[], ['third'], since(LINEAGE)]) {
      expect(isShown(head('first', 'other', ...later), said())).toBe(false);
    }
    for (const place of [1, 10, 19, 21, 30]) {
      expect(isShown(head('first', 'ours', 'third'), said('ours', { place }))).toBe(false);
    }
    expect(isShown(head('first'), said())).toBe(false);
    expect(isShown(undefined, said())).toBe(false);
  });

  test('is believed by its mark where so many followed that none names it', () => {
    const many = head('first', 'ours', ...since(LINEAGE + 1));
    expect(isShown(many, said())).toBe(true);
    expect(isShown(many, said('ours', { isMarked: false }))).toBe(false);
  });

  test('of a record that is not sealed only its own bytes vouch for', () => {
    expect(isShown(head('first', 'ours'), said('ours', { isSealed: false }))).toBe(true);
    expect(isShown(head('first', 'ours', 'third'), said('ours', { isSealed: false }))).toBe(false);
  });
});
