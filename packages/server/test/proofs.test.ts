import { writeFileSync } from 'node:fs';
import { createKeyPair, encodeJwt, encodePublicKey, newAccount } from '@coffer/identity';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
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
import { call, RawConnection, SETEC_HEADERS, send, startTestServer, temporaryFolder } from './support.js';

const VALUE = Buffer.from(canary('proven')).toString('base64');
const PUT = { Name: 'a/b', Value: VALUE };
const GET = { Name: 'a/b' };

const post = (content: unknown) => ({ method: 'POST', body: JSON.stringify(content) });

describe('a caller with an identity', () => {
  it('is who its operator’s chain says: the user, and its tags', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice', { nats: { tags: ['team:web', 'ops'] } });
    const { status, body } = await read(server, alice, '/api/whoami');
    expect(status).toBe(200);
    expect(JSON.parse(body).principals).toEqual([
      { id: alice.principal, kind: 'nats', name: 'alice' },
      { id: `nats-tag:${account.keys.publicKey}:team:web`, kind: 'nats-tag' },
      { id: `nats-tag:${account.keys.publicKey}:ops`, kind: 'nats-tag' },
    ]);
  });

  it('may do what a grant to it or to a tag of its says, and no more', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice');
    const bob = account.user('bob', { nats: { tags: ['readers'] } });
    const carol = account.user('carol');
    await grant(server, everything(alice), {
      to: [`nats-tag:${account.keys.publicKey}:readers`],
      actions: ['get'],
      secrets: ['a/*'],
    });
    expect(await change(server, alice, '/api/put', PUT)).toMatchObject({ status: 200, body: '1' });
    const got = await read(server, bob, '/api/get', post(GET));
    expect(JSON.parse(got.body)).toEqual({ Value: VALUE, Version: 1 });
    expect((await change(server, bob, '/api/put', PUT)).status).toBe(403);
    expect((await read(server, carol, '/api/get', post(GET))).status).toBe(403);
  });

  it('comes over the admin socket, too, and as the password of HTTP Basic', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice');
    const overSocket = await read(server, alice, '/api/whoami', { socket: true });
    expect(JSON.parse(overSocket.body).principals[0].id).toBe(alice.principal);
    const basic = Buffer.from(`alice:${proofOf(alice, server)}`).toString('base64');
    const headers = { ...SETEC_HEADERS, Authorization: `Basic ${basic}` };
    expect((await send(server, '/api/whoami', { headers })).status).toBe(200);
  });

  it('is in the audit log by its keys, its name and its tags', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice', { nats: { tags: ['ops'] } });
    await read(server, alice, '/api/get', post(GET));
    const log = await send(server, '/api/admin/audit?last=20', { headers: SETEC_HEADERS, socket: true });
    const lines = log.body.split('\n').flatMap((line) => (line === '' ? [] : JSON.parse(line)));
    expect(lines.find(({ action }) => action === 'get')).toMatchObject({
      authorized: false,
      principal: {
        id: alice.principal,
        kind: 'nats',
        user: 'alice',
        also: [`nats-tag:${account.keys.publicKey}:ops`],
        ip: '127.0.0.1',
      },
    });
  });

  it('cannot choose tags where a signing key with a scope signs for it', async () => {
    const { server, account } = await startTrustingServer();
    const scoped = createKeyPair('account');
    onTestFinished(() => scoped.wipe());
    const scope = { kind: 'user_scope' as const, key: scoped.publicKey, role: 'reader', template: {} };
    account.save({ signing_keys: [account.signingKeys.publicKey, scope] });
    const user = account.user('eve', { signer: scoped, scoped: true, nats: { tags: ['admins'] } });
    const { body } = await read(server, user, '/api/whoami');
    expect(JSON.parse(body).principals.map(({ id }: { id: string }) => id)).toEqual([user.principal]);
  });

  it('is nobody on a server that trusts no identities, which says so', async () => {
    const server = await startTestServer({ dev: false });
    const alice = new Operator(await temporaryFolder()).account('A').user('alice');
    const { status, headers, body } = await read(server, alice, '/api/whoami');
    expect({ status, code: headers['coffer-error'] }).toEqual({ status: 401, code: 'unauthenticated' });
    expect(JSON.parse(body).message).toMatch(/^this server trusts no identities/);
  });
});

describe('a proof', () => {
  it('that is bound to no request is enough to read, and not to change anything', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice');
    await grant(server, everything(alice));
    await change(server, alice, '/api/put', PUT);
    expect((await read(server, alice, '/api/get', post(GET))).status).toBe(200);
    expect((await read(server, alice, '/api/list', post({}))).status).toBe(200);
    expect((await read(server, alice, '/api/get-many', post({ secrets: [{ name: 'a/b' }] }))).status).toBe(
      200,
    );
    expect((await read(server, alice, '/api/admin/backup', post({}))).status).toBe(200);
    const changes: [string, unknown][] = [
      ['/api/put', PUT],
      ['/api/create-version', { ...PUT, Version: 7 }],
      ['/api/activate', { ...GET, Version: 1 }],
      ['/api/delete-version', { ...GET, Version: 1 }],
      ['/api/delete', GET],
      ['/api/admin/policy', { grants: [], dryRun: true }],
      ['/api/admin/tokens', { name: 'x' }],
      ['/api/admin/tokens/revoke', { id: '0123456789abcdef' }],
      ['/api/admin/keys/rotate', {}],
      ['/api/admin/revocations', { key: alice.keys.publicKey, reason: 'x' }],
      ['/api/admin/revocations/lift', { id: '0123456789abcdef' }],
    ];
    for (const [path, content] of changes) {
      const { status, headers, body } = await read(server, alice, path, post(content));
      expect({ path, status, code: headers['coffer-error'] }).toEqual({
        path,
        status: 401,
        code: 'proof_request',
      });
      expect(body).toContain('this proof is bound to no request, which is enough to read');
    }
  });

  it('that is bound to a request counts for no other, whatever that asks for', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice');
    await grant(server, everything(alice));
    const body = JSON.stringify(PUT);
    const bound = () => proofOf(alice, server, {}, { method: 'POST', path: '/api/put', body });
    const refused = async (answer: Promise<{ status: number; body: string }>, what: string) => {
      const { status, body: said } = await answer;
      expect(status).toBe(401);
      expect(said).toContain(`this proof is for a request with another ${what}`);
    };
    await refused(sendProof(server, bound(), '/api/create-version', { method: 'POST', body }), 'path');
    await refused(sendProof(server, bound(), '/api/put', { method: 'POST', body: `${body} ` }), 'body');
    await refused(sendProof(server, bound(), '/api/get', post(GET)), 'path and body');
    await refused(sendProof(server, bound(), '/api/whoami'), 'method and path and body');
    await refused(sendProof(server, bound(), '/api/get-many', post({ secrets: [{ name: 'a' }] })), 'path');
    await refused(sendProof(server, bound(), '/api/admin/backup', post({})), 'path');
    await refused(sendProof(server, bound(), '/metrics'), 'method');
    expect(JSON.parse((await read(server, alice, '/api/list', post({}))).body)).toBeNull();
    // A query is no part of what it is bound to, and no route of a change has one.
    const answer = await sendProof(server, bound(), '/api/put?x=1', { method: 'POST', body });
    expect(answer.status).toBe(200);
  });

  it('of a change counts once: the same again answers as before and changes nothing', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice');
    await grant(server, everything(alice));
    const body = JSON.stringify(PUT);
    const proof = proofOf(alice, server, {}, { method: 'POST', path: '/api/put', body });
    const again = () => sendProof(server, proof, '/api/put', { method: 'POST', body });
    expect(await again()).toMatchObject({ status: 200, body: '1' });
    expect(await change(server, alice, '/api/put', { ...PUT, Value: 'Mg==' })).toMatchObject({ body: '2' });
    expect(await again()).toMatchObject({ status: 200, body: '1' });
    for (let n = 3; n <= 22; n++) {
      const Value = Buffer.from(String(n)).toString('base64');
      expect(await change(server, alice, '/api/put', { ...PUT, Value })).toMatchObject({ body: String(n) });
    }
    // What it answered is forgotten by now, not that it was.
    const late = await again();
    expect({ status: late.status, code: late.headers['coffer-error'] }).toEqual({
      status: 409,
      code: 'operation_reused',
    });
    const info = JSON.parse((await read(server, alice, '/api/info', post(GET))).body);
    expect(info.Versions.at(-1)).toBe(22);
  });

  it('of a change counts once over a restart, too, and after its secret was deleted', async () => {
    const operator = new Operator(await temporaryFolder());
    const account = operator.account('A');
    const folder = await temporaryFolder();
    const place = {
      dev: false,
      stateDir: `${folder}/state`,
      rootKey: `file:${folder}/root.key`,
      trust: { ...trusting(operator.folder), audiences: ['https://coffer.test'] },
    };
    const alice = account.user('alice');
    const first = await startTestServer(place);
    const url = { url: 'https://coffer.test' };
    await grant(first, everything(alice));
    const bound = (path: string, content: unknown) => {
      const body = JSON.stringify(content);
      const proof = proofOf(alice, url, {}, { method: 'POST', path, body });
      return (server: typeof first) => sendProof(server, proof, path, { method: 'POST', body });
    };
    const put = bound('/api/put', PUT);
    const remove = bound('/api/delete', GET);
    expect((await put(first)).status).toBe(200);
    expect((await remove(first)).status).toBe(200);
    await first.close();
    const second = await startTestServer(place);
    expect(await put(second)).toMatchObject({ status: 200, body: '1' });
    expect((await remove(second)).status).toBe(200);
    expect((await sendProof(second, proofOf(alice, url), '/api/list', post({}))).body).toBe('null');
  });

  it('is the operation id of its change, which no header may contradict', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice');
    await grant(server, everything(alice));
    const body = JSON.stringify(PUT);
    const proof = proofOf(alice, server, { id: 'one' }, { method: 'POST', path: '/api/put', body });
    const say = (operation: string) =>
      sendProof(server, proof, '/api/put', {
        method: 'POST',
        body,
        headers: { 'Coffer-Operation': operation },
      });
    expect((await say('two')).status).toBe(400);
    expect((await say('one')).status).toBe(200);
  });

  it('is for one server, by its own URL and never by what a request says of it', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice');
    const other = proofOf(alice, { url: 'https://other.example' });
    const answer = await sendProof(server, other, '/api/whoami', { headers: { Host: 'other.example' } });
    expect(answer.status).toBe(401);
    expect(JSON.parse(answer.body).message).toBe(
      `this proof is for https://other.example, and this server is ${server.url} or ` +
        `${server.url.replace('127.0.0.1', 'localhost')}: name that as the audience`,
    );
    for (const url of [server.url, server.url.replace('127.0.0.1', 'localhost')]) {
      expect((await sendProof(server, proofOf(alice, { url }), '/api/whoami')).status).toBe(200);
    }
  });

  it('is for the public URL alone where there is one', async () => {
    const { server, account } = await startTrustingServer({ publicUrl: 'https://Coffer.Test/base/' });
    const alice = account.user('alice');
    expect((await read(server, alice, '/api/whoami')).status).toBe(401);
    const proof = proofOf(alice, { url: 'https://coffer.test/base' });
    expect((await sendProof(server, proof, '/api/whoami')).status).toBe(200);
  });

  it('lasts a minute, give or take the difference of the clocks', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice');
    const at = async (seconds: number, expiresIn = 60) => {
      const now = new Date(Date.now() + seconds * 1000);
      return sendProof(server, proofOf(alice, server, { now, expiresIn }), '/api/whoami');
    };
    expect((await at(-30)).status).toBe(200);
    expect((await at(-62)).status).toBe(200);
    expect((await at(3)).status).toBe(200);
    const late = await at(-70);
    expect(late.status).toBe(401);
    expect(JSON.parse(late.body).message).toMatch(
      /^this proof ended \d+ s ago: .*see that the clocks agree$/,
    );
    const early = await at(70);
    expect(early.status).toBe(401);
    expect(JSON.parse(early.body).message).toMatch(/^this proof ends in \d+ s: it may last 60 s at most/);
  });
});

describe('who is let in', () => {
  it('nobody with the token of another operator, nor of another account of the same name', async () => {
    const { server } = await startTrustingServer();
    const stranger = new Operator(await temporaryFolder()).account('A').user('alice');
    const answer = await read(server, stranger, '/api/whoami');
    expect(answer.status).toBe(401);
    expect(JSON.parse(answer.body).message).toContain('your identity is not trusted here');
  });

  it('no stranger, whom it does not tell which accounts there are, nor how they are', async () => {
    const { server, operator, account } = await startTrustingServer();
    const expired = operator.account('payroll');
    const base = newAccount(expired.keys.publicKey, 'payroll');
    const hourAgo = Math.floor(Date.now() / 1000) - 3600;
    expired.put(encodeJwt({ ...base, exp: hourAgo }, operator.signingKeys));
    const own = new Operator(await temporaryFolder()).account('A');
    const nobody = new Operator(await temporaryFolder()).account('B').keys.publicKey;
    const claims = [account.keys.publicKey, expired.keys.publicKey, nobody];
    const answers = await Promise.all(
      claims.map((issuer_account) =>
        read(server, own.user('eve', { nats: { issuer_account } }), '/api/whoami'),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([401, 401, 401]);
    expect(new Set(answers.map(({ body }) => body)).size).toBe(1);
  });

  it('nobody whose proof ends while the request comes', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice');
    const body = JSON.stringify({ Name: 'a', Value: '' });
    // Ended, and good for two seconds more by another clock.
    const now = new Date(Date.now() - 63_000);
    const proof = proofOf(alice, server, { now }, { method: 'POST', path: '/api/put', body });
    const connection = new RawConnection(server);
    const headers = Object.entries({
      ...SETEC_HEADERS,
      Host: 'localhost',
      Expect: '100-continue',
      Authorization: `Bearer ${proof}`,
      'Content-Length': body.length,
    }).map(([name, value]) => `${name}: ${value}\r\n`);
    connection.write(`POST /api/put HTTP/1.1\r\n${headers.join('')}\r\n`);
    await connection.until('HTTP/1.1 100');
    const ended = async () =>
      (await sendProof(server, proof, '/api/whoami')).body.includes('this proof ended');
    await vi.waitUntil(ended, { timeout: 10_000 });
    connection.write(body);
    await connection.until('HTTP/1.1 401');
  });

  it('nobody with somebody else’s token and a key of their own, who learns nothing of it', async () => {
    const { server, account } = await startTrustingServer();
    const alice = account.user('alice', { exp: Math.floor(Date.now() / 1000) - 3600 });
    const mallory = account.user('mallory');
    const stolen = { jwt: alice.jwt, keys: mallory.keys };
    const answer = await sendProof(server, proofOf(stolen, server), '/api/whoami');
    expect(answer.status).toBe(401);
    expect(JSON.parse(answer.body).message).toBe('this proof is not signed by the key of its token’s user');
    const own = await read(server, alice, '/api/whoami');
    expect(JSON.parse(own.body).message).toContain(`user ${alice.keys.publicKey} (alice)`);
    expect(JSON.parse(own.body).message).toContain('expired');
  });

  it('a user of bearer tokens only with a proof, as everybody', async () => {
    const { server, account } = await startTrustingServer();
    const bearer = account.user('bearer', { nats: { bearer_token: true } });
    const headers = { ...SETEC_HEADERS, Authorization: `Bearer ${bearer.jwt}` };
    expect((await send(server, '/api/whoami', { headers })).status).toBe(401);
    expect((await read(server, bearer, '/api/whoami')).status).toBe(200);
  });

  it('a user from its networks, at its hours and by its connection types alone', async () => {
    const { server, account } = await startTrustingServer();
    const here = account.user('here', { nats: { src: ['127.0.0.2/32'] } });
    expect((await read(server, here, '/api/whoami', { from: '127.0.0.2' })).status).toBe(200);
    const elsewhere = await read(server, here, '/api/whoami', { from: '127.0.0.3' });
    expect(elsewhere.status).toBe(401);
    expect(JSON.parse(elsewhere.body).message).toMatch(/^this user may not come from your address/);
    expect((await read(server, here, '/api/whoami', { socket: true })).status).toBe(401);

    const hour = new Date(Date.now() + 2 * 3600 * 1000).toISOString().slice(11, 19);
    const next = new Date(Date.now() + 3 * 3600 * 1000).toISOString().slice(11, 19);
    const later = account.user('later', {
      nats: { times: [{ start: hour, end: next }], times_location: 'UTC' },
    });
    expect((await read(server, later, '/api/whoami')).status).toBe(401);

    const nats = account.user('nats', { nats: { allowed_connection_types: ['STANDARD'] } });
    expect((await read(server, nats, '/api/whoami')).status).toBe(401);
    const both = account.user('both', { nats: { allowed_connection_types: ['STANDARD', 'HTTP'] } });
    expect((await read(server, both, '/api/whoami')).status).toBe(200);
  });

  it('nobody any more whose key or token is revoked in this service, or in the account', async () => {
    const { server, account } = await startTrustingServer();
    const [alice, bob, carol, dave] = ['alice', 'bob', 'carol', 'dave'].map((name) => account.user(name)) as [
      User,
      User,
      User,
      User,
    ];
    const statuses = () =>
      Promise.all(
        [alice, bob, carol, dave].map(async (user) => (await read(server, user, '/api/whoami')).status),
      );
    expect(await statuses()).toEqual([200, 200, 200, 200]);
    const socket = { principals: [{ id: 'socket', kind: 'socket' as const }], address: 'unix' } as const;
    await server.engine.revoke(socket, { key: alice.keys.publicKey, reason: 'lost' });
    const jti = JSON.parse(Buffer.from(bob.jwt.split('.')[1] ?? '', 'base64url').toString()).jti;
    await server.engine.revoke(socket, { jti, reason: 'lost' });
    expect(await statuses()).toEqual([401, 401, 200, 200]);
    const now = Math.floor(Date.now() / 1000);
    account.save({ revocations: { [carol.keys.publicKey]: now } });
    await expect.poll(statuses, { timeout: 1500 }).toEqual([401, 401, 401, 200]);
    account.save({ revocations: { '*': now } });
    await expect.poll(statuses, { timeout: 1500 }).toEqual([401, 401, 401, 401]);
  });

  it('nobody any more when a signing key is gone, not by an older token of the account either', async () => {
    const { server, account } = await startTrustingServer();
    const before = account.save({}, { now: EARLIER });
    const alice = account.user('alice');
    const direct = account.user('direct', { signer: account.keys });
    const status = async (user: User) => (await read(server, user, '/api/whoami')).status;
    expect([await status(alice), await status(direct)]).toEqual([200, 200]);
    account.save({ signing_keys: [] });
    await expect.poll(() => status(alice), { timeout: 1500 }).toBe(401);
    expect(await status(direct)).toBe(200);
    account.put(before);
    await expect.poll(() => status(direct), { timeout: 1500 }).toBe(401);
    expect(await status(alice)).toBe(401);
    account.save({});
    await expect.poll(() => status(alice), { timeout: 1500 }).toBe(200);
  });

  it('nobody any more whose account a removed key of the operator signed, not by an older token of the operator', async () => {
    const { server, operator, account } = await startTrustingServer();
    const before = operator.save({}, { now: EARLIER });
    const direct = operator.account('B');
    direct.save({}, { signer: operator.keys });
    const [alice, bob] = [account.user('alice'), direct.user('bob')];
    const statuses = async () => [
      (await read(server, alice, '/api/whoami')).status,
      (await read(server, bob, '/api/whoami')).status,
    ];
    await expect.poll(statuses, { timeout: 1500 }).toEqual([200, 200]);
    const after = operator.save({ signing_keys: [] });
    await expect.poll(statuses, { timeout: 1500 }).toEqual([401, 200]);
    writeFileSync(operator.path, before);
    await expect.poll(statuses, { timeout: 1500 }).toEqual([401, 401]);
    writeFileSync(operator.path, after);
    await expect.poll(statuses, { timeout: 1500 }).toEqual([401, 200]);
  });

  it('nobody any more when the operator’s file is gone, until it is there again', async () => {
    const { server, operator, account } = await startTrustingServer();
    const alice = account.user('alice');
    const status = async () => (await read(server, alice, '/api/whoami')).status;
    expect(await status()).toBe(200);
    operator.remove();
    await expect.poll(status, { timeout: 3000 }).toBe(401);
    operator.save();
    await expect.poll(status, { timeout: 3000 }).toBe(200);
  });
});

describe('a proof that is junk', () => {
  it('is refused whatever is wrong with it, and counts as a stranger’s', async () => {
    const { server, account } = await startTrustingServer({ limits: { failuresPerMinute: 100 } });
    const alice = account.user('alice');
    const proof = proofOf(alice, server);
    const [, payload = '', signature = ''] = proof.split('.');
    const junk = [
      'cfp1.',
      'cfp1..',
      'cfp1.a.b',
      'cfp1.====.====',
      `cfp1.${payload}.`,
      `cfp1.${payload}.${signature}.x`,
      `cfp1.${payload}A.${signature}`,
      `cfp1.${payload}.${'A'.repeat(86)}`,
      `CFP1.${payload}.${signature}`,
      `cfp2.${payload}.${signature}`,
      `cfp1.${Buffer.from('null').toString('base64url')}.${signature}`,
      `cfp1.${Buffer.from('{}').toString('base64url')}.${signature}`,
      `cfp1.${'A'.repeat(15 * 1024)}.${signature}`,
    ];
    for (const one of junk) {
      const { status, headers } = await sendProof(server, one, '/api/whoami');
      expect({ one, status }).toEqual({ one, status: 401 });
      expect(headers['www-authenticate']).toBeDefined();
    }
    expect((await sendProof(server, proof, '/api/whoami')).status).toBe(200);
    const { body } = await send(server, '/metrics', { socket: true });
    const metric = (name: string) => Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(body)?.[1]);
    expect(metric('coffer_http_requests_unauthenticated_total')).toBe(junk.length);
    expect(metric('coffer_proofs_total{result="verified"}')).toBe(1);
    expect(metric('coffer_proofs_total{result="signature"}')).toBeGreaterThan(0);
    expect(metric('coffer_proofs_total{result="malformed"}')).toBeGreaterThan(8);
  });

  it('is told to come back later when too much of it comes, and honest callers are let in', async () => {
    const { server, account } = await startTrustingServer({ limits: { failuresPerMinute: 2 } });
    const alice = account.user('alice');
    const wrong = () => sendProof(server, 'cfp1.a.b', '/api/whoami');
    expect([(await wrong()).status, (await wrong()).status, (await wrong()).status]).toEqual([401, 401, 429]);
    expect((await read(server, alice, '/api/whoami')).status).toBe(200);
    // A proof that is put to a use that it is not for is a stranger's.
    expect((await read(server, alice, '/api/put', post(PUT))).status).toBe(429);
  });
});

const keyOf = (kind: 'account' | 'component' | 'provider') => encodePublicKey(kind, Buffer.alloc(32, 7));
const [ACCOUNT, COMPONENT, PROVIDER] = [keyOf('account'), keyOf('component'), keyOf('provider')];

describe('a policy', () => {
  it.each([
    ['nats:A/U', 400],
    ['nats:alice', 400],
    ['nats-tag:team:web', 400],
    ['nats:main/*', 200],
    ['nats:*', 200],
    ['token:whatever', 200],
    ['other:thing', 200],
    [`component:${ACCOUNT}/${COMPONENT}`, 200],
    [`component:self-issued/${COMPONENT}`, 200],
    [`component:${ACCOUNT}/*`, 200],
    ['component:*', 200],
    [`component:${ACCOUNT}/${PROVIDER}`, 400],
    [`component:${COMPONENT}`, 400],
    [`component:${COMPONENT}/${COMPONENT}`, 400],
    [`component:${ACCOUNT}/${COMPONENT}/x`, 400],
    [`component:${ACCOUNT}/${COMPONENT.replace(/.$/, '2')}`, 400],
    ['component:main/billing', 400],
    ['component:', 400],
    [`provider:${ACCOUNT}/${PROVIDER}`, 200],
    [`provider:self-issued/${PROVIDER}`, 200],
    [`provider:${ACCOUNT}/${COMPONENT}`, 400],
    ['nats-permission', 400],
  ])('with a grant to %s is answered %i', async (to, status) => {
    const server = await startTestServer();
    const grants = [{ to: [to], actions: ['get'], secrets: ['*'] }];
    const answer = await call(server, 'admin/policy', { grants });
    expect(answer.status).toBe(status);
  });

  it('takes the principals of identities, and not those with a slip of the pen', async () => {
    const { server, account } = await startTrustingServer();
    const { principal } = account.user('alice');
    await grant(server, { to: [principal], actions: ['get'], secrets: ['*'] });
    const wrong = principal.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    await expect(grant(server, { to: [wrong], actions: ['get'], secrets: ['*'] })).rejects.toThrow(
      'is nobody’s principal',
    );
  });
});
