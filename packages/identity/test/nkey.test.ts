import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodePublicKey, IdentityError, type KeyKind, parsePublicKey } from '../src/index.js';
import { type NkeyVector, vectors } from './vectors.js';

const LETTERS = {
  account: 'A',
  cluster: 'C',
  component: 'M',
  server: 'N',
  operator: 'O',
  user: 'U',
  provider: 'V',
  curve: 'X',
} as const satisfies Record<KeyKind, string>;

const kinds = fc.constantFrom(...(Object.keys(LETTERS) as KeyKind[]));
const keyBytes = fc.uint8Array({ minLength: 32, maxLength: 32 });
const publicKeys = fc.tuple(kinds, keyBytes).map(([kind, bytes]) => encodePublicKey(kind, bytes));

describe('public keys', () => {
  it.each(vectors.Nkeys)('of Go are read and written back as they were: $Public', ({ Type, Public }) => {
    const { kind, bytes } = parsePublicKey(Public);
    expect(kind).toBe(Type);
    expect(encodePublicKey(kind, bytes)).toBe(Public);
  });

  it.each(vectors.Invalid)('that Go refuses are refused: $why', ({ key }) => {
    expect(() => parsePublicKey(key)).toThrow(IdentityError);
  });

  it('of every kind have 56 characters, start with its letter and come back the same', () => {
    fc.assert(
      fc.property(kinds, keyBytes, (kind, bytes) => {
        const text = encodePublicKey(kind, bytes);
        expect(text).toMatch(/^[A-Z2-7]{56}$/);
        expect(text[0]).toBe(LETTERS[kind]);
        expect(parsePublicKey(text)).toEqual({ kind, bytes });
      }),
    );
  });

  it('are refused after any one character is changed', () => {
    const anyCharacter = fc.string({ unit: 'binary', minLength: 1, maxLength: 1 });
    const base32Character = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567');
    fc.assert(
      fc.property(
        publicKeys,
        fc.nat({ max: 55 }),
        fc.oneof(base32Character, anyCharacter),
        (key, at, replacement) => {
          fc.pre(key[at] !== replacement);
          expect(() => parsePublicKey(key.slice(0, at) + replacement + key.slice(at + 1))).toThrow(
            IdentityError,
          );
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('are refused when anything is added or left out', () => {
    fc.assert(
      fc.property(
        publicKeys,
        fc.string({ minLength: 1 }),
        fc.integer({ min: 1, max: 56 }),
        (key, more, less) => {
          expect(() => parsePublicKey(key + more)).toThrow(IdentityError);
          expect(() => parsePublicKey(more + key)).toThrow(IdentityError);
          expect(() => parsePublicKey(key.slice(0, -less))).toThrow(IdentityError);
        },
      ),
    );
  });

  it('are refused in characters whose low byte alone is right', () => {
    const { Public } = vectors.Nkeys[0] as NkeyVector;
    const shifted = [...Public].map((char) => String.fromCharCode(char.charCodeAt(0) + 0x100)).join('');
    expect(() => parsePublicKey(shifted)).toThrow(expect.objectContaining({ code: 'malformed_key' }));
  });

  it.each([
    ['an unknown letter', 'TAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAABLVU'],
    ['a bit too many in the prefix', 'UEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAATXS'],
  ])('with %s are refused although their checksum holds', (_what, key) => {
    expect(() => parsePublicKey(key)).toThrow(expect.objectContaining({ code: 'malformed_key' }));
  });

  it.each([
    ['SUABRBWYMWY3TKGYAUH4MQAZGMNLZU5TWZJOLGETGFI3AYR2W4SCVR2EIM', 'wrong_key_kind'],
    ['', 'malformed_key'],
    ['UBIJU67QCUNQNGOHYYADWXYJFA4ECFVVVPARZWBVR47H5HDWD6XY3YZZ', 'key_checksum'],
  ])('%j fail with code %s', (text, code) => {
    expect(() => parsePublicKey(text)).toThrow(expect.objectContaining({ name: 'IdentityError', code }));
  });

  it('are never written from anything but 32 bytes', () => {
    expect(() => encodePublicKey('user', new Uint8Array(31))).toThrow(IdentityError);
    expect(() => encodePublicKey('user', new Uint8Array(33))).toThrow(IdentityError);
  });
});
