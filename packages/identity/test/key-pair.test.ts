import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  IdentityError,
  keyPairFromBytes,
  keyPairFromSeed,
  parsePublicKey,
  publicKeyOf,
  verify,
} from '../src/index.js';
import { fromBase64, type NkeyVector, vectors } from './vectors.js';

const signingKinds = fc.constantFrom(
  'account',
  'cluster',
  'component',
  'server',
  'operator',
  'user',
  'provider',
);
const messages = fc.uint8Array({ maxLength: 300 });
const withCode = (code: string) => expect.objectContaining({ name: 'IdentityError', code });
const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe("a pair from Go's seed", () => {
  it.each(vectors.Nkeys)('has the same kind, public key and signature: $Public', (vector) => {
    using pair = keyPairFromSeed(vector.Seed);
    expect(pair.kind).toBe(vector.Type);
    expect(pair.publicKey).toBe(vector.Public);
    expect(pair.sign(fromBase64(vector.Message))).toEqual(fromBase64(vector.Signature));
    expect(text(pair.seed())).toBe(vector.Seed);
  });

  it.each(vectors.Nkeys)(
    'verifies what Go signed, and nothing else: $Public',
    ({ Public, Message, Signature }) => {
      const [message, signature] = [fromBase64(Message), fromBase64(Signature)];
      expect(verify(Public, message, signature)).toBe(true);
      expect(verify(Public, Buffer.concat([message, Buffer.from('x')]), signature)).toBe(false);
      expect(verify(createKeyPair('user').publicKey, message, signature)).toBe(false);
    },
  );

  it.each(vectors.Sealed)('of a curve has the same public key: $SenderPublic', (vector) => {
    expect(publicKeyOf(vector.SenderSeed)).toBe(vector.SenderPublic);
    expect(publicKeyOf(vector.RecipientSeed)).toBe(vector.RecipientPublic);
    using pair = keyPairFromSeed(vector.SenderSeed);
    expect(pair.kind).toBe('curve');
    expect(text(pair.seed())).toBe(vector.SenderSeed);
  });
});

describe('a new pair', () => {
  it('of each kind signs, and comes back from its seed as the same pair', () => {
    fc.assert(
      fc.property(signingKinds, messages, (kind, message) => {
        using pair = createKeyPair(kind);
        expect(parsePublicKey(pair.publicKey).kind).toBe(kind);
        expect(verify(pair.publicKey, message, pair.sign(message))).toBe(true);
        using again = keyPairFromSeed(pair.seed());
        expect(again.publicKey).toBe(pair.publicKey);
        expect(again.sign(message)).toEqual(pair.sign(message));
      }),
      { numRuns: 50 },
    );
  });

  it('refuses a signature with any bit flipped or of any other length', () => {
    using pair = createKeyPair('server');
    fc.assert(
      fc.property(
        messages,
        fc.nat({ max: 64 * 8 - 1 }),
        fc.uint8Array({ maxLength: 130 }),
        (message, bit, other) => {
          const signature = pair.sign(message);
          signature[bit >> 3] = (signature[bit >> 3] as number) ^ (1 << (bit & 7));
          expect(verify(pair.publicKey, message, signature)).toBe(false);
          expect(verify(pair.publicKey, message, other)).toBe(false);
        },
      ),
    );
  });

  it('of a curve neither signs nor verifies', () => {
    using pair = createKeyPair('curve');
    expect(() => pair.sign(new Uint8Array(1))).toThrow(withCode('wrong_key_kind'));
    expect(() => verify(pair.publicKey, new Uint8Array(1), new Uint8Array(64))).toThrow(
      withCode('wrong_key_kind'),
    );
  });

  it('is of no use once wiped, and wiping it again is harmless', () => {
    const pair = createKeyPair('server');
    pair.wipe();
    pair.wipe();
    expect(() => pair.sign(new Uint8Array(1))).toThrow(withCode('key_wiped'));
    expect(() => pair.seed()).toThrow(withCode('key_wiped'));
  });

  it('comes from 32 bytes and from no other number', () => {
    const bytes = Uint8Array.from({ length: 32 }, (_, i) => i);
    using pair = keyPairFromBytes('server', bytes);
    using again = keyPairFromSeed(pair.seed());
    expect(pair.publicKey).toBe(again.publicKey);
    expect(bytes[31]).toBe(31);
    for (const length of [0, 31, 33, 64]) {
      expect(() => keyPairFromBytes('server', new Uint8Array(length))).toThrow(withCode('malformed_key'));
    }
  });

  it('leaves the seed that it was read from to its owner', () => {
    using pair = createKeyPair('user');
    const seed = pair.seed();
    const before = text(seed);
    keyPairFromSeed(seed).wipe();
    expect(text(seed)).toBe(before);
  });
});

describe('a seed', () => {
  const { Seed, Public } = vectors.Nkeys[0] as NkeyVector;

  it('is refused after any one character is changed', () => {
    const characters = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567abcd018=!\0é');
    fc.assert(
      fc.property(fc.nat({ max: 57 }), characters, (at, replacement) => {
        fc.pre(Seed[at] !== replacement);
        expect(() => keyPairFromSeed(Seed.slice(0, at) + replacement + Seed.slice(at + 1))).toThrow(
          IdentityError,
        );
      }),
      { numRuns: 2_000 },
    );
  });

  it('is refused with bits set after its last byte', () => {
    // 58 characters carry 290 bits for 288: of the last character's four spellings only one is canonical.
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
    const last = alphabet.indexOf(Seed.at(-1) as string);
    expect(last & 3).toBe(0);
    for (const stray of [1, 2, 3]) {
      expect(() => keyPairFromSeed(Seed.slice(0, -1) + alphabet[last | stray])).toThrow(
        withCode('malformed_key'),
      );
    }
  });

  it.each([
    ['a public key', Public, 'malformed_key'],
    ['nothing', '', 'malformed_key'],
    ['a seed with a line break', `${Seed}\n`, 'malformed_key'],
    ['a mistyped seed', Seed.replace('J6H', 'J7H'), 'key_checksum'],
  ])('is not %s', (_what, given, code) => {
    expect(() => keyPairFromSeed(given)).toThrow(withCode(code));
  });

  it.each([`${Seed}A`, Seed.slice(1), Seed.replace('J6H', 'J7H')])(
    'never appears in an error: %#',
    (wrong) => {
      expect(() => keyPairFromSeed(wrong)).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining(wrong.slice(4, 20)) }),
      );
    },
  );
});
