/**
 * A backend for wasmCloud that goes away and comes again under load: what hosts see. They are wasmCloud's own client library,
 * which makes a request again that was not answered. Where nobody listens NATS says so at once (no responders); a request that
 * a backend took and did not answer ends in a time-out. So "loses none" is: no time-outs.
 */
import { createKeyPair, encodeWascap } from '@coffer/identity';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { coffer } from '../support/servers.mjs';
import { CofferBackend, newSeeds, secretsNatsKv, WasmcloudClient } from '../support/wasmcloud.mjs';

const IN_FLIGHT = 32;
const ROUNDS = Number(process.env.WASMCLOUD_ROUNDS ?? 4);

const account = createKeyPair('account');
const component = createKeyPair('component');
const host = createKeyPair('server');
const request = {
  key: 'db',
  entity_jwt: encodeWascap({ sub: component.publicKey, wascap: {} }, account),
  host_jwt: encodeWascap({ sub: host.publicKey, wascap: {} }, host),
};

let folder: TemporaryFolder;
let nats: NatsServer;
let client: WasmcloudClient;
const seeds = newSeeds();
const args = ['--trusted-account', account.publicKey, '--allow-open-nats', '--allow-unauthenticated-admin'];
const start = () => CofferBackend.start({ nats, folder, seeds, args });

beforeEach(async () => {
  folder = new TemporaryFolder();
  nats = await NatsServer.start();
  client = new WasmcloudClient(nats.url);
});

afterEach(async () => {
  await client?.[Symbol.asyncDispose]();
  await nats?.stop();
  folder?.[Symbol.dispose]();
});

async function filled(): Promise<CofferBackend> {
  const backend = await start();
  const target = { url: nats.url, transitSeed: seeds.transit };
  await secretsNatsKv(['put', 'db', '--string', canary('db')], target);
  await secretsNatsKv(['add-mapping', component.publicKey, '--secret', 'db'], target);
  expect(await client.get(request)).toHaveProperty('secret.string', canary('db'));
  return backend;
}

const load = () => client.load({ ...request, in_flight: IN_FLIGHT, expect: canary('db') });
/** So many more are served, one after the other. */
const moreServed = () => client.bench({ ...request, count: 100, in_flight: 1 });

describe('a backend under load', () => {
  it('that is drained and started again loses no request', async () => {
    let backend = await filled();
    const running = load();
    for (let round = 0; round < ROUNDS; round++) {
      await moreServed();
      expect(await backend.stop()).toEqual({ code: 0, signal: null });
      backend = await start();
    }
    await moreServed();
    const { answered, others, first_error } = await running.stop();
    await backend.stop();
    const { 'no-responders': again = 0, ...lost } = others;
    expect(lost, String(first_error)).toEqual({});
    // It did go away, and meanwhile everybody waited.
    expect(again).toBeGreaterThan(0);
    expect(answered).toBeGreaterThan(ROUNDS * 100);
  });

  it('that is killed loses those that it held, and each is answered when it is made again', async () => {
    let backend = await filled();
    const running = load();
    for (let round = 0; round < ROUNDS; round++) {
      await moreServed();
      await backend.process.kill();
      backend = await start();
    }
    await moreServed();
    const { answered, others, first_error } = await running.stop();
    const verified = await coffer(['audit', 'verify', '-s', backend.socket]);
    expect(verified.code, verified.stdout.toString()).toBe(0);
    await backend.stop();
    const { 'no-responders': _again, timeout: lost = 0, ...failed } = others;
    expect(failed, String(first_error)).toEqual({});
    expect(lost).toBeLessThanOrEqual(ROUNDS * IN_FLIGHT);
    expect(answered).toBeGreaterThan(ROUNDS * 100);
  });
});

it('A second backend on the same state folder is refused, and the first goes on', async () => {
  const backend = await filled();
  await expect(start()).rejects.toThrow(/is in use by process \d+/);
  expect(await client.get(request)).toHaveProperty('secret.string', canary('db'));
  await backend.stop();
});
