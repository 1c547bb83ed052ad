import { format, inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { SecretBytes } from '../src/secret/secret-bytes.js';

const bytes = (text: string) => new TextEncoder().encode(text);
const VALUE = 'hunter2-of-the-test';

describe('the bytes of a secret', () => {
  const secret = SecretBytes.copyOf(bytes(VALUE));

  test.each([
    ['util.inspect', inspect(secret)],
    ['util.inspect of what holds them', inspect({ deep: { secret } }, { depth: 9 })],
    ['console.log', format(secret)],
    ['%s', format('%s', secret)],
    ['%o', format('%o', secret)],
    ['%j', format('%j', secret)],
    ['JSON', JSON.stringify({ secret })],
    ['a template', `${secret}`],
    ['toLocaleString', secret.toLocaleString()],
    ['what is cut from them', inspect(secret.subarray(1))],
    ['a copy of them', inspect(secret.slice())],
  ])('do not show themselves by %s', (_, shown) => {
    expect(shown).toContain('[redacted]');
    expect(shown).not.toContain(VALUE);
    expect(shown).not.toContain([...bytes(VALUE)].slice(0, 3).join(','));
    expect(shown).not.toContain([...bytes(VALUE)].slice(0, 3).join(', '));
  });

  test('are bytes for whatever takes bytes, and text on demand', () => {
    expect(Buffer.from(secret).toString()).toBe(VALUE);
    expect(secret.reveal()).toBe(VALUE);
  });

  test('keep a byte order mark, and say when they are no text', () => {
    expect(SecretBytes.copyOf(bytes('\ufeffx')).reveal()).toBe('\ufeffx');
    expect(() => SecretBytes.copyOf(Uint8Array.of(0xff)).reveal()).toThrow(
      expect.objectContaining({ code: 'not_text' }),
    );
  });

  test('are their own copy, and zeros when they are wiped', () => {
    const source = bytes(VALUE);
    const copy = SecretBytes.copyOf(source);
    {
      using _ = copy;
      source.fill(0);
      expect(copy.reveal()).toBe(VALUE);
    }
    expect(copy.every((byte) => byte === 0)).toBe(true);
  });
});
