import { once } from 'node:events';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { afterEach, describe, expect, it } from 'vitest';

import type { CofferError } from '../../packages/engine/src/errors.js';
import { NatsCluster } from '../support/cluster.mjs';
import { CofferInstance } from '../support/instances.mjs';
import { coffer } from '../support/servers.mjs';
import { openStorage, removeFolders } from './jetstream-support.js';

const MIB = 1024 * 1024;
const WAIT = { timeout: 20_000 };

let cluster: NatsCluster | undefined;
let instance: CofferInstance | undefined;
afterEach(async () => {
  await instance?.[Symbol.asyncDispose]();
  await cluster?.stop();
  removeFolders();
  instance = undefined;
  cluster = undefined;
});

/** Asks an instance as its administrator. */
async function ask(
  { server }: CofferInstance,
  path: string,
  body?: object,
): Promise<{ status: number; body: string }> {
  const asked = request({
    socketPath: join(server.stateDir, 'admin.sock'),
    path,
    method: body ? 'POST' : 'GET',
    headers: { 'Sec-X-Tailscale-No-Browsers': 'setec', 'Content-Type': 'application/json' },
  });
  asked.end(body && JSON.stringify(body));
  const [answer] = await once(asked, 'response');
  return { status: answer.statusCode, body: await text(answer) };
}

const put = (at: CofferInstance, name: string, bytes: number) =>
  ask(at, '/api/put', { Name: name, Value: Buffer.alloc(bytes, name).toString('base64') });

let made = 0;

/** Puts values of that size until one is refused. @returns what it was told */
async function fill(at: CofferInstance, bytes: number): Promise<string> {
  for (;;) {
    const { status, body } = await put(at, `value-${++made}`, bytes);
    if (status === 503) return body;
    expect([status, body]).toEqual([200, expect.anything()]);
  }
}

describe('a bucket that is full', () => {
  it('is told as that, with how full it is and what to do, and before it is; given more it takes changes within a moment', {
    timeout: 120_000,
  }, async () => {
    cluster = await NatsCluster.start({ size: 1 });
    instance = await CofferInstance.prepare({
      cluster,
      name: 'one',
      direct: true,
      storage: { maxBytes: 16 * MIB },
    });
    const one = instance;
    await one.start();
    const status = async () => {
      const { code, stdout } = await coffer(['storage', 'status', '-s', one.server.socket]);
      return { code, stdout: stdout.toString() };
    };
    const metric = async (name: string) =>
      (await ask(one, '/metrics')).body.split('\n').find((line) => line.startsWith(`${name} `));

    // What is left is too little for this one, and not for others. What was stored just now may count double.
    const nearly = async () => {
      expect(await fill(one, 700_000)).toMatch(
        /^the store has no room \(1\d\.\d MiB of 16\.0 MiB are used, the last 1\.0 MiB are kept for .*, this needs 68\d KiB\): delete .*; nothing was changed\n$/,
      );
      return (await ask(one, '/readyz')).body;
    };
    await expect.poll(nearly, WAIT).toMatch(/nearly full \(9\d %\)/);
    expect((await put(one, 'small', 100)).status).toBe(200);
    expect(await status()).toEqual({
      code: 0,
      stdout: expect.stringMatching(/\(9\d %\)[\s\S]*is nearly full: delete/),
    });
    await expect.poll(() => one.server.process.output, WAIT).toMatch(/"level":40.*is nearly full/);
    expect(await metric('coffer_store_writable')).toBe('coffer_store_writable 1');
    expect(await metric('coffer_storage_bucket_max_bytes')).toBe(
      `coffer_storage_bucket_max_bytes ${16 * MIB}`,
    );
    expect(Number((await metric('coffer_storage_bucket_bytes'))?.split(' ')[1])).toBeGreaterThan(14 * MIB);

    // What was stored since the servers were asked last counts double at times.
    const full = async () => {
      for (const size of [100_000, 10_000, 500])
        expect(await fill(one, size)).toMatch(/^the store has no room/);
      return (await ask(one, '/readyz')).body;
    };
    await expect.poll(full, WAIT).toContain('"writable":false');
    const ready = JSON.parse((await ask(one, '/readyz')).body);
    expect([ready.ready, ready.writable, ready.store.warnings]).toEqual([
      true,
      false,
      [
        expect.stringMatching(
          /^the store has no room \(93 %\): changes are refused, but for what makes some; delete/,
        ),
      ],
    ]);
    const refused =
      /^Changes are refused: the bucket coffer in .* has no room \(15\.\d MiB of 16\.0 MiB .*nats stream edit KV_coffer --max-bytes/m;
    expect(await status()).toEqual({ code: 1, stdout: expect.stringMatching(refused) });
    expect(await metric('coffer_store_writable')).toBe('coffer_store_writable 0');
    await expect
      .poll(() => one.server.process.output, WAIT)
      .toMatch(/"level":50.*the store has no room: changes/);
    // What makes room goes through.
    const deleted = async () => await ask(one, '/api/delete', { Name: 'value-1' });
    await expect.poll(deleted, WAIT).toEqual({ status: 200, body: '{}' });

    const nats = await cluster.connect();
    await (await jetstreamManager(nats)).streams.update('KV_coffer', { max_bytes: 32 * MIB });
    await expect.poll(async () => (await put(one, 'more', 600_000)).status, { timeout: 5_000 }).toBe(200);
    expect((await status()).code).toBe(0);
    await expect.poll(() => one.server.process.output, WAIT).toMatch(/"level":30.*has room again/);
  });
});

describe('a NATS account that has reached its limit', () => {
  it('is told as that, and not as a bucket that is full; all goes on when it has room again', {
    timeout: 60_000,
  }, async () => {
    cluster = await NatsCluster.start({
      size: 1,
      // Of two the last one counts.
      config: `accounts: {
        SYS: { users: [{ user: sys, password: sys }] }
        APP: { jetstream: { max_file: ${40 * MIB}, max_mem: 1M }, users: [{ user: app, password: app }] }
      }`,
    });
    const nats = await cluster.connect();
    const manager = await jetstreamManager(nats);
    const storage = await openStorage(cluster, { maxBytes: 16 * MIB });
    try {
      let count = 0;
      const commit = () =>
        storage
          .commit({
            head: { key: Buffer.from(`${count++}`), bytes: Buffer.alloc(1_000, 'x') },
            expectedRevision: 0,
          })
          .then(
            () => 'done',
            ({ code, message, forCaller }: CofferError) => `${code}: ${message}; ${forCaller}`,
          );
      expect(await commit()).toBe('done');
      await manager.streams.add({ name: 'OTHER', subjects: ['other'] });
      const other = jetstream(nats);
      for (const size of [500_000, 1_000]) {
        for (let full = false; !full; ) {
          full = await other.publish('other', Buffer.alloc(size)).then(
            () => false,
            () => true,
          );
        }
      }
      const told =
        /^storage_full: the NATS account of the bucket(?: test)? has reached its limit of storage in JetStream.*: raise that.*; the store has no room, since its NATS account/;
      await expect.poll(commit, WAIT).toMatch(told);
      const { health } = storage.shared;
      expect((health.problem ?? health.room?.problem)?.message).toContain('the NATS account of the bucket');
      // Of this machine's disk nobody says that it is full.
      expect((await storage.facts()).writable).toBe(true);
      await manager.streams.purge('OTHER');
      await expect.poll(commit, WAIT).toBe('done');
      expect(storage.shared.health.room?.problem).toBeUndefined();
    } finally {
      await storage.close();
    }
  });
});
