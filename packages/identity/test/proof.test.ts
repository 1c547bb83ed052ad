import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  audienceOf,
  checkProof,
  createKeyPair,
  createProof,
  IdentityError,
  isProof,
  keyPairFromSeed,
  matchesRequest,
  parseProof,
  verifyProofSignature,
} from '../src/index.js';
import { jwt, now, type ProofVector, seed, vectors } from './proof-vectors.js';

const keyPair = keyPairFromSeed(seed);
const user = { jwt, keyPair };
const withCode = (code: string) => expect.objectContaining({ name: 'IdentityError', code });
const hash = (text: string | Uint8Array) => createHash('sha256').update(text).digest();
const audience = 'https://coffer.example.com';

const bound = (request?: ProofVector['request']) =>
  request && { request: { ...request, body: Buffer.from(request.body) } };

/** Signs any payload as a proof's, the salt apart, which a text in place of JSON has no room for. */
function sign(payload: string | Uint8Array): string {
  const encoded = Buffer.from(payload).toString('base64url');
  const signed = Buffer.concat([Buffer.of(0xff), Buffer.from('coffer-proof-v1'), hash(encoded)]);
  return `cfp1.${encoded}.${Buffer.from(keyPair.sign(signed)).toString('base64url')}`;
}

/** Signs a good payload with these members in their place; another one is varied until the hash will do. */
function signMembers(members: object, write: (payload: object) => string = JSON.stringify): string {
  for (let n = 0; ; n++) {
    const good = { jwt, aud: audience, id: `x${n}`, exp: vectors.now + 60, salt: n };
    const payload = write({ ...good, ...members });
    if (hash(Buffer.from(payload).toString('base64url')).includes(0)) return sign(payload);
  }
}

/** As deep as a proof's length allows. */
const deep = (payload: object, open: string, close: string, depth: number): string =>
  JSON.stringify({ ...payload, jwt: 0 }).replace(
    '"jwt":0',
    `"jwt":${open.repeat(depth)}0${close.repeat(depth)}`,
  );

describe('the vectors', () => {
  it.each(vectors.proofs)('are made byte for byte: $what', ({ what, payload, signed, proof, ...options }) => {
    const { request, ...rest } = options;
    expect(createProof({ ...rest, ...bound(request), ...user, now })).toBe(proof);
    expect(Buffer.from(proof.split('.')[1] ?? '', 'base64url').toString()).toBe(payload);
    expect(Buffer.from(parseProof(proof).signed).toString('hex')).toBe(signed);
  });

  it.each(vectors.proofs)('hold what they were made of: $what', (vector) => {
    const proof = parseProof(vector.proof);
    verifyProofSignature(proof, vectors.publicKey);
    checkProof(proof, { audiences: [vector.audience], now, skewSeconds: 0 });
    expect(proof).toMatchObject({ jwt, audience: vector.audience, id: vector.id });
    expect(proof.expiresAt).toBe(vectors.now + vector.expiresIn);
    if (vector.request === undefined) expect(proof.request).toBeUndefined();
    else {
      const { method, path, body } = vector.request;
      expect(matchesRequest(proof, { method, path, bodyHash: hash(body) })).toBe(true);
    }
  });

  it('are the same for the client, which makes proofs by code of its own', () => {
    const read = (name: string) =>
      readFileSync(new URL(`../../${name}/test/vectors/proof.json`, import.meta.url));
    expect(read('client')).toEqual(read('identity'));
  });

  it.each(vectors.audiences)('write one audience one way: $url', ({ url, audience }) => {
    if (audience === null) expect(() => audienceOf(url)).toThrow(withCode('malformed_audience'));
    else expect(audienceOf(url)).toBe(audience);
  });
});

describe('a proof', () => {
  const proof = vectors.proofs[2]?.proof as string;

  it('is told from a bearer token by how it begins', () => {
    expect(isProof(proof)).toBe(true);
    expect(isProof('cft_0123456789')).toBe(false);
  });

  it('of which any one byte is another is refused', () => {
    const others = fc.integer({ min: 1, max: 255 });
    fc.assert(
      fc.property(fc.nat({ max: proof.length - 1 }), others, (at, change) => {
        const bytes = Buffer.from(proof, 'latin1');
        bytes[at] = (bytes[at] as number) ^ change;
        expectRefused(bytes.toString('latin1'));
      }),
      { numRuns: 2_000 },
    );
  });

  it('of which the last character of a part has other stray bits is refused', () => {
    const characters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    for (const end of [proof.lastIndexOf('.') - 1, proof.length - 1]) {
      for (const character of characters.replace(proof[end] as string, '')) {
        expectRefused(proof.slice(0, end) + character + proof.slice(end + 1));
      }
    }
  });

  it('that is cut off, or longer than it was, is refused', () => {
    for (let length = 0; length < proof.length; length += 7) expectRefused(proof.slice(0, length));
    for (const more of ['A', '.', '=', ' ', '\n', '\0', proof]) {
      expectRefused(proof + more);
      expectRefused(more + proof);
    }
  });

  it('with the signature of another key is refused', () => {
    using other = createKeyPair('user');
    const foreign = createProof({ jwt, keyPair: other, audience });
    expect(() => verifyProofSignature(parseProof(foreign), vectors.publicKey)).toThrow(
      withCode('proof_signature'),
    );
    verifyProofSignature(parseProof(foreign), other.publicKey);
  });

  it('is signed by a user’s key and by no other kind', () => {
    using account = createKeyPair('account');
    expect(() => createProof({ jwt, keyPair: account, audience })).toThrow(withCode('wrong_key_kind'));
    expect(() => verifyProofSignature(parseProof(proof), account.publicKey)).toThrow(
      withCode('wrong_key_kind'),
    );
  });

  it('is made of a creds file, too, whose bytes stay as they are', () => {
    const creds = Buffer.from(vectors.creds);
    const { what, request, payload, signed, proof, ...options } = vectors.proofs[0] as ProofVector;
    expect(createProof({ ...options, creds, now })).toBe(proof);
    expect(creds.toString()).toBe(vectors.creds);
    expect(() => createProof({ creds: Buffer.from(jwt), audience })).toThrow(withCode('malformed_creds'));
  });

  it('has an id of its own, unless one is given', () => {
    const ids = Array.from({ length: 20 }, () => parseProof(createProof({ ...user, audience })).id);
    expect(new Set(ids).size).toBe(20);
    expect(parseProof(createProof({ ...user, audience, id: 'mine' })).id).toBe('mine');
  });

  it('always has a zero byte in what is signed, which ends the nonce of a client in C', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[\x21-\x7e]{1,128}$/), (id) => {
        const { signed } = parseProof(createProof({ ...user, audience, id }));
        expect(signed).toHaveLength(48);
        expect(signed[0]).toBe(0xff);
        expect(signed.includes(0)).toBe(true);
      }),
    );
  });

  function expectRefused(text: string): void {
    try {
      verifyProofSignature(parseProof(text), vectors.publicKey);
    } catch (error) {
      expect(error).toBeInstanceOf(IdentityError);
      expect(['malformed_proof', 'proof_signature']).toContain((error as IdentityError).code);
      return;
    }
    throw new Error('it was taken');
  }
});

describe('the parser', () => {
  it('answers to any text with a proof or with malformed_proof', () => {
    const shaped = fc
      .tuple(fc.base64String(), fc.base64String())
      .map((parts) => `cfp1.${parts.join('.').replace(/[+/=]/g, '_')}`);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.string({ unit: 'binary' }), shaped), (text) => {
        expect(() => parseProof(text)).toThrow(withCode('malformed_proof'));
      }),
      { numRuns: 1_000 },
    );
  });

  it('answers to any JSON, however well signed, with malformed_proof', () => {
    fc.assert(
      fc.property(fc.json(), (payload) => {
        expect(() => parseProof(sign(payload))).toThrow(withCode('malformed_proof'));
      }),
    );
  });

  it('answers to a member of any other value with malformed_proof, or keeps it as it was', () => {
    const names = fc.constantFrom('jwt', 'aud', 'id', 'exp', 'salt', 'req', '__proto__', 'other');
    fc.assert(
      fc.property(names, fc.jsonValue(), (name, value) => {
        const text = signMembers({ [name]: value });
        try {
          const proof = parseProof(text);
          if (name === 'exp') expect(proof.expiresAt).toBe(value);
          else if (name === 'id') expect(proof.id).toBe(value);
          else expect(name).toBe('salt');
        } catch (error) {
          expect(error).toMatchObject({ code: 'malformed_proof' });
        }
      }),
      { numRuns: 300 },
    );
  });

  const body = hash('').toString('base64url');
  const req = { method: 'POST', path: '/api/put', body };
  it('takes what the next tests break', () => {
    expect(parseProof(signMembers({ req })).request).toEqual({
      method: 'POST',
      path: '/api/put',
      bodyHash: hash(''),
    });
  });

  it.each<[string, object]>([
    ['a member too many', { more: 1 }],
    ['no token', { jwt: undefined }],
    ['a token of two parts', { jwt: 'a.b' }],
    ['a token with a line feed', { jwt: `${jwt}\n` }],
    ['an audience that is no URL', { aud: 'coffer' }],
    ['an audience with a space', { aud: 'https://coffer example.com' }],
    ['an empty id', { id: '' }],
    ['an id of 129 characters', { id: 'x'.repeat(129) }],
    ['an id with a space', { id: 'a b' }],
    ['an id beyond ASCII', { id: 'ä' }],
    ['an end that is text', { exp: '1795400060' }],
    ['an end with a fraction', { exp: 1795400060.5 }],
    ['an end before all time', { exp: -1 }],
    ['an end beyond exact numbers', { exp: 2 ** 53 }],
    ['no salt', { salt: undefined }],
    ['a request that is null', { req: null }],
    ['a request that is a list', { req: [req] }],
    ['a request with a member too many', { req: { ...req, query: '' } }],
    ['a request without a method', { req: { ...req, method: undefined } }],
    ['a method in lower case', { req: { ...req, method: 'post' } }],
    ['a path without a slash', { req: { ...req, path: 'api/put' } }],
    ['a path with a query', { req: { ...req, path: '/api/put?x' } }],
    ['a hash of 31 bytes', { req: { ...req, body: Buffer.alloc(31).toString('base64url') } }],
    ['a hash with padding', { req: { ...req, body: `${body}=` } }],
    ['a hash in hexadecimal', { req: { ...req, body: hash('').toString('hex') } }],
  ])('refuses %s', (_what, members) => {
    expect(() => parseProof(signMembers(members))).toThrow(withCode('malformed_proof'));
  });

  it.each<[string, (payload: object) => string]>([
    ['white space', (payload) => JSON.stringify(payload, null, 1)],
    ['white space at the end', (payload) => `${JSON.stringify(payload)}\n`],
    ['a member twice', (payload) => JSON.stringify(payload).replace('{', '{"id":"y",')],
    [
      'a member twice, under an escaped name',
      (payload) => JSON.stringify(payload).replace('{', '{"\\u0069d":"y",'),
    ],
    ['a needless escape', (payload) => JSON.stringify(payload).replace('"x', '"\\u0078')],
    ['a number in another form', (payload) => JSON.stringify(payload).replace('1795400060', '1795400060.0')],
    ['a list nested 4,400 deep', (payload) => deep(payload, '[', ']', 4_400)],
    ['objects nested 1,400 deep', (payload) => deep(payload, '{"a":', '}', 1_400)],
    ['a byte order mark', (payload) => `\ufeff${JSON.stringify(payload)}`],
  ])('refuses %s', (_what, write) => {
    expect(() => parseProof(signMembers({}, write))).toThrow(withCode('malformed_proof'));
  });

  it('refuses a salt that brings no zero byte into the hash', () => {
    const payloads = Array.from({ length: 50 }, (_, salt) =>
      JSON.stringify({ jwt, aud: audience, id: 'x', exp: vectors.now, salt }),
    );
    const zero = (payload: string) => hash(Buffer.from(payload).toString('base64url')).includes(0);
    const [good, bad] = [payloads.find(zero), payloads.find((each) => !zero(each))] as [string, string];
    expect(parseProof(sign(good)).id).toBe('x');
    expect(() => parseProof(sign(bad))).toThrow(withCode('malformed_proof'));
  });

  it('refuses what is longer than 12 KiB, and createProof makes none', () => {
    const long = `${jwt}${'A'.repeat(9_000)}`;
    expect(() => parseProof(signMembers({ jwt: long }))).toThrow(/longer than 12288 characters/);
    expect(() => createProof({ jwt: long, keyPair, audience })).toThrow(withCode('malformed_proof'));
  });
});

describe('the time of a proof', () => {
  const proof = parseProof(createProof({ ...user, audience, now, expiresIn: 60 }));
  const at = (seconds: number, skewSeconds = 5) =>
    checkProof(proof, { audiences: [audience], now: new Date(now.getTime() + seconds * 1000), skewSeconds });

  it('ends when it says, and a little later for clocks that differ', () => {
    at(0);
    at(64.999);
    expect(() => at(65)).toThrow(withCode('proof_expired'));
    expect(() => at(60, 0)).toThrow(withCode('proof_expired'));
    at(59.999, 0);
  });

  it('is not more than 60 s ahead, or a little for clocks that differ', () => {
    at(-5);
    expect(() => at(-5.001)).toThrow(withCode('proof_too_long_lived'));
    expect(() => at(-0.001, 0)).toThrow(withCode('proof_too_long_lived'));
  });

  it('is refused by a clock that shows no time', () => {
    expect(() => at(Number.NaN)).toThrow(IdentityError);
    expect(() => at(0, Number.NaN)).toThrow(IdentityError);
  });

  it.each([0, 61, -1, 1.5, Number.NaN])('%s s is none to make a proof for', (expiresIn) => {
    expect(() => createProof({ ...user, audience, expiresIn })).toThrow(withCode('proof_too_long_lived'));
  });
});

describe('what a proof is for', () => {
  const request = { method: 'POST', path: '/api/put', body: Buffer.from('{}') };
  const proof = parseProof(createProof({ ...user, audience, request }));
  const right = { method: 'POST', path: '/api/put', bodyHash: hash('{}') };
  const soon = { now: new Date(), skewSeconds: 5 };

  it('is one of the server’s own URLs, and no other', () => {
    checkProof(proof, { audiences: ['http://localhost:2633', audience], ...soon });
    for (const audiences of [[], ['https://coffer.example.com.evil.test'], [`${audience}/`]]) {
      expect(() => checkProof(proof, { audiences, ...soon })).toThrow(withCode('proof_audience'));
    }
  });

  it.each([
    ['method', { method: 'PUT' }],
    ['path', { path: '/api/delete' }],
    ['body', { bodyHash: hash('{"a":1}') }],
    ['body', { bodyHash: new Uint8Array(0) }],
    ['method and path', { method: 'GET', path: '/api/list' }],
  ])('is no request with another %s', (what, other) => {
    expect(matchesRequest(proof, right)).toBe(true);
    expect(() => matchesRequest(proof, { ...right, ...other })).toThrow(
      expect.objectContaining({
        code: 'proof_request',
        message: expect.stringContaining(`another ${what}:`),
      }),
    );
  });

  it('is no change if it is bound to no request', () => {
    const unbound = parseProof(createProof({ ...user, audience }));
    expect(() => matchesRequest(unbound, right)).toThrow(withCode('proof_request'));
  });
});
