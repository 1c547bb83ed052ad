import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, describe, expect, test } from 'vitest';

import type { CofferError } from '../../packages/engine/src/errors.js';
import type { JetStreamStorage } from '../../packages/engine/src/storage/jetstream/storage.js';
import { NatsCluster } from '../support/cluster.mjs';
import { Process, TemporaryFolder } from '../support/processes.mjs';
import { peer } from '../support/servers.mjs';
import {
  ADMITTING,
  connectTo,
  newFolder,
  type OpenOptions,
  openStorage,
  removeFolders,
  summariser,
} from './jetstream-support.js';

const key = (text: string) => Buffer.from(text);
const value = (text: string) => Buffer.from(text);

let cluster: NatsCluster;
let opened: JetStreamStorage[] = [];

afterEach(async () => {
  await Promise.all(opened.map((storage) => storage.close()));
  opened = [];
  await cluster?.stop();
  removeFolders();
});

async function open(options: OpenOptions = {}): Promise<JetStreamStorage> {
  const storage = await openStorage(cluster, options);
  opened.push(storage);
  return storage;
}

const set = (storage: JetStreamStorage, at: string, bytes: string, expectedRevision: number) =>
  storage.commit({ head: { key: key(at), bytes: value(bytes) }, expectedRevision });

const read = (storage: JetStreamStorage, at: string) => {
  const record = storage.get(key(at));
  return record && Buffer.from(record.bytes).toString();
};

const outcomeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    (error: CofferError) => error.code,
  );

const writes = (storage: JetStreamStorage, at = `probe-${Math.random()}`) =>
  outcomeOf(set(storage, at, 'x', 0));

describe('when a commit gets no answer', () => {
  test('it is found out that it came true, and it is not made twice', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const gate = await cluster.gate('a');
    const [storage, other] = [await open({ urls: gate.urls }), await open()];
    const revision = await set(storage, 'a', '1', 0);
    gate.cut(undefined, 'back');
    const asked = set(storage, 'a', '2', revision);
    // Another has it, so it came true; only the answer did not come.
    await expect.poll(() => read(other, 'a')).toBe('2');
    const mine = other.get(key('a'))?.revision ?? 0;
    const later = await set(other, 'a', '3', mine);
    // What is on its way is lost with the connection.
    gate.break();
    gate.mend();
    expect(await asked).toBe(mine);
    await expect.poll(() => storage.get(key('a'))?.revision).toBe(later);
    expect(storage.shared.health.inDoubt).toBe(0);
  });

  test('it is found out that another was first', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const gate = await cluster.gate('a');
    const [storage, other] = [await open({ urls: gate.urls }), await open()];
    const revision = await set(storage, 'a', '1', 0);
    await other.shared.reached(storage.shared.position);
    gate.cut(undefined, 'there');
    const asked = outcomeOf(set(storage, 'a', 'late', revision));
    await set(other, 'a', '2', revision);
    gate.break();
    gate.mend();
    expect(await asked).toBe('conflict');
    expect(read(storage, 'a')).toBe('2');
  });

  test('of each commit that met a killed server is known what became of it, or that it is not known', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const storage = await open();
    const acknowledged = new Map<string, number>();
    const refused: string[] = [];
    const doubtful: string[] = [];
    let stop = false;
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let round = 0; !stop; round++) {
        const at = `w${writer}-${round}`;
        await set(storage, at, at, 0).then(
          (revision) => acknowledged.set(at, revision),
          (error: CofferError) => {
            expect(['unavailable', 'in_doubt']).toContain(error.code);
            (error.code === 'in_doubt' ? doubtful : refused).push(at);
            return new Promise((resolve) => setTimeout(resolve, 20));
          },
        );
      }
    });
    const [server] = cluster.servers;
    for (let kill = 0; kill < 3; kill++) {
      const before = acknowledged.size;
      await expect.poll(() => acknowledged.size).toBeGreaterThan(before + 20);
      await server?.kill();
      await server?.start();
    }
    const before = acknowledged.size;
    await expect.poll(() => acknowledged.size).toBeGreaterThan(before + 20);
    stop = true;
    await Promise.all(writers);
    expect(storage.shared.health.inDoubt > 0).toBe(doubtful.length > 0);

    // A new instance sees what the stream has.
    const fresh = await open();
    for (const [at, revision] of acknowledged) {
      expect([at, read(fresh, at), fresh.get(key(at))?.revision]).toEqual([at, at, revision]);
    }
    for (const at of refused) expect([at, read(fresh, at)]).toEqual([at, undefined]);
  });
});

describe('when JetStream is away', () => {
  test('commits are refused at once, reads go on, and all comes back by itself', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const storage = await open();
    await set(storage, 'a', '1', 0);
    await cluster.servers[0]?.kill();
    await expect.poll(() => storage.shared.health.connected).toBe(false);
    const begun = performance.now();
    expect(await writes(storage)).toBe('unavailable');
    expect(performance.now() - begun).toBeLessThan(200);
    expect(read(storage, 'a')).toBe('1');
    await cluster.servers[0]?.start();
    await expect.poll(() => writes(storage)).toBe('done');
  });

  test('an instance opens with the replica that it has, and takes over the rest later', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const folder = newFolder();
    const first = await openStorage(cluster, { folder });
    first.summarise(summariser);
    await set(first, 'a', '1', 0);
    await first.close();
    const other = await open();
    await set(other, 'b', '2', 0);
    await cluster.servers[0]?.kill();
    const storage = await open({ folder, follow: false });
    storage.summarise(summariser);
    storage.shared.follow(ADMITTING);
    expect([read(storage, 'a'), read(storage, 'b')]).toEqual(['1', undefined]);
    expect(() => storage.shared.freshness.require(storage.shared.freshness.mark())).toThrow();
    await cluster.servers[0]?.start();
    await expect.poll(() => read(storage, 'b')).toBe('2');
    await expect.poll(() => writes(storage)).toBe('done');
  });

  test('an instance without a replica does not start', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    await cluster.servers[0]?.kill();
    expect(await outcomeOf(open())).toBe('unavailable');
  });

  test('a stream without a leader refuses at once, and takes commits again when it has one', async () => {
    cluster = await NatsCluster.start({ size: 3 });
    const storage = await open();
    expect(await writes(storage)).toBe('done');
    for (const server of cluster.servers) cluster.isolate(server);
    await expect.poll(() => storage.shared.health.problem?.code, { timeout: 15_000 }).toBe('unavailable');
    const begun = performance.now();
    expect(await Promise.all(Array.from({ length: 5 }, () => writes(storage)))).toEqual(
      Array.from({ length: 5 }, () => 'unavailable'),
    );
    expect(performance.now() - begun).toBeLessThan(200);
    cluster.mend();
    await expect.poll(() => writes(storage), { timeout: 30_000 }).toBe('done');
  });

  test('an instance leaves a server that is paused, and one that is cut off from the others', async () => {
    cluster = await NatsCluster.start({ size: 3 });
    const gate = await cluster.gate('a');
    const storage = await open({ urls: gate.urls });
    expect(await writes(storage)).toBe('done');
    for (const fault of ['pause', 'isolate'] as const) {
      await cluster.settled('KV_test');
      const at = gate.links.findIndex(({ connections }) => connections > 0);
      const server = cluster.servers[at];
      if (!server) throw new Error('the instance has no connection');
      if (fault === 'pause') server.pause();
      else cluster.isolate(server);
      await expect.poll(() => storage.shared.freshness.age(), { timeout: 20_000 }).toBeGreaterThan(1_500);
      await expect.poll(() => writes(storage), { timeout: 30_000 }).toBe('done');
      expect(gate.links[at]?.connections).toBe(0);
      await cluster.resume();
    }
  });
});

describe('a bucket that cannot be the store', () => {
  const messages = async () => {
    const connection = await cluster.connect();
    const answer = await connection.request('$JS.API.STREAM.INFO.KV_test', '{"subjects_filter":">"}');
    return answer.json<{ state: { messages: number; last_seq: number }; config: object }>();
  };
  const make = async (config: object) => {
    const connection = await cluster.connect();
    const body = { name: 'KV_test', subjects: ['$KV.test.>'], storage: 'file', ...config };
    const answer = await connection.request('$JS.API.STREAM.CREATE.KV_test', JSON.stringify(body));
    expect(answer.json<{ error?: object }>().error).toBeUndefined();
    return connection;
  };
  const fit = {
    max_msgs_per_subject: 1,
    discard: 'new',
    deny_delete: true,
    allow_rollup_hdrs: true,
    allow_atomic: true,
  };

  test("is one with somebody else's data, which stays as it is", async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const connection = await make(fit);
    await connection.request('$KV.test.theirs', 'theirs');
    const before = await messages();
    await expect(open()).rejects.toThrow('holds what coffer has not written');
    expect(await messages()).toMatchObject({
      state: { last_seq: before.state.last_seq },
      config: before.config,
    });
  });

  test('is one whose settings would lose records, and the message names each', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    await make({ max_msgs_per_subject: 1, discard: 'old', allow_direct: true, max_age: 60_000_000_000 });
    const before = await messages();
    const failure: CofferError = await open().then(
      () => expect.unreachable(),
      (error) => error,
    );
    expect(failure.code).toBe('unfit_store');
    for (const name of ['discard', 'allow_direct', 'allow_atomic', 'deny_delete', 'max_age']) {
      expect(failure.message).toContain(name);
    }
    expect(await messages()).toMatchObject({ state: { last_seq: 0 }, config: before.config });
  });

  test('is one that is empty and has the right settings: that is taken, and one message removes no others there', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    await make({ ...fit, max_bytes: 10_000_000 });
    expect(await writes(await open())).toBe('done');
    expect((await messages()).config).toMatchObject({ allow_rollup_hdrs: false, max_bytes: 10_000_000 });
  });

  test('is one on servers that sync now and then, unless that is allowed', async () => {
    cluster = await NatsCluster.start({ size: 1, sync: '2m' });
    const connectSystem = () => cluster.connectSystem();
    await expect(open({ connectSystem, syncAlways: false })).rejects.toMatchObject({ code: 'unfit_store' });
    // What the servers say counts for more than what the operator does.
    await expect(open({ connectSystem })).rejects.toThrow('sync_interval: always');
    const storage = await open({ connectSystem, allowLazySync: true });
    expect(storage.shared.health.sync).toBe('lazy');
    expect(await writes(storage)).toBe('done');
  });

  test('is one of which a single server of three syncs now and then', async () => {
    cluster = await NatsCluster.start({ size: 3, sync: ['always', 'always', '2m'] });
    const connectSystem = () => cluster.connectSystem();
    await expect(open({ connectSystem })).rejects.toThrow(/^n3 would lose/);
  });

  test('is one of which nobody says whether it is synced', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    await expect(open({ syncAlways: false })).rejects.toMatchObject({ code: 'unfit_store' });
    const connectSystem = () => cluster.connectSystem();
    const storage = await open({ syncAlways: false, connectSystem });
    expect(storage.shared.health.sync).toBe('always');
  });

  test('is one whose servers are asked by somebody who may not ask, or cannot be asked', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const connectSystem = () => cluster.connect();
    await expect(open({ connectSystem })).rejects.toThrow('system account');
    const away = () => connectTo(['nats://127.0.0.1:1']);
    await expect(open({ connectSystem: away })).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('is none on a nats-server that is too old, and nothing is made there', async () => {
    const folder = new TemporaryFolder();
    const old = new Process(peer('nats-server-old'), [
      '-js',
      '-sd',
      folder.path,
      '-a',
      '127.0.0.1',
      '-p',
      '-1',
    ]);
    try {
      const [, port] = await old.waitFor(/Listening for client connections on 127\.0\.0\.1:(\d+)/);
      await old.waitFor(/Server is ready/);
      const url = `nats://127.0.0.1:${port}`;
      await expect(openStorage({ urls: [url] })).rejects.toMatchObject({
        code: 'unfit_store',
        message: expect.stringContaining('nats-server 2.9.'),
      });
      const connection = await connectTo([url]);
      const answer = await connection.request('$JS.API.STREAM.NAMES');
      expect(answer.json()).toMatchObject({ total: 0 });
      await connection.close();
    } finally {
      await old.stop();
      folder[Symbol.dispose]();
    }
  });
});

describe('a bucket that was taken away', () => {
  test('is not made again: all writing stops, and what was read stays readable', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const folder = newFolder();
    const storage = await openStorage(cluster, { folder });
    storage.summarise(summariser);
    await set(storage, 'a', '1', 0);
    const connection = await cluster.connect();
    await connection.request('$JS.API.STREAM.DELETE.KV_test');
    await expect.poll(() => storage.shared.alarm?.kind).toBe('gone');
    expect(await writes(storage)).toBe('store_alarm');
    expect(read(storage, 'a')).toBe('1');
    await storage.close();
    const again = await open({ folder });
    expect(await writes(again)).toBe('store_alarm');
    const info = await connection.request('$JS.API.STREAM.INFO.KV_test');
    expect(info.json<{ error?: { err_code: number } }>().error?.err_code).toBe(10059);
  });
});

describe('a bucket that is full', () => {
  test('refuses what does not fit, goes on being read, takes removals, and then has room again', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const storage = await open({ maxBytes: 8 * 1024 * 1024 });
    const revisions: number[] = [];
    const put = (n: number) =>
      storage.commit({
        head: { key: key(`h${n}`), bytes: value('x') },
        expectedRevision: 0,
        put: [{ key: key(`v${n}`), bytes: Buffer.alloc(500_000) }],
      });
    let outcome = 'done';
    while (outcome === 'done' && revisions.length < 30) {
      outcome = await outcomeOf(put(revisions.length).then((revision) => revisions.push(revision)));
    }
    expect(outcome).toBe('storage_full');
    expect(revisions.length).toBeGreaterThan(8);
    // The beats go on, so that what is read is fresh.
    const { freshness } = storage.shared;
    const mark = freshness.mark();
    await expect.poll(() => freshness.mark()).toBeGreaterThan(mark);
    for (const n of [0, 1, 2]) {
      await storage.commit({
        head: { key: key(`h${n}`), bytes: undefined },
        expectedRevision: revisions[n] ?? 0,
        remove: [key(`v${n}`)],
      });
    }
    await expect.poll(() => outcomeOf(put(100))).toBe('done');
  });

  test('one that others have filled refuses as well', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const storage = await open({ maxBytes: 4 * 1024 * 1024 });
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        outcomeOf(
          storage.commit({
            head: { key: key(`h${n}`), bytes: value('x') },
            expectedRevision: 0,
            put: [{ key: key(`v${n}`), bytes: Buffer.alloc(400_000) }],
          }),
        ),
      ),
    );
    expect(new Set(outcomes)).toEqual(new Set(['done', 'storage_full']));
  });
});

describe('placement', () => {
  test('a bucket is made on servers with the tags, or not at all', async () => {
    cluster = await NatsCluster.start({ size: 3, config: 'server_tags: [ssd]' });
    await expect(open({ placementTags: ['tape'] })).rejects.toMatchObject({ code: 'unfit_store' });
    expect(await writes(await open({ placementTags: ['ssd'] }))).toBe('done');
  });
});

describe('the number of replicas', () => {
  test('is changed while all goes on', async () => {
    cluster = await NatsCluster.start({ size: 3 });
    const storage = await open({ replicas: 1 });
    expect(await writes(storage)).toBe('done');
    expect((await storage.shared.status()).replicas).toBe(1);
    await storage.shared.setReplicas(3);
    await expect
      .poll(async () => (await storage.shared.status()).servers.filter(({ current }) => current).length, {
        timeout: 30_000,
      })
      .toBe(3);
    await expect.poll(() => writes(storage)).toBe('done');
    await expect(storage.shared.setReplicas(5)).rejects.toMatchObject({ code: 'unfit_store' });
  });
});

describe('a bucket that the configuration names wrongly', () => {
  test('is refused where a replica of another one is, and nothing is made nor remembered of it', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const folder = newFolder();
    const storage = await openStorage(cluster, { folder });
    const revision = await set(storage, 'a', '1', 0);
    await storage.close();
    await expect(open({ folder, bucket: 'tset' })).rejects.toMatchObject({
      code: 'unfit_store',
      message: expect.stringContaining('correct storage.bucket'),
    });
    expect(await streams()).toEqual(['KV_test']);
    const again = await open({ folder });
    await set(again, 'a', '2', revision);
    expect(again.shared.alarm).toBeUndefined();
  });

  test('of which nothing was read yet, binds the folder to nothing', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const folder = newFolder();
    await expect(open({ folder, bucket: 'tset', connect: refused })).rejects.toMatchObject({
      code: 'unavailable',
    });
    // For who looks at the folder there is no store whose root key could be missing.
    expect(existsSync(join(folder, 'data.mdb'))).toBe(false);
    await open({ folder });
    expect(await streams()).toEqual(['KV_test']);
  });
});

test('a position of a bucket that was made anew is not waited for by who reads another, and the other way round', async () => {
  cluster = await NatsCluster.start({ size: 1 });
  const [former, later] = [await open({ bucket: 'former' }), await open({ bucket: 'later' })];
  for (const at of ['a', 'b', 'c']) await set(former, at, '1', 0);
  await later.shared.reached(former.shared.position);
  const ahead = later.shared.position.replace(/\d+$/, '99999');
  expect(await outcomeOf(Promise.resolve(later.shared.reached(ahead)))).toBe('stale');
});

const refused = () => Promise.reject(new Error('refused'));

async function streams(): Promise<string[]> {
  const connection = await connectTo(cluster.urls);
  try {
    const manager = await jetstreamManager(connection);
    return (await manager.streams.names().next()).sort();
  } finally {
    await connection.close();
  }
}
