import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createKeyPair, keyPairFromSeed, open, seal, sealFresh } from '../src/index.js';
import { fromBase64, vectors, wascap } from './vectors.js';

const withCode = (code: string) => expect.objectContaining({ name: 'IdentityError', code });

describe('an xkey box', () => {
  it.each(vectors.Sealed)('of Go opens to its plaintext: $RecipientPublic', (vector) => {
    using recipient = keyPairFromSeed(vector.RecipientSeed);
    expect(recipient.publicKey).toBe(vector.RecipientPublic);
    const plaintext = open(fromBase64(vector.Sealed), recipient, vector.SenderPublic);
    expect(Buffer.from(plaintext).toString('base64')).toBe(vector.Plaintext);
  });

  it.each(wascap.sealed)('of Rust opens to its plaintext: $plaintextLength bytes', (vector) => {
    using recipient = keyPairFromSeed(vector.recipientSeed);
    const plaintext = open(Buffer.from(vector.sealedHex, 'hex'), recipient, vector.senderPublic);
    expect(plaintext).toHaveLength(vector.plaintextLength);
    expect(plaintext.every((byte) => byte === vector.plaintextByte)).toBe(true);
  });

  it('opens for its recipient alone, to what was sealed, and is another one each time', () => {
    using sender = createKeyPair('curve');
    using recipient = createKeyPair('curve');
    using stranger = createKeyPair('curve');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), (plaintext) => {
        const box = seal(plaintext, sender, recipient.publicKey);
        expect(Buffer.from(open(box, recipient, sender.publicKey))).toEqual(Buffer.from(plaintext));
        expect(() => open(box, stranger, sender.publicKey)).toThrow(withCode('open_failed'));
        expect(() => open(box, recipient, stranger.publicKey)).toThrow(withCode('open_failed'));
        expect(Buffer.from(seal(plaintext, sender, recipient.publicKey))).not.toEqual(Buffer.from(box));
      }),
      { numRuns: 50 },
    );
  });

  it('from a key made for it alone opens as any other, and each comes from another key', () => {
    using recipient = createKeyPair('curve');
    using stranger = createKeyPair('curve');
    const senders = new Set<string>();
    for (const length of [0, 1, 64, 5_000]) {
      const plaintext = Buffer.alloc(length, 7);
      const { box, sender } = sealFresh(plaintext, recipient.publicKey);
      senders.add(sender);
      expect(Buffer.from(open(box, recipient, sender))).toEqual(plaintext);
      expect(() => open(box, stranger, sender)).toThrow(withCode('open_failed'));
      expect(() => open(box, recipient, stranger.publicKey)).toThrow(withCode('open_failed'));
    }
    expect(senders.size).toBe(4);
    const user = createKeyPair('user').publicKey;
    expect(() => sealFresh(new Uint8Array(), user)).toThrow(withCode('wrong_key_kind'));
  });

  it('does not open when any bit of it is changed', () => {
    using sender = createKeyPair('curve');
    using recipient = createKeyPair('curve');
    const box = seal(Buffer.from('attack at dawn'), sender, recipient.publicKey);
    for (let bit = 0; bit < box.length * 8; bit++) {
      const changed = Uint8Array.from(box);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      const code = bit < 32 ? 'malformed_box' : 'open_failed';
      expect(() => open(changed, recipient, sender.publicKey)).toThrow(withCode(code));
    }
  });

  it('is not read from too few bytes', () => {
    using pair = createKeyPair('curve');
    const box = seal(new Uint8Array(), pair, pair.publicKey);
    for (let length = 0; length < box.length; length++) {
      expect(() => open(box.subarray(0, length), pair, pair.publicKey)).toThrow(withCode('malformed_box'));
    }
  });

  it('takes curve keys alone', () => {
    using curve = createKeyPair('curve');
    using user = createKeyPair('user');
    expect(() => seal(new Uint8Array(), user, curve.publicKey)).toThrow(withCode('wrong_key_kind'));
    expect(() => seal(new Uint8Array(), curve, user.publicKey)).toThrow(withCode('wrong_key_kind'));
    expect(() => seal(new Uint8Array(), curve, `${curve.publicKey.slice(0, -1)}`)).toThrow(
      withCode('malformed_key'),
    );
    const box = seal(new Uint8Array(), curve, curve.publicKey);
    expect(() => open(box, user, curve.publicKey)).toThrow(withCode('wrong_key_kind'));
    expect(() => open(box, curve, user.publicKey)).toThrow(withCode('wrong_key_kind'));
    curve.wipe();
    expect(() => open(box, curve, curve.publicKey)).toThrow(withCode('key_wiped'));
  });
});
