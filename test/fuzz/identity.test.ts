/**
 * Whatever is given for a key, a token, a box, a proof or a creds file: an answer or an `IdentityError`, at once. FUZZ_INPUTS says how
 * many inputs of each kind (2,000).
 */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  createProof,
  decodeJwt,
  decodeWascap,
  encodeJwt,
  encodeWascap,
  formatCreds,
  IdentityError,
  keyPairFromSeed,
  looksLikeWascap,
  newUser,
  open,
  parseCreds,
  parseProof,
  parsePublicKey,
  seal,
  tokenIn,
  verifyProofSignature,
} from '../../packages/identity/src/index.js';

const RUNS = { numRuns: Number(process.env.FUZZ_INPUTS ?? 2_000) };
/** Far beyond what the largest of them takes on a busy machine. */
const MILLISECONDS = 20_000;

const account = createKeyPair('account');
const user = createKeyPair('user');
const curve = createKeyPair('curve');
const jwt = encodeJwt(newUser(user.publicKey, 'u'), account);
const wascap = encodeWascap({ sub: createKeyPair('component').publicKey }, account);
const seed = Buffer.from(user.seed()).toString();
const creds = Buffer.from(formatCreds(jwt, user.seed())).toString();

/** True if `read` took it; false if it refused as it may. */
function takes(read: () => unknown): boolean {
  const start = performance.now();
  try {
    read();
    return true;
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    expect(error.message).not.toContain(seed);
    return false;
  } finally {
    expect(performance.now() - start).toBeLessThan(MILLISECONDS);
  }
}

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 400 }),
  fc.string({ unit: fc.constantFrom(...'ABSUOX234567.-_=\n\r{}"'), maxLength: 400 }),
);

/** Something good with a piece cut out, put in, doubled or changed. */
const damaged = (good: string) =>
  fc
    .tuple(fc.nat(good.length), fc.nat(40), anyText)
    .map(([at, length, piece]) => good.slice(0, at) + piece + good.slice(at + length));

/** JSON in the place of a token's parts. */
const dressed = fc
  .tuple(fc.jsonValue(), fc.jsonValue({ maxDepth: 4 }), fc.uint8Array({ maxLength: 70 }))
  .chain(([header, claims, signature]) =>
    fc
      .constantFrom(
        [header, claims],
        [{ typ: 'JWT', alg: 'ed25519-nkey' }, claims],
        [{ typ: 'jwt', alg: 'Ed25519' }, claims],
        [
          { typ: 'JWT', alg: 'ed25519-nkey' },
          { iss: account.publicKey, sub: user.publicKey, iat: 1, nats: claims },
        ],
        [
          { typ: 'jwt', alg: 'Ed25519' },
          { iss: account.publicKey, sub: account.publicKey, iat: 1, wascap: claims },
        ],
      )
      .map((parts) =>
        [...parts.map((part) => Buffer.from(JSON.stringify(part))), Buffer.from(signature)]
          .map((bytes) => bytes.toString('base64url'))
          .join('.'),
      ),
  );

describe('a reader of', () => {
  it('public keys takes keys alone', () => {
    const good = account.publicKey;
    fc.assert(
      fc.property(fc.oneof(anyText, damaged(good)), (text) => {
        if (takes(() => parsePublicKey(text))) expect(text).toMatch(/^[A-Z2-7]{56}$/);
      }),
      RUNS,
    );
  });

  it('seeds takes seeds alone', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, damaged(seed)), (text) => {
        if (takes(() => keyPairFromSeed(text).wipe())) expect(text).toMatch(/^S[A-Z2-7]{57}$/);
      }),
      RUNS,
    );
  });

  it('tokens takes what their issuer signed alone', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, damaged(jwt), damaged(wascap), dressed), (text) => {
        takes(() => looksLikeWascap(text));
        if (takes(() => decodeJwt(text))) expect(text).toBe(jwt);
        if (takes(() => decodeWascap(text))) expect(text).toBe(wascap);
      }),
      RUNS,
    );
  });

  it('tokens is not slowed by deep or wide JSON', () => {
    const header = Buffer.from('{"typ":"JWT","alg":"ed25519-nkey"}').toString('base64url');
    const claims = [
      '['.repeat(300_000),
      `{"nats":${'{"a":'.repeat(100_000)}1${'}'.repeat(100_001)}`,
      `[${'1234567890123456789,'.repeat(30_000)}1]`,
      `{"iat":${'9'.repeat(500_000)}}`,
      `{"nats":{"type":"account","version":2,"signing_keys":[${`"${account.publicKey}",`.repeat(10_000)}1]}}`,
      `{"nats":{"type":"user","src":"${','.repeat(500_000)}"}}`,
    ];
    for (const text of claims) {
      const token = `${header}.${Buffer.from(text).toString('base64url')}.AAAA`;
      expect(takes(() => decodeJwt(token))).toBe(false);
    }
  });

  it('creds files takes them alone', () => {
    fc.assert(
      fc.property(fc.oneof(anyText, damaged(creds)), (text) => {
        takes(() => parseCreds(Buffer.from(text)));
        expect(takes(() => tokenIn(Buffer.from(text)))).toBe(true);
      }),
      RUNS,
    );
  });

  it('proofs takes what their user signed alone', () => {
    const request = { method: 'POST', path: '/api/put', body: Buffer.from('{}') };
    const proof = createProof({ jwt, keyPair: user, audience: 'https://coffer.example.com', request });
    fc.assert(
      fc.property(fc.oneof(anyText, damaged(proof)), (text) => {
        if (takes(() => verifyProofSignature(parseProof(text), user.publicKey))) expect(text).toBe(proof);
      }),
      RUNS,
    );
  });

  it('proofs takes no payload but a proof’s, however well it is signed', () => {
    const request = { method: 'POST', path: '/api/put', body: Buffer.from('{}') };
    const proof = createProof({ jwt, keyPair: user, audience: 'https://coffer.example.com', request });
    const payload = Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString();
    fc.assert(
      fc.property(fc.oneof(anyText, fc.json(), damaged(payload)), (text) => {
        const members = ['aud', 'exp', 'id', 'jwt', 'req', 'salt'];
        if (!takes(() => parseProof(signed(text)))) return;
        const taken = JSON.parse(text);
        expect(JSON.stringify(taken)).toBe(text);
        expect(members).toEqual(expect.arrayContaining(Object.keys(taken)));
      }),
      RUNS,
    );
  });

  it('boxes takes what was sealed alone', () => {
    const box = Buffer.from(seal(Buffer.from('sealed'), curve, curve.publicKey));
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      damaged(box.toString('latin1')).map((text) => Buffer.from(text, 'latin1')),
    );
    fc.assert(
      fc.property(bytes, (bytes) => {
        if (takes(() => open(bytes, curve, curve.publicKey))) expect(Buffer.from(bytes)).toEqual(box);
      }),
      RUNS,
    );
  });
});

/** A payload as a proof, signed by the user. */
function signed(payload: string): string {
  const encoded = Buffer.from(payload).toString('base64url');
  const hash = createHash('sha256').update(encoded).digest();
  const signature = user.sign(Buffer.concat([Buffer.of(0xff), Buffer.from('coffer-proof-v1'), hash]));
  return `cfp1.${encoded}.${Buffer.from(signature).toString('base64url')}`;
}
