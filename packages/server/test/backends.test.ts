import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Secret } from '@coffer/wasmcloud';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { openModule } from '../src/backends/module.js';
import {
  answering,
  backend,
  coded,
  moduleFile,
  moduleOf,
  pending,
  text,
  waitingModule,
} from './backend-world.js';
import { startNats, until } from './nats-world.js';
import { send, temporaryFolder } from './support.js';
import { WasmWorld } from './wasm-world.js';

const ready = async (world: WasmWorld) => {
  const { status, body } = await send(world.server, '/readyz', { socket: true });
  return { status, ...JSON.parse(body) };
};

describe('backends beside coffer’s own store', () => {
  it('are served under their names, each to those with a grant on its secrets', async () => {
    const one = await moduleOf(
      answering(({ key, field, version }) => text(`${canary('one')} ${key} ${field} ${version}`)),
    );
    const two = await moduleOf(
      answering(() => ({ version: 'v7', kind: 'binary', value: Buffer.from([0xff, 0]) })),
    );
    const world = await WasmWorld.start({ backends: [backend('one', one), backend('two', two)] });
    await world.put('db', canary('own'));
    await world.grant({ to: [world.principal], actions: ['get'], secrets: ['db', 'one/db', 'two/*'] });
    const asked = { backend: 'one', field: 'password', version: '3' };
    expect(await world.get('db')).toBe(`string 1 ${canary('own')}`);
    expect(await world.get('db', asked)).toBe(`string 1 ${canary('one')} db password 3`);
    expect(await world.get('x/y', { backend: 'two' })).toBe('binary v7 ff00');
    expect(await world.refusal('other', { backend: 'one' })).toBe('Unauthorized');
    expect(await world.refusal('', { backend: 'two' })).toBe('InvalidRequest');
    expect(world.log.says('serving over NATS')).toMatchObject([{ backends: ['nats-kv', 'one', 'two'] }]);
  });

  it('are audited: who asked for what, and what became of it, and never the value', async () => {
    const module = await moduleOf(
      answering(({ key }) => {
        if (key === 'gone') throw coded('SecretNotFound');
        if (key === 'broken') throw new Error(canary('message'));
        return text(canary('value'));
      }),
    );
    const world = await WasmWorld.start({ backends: [backend('vault', module)] });
    await world.grant({
      to: [world.principal],
      actions: ['get'],
      secrets: ['vault/[a-z]*', 'vault/gone', 'vault/db', 'vault/broken'],
    });
    const application = { name: 'shop' };
    await world.get('db', { backend: 'vault', field: 'password', version: '3', application });
    expect(await world.refusal('gone', { backend: 'vault' })).toBe('SecretNotFound');
    expect(await world.refusal('broken', { backend: 'vault' })).toBe(
      'Other: the backend failed, and has said why in its log',
    );
    expect(await world.refusal('mine', { backend: 'vault' })).toBe('Unauthorized');
    const lines = world.audit().filter(({ action }) => action === 'get-foreign');
    const principal = { id: world.principal, kind: 'component', ip: 'nats', host: world.host.publicKey };
    expect(lines).toMatchObject([
      {
        secret: 'vault/db',
        version: '3',
        field: 'password',
        authorized: true,
        principal: { ...principal, application: 'shop' },
      },
      { secret: 'vault/gone', authorized: true, error: 'SecretNotFound', principal },
      { secret: 'vault/broken', authorized: true, error: 'Other', principal },
      { secret: 'vault/mine', authorized: false, principal },
    ]);
    expect(lines[0]).not.toHaveProperty('error');
    const failed = world.log.says('for a reason that is ours');
    expect(failed).toMatchObject([{ backend: 'vault', code: 'Error', at: expect.anything() }]);
    expect(JSON.stringify([world.audit(), world.log.lines])).not.toMatch(/canary/i);
  });

  it('tell the audit log where they read, of refused requests, too, and nothing that is no text', async () => {
    const describe = ({ key }: { key: string }) => {
      if (key === 'silent') throw new Error(canary('message'));
      return { engine: 'x'.repeat(300), role: `shop\n\ud800`, count: 1 as never };
    };
    const module = await moduleOf({ ...answering(() => text('x')), describe });
    const world = await WasmWorld.start({ backends: [backend('vault', module)] });
    await world.grant({ to: [world.principal], actions: ['get'], secrets: ['vault/db', 'vault/silent'] });
    await world.get('db', { backend: 'vault' });
    await world.refusal('mine', { backend: 'vault' });
    await world.get('silent', { backend: 'vault' });
    const lines = world.audit().filter(({ action }) => action === 'get-foreign');
    const upstream = { engine: `${'x'.repeat(256)}…`, role: 'shop\n\ufffd' };
    expect(lines).toMatchObject([{ upstream }, { upstream, authorized: false }, { authorized: true }]);
    expect(lines[0]).toHaveProperty('upstream', upstream);
    expect(lines[2]).not.toHaveProperty('upstream');
  });

  it('let what lies behind decide alone where they are told to, and still audit it', async () => {
    const module = await moduleOf(
      answering(({ key }, { application }) => {
        if (application.policy === '') throw coded('PolicyError', 'a policy is needed');
        return text(key);
      }),
    );
    const world = await WasmWorld.start({ backends: [backend('vault', module, { grants: 'upstream' })] });
    const application = { policy: '{}' };
    expect(await world.get('db', { backend: 'vault', application })).toBe('string 1 db');
    expect(await world.refusal('db', { backend: 'vault' })).toBe('PolicyError: a policy is needed');
    const lines = world.audit().filter(({ action }) => action === 'get-foreign');
    expect(lines).toMatchObject([{ authorized: true }, { authorized: true, error: 'PolicyError' }]);
    expect(await world.refusal('db')).toBe('Unauthorized');
  });

  it('give nothing to who was revoked while it was fetched, and wipe it', async () => {
    const { module, asked, resolve } = await waitingModule();
    const world = await WasmWorld.start({ backends: [backend('slow', module)] });
    await world.open();
    const refused = world.refusal('db', { backend: 'slow' });
    await asked;
    await world.post('revocations', { key: world.component.publicKey, reason: 'leaked' });
    const secret = text(canary('late'));
    resolve(secret);
    expect(await refused).toBe('Unauthorized');
    expect(secret.value.every((byte) => byte === 0)).toBe(true);
    const lines = world.audit().filter(({ action }) => action === 'get-foreign');
    expect(lines).toMatchObject([{ authorized: false, secret: 'slow/db' }]);
  });

  it.each([
    ['whose host was revoked', 'lineage'],
    ['whose host was revoked, where nobody is trusted', 'self-issued'],
  ])('give nothing to who asks on a host %s while it was fetched', async (_, trust) => {
    const { module, asked, resolve } = await waitingModule();
    const isOpen = trust === 'self-issued';
    const world = await WasmWorld.start({
      backends: [backend('slow', module, { trust, grants: 'upstream' })],
      ...(isOpen && { trust: undefined, wasmcloud: { serve: false } }),
    });
    const refused = world.refusal('db', { backend: 'slow' });
    await asked;
    await world.post('revocations', { key: world.host.publicKey, reason: 'stolen' });
    const secret = text(canary('late'));
    resolve(secret);
    expect(await refused).toBe('Unauthorized');
    expect(secret.value.every((byte) => byte === 0)).toBe(true);
  });

  it('give nothing where NATS lets everybody in by the time that it was fetched', async () => {
    const users = 'accounts { A: { users: [{user: coffer, password: hello}, {user: anyone, password: y}] } }';
    const member = (config: string, more = '') =>
      startNats({
        config: `${config}\njetstream: disabled\ncluster { name: c, host: 127.0.0.1, port: -1${more} }`,
      });
    const natsServer = await member(users);
    const [, routes] = await natsServer.process.waitFor(/route connections on (127\.0\.0\.1:\d+)/);
    const { module, asked, resolve } = await waitingModule();
    const backends = [backend('slow', module, { grants: 'upstream' })];
    const world = await WasmWorld.start({ backends }, { natsServer });
    const refused = world.refusal('db', { backend: 'slow' });
    await asked;
    await member(`${users}\nno_auth_user: anyone`, `, routes: ["nats://${routes}"]`);
    await until(() => world.log.says('nothing is served over NATS').length > 0, 'the server to see it');
    const secret = text(canary('late'));
    resolve(secret);
    expect(await refused).toMatch(/^Other: .*lets everybody in/);
    expect(secret.value.every((byte) => byte === 0)).toBe(true);
  });

  it('have metrics of their own', async () => {
    const module = await moduleOf(answering(() => text('x')));
    const world = await WasmWorld.start({ backends: [backend('one', module), backend('two', module)] });
    await world.open();
    await world.get('db', { backend: 'one' });
    await world.refusal('db', { backend: 'two', entityJwt: 'nonsense' });
    const metrics = await world.metrics();
    expect(metrics).toContain('coffer_backend_requests_total{backend="one",operation="get",result="ok"} 1');
    expect(metrics).toContain(
      'coffer_backend_requests_total{backend="two",operation="get",result="InvalidEntityJWT"} 1',
    );
    expect(metrics).toContain('coffer_backend_serving{backend="two"} 1');
    expect(metrics).toContain('coffer_backend_in_flight{backend="one"} 0');
    expect(metrics).toMatch(
      /coffer_backend_request_duration_seconds_count\{backend="one",operation="get"\} 1/,
    );
    expect(metrics).not.toContain('coffer_wasmcloud_requests_total{operation="get"');
  });

  it('are served alone where coffer’s own store is not', async () => {
    const module = await moduleOf(answering(() => text('x')));
    const world = await WasmWorld.start({
      wasmcloud: { serve: false },
      backends: [backend('nats-kv', module)],
    });
    await world.open();
    await world.put('db', 'own');
    expect(await world.get('db')).toBe('string 1 x');
    expect((await ready(world)).status).toBe(200);
  });
});

describe('a backend that fails', () => {
  it('hangs by itself: its requests end in time, and others are answered meanwhile', async () => {
    const signals: (AbortSignal | undefined)[] = [];
    const hanging = await moduleOf({
      fetch: (_, __, signal) => {
        signals.push(signal);
        return new Promise(() => {});
      },
    });
    const fine = await moduleOf(answering(() => text('fine')));
    const limits = { timeoutSeconds: 1, maxInFlight: 1 };
    const world = await WasmWorld.start({
      backends: [backend('hanging', hanging, limits), backend('fine', fine)],
    });
    await world.open();
    await world.put('db', 'own');
    const first = world.refusal('db', { backend: 'hanging' });
    await until(() => signals.length === 1, 'the first to be asked');
    // Told that it is busy, it asks again until the first has ended.
    const second = world.refusal('db', { backend: 'hanging' });
    const busy = 'coffer_backend_requests_total{backend="hanging",operation="get",result="busy"}';
    await until(async () => (await world.metrics()).includes(busy), 'the second to be refused');
    expect(await world.get('db', { backend: 'fine' })).toBe('string 1 fine');
    expect(await world.get('db')).toBe('string 1 own');
    expect(await first).toBe('UpstreamError: hanging has not answered within 1 s');
    expect(signals[0]?.aborted).toBe(true);
    expect(await second).toMatch(/^UpstreamError: hanging has not answered/);
    // What it never answers takes no more room than twice what it may have.
    expect(await world.refusal('db', { backend: 'hanging' })).toMatch(/has left 2 requests unanswered/);
    expect(signals).toHaveLength(2);
    expect(await world.get('db', { backend: 'fine' })).toBe('string 1 fine');
  });

  it('wipes what comes too late', async () => {
    const { promise, resolve } = pending<Secret>();
    const module = await moduleOf({ fetch: () => promise });
    const world = await WasmWorld.start({ backends: [backend('late', module, { timeoutSeconds: 0.05 })] });
    await world.open();
    expect(await world.refusal('db', { backend: 'late' })).toMatch(/^UpstreamError/);
    const secret = text(canary('late'));
    resolve(secret);
    await until(() => secret.value.every((byte) => byte === 0), 'the value to be wiped');
  });

  it.each([
    [
      'throws at once',
      () => {
        throw new TypeError('x');
      },
    ],
    ['answers nothing', async () => undefined],
    ['answers text in place of bytes', async () => ({ version: '1', kind: 'string', value: 'x' })],
    ['has no version', async () => ({ version: '', kind: 'string', value: Buffer.from('x') })],
    [
      'calls other bytes a string',
      async () => ({ version: '1', kind: 'string', value: Buffer.from([0xff]) }),
    ],
  ])('is answered for where it %s', async (_, fetch) => {
    const module = await moduleOf({ fetch: fetch as never });
    const world = await WasmWorld.start({ backends: [backend('odd', module)] });
    await world.open();
    expect(await world.refusal('db', { backend: 'odd' })).toBe(
      'Other: the backend failed, and has said why in its log',
    );
    expect(world.log.says('for a reason that is ours')).toHaveLength(1);
    expect(world.audit().at(-1)).toMatchObject({ action: 'get-foreign', error: 'Other' });
  });

  it('is named by /readyz to administrators, which stays ready, and by the log, which says why', async () => {
    let reason: string | undefined = 'it is sealed';
    const module = await moduleOf({ ...answering(() => text('x')), unready: async () => reason });
    const world = await WasmWorld.start({ listen: '127.0.0.1:0', backends: [backend('vault', module)] });
    await until(async () => (await ready(world)).nats.warnings.length > 0, 'the warning');
    const { status, nats } = await ready(world);
    expect([status, nats.backends]).toEqual([
      200,
      [{ name: 'vault', serving: true, ready: false, notReadySince: expect.any(String) }],
    ]);
    expect(nats.warnings).toEqual(["the backend vault cannot answer: the server's log says why"]);
    const { status: toAnybody, body } = await send(world.server, '/readyz');
    expect([toAnybody, JSON.parse(body).nats]).toEqual([
      200,
      {
        serving: true,
        backends: [{ serving: true, ready: false }],
        warnings: ["a backend cannot answer: the server's log says why"],
      },
    ]);
    expect(world.log.says('this backend cannot answer now')).toMatchObject([
      { backend: 'vault', reason: 'it is sealed' },
    ]);
    expect(await world.metrics()).toContain('coffer_backend_ready{backend="vault"} 0');
    reason = undefined;
    await until(async () => (await ready(world)).nats.warnings.length === 0, 'the warning to end');
    expect(world.log.says('this backend can answer again')).toHaveLength(1);
  }, 30_000);

  it('that NATS does not let subscribe leaves the others served, and is served once it may', async () => {
    const users = (...subscribe: string[]) =>
      `authorization: { users: [{user: coffer, password: hello, permissions: {subscribe: ${JSON.stringify(subscribe)}, publish: ">"}}] }`;
    const natsServer = await startNats({
      config: users('_INBOX.>', '_INBOX_coffer.>', 'wasmcloud.secrets.v1alpha1.nats-kv.>'),
    });
    const module = await moduleOf(answering(() => text('x')));
    const world = await WasmWorld.start({ backends: [backend('vault', module)] }, { natsServer });
    await world.open();
    await world.put('db', 'own');
    expect(await world.get('db')).toBe('string 1 own');
    expect(world.log.says('the backend vault is not served over NATS: these creds may not')).toHaveLength(1);
    expect((await ready(world)).nats).toMatchObject({
      serving: true,
      warnings: ["the backend vault is not served: the server's log says why"],
    });
    await natsServer.restart({ config: users('>') });
    await until(async () => (await ready(world)).nats?.warnings?.length === 0, 'all to be served');
    expect(await world.get('db', { backend: 'vault' })).toBe('string 1 x');
    expect(await world.get('db')).toBe('string 1 own');
  }, 60_000);
});

it('takes a package from where the configuration is', async () => {
  const folder = await temporaryFolder();
  const inside = join(folder, 'node_modules', 'some-source');
  mkdirSync(inside, { recursive: true });
  writeFileSync(
    join(inside, 'package.json'),
    '{"name": "some-source", "type": "module", "exports": "./main.js"}',
  );
  const content =
    'export default ({ says }, { name }) => ({ fetch: async () => ({ version: "1", kind: "string", value: Buffer.from([name, says].join(" ")) }) });';
  writeFileSync(join(inside, 'main.js'), content);
  const config = backend('packaged', 'some-source', { settings: { says: 'hello' } });
  const world = await WasmWorld.start({ backends: [{ ...config, folder }] });
  await world.open();
  expect(await world.get('x', { backend: 'packaged' })).toBe('string 1 packaged hello');
});

describe('a module that cannot be a backend', () => {
  const start = (module: string) => WasmWorld.start({ backends: [backend('odd', module)] });

  it.each([
    [
      'export default () => { throw new Error("settings.folder is needed"); };',
      /odd: the module \S+ cannot be opened: settings\.folder is needed/,
    ],
    ['export const x = 1;', /odd: the module \S+ has no function for its default export/],
    ['export default () => ({});', /odd: the module \S+ has answered with no object that has "fetch"/],
    ['import "./not-there.mjs";', /odd: the module \S+ cannot be loaded: .*not-there/],
  ])('ends the start, which says why: %s', async (content, sentence) => {
    await expect(start(await moduleFile(content))).rejects.toThrow(sentence);
    await expect(start(await moduleFile(content))).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it.each([
    'export default () => new Promise(() => {});',
    'await new Promise(() => {}); export default () => ({});',
  ])('is told to be waited for while it does not open, and is given up in the end: %s', async (content) => {
    const module = await moduleFile(content);
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    const notices: string[] = [];
    const opening = openModule(backend('odd', module), (sentence) => notices.push(sentence));
    const givenUp = expect(opening).rejects.toThrow(/odd: the module \S+ has not opened within 30 s/);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(notices).toEqual([`The backend odd waits for its module ${module}, which has 30 s to open.`]);
    await vi.advanceTimersByTimeAsync(25_000);
    await givenUp;
  });

  it('ends the start before anything is made, where there is none', async () => {
    const world = start('/nowhere/source.mjs');
    await expect(world).rejects.toThrow(/the backend odd: there is no module \/nowhere\/source\.mjs/);
    expect(existsSync('/nowhere')).toBe(false);
  });
});
