import { expect, test } from 'vitest';

import { owedOf, positionOf } from '../src/storage/jetstream/position.js';
import type { ReplicaOrigin } from '../src/storage/jetstream/replica-contract.js';

const HERE: ReplicaOrigin = { incarnation: Buffer.alloc(16, 7), epoch: 2, created: '2026-01-01T00:00:00Z' };

test('a position of the stream is waited for, and one of an epoch that is still to come', () => {
  expect(positionOf(HERE, 4_711)).toMatch(/^07070707[0-9a-f]{8}-2-4711$/);
  expect(owedOf(positionOf(HERE, 4_711), HERE)).toEqual({ epoch: 2, sequence: 4_711 });
  const healed = { ...HERE, epoch: 3, created: '2026-01-02T00:00:00Z' };
  expect(owedOf(positionOf(healed, 5), HERE)).toEqual({ epoch: 3, sequence: 5 });
});

test('nothing is waited for that was before a heal, in a stream that the store has left, or in another store of that name', () => {
  const gone: Record<string, ReplicaOrigin> = {
    healed: { ...HERE, epoch: 1 },
    moved: { ...HERE, created: '2025-12-01T00:00:00Z' },
    other: { ...HERE, incarnation: Buffer.alloc(16, 8) },
    'other, and healed more often': { ...HERE, incarnation: Buffer.alloc(16, 8), epoch: 9 },
  };
  for (const [what, origin] of Object.entries(gone)) {
    expect([what, owedOf(positionOf(origin, 999), HERE)]).toEqual([what, undefined]);
  }
});

test('what is no position is refused', () => {
  for (const text of ['', '1-4711', '4711', `${'0'.repeat(15)}-1-1`, `${'0'.repeat(16)}-1`, 'yesterday']) {
    expect(() => owedOf(text, HERE)).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  }
});
