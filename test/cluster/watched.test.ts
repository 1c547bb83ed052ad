import { copyFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Client } from '../../packages/client/src/index.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { CofferInstance } from '../support/instances.mjs';
import { coffer } from '../support/servers.mjs';
import { Balancer } from './balancer.js';

const SETEC = { 'Sec-X-Tailscale-No-Browsers': 'setec', 'Content-Type': 'application/json' };

let cluster: NatsCluster;
let instances: CofferInstance[] = [];
let clients: Client[] = [];
beforeEach(async () => {
  cluster = await NatsCluster.start({ size: 1 });
});
afterEach(async () => {
  for (const client of clients) client.close();
  for (const instance of instances) await instance[Symbol.asyncDispose]();
  await cluster.stop();
  instances = [];
  clients = [];
});

/** An instance that serves, with the root key of those before it. */
async function start(name: string, storage: Readonly<Record<string, unknown>> = {}): Promise<CofferInstance> {
  const instance = await CofferInstance.prepare({ cluster, name, like: instances[0], storage });
  instances.push(instance);
  await instance.start();
  return instance;
}

/** As whoever may do everything, at one instance. */
function clientOf(instance: CofferInstance): Client {
  const client = new Client({ server: instance.server.socket, retries: 0 });
  clients.push(client);
  return client;
}

/** A token that may do everything, at all instances. */
async function tokenAt(instance: CofferInstance): Promise<string> {
  const { token, principal } = await instance.server.createToken('test');
  const actions = ['get', 'info', 'put', 'create-version', 'activate', 'delete', 'admin'];
  await instance.server.applyPolicy([{ to: [principal], actions, secrets: ['*'] }]);
  return token;
}

async function post(instance: CofferInstance, token: string, method: string, body: object, seen?: string) {
  const headers = { ...SETEC, Authorization: `Bearer ${token}`, ...(seen && { 'Coffer-Seen': seen }) };
  const answer = await fetch(`${instance.url}/api/${method}`, {
    method: 'POST',
    headers,
    body: JSON.stringify(body),
  });
  return {
    status: answer.status,
    code: answer.headers.get('coffer-error'),
    position: answer.headers.get('coffer-position') ?? undefined,
    text: await answer.text(),
  };
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

async function readiness(instance: CofferInstance) {
  const answer = await fetch(`${instance.url}/readyz`);
  return { status: answer.status, ...((await answer.json()) as object) };
}

const LACKS_ROOT_KEY = /^Another instance has changed the root key since: .*$/m;

describe('several instances', () => {
  it('answer nothing older than a caller has seen, and wait for it a second at most', async () => {
    const one = await start('one');
    const two = await start('two', { consistency: 'bounded(30s)' });
    const token = await tokenAt(one);
    const [first, second] = [canary('first'), canary('second')];
    const { position: before } = await post(one, token, 'put', { Name: 'a', Value: base64(first) });
    expect(before).toMatch(/^[0-9a-f]{16}-\d+-\d+$/);
    const seen = await post(two, token, 'get', { Name: 'a' }, before);
    expect([seen.status, JSON.parse(seen.text).Value]).toEqual([200, base64(first)]);

    two.gate?.cut();
    await post(one, token, 'put', { Name: 'a', Value: base64(second) }, before);
    const { position: after } = await post(one, token, 'activate', { Name: 'a', Version: 2 });
    // Who has not seen it gets what is there.
    const old = await post(two, token, 'get', { Name: 'a' });
    expect([old.status, JSON.parse(old.text).Value]).toEqual([200, base64(first)]);
    const begun = performance.now();
    const late = await post(two, token, 'get', { Name: 'a' }, after);
    expect([late.status, late.code]).toEqual([503, 'stale']);
    expect(performance.now() - begun).toBeLessThan(3_000);
    two.gate?.mend();
    await expect
      .poll(() => post(two, token, 'get', { Name: 'a' }, after))
      .toMatchObject({ status: 200, text: expect.stringContaining(base64(second)) });
    expect((await post(two, token, 'get', { Name: 'a' }, 'nonsense')).code).toBe('bad_request');
  });

  it('tell a client of a change that it then gets wherever it asks', async () => {
    const one = await start('one');
    const two = await start('two');
    // It listens before it has heard of how the store is at this moment.
    for (const each of [one, two]) await expect.poll(() => readiness(each)).toMatchObject({ status: 200 });
    const writer = clientOf(one);
    const watcher = clientOf(two);
    const events = watcher.watch({ secrets: ['a'] });
    expect((await events.next()).value).toMatchObject({ type: 'ready' });
    await writer.put('a', canary('value'));
    expect((await events.next()).value).toMatchObject({ type: 'change', name: 'a' });
    expect(String(await watcher.get('a').then(({ value }) => Buffer.from(value.reveal())))).toBe(
      canary('value'),
    );
    await events.return();
  });

  it('send a caller to another one while they may not answer', async () => {
    const one = await start('one');
    const two = await start('two');
    await clientOf(one).put('a', canary('value'));
    await expect.poll(() => readiness(two)).toMatchObject({ status: 200 });
    await using balancer = await Balancer.start([one.url, two.url]);
    const client = new Client({ server: balancer.url, token: await tokenAt(one) });
    clients.push(client);
    // By a connection that is kept, to the first.
    await client.get('a');
    one.gate?.cut();
    await expect.poll(() => readiness(one)).toMatchObject({ status: 503 });
    expect(Buffer.from((await client.get('a')).value.reveal()).toString()).toBe(canary('value'));
  });

  it('say that they are ready as long as they may read, and why nothing can be changed', async () => {
    const strict = await start('strict');
    const lax = await start('lax', { stale: 'allow' });
    const client = clientOf(strict);
    await client.put('a', canary('value'));
    expect(await readiness(strict)).toMatchObject({
      status: 200,
      ready: true,
      writable: true,
      store: { connected: true, sync: 'stated', warnings: [], ageSeconds: expect.any(Number) },
    });
    await cluster.servers[0]?.kill();
    await expect
      .poll(() => readiness(strict))
      .toMatchObject({ status: 503, ready: false, reason: /older than may be answered/ });
    expect(await readiness(lax)).toMatchObject({
      status: 200,
      ready: true,
      writable: false,
      store: { connected: false, warnings: [expect.stringContaining('no connection to the store’s NATS')] },
    });
    await expect(client.get('a')).rejects.toMatchObject({ code: 'stale', status: 503 });
    expect(Buffer.from((await clientOf(lax).get('a')).value.reveal()).toString()).toBe(canary('value'));
    const begun = performance.now();
    await expect(clientOf(lax).put('a', canary('other'))).rejects.toMatchObject({
      code: 'unavailable',
      status: 503,
    });
    expect(performance.now() - begun).toBeLessThan(1_000);
    await cluster.servers[0]?.start();
    await expect
      .poll(() => readiness(strict), { timeout: 30_000 })
      .toMatchObject({ status: 200, writable: true });
    await client.put('a', canary('other'));
  });

  it('show how the store is, to people and to Prometheus', async () => {
    const one = await start('one');
    await start('two');
    await clientOf(one).put('a', canary('value'));
    const run = (...args: string[]) => coffer(['storage', ...args, '-s', one.server.socket]);
    const shown = await run('status');
    expect(shown.code, shown.stderr.toString()).toBe(0);
    const text = shown.stdout.toString();
    expect(text).toMatch(
      /^Store: the bucket coffer in NATS JetStream, on 1 server, \d+ KiB of 1024\.0 MiB \(0 %\), synced always, as its operator says$/m,
    );
    expect(text).toMatch(/^Replica of [0-9a-f]{16}: \d+ KiB, at \d+ of \d+, \d\.\d s old$/m);
    const { shared } = JSON.parse((await run('status', '--json')).stdout.toString());
    expect(shared).toMatchObject({ connected: true, bucket: 'coffer', sync: 'stated', replicas: 1 });
    const refused = await run('replicas', '3');
    expect([refused.code, refused.stderr.toString()]).toEqual([
      1,
      expect.stringMatching(/^coffer: failed to change the replicas: /),
    ]);
    const metrics = await fetch(`${one.url}/metrics`, {
      headers: { Authorization: `Bearer ${await tokenAt(one)}` },
    }).then((answer) => answer.text());
    expect(metrics).toMatch(/^coffer_storage_connected 1$/m);
    expect(metrics).toMatch(/^coffer_storage_alarm 0$/m);
    expect(metrics).toMatch(/^coffer_storage_replica_age_seconds 0\.\d+$/m);
  });

  it('say of an instance that it was not given the root key that another one has changed, until it is', async () => {
    const one = await start('one');
    const two = await start('two');
    const scraper = await tokenAt(two);
    const seen = async () => {
      const { store } = (await readiness(two)) as { readonly store?: { readonly warnings: string[] } };
      const { stdout, code } = await coffer(['storage', 'status', '-s', two.server.socket]);
      const keys = await coffer(['keys', 'list', '-s', two.server.socket]);
      const headers = { Authorization: `Bearer ${scraper}` };
      const metrics = await fetch(`${two.url}/metrics`, { headers }).then((answer) => answer.text());
      return {
        warnings: store?.warnings,
        status: [code, LACKS_ROOT_KEY.test(stdout.toString())],
        keys: LACKS_ROOT_KEY.test(keys.stdout.toString()),
        metric: /^coffer_root_key_lacking (\d)$/m.exec(metrics)?.[1],
      };
    };
    const known = { warnings: [], status: [0, false], keys: false, metric: '0' };
    expect(await seen()).toEqual(known);
    const rotate = (...how: string[]) => coffer(['keys', 'rotate', ...how, '-s', one.server.socket]);
    expect((await rotate('--root')).code).toBe(0);
    const warnings = [expect.stringContaining('another instance has changed the root key')];
    await expect.poll(seen).toEqual({ warnings, status: [0, true], keys: true, metric: '1' });

    copyFileSync(one.folder.join('root.key'), two.folder.join('root.key'));
    expect((await rotate()).code).toBe(0);
    await expect.poll(seen).toEqual(known);
  });

  it('warn of servers that acknowledge before they sync, where that is allowed', async () => {
    const one = await start('one', { syncAlways: false, allowLazySync: true });
    expect(await readiness(one)).toMatchObject({
      status: 200,
      store: { sync: 'lazy', warnings: [expect.stringContaining('allowLazySync')] },
    });
    expect(one.server.process.output).toContain('acknowledge before they sync (allowLazySync)');
  });
});
