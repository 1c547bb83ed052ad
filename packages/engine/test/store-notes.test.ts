import { expect, test } from 'vitest';
import { BUCKET_FORMAT, encodeMeta, parseMeta } from '../src/storage/jetstream/notes.js';

test('an epoch that no store comes to is none', () => {
  const meta = { format: BUCKET_FORMAT, incarnation: Buffer.alloc(16, 7), epoch: 1_000_000 };
  expect(parseMeta(encodeMeta(meta))).toEqual(meta);
  for (const epoch of [1_000_000_001, Number.MAX_SAFE_INTEGER, -1, 0.5]) {
    expect(() => parseMeta(encodeMeta({ ...meta, epoch }))).toThrow(
      expect.objectContaining({ code: 'tampered' }),
    );
  }
});
