import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createKeyPair, memoryResolver, Verifier } from '@coffer/identity';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Proofs } from '../src/trust/proofs.js';
import {
  change,
  EARLIER,
  everything,
  grant,
  Operator,
  proofOf,
  read,
  sendProof,
  startTrustingServer,
  trusting,
  type User,
} from './identities.js';
import {
  RawConnection,
  SETEC_HEADERS,
  send,
  startTestServer,
  temporaryFolder,
  testConfig,
} from './support.js';
import { trustingAccounts } from './wasm-world.js';

const SOCKET = { principals: [{ id: 'socket', kind: 'socket' as const }], address: 'unix' } as const;

const post = (content: unknown) => ({ method: 'POST', body: JSON.stringify(content) });

/** A watch with this proof, once it has begun. */
async function watch(server: Parameters<typeof send>[0], proof: string): Promise<RawConnection> {
  const connection = new RawConnection(server);
  const headers = { ...SETEC_HEADERS, Host: 'x', Authorization: `Bearer ${proof}` };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  connection.write(`GET /api/watch HTTP/1.1\r\n${lines.join('')}\r\n`);
  await connection.until('event: ready');
  return connection;
}

describe('a watch that began with a proof', () => {
  it('goes on when the proof has ended, as long as its user is one', async () => {
    const operator = new Operator(await temporaryFolder());
    const account = operator.account('A');
    const server = await startTestServer({
      dev: false,
      trust: { ...trusting(operator.folder), clockSkewSeconds: 0 },
    });
    const alice = account.user('alice');
    await grant(server, everything(alice));
    const proof = proofOf(alice, server, { expiresIn: 1 });
    const connection = await watch(server, proof);
    const status = async () => (await sendProof(server, proof, '/api/whoami')).status;
    await expect.poll(status, { timeout: 3000 }).toBe(401);
    await change(server, alice, '/api/put', { Name: 'seen', Value: '' });
    await connection.until('"seen"');
    await server.engine.revoke(SOCKET, { key: alice.keys.publicKey, reason: 'lost' });
    await connection.until('event: end');
    expect(connection.received).toContain('unauthenticated');
  });

  it('ends with the token of its user, and with its account’s word for it', async () => {
    const { server, account } = await startTrustingServer();
    const soon = account.user('soon', { exp: Math.floor(Date.now() / 1000) + 2 });
    const bob = account.user('bob');
    await grant(server, everything(soon, bob));
    const ending = await watch(server, proofOf(soon, server));
    const going = await watch(server, proofOf(bob, server));
    await ending.until('event: end');
    expect(ending.received).toContain('unauthenticated');
    account.save({ revocations: { [bob.keys.publicKey]: Math.floor(Date.now() / 1000) } });
    await going.until('event: end');
    expect(going.received).toContain('unauthenticated');
  });

  it('stays when something else in its account changes', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice');
    await grant(server, everything(alice));
    const connection = await watch(server, proofOf(alice, server));
    account.save({ description: 'another' });
    const seen = () => server.engine.newestIssued(account.keys.publicKey) ?? 0;
    await expect.poll(seen, { timeout: 2000 }).toBeGreaterThan(EARLIER.getTime() / 1000 + 1);
    await change(server, alice, '/api/put', { Name: 'after', Value: '' });
    await connection.until('"after"');
    expect(connection.received).not.toContain('event: end');
  });
});

describe('trust', () => {
  it('takes accounts from a folder as a nats-server keeps them, and operators from files', async () => {
    const folder = await temporaryFolder();
    const operator = new Operator(join(folder, 'stores'));
    const account = operator.account('A');
    const accounts = join(folder, 'jwt');
    mkdirSync(accounts);
    const copy = () =>
      copyFileSync(
        join(operator.folder, 'accounts', 'A', 'A.jwt'),
        join(accounts, `${account.keys.publicKey}.jwt`),
      );
    copy();
    const trust = { ...trusting(''), operators: [operator.path], resolver: { folder: accounts } };
    const server = await startTestServer({ dev: false, trust });
    const alice = account.user('alice');
    const status = async () => (await read(server, alice, '/api/whoami')).status;
    expect(await status()).toBe(200);
    account.save({ signing_keys: [] });
    copy();
    await expect.poll(status, { timeout: 1500 }).toBe(401);
  });

  it('does not begin without the folder that its accounts are in', async () => {
    const folder = join(await temporaryFolder(), 'none');
    const trust = { ...trustingAccounts(createKeyPair('account').publicKey), resolver: { folder } };
    await expect(startTestServer({ dev: false, trust })).rejects.toMatchObject({
      code: 'invalid_argument',
      message: expect.stringMatching(`^trust.resolver.folder, .*: ${folder}: it is not there$`),
    });
  });

  it('takes an account that is trusted without an operator by its key', async () => {
    const folder = await temporaryFolder();
    const account = new Operator(folder).account('A');
    const trust = { ...trusting(''), resolver: undefined, accounts: [account.keys.publicKey] };
    const server = await startTestServer({ dev: false, trust });
    const direct = account.user('direct', { signer: account.keys });
    expect((await read(server, direct, '/api/whoami')).status).toBe(200);
    expect((await read(server, account.user('alice'), '/api/whoami')).status).toBe(401);
  });

  it('is extended and taken back by a configuration that is read again', async () => {
    const [one, two] = [new Operator(await temporaryFolder()), new Operator(await temporaryFolder())];
    const accounts = join(await temporaryFolder(), 'jwt');
    mkdirSync(accounts);
    const users = [one, two].map((operator): User => {
      const account = operator.account('A');
      writeFileSync(join(accounts, `${account.keys.publicKey}.jwt`), account.save());
      return account.user('alice');
    });
    const trust = (...operators: string[]) => ({
      ...trusting(''),
      operators,
      resolver: { folder: accounts },
    });
    const config = await testConfig({ dev: false, trust: trust(one.path) });
    const server = await startTestServer(config);
    const statuses = () =>
      Promise.all(users.map(async (user) => (await read(server, user, '/api/whoami')).status));
    expect(await statuses()).toEqual([200, 401]);
    await server.reload(() => ({ ...config, trust: trust(one.path, two.path) }));
    expect(await statuses()).toEqual([200, 200]);
    await server.reload(() => ({ ...config, trust: trust(two.path) }));
    expect(await statuses()).toEqual([401, 200]);
    await server.reload(() => ({ ...config, trust: trust(join(accounts, 'nothing.jwt')) }));
    expect(await statuses()).toEqual([401, 200]);
  });

  it('survives an operator’s file that is broken for a moment', async () => {
    const { server, operator, account } = await startTrustingServer();
    const alice = account.user('alice');
    const token = operator.save();
    writeFileSync(operator.path, token.slice(0, 100));
    expect((await read(server, alice, '/api/whoami')).status).toBe(200);
    writeFileSync(operator.path, token);
    expect((await read(server, alice, '/api/whoami')).status).toBe(200);
  });

  it.each([
    ['there is no folder', (folder: string) => trusting(join(folder, 'gone')), 'is not there'],
    [
      'there is no token',
      (folder: string) => trusting(folder),
      'is no folder of an operator: there is no token',
    ],
    [
      'there is no file',
      (folder: string) => ({ ...trusting(folder), operators: [join(folder, 'o.jwt')] }),
      'o.jwt is not there',
    ],
    [
      'the token is none',
      (folder: string) => ({ ...trusting(folder), operators: ['eyJ.eyJ.x'] }),
      'is not there',
    ],
  ])('keeps a server from starting where %s', async (_why, trust, sentence) => {
    const folder = await temporaryFolder();
    const rootKey = join(folder, 'root.key');
    const starting = startTestServer({ dev: false, trust: trust(folder), rootKey: `file:${rootKey}` });
    await expect(starting).rejects.toThrow(sentence);
    // One is made when all is right, and told of once.
    expect(existsSync(rootKey)).toBe(false);
  });

  it('that cannot look accounts up makes callers wait, and the server not unready', async () => {
    const operator = new Operator(await temporaryFolder());
    const alice = operator.account('A').user('alice');
    const nats = { servers: ['nats://127.0.0.1:1'] };
    const trust = { ...trusting(''), operators: [operator.path], resolver: { nats } };
    const server = await startTestServer({ dev: false, trust });
    const answer = await read(server, alice, '/api/whoami');
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '1', 'coffer-error': 'busy' } });
    expect((await send(server, '/readyz')).status).toBe(200);
    const { body } = await send(server, '/metrics', { socket: true });
    expect(body).toMatch(/^coffer_proofs_total\{result="resolver"\} 1$/m);
  });

  it('in a user’s chain is told to the log by no token and no seed', async () => {
    const lines: string[] = [];
    const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) });
    const { server, account } = await startTrustingServer({}, { log });
    const alice = account.user('alice');
    await read(server, alice, '/api/whoami');
    await sendProof(server, `${proofOf(alice, server)}x`, '/api/whoami');
    expect(lines.join('')).not.toMatch(/eyJ|cfp1|SU[A-Z2-7]{56}/);
  });
});

describe('a proof that is shown again', () => {
  it('ends when it does, and is not looked up under another clock', async () => {
    const account = new Operator(await temporaryFolder()).account('A');
    const alice = account.user('alice', { signer: account.keys });
    const resolver = memoryResolver([]);
    const verifier = new Verifier({ operators: () => [], accounts: [account.keys.publicKey], resolver });
    onTestFinished(() => verifier.close());
    let now = new Date();
    const audience = 'https://coffer.test';
    const proofs = new Proofs({
      verifier,
      audiences: () => [audience],
      clockSkewSeconds: 5,
      now: () => now,
    });
    const proof = proofOf(alice, { url: audience }, { now });
    const first = await proofs.read(proof, '192.0.2.1');
    const second = await proofs.read(proof, '192.0.2.1');
    // The audit log remembers how a principal is written by the object that it is.
    expect(second.principals).toBe(first.principals);
    now = new Date(now.getTime() + 66_000);
    expect(() => proofs.read(proof, '192.0.2.1')).toThrow('this proof ended');
    expect(proofs.results).toMatchObject({ verified: 2, time: 1 });
  });
});

describe('an answer to a stranger', () => {
  it('is the same whether the server knows a user or not', async () => {
    const { server, account } = await startTrustingServer();
    const mallory = account.user('mallory');
    const revoked = account.user('revoked');
    await server.engine.revoke(SOCKET, { key: revoked.keys.publicKey, reason: 'lost' });
    const unknown = new Operator(await temporaryFolder()).account('B').user('unknown');
    const known = account.user('known');
    const messages = await Promise.all(
      [known, revoked, unknown].map(async ({ jwt }) => {
        const proof = proofOf({ jwt, keys: mallory.keys }, server);
        return (await sendProof(server, proof, '/api/get', post({ Name: 'a' }))).body;
      }),
    );
    expect(new Set(messages).size).toBe(1);
  });
});
