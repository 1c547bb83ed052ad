import { expect, test } from 'vitest';
import { isPast } from '../src/storage/jetstream/lineage.js';
import type { ReplicaEntry } from '../src/storage/jetstream/replica-contract.js';

const NOTHING = 'e3b0c44298fc1c14';

const entry = (
  revision: number,
  print: string,
  ...lineage: [revision: number, print: string][]
): ReplicaEntry => ({
  revision,
  removed: print === NOTHING,
  isHead: false,
  fingerprint: print,
  lineage: lineage.map(([at, fingerprint]) => ({ revision: at, fingerprint })),
  chunks: 0,
});

test('a state is past that another names as before it, wherever it lies now', () => {
  const anew = entry(10, 'bb', [5, 'aa']);
  expect(isPast(entry(5, 'aa'), anew)).toBe(true);
  expect(isPast(entry(20, 'aa'), anew)).toBe(true);
  expect(isPast(anew, entry(20, 'aa'))).toBe(false);
  expect(isPast(entry(5, 'aa'), entry(12, NOTHING, [5, 'aa']))).toBe(true);
});

test('what a heal brought back is not past, though it names itself', () => {
  const healed = entry(30, 'bb', [10, 'bb'], [5, 'aa']);
  expect(isPast(healed, healed)).toBe(false);
  expect(isPast(entry(10, 'bb', [5, 'aa']), healed)).toBe(false);
  expect(isPast(entry(5, 'aa'), healed)).toBe(true);
});

test('a removal is past of what came after another removal of the same state', () => {
  const removal = entry(40, NOTHING, [5, 'aa']);
  expect(isPast(removal, entry(20, 'bb', [12, NOTHING], [5, 'aa']))).toBe(true);
  expect(isPast(removal, entry(20, 'bb', [5, 'aa']))).toBe(false);
});
