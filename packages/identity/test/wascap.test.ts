import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  decodeJwt,
  decodeWascap,
  encodeWascap,
  keyPairFromSeed,
  looksLikeWascap,
} from '../src/index.js';
import { nscFile, wascap } from './vectors.js';

const withCode = (code: string) => expect.objectContaining({ name: 'IdentityError', code });
const claimsOf = (text: string) => JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString());

describe("wascap's tokens", () => {
  it.each(wascap.tokens)('are read: $kind, $note', ({ kind, jwt, issuer, subject }) => {
    const token = decodeWascap(jwt);
    expect(token).toMatchObject({ kind, claims: { iss: issuer, sub: subject } });
    expect(token.claims).toEqual(claimsOf(jwt));
    expect(looksLikeWascap(jwt)).toBe(true);
  });

  it.each(wascap.tokens)('are signed again with the same claims: $kind, $note', ({ jwt, issuerSeed }) => {
    using signer = keyPairFromSeed(issuerSeed);
    const { claims } = decodeWascap(jwt);
    const again = encodeWascap(claims, signer, { now: new Date(claims.iat * 1000) });
    expect(claimsOf(again)).toEqual({ ...claimsOf(jwt), jti: expect.stringMatching(/^[0-9A-Za-z]{22}$/) });
    expect(again.split('.')[0]).toBe(jwt.split('.')[0]);
    expect(decodeWascap(again).kind).toBe(decodeWascap(jwt).kind);
  });

  it('are refused when a character is changed', () => {
    const { jwt } = wascap.tokens[0] as (typeof wascap.tokens)[number];
    for (let at = 0; at < jwt.length; at++) {
      const changed = jwt.slice(0, at) + (jwt[at] === 'A' ? 'B' : 'A') + jwt.slice(at + 1);
      expect(() => decodeWascap(changed), `at ${at}`).toThrow(
        expect.objectContaining({ name: 'IdentityError' }),
      );
    }
  });

  it('are not taken for tokens of NATS, nor the reverse', () => {
    const nats = nscFile('stores/demoO/demoO.jwt');
    expect(looksLikeWascap(nats)).toBe(false);
    expect(() => decodeWascap(nats)).toThrow(withCode('unsupported_token'));
    for (const { jwt } of wascap.tokens) expect(() => decodeJwt(jwt)).toThrow(withCode('unsupported_token'));
  });

  it('are not written about users, nor signed by curve keys', () => {
    using user = createKeyPair('user');
    using account = createKeyPair('account');
    using curve = createKeyPair('curve');
    expect(() => encodeWascap({ sub: user.publicKey }, account)).toThrow(withCode('malformed_token'));
    expect(() => encodeWascap({ sub: account.publicKey }, curve)).toThrow(withCode('invalid_claims'));
  });
});
