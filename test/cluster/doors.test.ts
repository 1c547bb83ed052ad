import { createKeyPair, encodeWascap } from '@coffer/identity';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { secretsNatsKv, WasmcloudClient } from '../support/wasmcloud.mjs';
import { Deployment } from './deployment.js';
import { KnownSecrets } from './known-secrets.js';

const IN_FLIGHT = 32;
const ROUNDS = Number(process.env.DOOR_ROUNDS ?? 1);

const account = createKeyPair('account');
const component = createKeyPair('component');
const host = createKeyPair('server');
const request = {
  key: 'db',
  entity_jwt: encodeWascap({ sub: component.publicKey, wascap: {} }, account),
  host_jwt: encodeWascap({ sub: host.publicKey, wascap: {} }, host),
};

/** Where hosts ask; the store is elsewhere. */
let nats: NatsServer;
let deployment: Deployment;
let client: WasmcloudClient;
beforeEach(async () => {
  nats = await NatsServer.start();
  const config = {
    nats: { servers: [nats.url], allowOpen: true },
    trust: { accounts: [account.publicKey] },
    wasmcloud: { allowUnauthenticatedAdmin: true },
  };
  deployment = await Deployment.start({ instances: 2, servers: 1, config });
  client = new WasmcloudClient(nats.url);
  const http = new KnownSecrets(deployment).client('a');
  await http.put('db', canary('db'));
  http.close();
  await secretsNatsKv(['add-mapping', component.publicKey, '--secret', 'db'], { url: nats.url });
  const value = () =>
    client.get(request).then((answer) => ('secret' in answer ? answer.secret.string : answer));
  await expect.poll(value).toBe(canary('db'));
});
afterEach(async () => {
  await client?.[Symbol.asyncDispose]();
  await deployment?.[Symbol.asyncDispose]();
  await nats?.stop();
});

/** So many more are served, one after the other. */
const moreServed = () => client.bench({ ...request, count: 100, in_flight: 1 });

it('of two instances one can be drained at a time, and no host’s request is lost or has to be made again', async () => {
  const running = client.load({ ...request, in_flight: IN_FLIGHT, expect: canary('db') });
  for (let round = 0; round < ROUNDS; round++) {
    for (const instance of deployment.instances) {
      await moreServed();
      await instance.stop();
      await moreServed();
      await instance.start();
      await expect.poll(() => instance.server.process.output).toMatch(/serves|serving/);
    }
  }
  const { answered, others, first_error } = await running.stop();
  expect(others, String(first_error)).toEqual({});
  expect(answered).toBeGreaterThan(ROUNDS * 400);
});

it('of two instances one that is killed loses no request but those that it held, and each is answered when it is made again', async () => {
  const running = client.load({ ...request, in_flight: IN_FLIGHT, expect: canary('db') });
  for (let round = 0; round < ROUNDS; round++) {
    for (const instance of deployment.instances) {
      await moreServed();
      await instance.kill();
      await moreServed();
      await instance.start();
    }
  }
  const { answered, others, first_error } = await running.stop();
  const { timeout: lost = 0, ...failed } = others;
  expect(failed, String(first_error)).toEqual({});
  expect(lost).toBeLessThanOrEqual(ROUNDS * 2 * IN_FLIGHT);
  expect(answered).toBeGreaterThan(ROUNDS * 400);
});
