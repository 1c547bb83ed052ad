import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { RunningServer } from '../src/index.js';
import {
  type Answer,
  call,
  RawConnection,
  SETEC_HEADERS,
  type Sent,
  send,
  startTestServer,
  testConfig,
} from './support.js';

const HEADER = { 'Sec-X-Tailscale-No-Browsers': 'setec' };

/** A GET without a body, a POST with one, over the admin socket unless told otherwise. */
async function admin(
  server: RunningServer,
  path: string,
  body?: unknown,
  sent: Sent = { socket: true },
  // biome-ignore lint/suspicious/noExplicitAny: what it is, each test says by what it expects
): Promise<Answer & { json: any }> {
  const answer = await (body === undefined
    ? send(server, path, { ...sent, headers: { ...HEADER, ...sent.headers } })
    : call(server, path.slice('/api/'.length), body, sent));
  return { ...answer, json: JSON.parse(answer.body) };
}

async function makeToken(
  server: RunningServer,
  request: object = { name: 'ci' },
): Promise<{ token: string; id: string }> {
  return (await admin(server, '/api/admin/tokens', request)).json;
}

const bearer = (token: string): Sent => ({ headers: { Authorization: `Bearer ${token}` } });

describe('a caller', () => {
  it('is the socket on the admin socket, where it may do everything', async () => {
    const server = await startTestServer({ dev: false });
    const { json } = await admin(server, '/api/whoami');
    expect(json.principals).toEqual([{ id: 'socket', kind: 'socket' }]);
    expect(json.server).toEqual({
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
      storeId: server.engine.storeId,
      serverKey: expect.stringMatching(/^N[A-Z2-7]{55}$/),
      development: false,
    });
    expect(await call(server, 'put', { Name: 'a', Value: '' }, { socket: true })).toMatchObject({
      status: 200,
    });
  });

  it('is nobody when its token is revoked before its request has come in whole', async () => {
    const server = await startTestServer({ dev: false });
    const { token, id } = await makeToken(server);
    const grant = { to: [`token:${id}`], actions: ['put'], secrets: ['*'] };
    await admin(server, '/api/admin/policy', { grants: [grant] });
    const body = JSON.stringify({ Name: 'a', Value: '' });
    const connection = new RawConnection(server);
    connection.write(
      'POST /api/put HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n' +
        `Sec-X-Tailscale-No-Browsers: setec\r\nAuthorization: Bearer ${token}\r\nContent-Length: ${body.length}\r\n\r\n`,
    );
    await connection.until('HTTP/1.1 100');
    await admin(server, '/api/admin/tokens/revoke', { id });
    connection.write(body);
    await connection.until('HTTP/1.1 401');
    expect((await call(server, 'list', {}, { socket: true })).body).toBe('null');
  });

  it('is its token, sent as Bearer or as the password of any Basic user, on every door', async () => {
    const server = await startTestServer({ dev: false });
    const { token, id } = await makeToken(server);
    const basic = `Basic ${Buffer.from(`anybody:${token}`).toString('base64')}`;
    for (const Authorization of [`Bearer ${token}`, `bearer  ${token}`, basic]) {
      for (const socket of [false, true]) {
        const { json } = await admin(server, '/api/whoami', undefined, {
          socket,
          headers: { Authorization },
        });
        expect(json.principals).toEqual([{ id: `token:${id}`, kind: 'token', name: 'ci' }]);
      }
    }
  });

  it('is refused with a challenge when nothing proves who it is', async () => {
    const server = await startTestServer({ dev: false });
    const { token } = await makeToken(server);
    const wrong = [
      undefined,
      'Bearer',
      `Bearer ${token}x`,
      token,
      'Basic !',
      `Basic ${Buffer.from(token).toString('base64')}`,
      'Digest x',
    ];
    for (const authorization of wrong) {
      const headers = authorization === undefined ? {} : { Authorization: authorization };
      const answer = await call(server, 'list', {}, { headers });
      expect(answer.status, authorization).toBe(401);
      expect(answer.headers['www-authenticate']).toBe('Bearer, Basic realm="coffer"');
      expect(answer.headers['coffer-error']).toBe('unauthenticated');
      expect(answer.body).not.toContain(token);
    }
  });

  it('whom nobody knows leaves no entry of its own, but counts in one for all', async () => {
    const config = await testConfig({ dev: false });
    const server = await startTestServer(config);
    for (let i = 0; i < 5; i++) await call(server, 'list', {});
    await send(server, '/api/whoami', { headers: HEADER });
    await server.close();
    const log = await readFile(join(config.stateDir, 'audit', 'audit.log'), 'utf8');
    const refused = log.split('\n').filter((line) => line.includes('"authorized":false'));
    expect(refused.map((line) => JSON.parse(line))).toMatchObject([
      { action: 'refused', count: 6, addresses: 1, busiest: [{ ip: '127.0.0.1', count: 6 }] },
    ]);
  });

  it('is refused at once when its token is revoked, and when it has expired', async () => {
    const server = await startTestServer({ dev: false });
    const { token, id } = await makeToken(server);
    expect((await call(server, 'list', {}, bearer(token))).status).toBe(200);
    const { json } = await admin(server, '/api/admin/tokens/revoke', { id });
    expect(json).toMatchObject({
      id,
      name: 'ci',
      createdBy: 'socket',
      revokedAt: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect((await call(server, 'list', {}, bearer(token))).status).toBe(401);
    const short = await makeToken(server, { name: 'short', expiresIn: 1 });
    expect((await call(server, 'list', {}, bearer(short.token))).status).toBe(200);
    await expect
      .poll(async () => (await call(server, 'list', {}, bearer(short.token))).status, { timeout: 5000 })
      .toBe(401);
  });

  it('is the one development principal on a development server, whatever it sends', async () => {
    const server = await startTestServer();
    for (const sent of [{}, bearer('cft_nonsense'), { socket: true }]) {
      const { json } = await admin(server, '/api/whoami', undefined, sent);
      expect(json.principals).toEqual([{ id: 'dev', kind: 'dev' }]);
    }
  });
});

describe('the policy', () => {
  it('decides what a token may do, at once, and is shown with its difference', async () => {
    const server = await startTestServer({ dev: false });
    const { token, id } = await makeToken(server);
    await call(server, 'put', { Name: 'prod/db', Value: 'eA==' }, { socket: true });
    const get = async () => (await call(server, 'get', { Name: 'prod/db' }, bearer(token))).status;
    expect(await get()).toBe(403);
    const grants = [{ to: [`token:${id}`], actions: ['get'], secrets: ['prod/*'] }];
    const { generation } = (await admin(server, '/api/admin/policy')).json;
    const dry = await admin(server, '/api/admin/policy', {
      grants,
      dryRun: true,
      expectedGeneration: generation,
    });
    expect(dry.json).toEqual({ added: grants, removed: [], unchanged: 0, generation });
    expect(await get()).toBe(403);
    await admin(server, '/api/admin/policy', { grants, expectedGeneration: generation });
    expect(await get()).toBe(200);
    expect((await admin(server, '/api/admin/policy')).json.grants).toEqual(grants);
    expect((await admin(server, '/api/whoami', undefined, bearer(token))).json.grants).toEqual(grants);
    const late = await admin(server, '/api/admin/policy', { grants: [], expectedGeneration: generation });
    expect([late.status, late.json.code]).toEqual([409, 'policy_changed']);
  });

  it('has conditions, which no caller over HTTP meets, and which are shown', async () => {
    const server = await startTestServer({ dev: false });
    const { token, id } = await makeToken(server);
    await call(server, 'put', { Name: 'a', Value: 'eA==' }, { socket: true });
    const always = { to: [`token:${id}`], actions: ['get'], secrets: ['b'] };
    const grants = [
      { ...always, secrets: ['a'], when: { application: ['shop'], host: ['N*'] } },
      { ...always, secrets: ['a'], when: { host: ['*'] } },
      always,
    ];
    const { json } = await admin(server, '/api/admin/policy', { grants });
    expect(json).toMatchObject({ added: grants, removed: [] });
    expect((await admin(server, '/api/admin/policy')).json.grants).toEqual(grants);
    expect((await admin(server, '/api/whoami', undefined, bearer(token))).json.grants).toEqual(grants);
    expect((await call(server, 'get', { Name: 'a' }, bearer(token))).status).toBe(403);
    const again = await admin(server, '/api/admin/policy', { grants });
    expect(again.json).toMatchObject({ added: [], removed: [], unchanged: 3 });
    const left = await admin(server, '/api/admin/policy', { grants: [always] });
    expect(left.json).toMatchObject({ added: [], removed: grants.slice(0, 2) });
  });

  it.each([
    ['that state nothing', ['get'], {}],
    ['that are empty', ['get'], { application: [] }],
    ['on more than get', ['get', 'info'], { application: ['shop'] }],
  ])('is refused with conditions %s', async (_, actions, when) => {
    const server = await startTestServer();
    const grants = [{ to: ['token:a'], actions, secrets: ['*'], when }];
    const { status, json } = await admin(server, '/api/admin/policy', { grants });
    expect([status, json.code]).toEqual([400, 'invalid_policy']);
  });

  it('keeps what a caller may not read as dark as what is not there', async () => {
    const server = await startTestServer({ dev: false });
    const { token } = await makeToken(server);
    await call(server, 'put', { Name: 'there', Value: '' }, { socket: true });
    const [known, unknown] = await Promise.all(
      ['there', 'nowhere'].map((Name) => call(server, 'get', { Name }, bearer(token))),
    );
    expect(known).toMatchObject({ status: 403, body: 'access denied\n' });
    expect(unknown).toMatchObject({ status: 403, body: 'access denied\n' });
  });
});

describe('administration', () => {
  it('lists tokens without their secret part', async () => {
    const server = await startTestServer({ dev: false });
    const made = await makeToken(server, { name: 'ci', expiresIn: 60 });
    const { body, json } = await admin(server, '/api/admin/tokens');
    expect(body).not.toContain(made.token);
    expect(json.tokens).toEqual([
      {
        id: made.id,
        name: 'ci',
        createdBy: 'socket',
        createdAt: expect.any(String),
        expiresAt: expect.any(String),
      },
    ]);
  });

  it.each([
    [
      '/api/admin/policy',
      { grants: [{ to: ['x'], actions: ['get'], secrets: ['*'], where: {} }] },
      'grants[0].where: unknown key',
    ],
    [
      '/api/admin/policy',
      { grants: [{ to: ['x'], actions: ['get'], secrets: ['*'], when: { lattice: ['x'] } }] },
      'grants[0].when.lattice: unknown key',
    ],
    [
      '/api/admin/policy',
      { grants: [{ to: ['x'], actions: ['get'], secrets: ['*'], when: { host: 'x' } }] },
      'grants[0].when.host: ',
    ],
    [
      '/api/admin/policy',
      { grants: [{ to: ['x'], actions: ['get'], secrets: ['*'], when: null }] },
      'grants[0].when: ',
    ],
    [
      '/api/admin/policy',
      { grants: [{ to: ['x'], actions: ['fly'], secrets: ['*'] }] },
      'grants[0].actions[0]: ',
    ],
    ['/api/admin/policy', {}, 'grants: '],
    ['/api/admin/tokens', { name: 'x', expiresIn: 0.5 }, 'expiresIn: '],
    ['/api/admin/tokens', '{"name":', 'not JSON'],
  ])('%s tells what is wrong with %j', async (path, body, sentence) => {
    const server = await startTestServer();
    const { status, headers, json } = await admin(server, path, body);
    expect([status, headers['content-type'], headers['coffer-error']]).toEqual([
      400,
      'application/json',
      'bad_request',
    ]);
    expect(json).toEqual({ code: 'bad_request', message: expect.stringContaining(sentence) });
  });

  it('refuses browsers, strangers and other methods as the setec methods do, in JSON', async () => {
    const server = await startTestServer({ dev: false });
    const refusals = [
      [{}, 403, 'access_denied'],
      [{ headers: HEADER }, 401, 'unauthenticated'],
      [{ method: 'POST' }, 400, 'bad_request'],
      [{ method: 'PUT', headers: SETEC_HEADERS }, 400, 'invalid_method'],
    ] as const;
    for (const [sent, status, code] of refusals) {
      const answer = await send(server, '/api/admin/tokens', sent);
      expect([answer.status, JSON.parse(answer.body).code]).toEqual([status, code]);
    }
    const { token } = await makeToken(server);
    expect((await admin(server, '/api/admin/tokens', undefined, bearer(token))).json).toMatchObject({
      code: 'access_denied',
    });
  });
});

describe('keys', () => {
  it('are for an administrator of everything, and answered without themselves', async () => {
    const server = await startTestServer({ dev: false });
    const { token } = await makeToken(server);
    for (const [path, body] of [
      ['/api/admin/keys', undefined],
      ['/api/admin/keys/rotation', undefined],
      ['/api/admin/keys/rotate', {}],
    ] as const) {
      expect((await admin(server, path, body, bearer(token))).status).toBe(403);
    }
    const { json } = await admin(server, '/api/admin/keys');
    expect(json).toEqual({
      rootKey: {
        kind: 'file',
        id: expect.stringMatching(/^[0-9a-f]{16}$/),
        since: expect.stringMatching(/Z$/),
      },
      dataKeys: [{ id: 1, createdAt: expect.stringMatching(/Z$/), state: 'active', records: 2 }],
      rotation: null,
    });
    const rotated = await admin(server, '/api/admin/keys/rotate', {});
    expect(rotated.json.dataKeys.map(({ id }: { id: number }) => id)).toEqual([1, 2]);
    const rotation = async () => (await admin(server, '/api/admin/keys/rotation')).json.rotation;
    await expect.poll(rotation).toBeNull();
    expect((await admin(server, '/api/admin/keys')).json.dataKeys).toMatchObject([{ id: 2, records: 2 }]);
  });

  it.each([
    [{ to: 'file:/x' }, 400, 'invalid_argument'],
    [{ root: true, to: 'file:x' }, 400, 'invalid_argument'],
    [{ root: true, to: 'passphrase:prompt' }, 400, 'invalid_argument'],
    [{ root: true, to: 'file:/nowhere/at/all.key' }, 409, 'conflict'],
    [{ root: 1 }, 400, 'bad_request'],
    [{ other: true }, 400, 'bad_request'],
  ])('are not rotated for %j', async (body, status, code) => {
    const server = await startTestServer({ dev: false });
    const answer = await admin(server, '/api/admin/keys/rotate', body);
    expect([answer.status, answer.json.code]).toEqual([status, code]);
    expect((await admin(server, '/api/admin/keys')).json.dataKeys).toHaveLength(1);
  });
});
