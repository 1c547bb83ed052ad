import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { inspect } from 'node:util';
import {
  checkProof,
  createKeyPair,
  formatCreds,
  matchesRequest,
  type Proof,
  parseProof,
  verifyProofSignature,
} from '@coffer/identity';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Admin } from '../src/admin/index.js';
import { Client, CofferClientError, createProof, Store } from '../src/index.js';
import { answering, serve } from './http-server.js';
import { creds, jwt, seed, vectors } from './proof-vectors.js';

const audience = 'https://coffer.example.com';
const misused = (message: string | RegExp) =>
  expect.objectContaining({ code: 'invalid_argument', message: expect.stringMatching(message) });

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: vectors.now * 1000 });
});
afterEach(() => {
  vi.useRealTimers();
});

const later = (seconds: number) => vi.setSystemTime((vectors.now + seconds) * 1000);

describe('createProof', () => {
  it.each(vectors.proofs)('makes what identity makes, byte for byte: $what', ({ what, proof, ...rest }) => {
    const { request, ...options } = rest;
    const bound = request && { request: { ...request, body: Buffer.from(request.body) } };
    expect(createProof({ ...options, ...bound, creds })).toBe(proof);
    expect(createProof({ ...options, ...bound, creds: Buffer.from(creds) })).toBe(proof);
  });

  it.each(vectors.audiences)('writes an audience as identity does: $url', ({ url, audience }) => {
    if (audience === null) {
      expect(() => createProof({ creds, audience: url })).toThrow(misused(''));
    } else expect(parseProof(createProof({ creds, audience: url })).audience).toBe(audience);
  });

  it('leaves the bytes that it was given as they were', () => {
    const bytes = Buffer.from(creds);
    createProof({ creds: bytes, audience });
    expect(bytes.toString()).toBe(creds);
  });

  const request = { method: 'POST', path: '/api/put', body: Buffer.from('{}') };
  it.each<[string, object, string]>([
    ['an id with a space', { id: 'a b' }, 'printable ASCII'],
    ['an empty id', { id: '' }, 'printable ASCII'],
    ['two minutes', { expiresIn: 120 }, 'lasts 1 to 60'],
    ['no time', { expiresIn: 0 }, 'lasts 1 to 60'],
    ['half a second', { expiresIn: 0.5 }, 'lasts 1 to 60'],
    ['a method in lower case', { request: { ...request, method: 'post' } }, 'upper case'],
    ['a path with a query', { request: { ...request, path: '/api/watch?since=1' } }, 'without a query'],
    ['a relative path', { request: { ...request, path: 'api/put' } }, 'without a query'],
  ])('refuses %s', (_what, options, sentence) => {
    expect(() => createProof({ creds, audience, ...options })).toThrow(misused(sentence));
  });

  it('refuses a token too large for a header', () => {
    const [header, claims, signature] = jwt.split('.');
    const { ...members } = JSON.parse(Buffer.from(claims ?? '', 'base64url').toString());
    const large = Buffer.from(JSON.stringify({ ...members, more: 'x'.repeat(9_000) })).toString('base64url');
    const options = { creds: creds.replace(jwt, `${header}.${large}.${signature}`), audience };
    expect(() => createProof(options)).toThrow(misused('too large'));
  });
});

describe('creds', () => {
  it('of any user that identity makes are read', () => {
    for (let count = 0; count < 20; count++) {
      using user = createKeyPair('user');
      const token = tokenOf(user.publicKey);
      const text = creds.replace(jwt, token).replace(seed, Buffer.from(user.seed()).toString());
      const proof = parseProof(createProof({ creds: text, audience }));
      expect(proof.jwt).toBe(token);
      verifyProofSignature(proof, user.publicKey);
    }
    expect(Buffer.from(formatCreds(jwt, Buffer.from(seed))).toString()).toBe(creds);
  });

  it.each([
    ['line feeds of Windows', creds.replaceAll('\n', '\r\n')],
    ['nothing behind the seed’s block', creds.replace(/(END USER NKEY SEED-+).*$/s, '$1')],
    ['other words between the dashes', creds.replace(/-+(BEGIN|END) [A-Z ]+-+/g, '---$1---')],
  ])('are read with %s', (_what, text) => {
    expect(parseProof(createProof({ creds: text, audience })).jwt).toBe(jwt);
  });

  it.each([
    ['nothing', '', 'each between lines of dashes'],
    ['a path', '/etc/coffer/alice.creds', 'each between lines of dashes'],
    ['a bare token', jwt, 'each between lines of dashes'],
    ['a token without a seed', creds.replace(/-----BEGIN USER NKEY.*/s, ''), 'each between lines of dashes'],
    ['two users', creds + creds, 'each between lines of dashes'],
    ['a seed in place of the token', creds.replace(jwt, seed), 'each between lines of dashes'],
    ['a mistyped seed', creds.replace(seed, `${seed.slice(0, -1)}B`), 'A to Z and 2 to 7'],
    ['a damaged seed', creds.replace(seed, seed.replace('QWF7', 'QWF6')), 'mistyped or damaged'],
    ['a short seed', creds.replace(seed, seed.slice(0, -1)), '58 characters'],
    ['a seed in lower case', creds.replace(seed, seed.toLowerCase()), 'A to Z'],
    ['an account’s seed', creds.replace(seed, seedOf('account')), 'begins with SU'],
    ['a public key', creds.replace(seed, vectors.publicKey), '58 characters'],
    ['another user’s seed', creds.replace(seed, seedOf('user')), 'not that of the user whose token'],
    ['a token that is no JSON', creds.replace(jwt, 'a.b.c'), 'not that of the user whose token'],
  ])('that are %s are refused, and nothing of them is told', (_what, text, sentence) => {
    const refusal = refusalOf(() => createProof({ creds: text, audience }));
    expect(refusal).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining(sentence) });
    const told = inspect(refusal, { depth: 9, showHidden: true });
    for (const word of text.match(/[A-Za-z0-9_-]{20,}/g) ?? []) expect(told).not.toContain(word);
  });

  it('of which any one character of the seed is another are refused', () => {
    const characters = fc.constantFrom(...'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567abc018-= ');
    fc.assert(
      fc.property(fc.nat({ max: seed.length - 1 }), characters, (at, character) => {
        fc.pre(seed[at] !== character);
        const other = seed.slice(0, at) + character + seed.slice(at + 1);
        expect(() => createProof({ creds: creds.replace(seed, other), audience })).toThrow(misused(''));
      }),
    );
  });

  it('that are any text or bytes are refused by name', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.uint8Array(), fc.string().map(asCreds)), (any) => {
        expect(() => createProof({ creds: any, audience })).toThrow(misused(''));
      }),
    );
  });

  it.each(['/etc/coffer/alice.creds', 'cft_x', ''])('that are %j are refused by the constructor', (text) => {
    expect(() => new Client({ creds: text })).toThrow(misused('each between lines of dashes'));
  });

  it.each(['ftp://x', 'coffer', 'https://user:pass@x', 'unix:/x'])('are not for the audience %j', (other) => {
    expect(() => new Client({ creds, audience: other })).toThrow(misused('an audience is the URL'));
  });

  it('that are damaged are refused by the first call, and by a store that opens; nothing is sent', async () => {
    await using server = await proving();
    await using client = new Client({
      server: server.url,
      creds: Buffer.from(creds.replace(seed, seedOf('user'))),
    });
    for (let time = 0; time < 2; time++) {
      await expect(client.get('x')).rejects.toThrow(misused('not that of the user whose token'));
    }
    await expect(client.watch().next()).rejects.toThrow(misused(''));
    await expect(Store.open({ client, secrets: ['x'] })).rejects.toThrow(misused(''));
    expect(server.seen).toEqual([]);
  });

  it.each(['before its first call', 'after it'])('are wiped when the client is closed %s', async (when) => {
    await using server = await proving();
    const made = vi.spyOn(Buffer, 'from');
    onTestFinished(() => void made.mockRestore());
    const client = new Client({ server: server.url, creds: Buffer.from(creds) });
    if (when === 'after it') await client.get('x');
    const pkcs8 = Buffer.from('302e020100300506032b657004220420', 'hex');
    const holdsKey = (bytes: Buffer) =>
      bytes.includes(seed) || (bytes.length > pkcs8.length && bytes.includes(pkcs8));
    // The first one is our own.
    const [ours, ...theirs] = made.mock.results.map(({ value }) => value as Buffer).filter(holdsKey);
    expect(theirs).toHaveLength(1);
    client.close();
    await expect.poll(() => theirs.some(holdsKey)).toBe(false);
    expect(ours?.toString()).toBe(creds);
  });

  it('are not taken together with a token', () => {
    expect(() => new Client({ creds, token: 'cft_x' })).toThrow(misused('either a token or creds'));
  });

  it('for a Unix socket need an audience', () => {
    expect(() => new Client({ creds, server: 'unix:/run/coffer.sock' })).toThrow(misused('as the audience'));
    new Client({ creds, server: 'unix:/run/coffer.sock', audience });
  });

  it('count as exposed where a token does', () => {
    expect(new Client({ creds, server: 'http://192.0.2.1' }).exposed).toBe(true);
    for (const server of ['http://127.0.0.1', 'https://192.0.2.1']) {
      expect(new Client({ creds, server }).exposed).toBe(false);
    }
    expect(new Client({ creds, server: 'unix:/x', audience }).exposed).toBe(false);
  });
});

interface Seen {
  readonly proof: Proof;
  readonly text: string;
  readonly headers: IncomingHttpHeaders;
}

/** A server that keeps the proofs of requests, checked, and answers each with what `answer` says of how many came. */
async function proving(answer: (count: number) => number | 'break' = () => 200) {
  const seen: Seen[] = [];
  const server = await serve(async (request, response) => {
    const body: Buffer[] = [];
    for await (const chunk of request) body.push(chunk);
    const text = request.headers.authorization?.replace(/^Bearer /, '') ?? '';
    const proof = parseProof(text);
    verifyProofSignature(proof, vectors.publicKey);
    if (proof.request !== undefined) {
      const bodyHash = createHash('sha256').update(Buffer.concat(body)).digest();
      const path = new URL(request.url ?? '', server.url).pathname.replace('/base', '');
      matchesRequest(proof, { method: request.method ?? '', path, bodyHash });
    }
    seen.push({ proof, text, headers: request.headers });
    // Asked for when a change may have been done: the header says that operation ids are known.
    const status = request.url === '/api/whoami' ? 401 : answer(seen.length);
    if (status === 'break') return request.socket.destroy();
    const coffer = status === 200 ? {} : { 'Coffer-Error': 'busy', 'Retry-After': '0' };
    response.writeHead(status, { 'Content-Type': 'application/json', ...coffer });
    return response.end(request.url?.endsWith('/get') ? '{"Value":"","Version":1}' : '1');
  });
  return Object.assign(server, { seen });
}

describe('a client with creds', () => {
  it('makes its proofs for the address that it calls, base path included', async () => {
    await using server = await proving();
    await using client = new Client({ server: `${server.url}/base/`, creds });
    await client.get('x');
    await client.put('x', Buffer.from('v'));
    for (const { proof } of server.seen) {
      const expected = { audiences: [`${server.url}/base`], now: new Date(), skewSeconds: 0 };
      expect(() => checkProof(proof, expected)).not.toThrow();
    }
    expect(server.seen[1]?.proof.request?.path).toBe('/api/put');
  });

  it('makes them for another URL if that is the audience', async () => {
    await using server = await proving();
    await using client = new Client({ server: server.url, creds, audience: `${audience}/` });
    await client.get('x');
    expect(server.seen[0]?.proof.audience).toBe(audience);
  });

  it('goes before a password in the URL', async () => {
    await using server = await proving();
    await using client = new Client({ server: server.url.replace('://', '://u:p@'), creds });
    await client.get('x');
    expect(server.seen[0]?.proof.audience).toBe(server.url);
  });

  it('reads with one proof until 15 s before its end, then with another', async () => {
    await using server = await proving();
    await using client = new Client({ server: server.url, creds });
    for (const seconds of [0, 1, 29.9, 30.1, 60, 60.2]) {
      later(seconds);
      await client.get('x');
      expect(server.seen.at(-1)?.proof.request).toBeUndefined();
    }
    const [first, second, third, fourth, fifth, sixth] = server.seen.map(({ text }) => text);
    expect([second, third]).toEqual([first, first]);
    expect(fourth).not.toBe(first);
    expect([fifth, sixth]).toEqual([fourth, expect.not.stringMatching(fourth as string)]);
  });

  it('reads with another proof when the clock was set back', async () => {
    await using server = await proving();
    await using client = new Client({ server: server.url, creds });
    await client.get('x');
    later(-3600);
    await client.get('x');
    expect(server.seen[1]?.proof.expiresAt).toBe(vectors.now - 3600 + 45);
  });

  it('binds every change to its request and its operation id', async () => {
    await using server = await proving();
    await using client = new Client({ server: server.url, creds });
    await client.put('x', Buffer.from('v'));
    await client.activate('x', 2, { operation: 'mine' });
    await new Admin(client).revokeToken('0').catch(() => {});
    expect(server.seen).toHaveLength(3);
    for (const { proof, headers } of server.seen) {
      expect(proof.request).toBeDefined();
      expect(proof.id).toBe(headers['coffer-operation']);
    }
    expect(server.seen[1]?.proof.id).toBe('mine');
  });

  it.each([
    ['the server is busy', 503 as const],
    ['the connection breaks', 'break' as const],
  ])('repeats a change under the same id with a proof made anew, when %s', async (_what, trouble) => {
    await using server = await proving((count) => {
      if (count > 1) return 200;
      later(20);
      return trouble;
    });
    await using client = new Client({ server: server.url, creds });
    await client.activate('x', 1, { operation: 'mine' });
    const changes = server.seen.filter(({ proof }) => proof.request !== undefined);
    expect(changes.map(({ proof }) => [proof.id, proof.expiresAt - vectors.now])).toEqual([
      ['mine', 45],
      ['mine', 65],
    ]);
  });

  it.each([
    ['text/plain', 'this proof ended 300 s ago: see that the clocks agree'],
    [
      'application/json',
      '{"code":"unauthenticated","message":"this proof ended 300 s ago: see that the clocks agree"}',
    ],
  ])('says why the server does not take them, in %s', async (type, body) => {
    const headers = { 'Content-Type': type, 'Coffer-Error': 'unauthenticated' };
    await using server = await answering(401, body, headers);
    await using client = new Client({ server: server.url, creds });
    await expect(client.get('x')).rejects.toMatchObject({
      code: 'unauthenticated',
      message: 'the server does not know you: this proof ended 300 s ago: see that the clocks agree',
    });
  });

  it('shows nothing of its key when it is inspected', () => {
    const client = new Client({ creds });
    const shown = inspect(client, { depth: 20, showHidden: true, getters: true }) + JSON.stringify(client);
    expect(shown).not.toContain(seed.slice(2, 30));
    expect(shown).not.toContain(jwt.slice(-30));
  });

  it('makes no proof any more when it is closed', async () => {
    await using server = await proving();
    const client = new Client({ server: server.url, creds });
    await client.get('x');
    client.close();
    await expect(client.get('x')).rejects.toMatchObject({ code: 'closed' });
    expect(server.seen).toHaveLength(1);
  });
});

function refusalOf(call: () => unknown): CofferClientError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(CofferClientError);
    return error as CofferClientError;
  }
  throw new Error('it was taken');
}

function seedOf(kind: 'account' | 'user'): string {
  using pair = createKeyPair(kind);
  return Buffer.from(pair.seed()).toString();
}

/** A token of this user, which nobody signed. */
function tokenOf(publicKey: string): string {
  return ['{}', JSON.stringify({ sub: publicKey }), 'x']
    .map((part) => Buffer.from(part).toString('base64url'))
    .join('.');
}

const asCreds = (text: string): string => `---A---\n${text}\n---B---\n---C---\n${text}\n---D---\n`;
