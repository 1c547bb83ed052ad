import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SecretsClient } from '@coffer/wasmcloud';
import { describe, expect, it } from 'vitest';
import { checkConfiguration, checkInstallation, completeWasmcloud, startServer } from '../src/index.js';
import { CLOSED, newKeys, readableLog, startNats, until, withoutCredentials } from './nats-world.js';
import { send, temporaryFolder, testConfig } from './support.js';
import { trustingAccounts, WasmWorld } from './wasm-world.js';

const ready = async (world: WasmWorld, socket = true) => {
  const { status, body } = await send(world.server, '/readyz', { socket });
  return { status, ...JSON.parse(body) };
};

describe('a server with a NATS door', () => {
  it('has no TCP door where it listens nowhere, and is reached by its admin socket', async () => {
    const world = await WasmWorld.start();
    expect([world.server.address, world.server.url]).toEqual([undefined, `unix:${world.server.socketPath}`]);
    expect(await ready(world)).toEqual({ status: 200, ready: true, writable: true, nats: { serving: true } });
  });

  it('is not ready while NATS is its only door and nothing is served there', async () => {
    const world = await WasmWorld.start();
    await world.nats.pause();
    await until(async () => (await ready(world)).status === 503, 'readiness to end');
    expect((await ready(world)).reason).toMatch(/^nothing is served over NATS since 20\d\d-.*log says why/);
    expect(await world.metrics()).toMatch(/coffer_ready 0[\s\S]*coffer_nats_connected 0/);
    await world.nats.restart();
    await until(async () => (await ready(world)).status === 200, 'readiness');
  });

  it('stays ready beside an HTTP door, and says since when nothing is served over NATS', async () => {
    const world = await WasmWorld.start({ listen: '127.0.0.1:0' });
    const before = Date.now();
    await world.nats.pause();
    await until(async () => (await ready(world, false)).nats.serving === false, 'the door to stop');
    const { status, nats } = await ready(world, false);
    expect(status).toBe(200);
    expect(Date.parse(nats.notServingSince)).toBeGreaterThanOrEqual(before);
    await world.nats.restart();
    await until(async () => (await ready(world, false)).nats.serving === true, 'the door to serve');
  });

  it('starts without NATS, and serves when that is there', async () => {
    const natsServer = await startNats({ config: CLOSED });
    await natsServer.pause();
    const world = await WasmWorld.start({}, { natsServer });
    expect((await ready(world)).status).toBe(503);
    await natsServer.restart();
    await until(async () => (await ready(world)).status === 200, 'readiness');
    await world.open();
    await world.put('db', 'x');
    expect(await world.get('db')).toBe('string 1 x');
  });

  it('says that NATS does not let it subscribe, and serves once it may', async () => {
    const users = (subscribe: string) =>
      `authorization: { users: [{user: coffer, password: hello, permissions: {subscribe: "${subscribe}", publish: ">"}}] }`;
    const natsServer = await startNats({ config: users('_INBOX.>') });
    const world = await WasmWorld.start({}, { natsServer });
    expect((await ready(world)).status).toBe(503);
    expect(world.log.says('NATS does not let us do what we want to')).toMatchObject([
      { reason: expect.stringMatching(/Permissions Violation for Subscription to "wasmcloud\.secrets/) },
    ]);
    const sentence =
      /^these creds may not subscribe to wasmcloud\.secrets\S+ in the queue group wasmcloud_secrets\.nats-kv: use those of the role backend/;
    expect(world.server.notServing()).toMatch(sentence);
    expect(world.log.says('nothing is served over NATS: these creds')).toHaveLength(1);
    expect(world.log.says('for a reason that is ours')).toEqual([]);
    await natsServer.restart({ config: users('>') });
    await until(async () => (await ready(world)).status === 200, 'readiness');
    expect(await world.refusal('db')).toBe('Unauthorized');
  });

  it.each([
    ['a NATS server that lets everybody in', {}],
    ['a file that is not there', { creds: '/nowhere/coffer.creds' }],
    ['several credentials', { creds: '/a', nkey: '/b' }],
  ])('does not start with %s, and makes no root key first', async (_, changes) => {
    const natsServer = await startNats();
    const config = await testConfig({
      dev: false,
      listen: 'none',
      trust: trustingAccounts(newKeys('account').publicKey),
      nats: { ...withoutCredentials(natsServer), ...changes },
    });
    const starting = startServer(config, { log: readableLog().log, onNotice: () => {} });
    await expect(starting).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(existsSync(config.rootKey.slice('file:'.length))).toBe(false);
    expect(existsSync(config.stateDir)).toBe(false);
  });

  it('does not start where strangers in another account reach it, and does where they do not', async () => {
    const base = 'wasmcloud.secrets.v1alpha1.nats-kv';
    const accounts = (imports: string) =>
      `no_auth_user: anyone
      accounts {
        SECRETS: { users: [{user: coffer, password: hello}], exports: [{service: "${base}.>"}] }
        LATTICE: { users: [{user: anyone, password: x}], imports: [${imports}] }
      }`;
    const reached = accounts(`{service: {account: SECRETS, subject: "${base}.get"}}`);
    const natsServer = await startNats({ config: reached });
    await expect(WasmWorld.start({}, { natsServer })).rejects.toThrow(/it imports the service.*no_auth_user/);
    await natsServer.restart({ config: accounts('') });
    const world = await WasmWorld.start({}, { natsServer });
    await world.open();
    await world.put('db', 'x');
    expect(await world.get('db')).toBe('string 1 x');
  });

  it('counts requests by what became of them', async () => {
    const world = await WasmWorld.start();
    await world.open();
    await world.put('db', 'x');
    await world.get('db');
    await world.refusal('absent');
    await world.refusal('db', { entityJwt: 'nonsense' });
    const metrics = await world.metrics();
    expect(metrics).toContain('coffer_wasmcloud_requests_total{operation="get",result="ok"} 1');
    expect(metrics).toContain('coffer_wasmcloud_requests_total{operation="get",result="SecretNotFound"} 1');
    expect(metrics).toContain('coffer_wasmcloud_requests_total{operation="get",result="InvalidEntityJWT"} 1');
    expect(metrics).toContain('coffer_wasmcloud_request_duration_seconds_count{operation="get"} 3');
    expect(metrics).toMatch(/coffer_wasmcloud_transit_key_last_use_timestamp_seconds\{key="X\w{55}"\} \d+/);
  });

  it('answers all that it has taken when it stops under load, and the next one goes on', async () => {
    const world = await WasmWorld.start();
    await world.open();
    await world.put('db', 'x');
    const connection = await world.connect();
    const secrets = new SecretsClient({ nats: connection, timeoutMs: 2_000 });
    let asking = true;
    let got = 0;
    const failures: string[] = [];
    const askers = Array.from({ length: 32 }, async () => {
      while (asking) {
        await secrets.get(world.request('db')).then(
          () => got++,
          (error: Error) => failures.push(error.message),
        );
      }
    });
    await until(() => got > 200, 'answers');
    await world.server.close();
    const next = await startServer(world.config, { log: readableLog().log, onNotice: () => {} });
    const before = got;
    await until(() => got > before + 200, 'more answers');
    asking = false;
    await Promise.all(askers);
    await next.close();
    expect(failures).toEqual([]);
    // No request was taken and not answered: nobody has waited for its time-out.
    expect(auditedGets(world)).toBe(got);
  }, 60_000);

  it('takes over what may change while it runs', async () => {
    const account = newKeys('account');
    const trust = trustingAccounts(account.publicKey, newKeys('account').publicKey);
    const world = await WasmWorld.start({ trust }, { account });
    const admin = await world.admin();
    const mapping = () => admin.addMapping(world.component.publicKey, ['db']).then(() => 'ok', String);
    expect(await mapping()).toMatch(/mappingAccount/);
    await world.server.reload(() => ({
      ...world.config,
      wasmcloud: { ...completeWasmcloud(), mappingAccount: account.publicKey, maxInFlight: 5 },
    }));
    expect(await mapping()).toBe('ok');
    expect(world.log.says('configuration read again').at(-1)).toMatchObject({
      applied: ['wasmcloud.mappingAccount'],
      needRestart: ['wasmcloud.maxInFlight'],
    });
  });
});

const auditedGets = (world: WasmWorld) =>
  world.audit().filter(({ action, authorized }) => action === 'get' && authorized).length;

describe('config check and doctor', () => {
  async function findings(nats: string, look: typeof checkConfiguration | typeof checkInstallation) {
    const folder = await temporaryFolder();
    const config = join(folder, 'coffer.yaml');
    const trust = `trust: {accounts: [${newKeys('account').publicKey}]}`;
    writeFileSync(
      config,
      `listen: none\nstateDir: ${folder}/state\nrootKey: file:${folder}/key\n${trust}\nnats: ${nats}\n`,
    );
    const found = await look({ flags: { config }, env: { HOME: folder } });
    return found.findings
      .filter(({ subject }) => subject === 'NATS' || subject === 'configuration')
      .map(({ level, says }) => `${level}: ${says}`);
  }

  it('look at the files', async () => {
    const folder = await temporaryFolder();
    const seed = join(folder, 'user.nk');
    writeFileSync(seed, newKeys('user').seed(), { mode: 0o644 });
    const of = (path: string) =>
      findings(`{servers: ["nats://127.0.0.1:1"], nkey: ${path}}`, checkConfiguration);
    expect(await of(seed)).toContain(`problem: others can read ${seed}: chmod 600 ${seed}`);
    expect(await of(join(folder, 'none'))).toContain(`problem: nats.nkey: ${folder}/none is not there`);
  });

  it('name NATS that cannot be reached, refuses us, or lets everybody in', async () => {
    const closed = await startNats({ config: CLOSED });
    const open = await startNats();
    const of = async (servers: string, more = '') =>
      (await findings(`{servers: ["${servers}"]${more}}`, checkInstallation)).filter(
        (says) => !says.includes('is right'),
      );
    expect(await of(`nats://coffer:hello@127.0.0.1:${closed.port}`)).toEqual([
      expect.stringMatching(/^ok: nats:\/\/…@127.* lets us in, and nobody without credentials$/),
    ]);
    expect(await of(`nats://coffer:wrong@127.0.0.1:${closed.port}`)).toEqual([
      expect.stringMatching(/^problem: nats:\/\/…@.*does not let us in/),
    ]);
    expect(await of(open.url)).toEqual([
      expect.stringMatching(/^problem: .*lets everybody in.*coffer wasmcloud permissions/),
    ]);
    expect(await of(open.url, ', allowOpen: true')).toEqual([
      expect.stringMatching(/^warning: .*lets everybody in/),
    ]);
    expect(await of('nats://127.0.0.1:1')).toEqual([
      expect.stringMatching(/^problem: .*connection refused$/),
    ]);
  });
});
