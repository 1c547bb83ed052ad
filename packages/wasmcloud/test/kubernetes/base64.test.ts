import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { decodeBase64 } from '../../src/kubernetes/base64.js';

describe('base64 from bytes to bytes', () => {
  it('is what Node makes of it, for every length and every byte', () => {
    for (let length = 0; length < 300; length++) {
      const bytes = randomBytes(length);
      const decoded = decodeBase64(Buffer.from(bytes.toString('base64')));
      expect(decoded && Buffer.from(decoded).equals(bytes), bytes.toString('hex')).toBe(true);
    }
    const all = Uint8Array.from({ length: 256 }, (_, i) => i);
    expect([...(decodeBase64(Buffer.from(Buffer.from(all).toString('base64'))) ?? [])]).toEqual([...all]);
  });

  it.each(['a', 'ab', 'abc', 'ab=', 'a===', '====', 'ab-_', 'ab c', 'ab\n=', 'a=bc', 'äbc', '"abc'])(
    'is not %j',
    (text) => {
      expect(decodeBase64(Buffer.from(text))).toBeUndefined();
    },
  );
});
