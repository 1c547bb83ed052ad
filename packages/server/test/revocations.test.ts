import { createKeyPair, decodeUser, type KeyKind } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import type { RunningServer } from '../src/index.js';
import * as schemas from '../src/wire/answer-schemas.js';
import { everything, grant, proofOf, sendProof, startTrustingServer } from './identities.js';
import { call, type Sent, send, startTestServer } from './support.js';

const PATH = '/api/admin/revocations';
const HEADER = { 'Sec-X-Tailscale-No-Browsers': 'setec' };

const publicKey = (kind: KeyKind): string => createKeyPair(kind).publicKey;

/** Over the admin socket unless told otherwise. */
async function post(server: RunningServer, body: unknown, path = PATH, sent: Sent = { socket: true }) {
  const answer = await call(server, path.slice('/api/'.length), body, sent);
  return { ...answer, json: JSON.parse(answer.body) };
}

async function list(server: RunningServer) {
  const { body } = await send(server, PATH, { socket: true, headers: HEADER });
  return schemas.revocationList.parse(JSON.parse(body)).revocations;
}

describe('revocations over HTTP', () => {
  it('are made, listed with who, when and why, and lifted', async () => {
    const server = await startTestServer({ dev: false });
    const key = publicKey('user');
    const made = await post(server, { key, reason: 'laptop stolen' });
    expect(schemas.revocation.parse(made.json)).toMatchObject({
      kind: 'key',
      value: key,
      reason: 'laptop stolen',
      revokedBy: 'socket',
    });
    await post(server, { jti: 'J' });
    expect(server.engine.keyRevoked(key)).toBe(true);
    expect((await list(server)).map(({ kind, value }) => [kind, value])).toEqual([
      ['key', key],
      ['token', 'J'],
    ]);
    const lifted = await post(server, { id: made.json.id }, `${PATH}/lift`);
    expect([lifted.status, lifted.json]).toEqual([200, {}]);
    expect(server.engine.keyRevoked(key)).toBe(false);
    expect((await post(server, { id: made.json.id }, `${PATH}/lift`)).status).toBe(404);
  });

  it.each<KeyKind>(['operator', 'account', 'user', 'server', 'cluster', 'component', 'provider', 'curve'])(
    'take the public key of any kind, such as %s',
    async (kind) => {
      const server = await startTestServer();
      expect((await post(server, { key: publicKey(kind) })).status).toBe(200);
      expect(await list(server)).toHaveLength(1);
    },
  );

  it('are not made for what is no public key, and nothing of it is answered', async () => {
    const server = await startTestServer();
    const pair = createKeyPair('user');
    const seed = Buffer.from(pair.seed()).toString();
    const mistyped = pair.publicKey.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    for (const [key, sentence] of [
      [seed, 'this is a seed, which is secret'],
      [mistyped, 'checksum'],
      [pair.publicKey.toLowerCase(), 'upper case'],
      ['', '56 base32 characters'],
    ]) {
      const { status, json } = await post(server, { key });
      expect([status, json.code]).toEqual([400, 'bad_request']);
      expect(json.message).toContain(sentence);
      expect(json.message).not.toContain(seed.slice(2));
    }
    const asJti = await post(server, { jti: seed });
    expect([asJti.status, asJti.json.code]).toEqual([400, 'invalid_argument']);
    expect(asJti.body).not.toContain(seed.slice(2));
    expect(await list(server)).toEqual([]);
  });

  it.each([
    [{}, 'invalid_argument'],
    [{ jti: 'J', key: publicKey('user') }, 'invalid_argument'],
    [{ jti: 'a b' }, 'invalid_argument'],
    [{ jti: 'x'.repeat(129) }, 'invalid_argument'],
    [{ jti: 'J', reason: 'x'.repeat(513) }, 'invalid_argument'],
    [{ jti: 1 }, 'bad_request'],
    [{ jti: 'J', because: '' }, 'bad_request'],
  ])('are not made of %j', async (body, code) => {
    const server = await startTestServer();
    const { status, json } = await post(server, body);
    expect([status, json.code]).toEqual([400, code]);
    expect(await list(server)).toEqual([]);
  });

  it('have reasons of 512 characters, however they are encoded', async () => {
    const server = await startTestServer();
    expect((await post(server, { jti: 'J', reason: '🔑'.repeat(512) })).status).toBe(200);
    expect((await post(server, { jti: 'K', reason: '🔑'.repeat(513) })).status).toBe(400);
  });

  it('are one change when they are asked for again with the same operation id', async () => {
    const server = await startTestServer({ dev: false });
    const sent = { socket: true, headers: { 'Coffer-Operation': 'op-1' } };
    const made = await post(server, { jti: 'J' }, PATH, sent);
    expect((await post(server, { jti: 'J' }, PATH, sent)).json).toEqual(made.json);
    expect(await post(server, { jti: 'K' }, PATH, sent)).toMatchObject({ status: 409 });
    const lift = { socket: true, headers: { 'Coffer-Operation': 'op-2' } };
    for (let time = 0; time < 2; time++) {
      expect((await post(server, { id: made.json.id }, `${PATH}/lift`, lift)).status).toBe(200);
    }
  });

  it('count for the next request with a proof, and no more when they are lifted', async () => {
    const { server, account } = await startTrustingServer();
    const [alice, bob] = [account.user('alice'), account.user('bob')];
    await grant(server, everything(alice, bob));
    const status = async (user: typeof alice) =>
      (await sendProof(server, proofOf(user, server), '/api/whoami')).status;
    for (const request of [{ key: alice.keys.publicKey }, { jti: decodeUser(alice.jwt).claims.jti }]) {
      const { json } = await post(server, request);
      expect([await status(alice), await status(bob)]).toEqual([401, 200]);
      await post(server, { id: json.id }, `${PATH}/lift`);
      expect(await status(alice)).toBe(200);
    }
    await post(server, { key: account.keys.publicKey, reason: 'all of it' });
    expect([await status(alice), await status(bob)]).toEqual([401, 401]);
  });

  it('are for who administers everything', async () => {
    const server = await startTestServer({ dev: false });
    const { json } = await post(server, { name: 'ci' }, '/api/admin/tokens');
    const grants = [{ to: [`token:${json.id}`], actions: ['admin'], secrets: ['prod/*'] }];
    await post(server, { grants }, '/api/admin/policy');
    const sent = { headers: { Authorization: `Bearer ${json.token}` } };
    const answers = [
      await post(server, { jti: 'J' }, PATH, sent),
      await post(server, { id: '0123456789abcdef' }, `${PATH}/lift`, sent),
      await send(server, PATH, { headers: { ...HEADER, ...sent.headers } }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([403, 403, 403]);
    expect((await send(server, PATH, { headers: HEADER })).status).toBe(401);
    expect(await list(server)).toEqual([]);
  });
});
