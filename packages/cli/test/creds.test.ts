import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createKeyPair,
  encodeJwt,
  formatCreds,
  matchesRequest,
  newUser,
  parseProof,
  verifyProofSignature,
} from '@coffer/identity';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { coffer } from './run.js';

const folder = mkdtempSync(join(tmpdir(), 'coffer-creds-'));
const alice = join(folder, 'alice.creds');
const bob = join(folder, 'bob.creds');
const tokenFile = join(folder, 'token');
const users = new Map([alice, bob].map((file) => [file, makeCreds(file)]));

interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

let server: Server;
let url: string;
const requests: Request[] = [];

beforeAll(async () => {
  writeFileSync(tokenFile, 'cft_token\n');
  server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    requests.push({ method: request.method ?? '', path: request.url ?? '', headers: request.headers, body });
    response.setHeader('Content-Type', 'application/json');
    response.end(request.url === '/api/list' ? 'null' : '1');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  requests.length = 0;
});

const bearer = ({ headers }: Request): string => headers.authorization?.replace(/^Bearer /, '') ?? '';

/** The proof of the last request, or one that was printed, by the key of this creds file. */
function proofOf(file: string, text = bearer(requests.at(-1) as Request)) {
  const proof = parseProof(text);
  verifyProofSignature(proof, users.get(file) as string);
  return proof;
}

describe('coffer with creds', () => {
  const list = (args: string[], env: Record<string, string> = {}) =>
    coffer(['list', '-s', url, ...args], { env });

  test('proves who it is, for the address of the server', async () => {
    expect(await list(['--creds', alice])).toMatchObject({ code: 0, stderr: '' });
    expect(proofOf(alice)).toMatchObject({ audience: url });
    expect((await coffer(['--creds', alice, 'list', '-s', url])).code).toBe(0);
    proofOf(alice);
  });

  test('binds a change to its request', async () => {
    const { code } = await coffer(['put', '--verbatim', 'x', '-s', url, '--creds', alice], { input: 'v' });
    expect(code).toBe(0);
    const { method, path, headers, body } = requests.at(-1) as Request;
    const bodyHash = createHash('sha256').update(body).digest();
    expect(matchesRequest(proofOf(alice), { method, path, bodyHash })).toBe(true);
    expect(proofOf(alice).id).toBe(headers['coffer-operation']);
  });

  test('finds the file in the environment, where no flag says otherwise', async () => {
    await list([], { COFFER_CREDS: alice });
    proofOf(alice);
    await list(['--creds', bob], { COFFER_CREDS: alice, COFFER_TOKEN: 'cft_x' });
    proofOf(bob);
    await list(['--token-file', tokenFile], { COFFER_CREDS: alice });
    expect(bearer(requests.at(-1) as Request)).toBe('cft_token');
    await list([], { COFFER_TOKEN_FILE: tokenFile });
    expect(bearer(requests.at(-1) as Request)).toBe('cft_token');
    await list([], { COFFER_CREDS: '', COFFER_TOKEN: 'cft_x' });
    expect(bearer(requests.at(-1) as Request)).toBe('cft_x');
  });

  test('makes its proofs for another audience if told so', async () => {
    const named = { COFFER_AUDIENCE: 'https://a.example' };
    await list(['--creds', alice], named);
    expect(proofOf(alice).audience).toBe('https://a.example');
    await list(['--creds', alice, '--audience', 'https://b.example/'], named);
    expect(proofOf(alice).audience).toBe('https://b.example');
    expect((await list(['--token-file', tokenFile], named)).code).toBe(0);
  });

  test.each<[string, string[], Record<string, string>, string]>([
    [
      'a token and creds, by flag',
      ['--token-file', tokenFile, '--creds', alice],
      {},
      'use either --token-file or --creds',
    ],
    [
      'a token and creds, by the environment',
      [],
      { COFFER_TOKEN: 'cft_x', COFFER_CREDS: alice },
      'COFFER_TOKEN and COFFER_CREDS are both set: unset one of them, or say who you are by --token-file or --creds',
    ],
    [
      'a token and a file with one',
      [],
      { COFFER_TOKEN: 'cft_x', COFFER_TOKEN_FILE: '/nowhere' },
      'COFFER_TOKEN and COFFER_TOKEN_FILE are both set: unset one of them, or say who you are by --token-file or --creds',
    ],
    ['no such file', ['--creds', '/nowhere'], {}, 'cannot read --creds /nowhere: no such file'],
    [
      'no such file in the environment',
      [],
      { COFFER_CREDS: '/nowhere' },
      'cannot read COFFER_CREDS /nowhere: no such file',
    ],
    [
      'a file of something else',
      ['--creds', tokenFile],
      {},
      'this is no content of a creds file: it has a user’s token and a user’s seed, each between lines of dashes',
    ],
    [
      'no URL for an audience',
      ['--creds', alice, '--audience', 'coffer'],
      {},
      'an audience is the URL of a server, as https://coffer.example.com, without user or password',
    ],
    [
      'a socket without an audience',
      ['--creds', alice, '-s', 'unix:/nowhere'],
      {},
      'creds show a URL who you are, and a Unix socket has none: give the URL of its server as the audience',
    ],
  ])('refuses %s', async (_what, args, env, sentence) => {
    expect(await list(args, env)).toEqual({ code: 1, stdout: '', stderr: `coffer: ${sentence}\n` });
    expect(requests).toEqual([]);
  });

  test('warns where the network could read it', async () => {
    const { stderr } = await coffer(['list', '-s', 'http://0.0.0.0:1', '--creds', alice]);
    expect(stderr).toMatch(/^coffer: warning: http:\/\/0\.0\.0\.0:1 is reached without TLS/);
  });
});

describe('coffer token mint', () => {
  const mint = (args: string[], options: Parameters<typeof coffer>[1] = {}) =>
    coffer(['token', 'mint', ...args], options);

  test('prints a proof that reads for a minute, for the server of -s', async () => {
    const { code, stdout, stderr } = await mint(['--creds', alice, '-s', 'https://coffer.example.com/']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const proof = proofOf(alice, stdout.trimEnd());
    expect(proof).toMatchObject({ audience: 'https://coffer.example.com' });
    expect(proof.request).toBeUndefined();
    const left = proof.expiresAt - Date.now() / 1000;
    expect(left).toBeGreaterThan(30);
    expect(left).toBeLessThanOrEqual(60);
    expect(requests).toEqual([]);
  });

  test('finds creds, server and audience in the environment', async () => {
    const env = { COFFER_CREDS: alice, COFFER_SERVER: 'http://x:password@localhost:2633' };
    expect(proofOf(alice, (await mint([], { env })).stdout.trimEnd()).audience).toBe('http://localhost:2633');
    const named = { ...env, COFFER_AUDIENCE: 'https://a.example' };
    expect(proofOf(alice, (await mint([], { env: named })).stdout.trimEnd()).audience).toBe(
      'https://a.example',
    );
    const alone = { COFFER_CREDS: alice };
    expect(proofOf(alice, (await mint([], { env: alone })).stdout.trimEnd()).audience).toBe(
      'http://127.0.0.1:2633',
    );
  });

  test.each(['file', 'standard input'])('binds it to a request, whose body comes from %s', async (from) => {
    const body = '{"Name":"x","Value":"aGVsbG8="}\n';
    const file = join(folder, 'put.json');
    writeFileSync(file, body);
    const where = from === 'file' ? ['--body', file] : ['--body', '-'];
    const args = [
      '--creds',
      alice,
      '--for',
      'post /api/put',
      ...where,
      '--id',
      'rotate-42',
      '--expires',
      '5s',
      '--json',
    ];
    const { stdout } = await mint(args, { input: body });
    const proof = proofOf(alice, JSON.parse(stdout).proof);
    const bodyHash = createHash('sha256').update(body).digest();
    expect(matchesRequest(proof, { method: 'POST', path: '/api/put', bodyHash })).toBe(true);
    expect(proof.id).toBe('rotate-42');
    expect(proof.expiresAt - Date.now() / 1000).toBeLessThanOrEqual(5);
  });

  test('goes into curl as a bearer token', async () => {
    const { stdout } = await mint(['--creds', alice, '-s', url]);
    expect(stdout).toMatch(/^cfp1\.[\w-]+\.[\w-]{86}\n$/);
  });

  test.each<[string, string[], string]>([
    ['no creds', [], 'a proof is made from a NATS creds file: use --creds FILE or COFFER_CREDS'],
    ['two minutes', ['--creds', alice, '--expires', '2m'], 'a proof lasts 60s at most'],
    [
      'no time',
      ['--creds', alice, '--expires', '0s'],
      'invalid duration "0s": write a number and s, m, h, d or w, such as 30d',
    ],
    [
      'a path alone',
      ['--creds', alice, '--for', '/api/put'],
      'invalid request "/api/put": write a method and a path, as \'POST /api/put\'',
    ],
    [
      'a query',
      ['--creds', alice, '--for', 'GET /api/watch?since=1'],
      'invalid request "GET /api/watch?since=1": write a method and a path, as \'POST /api/put\'',
    ],
    [
      'a body of nothing',
      ['--creds', alice, '--body', alice],
      "--body is that of a change: say which by --for, as --for 'POST /api/put'",
    ],
    [
      'no such body',
      ['--creds', alice, '--for', 'POST /api/put', '--body', '/nowhere'],
      'cannot read --body /nowhere: no such file',
    ],
    [
      'an id of two words',
      ['--creds', alice, '--id', 'a b'],
      'the id of a proof is 1 to 128 printable ASCII characters',
    ],
    [
      'a socket',
      ['--creds', alice, '-s', 'unix:/run/coffer.sock'],
      'a Unix socket has no URL that a proof could name: give that of its server by --audience',
    ],
  ])('refuses %s', async (_what, args, sentence) => {
    expect(await mint(args)).toEqual({ code: 1, stdout: '', stderr: `coffer: ${sentence}\n` });
  });
});

/** Writes the creds of a new user of a new account, and answers with the user's key. */
function makeCreds(file: string): string {
  using account = createKeyPair('account');
  using user = createKeyPair('user');
  const token = encodeJwt(newUser(user.publicKey, 'alice'), account);
  writeFileSync(file, formatCreds(token, user.seed()), { mode: 0o600 });
  return user.publicKey;
}
