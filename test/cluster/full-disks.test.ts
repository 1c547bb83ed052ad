import { afterEach, describe, expect, test } from 'vitest';

import type { CofferError } from '../../packages/engine/src/errors.js';
import type { JetStreamStorage } from '../../packages/engine/src/storage/jetstream/storage.js';
import { type ClusterServer, NatsCluster } from '../support/cluster.mjs';
import { SmallDisk } from '../support/small-disk.js';
import { openStorage, removeFolders } from './jetstream-support.js';

const KIB = 1024;
const DISK_KIB = 16 * KIB;
/** Servers promise no more than three quarters of their disk. */
const maxBytes = 8 * KIB * KIB;
const VALUE_BYTES = 300 * KIB;
/** How long an answer takes that waits for nothing, on a machine that has much to do. */
const AT_ONCE_MS = 500;
/** The same of one that makes sure that it is not for a moment only. */
const PATIENCE_MS = 4_000;

afterEach(removeFolders);

/** Changes of one instance, and which were acknowledged. */
class Changes {
  readonly acknowledged = new Map<string, number>();
  #count = 0;

  constructor(readonly storage: JetStreamStorage) {}

  async make(bytes = 100): Promise<{ readonly outcome: string; readonly ms: number }> {
    const name = `${this.#count++}`;
    const begun = performance.now();
    const head = { key: Buffer.from(name), bytes: Buffer.alloc(bytes, `${name} `) };
    const outcome = await this.storage.commit({ head, expectedRevision: 0 }).then(
      () => 'done',
      ({ code, message }: CofferError) => `${code}: ${message}`,
    );
    if (outcome === 'done') this.acknowledged.set(name, bytes);
    return { outcome, ms: performance.now() - begun };
  }

  expectKept(at = this.storage): void {
    for (const [name, bytes] of this.acknowledged) {
      const there = Buffer.from(at.get(Buffer.from(name))?.bytes ?? []);
      expect(there.equals(Buffer.alloc(bytes, `${name} `)), name).toBe(true);
    }
  }
}

/** Gives a server a disk of its own, empty; not for one that has the store's stream. */
async function onSmallDisk(cluster: NatsCluster, server: ClusterServer): Promise<SmallDisk> {
  await server.stop();
  server.wipe();
  const disk = SmallDisk.mount(server.storeDir, DISK_KIB);
  await server.start();
  await cluster.ready();
  return disk;
}

describe('a nats-server whose disk is full', () => {
  test('alone: changes are refused with the reason, nothing that was acknowledged is lost, and it goes on with more room', async () => {
    await using cluster = await NatsCluster.start({ size: 1 });
    const server = cluster.servers[0] as ClusterServer;
    using disk = await onSmallDisk(cluster, server);
    await using storage = await closing(openStorage(cluster, { maxBytes }));
    const changes = new Changes(storage.storage);
    await expect.poll(async () => (await changes.make()).outcome).toBe('done');
    const room = async () => {
      disk.empty();
      // What has failed to write once writes no more.
      await server.stop();
      await server.start();
      await expect.poll(async () => (await changes.make(VALUE_BYTES)).outcome).toBe('done');
    };
    const expectRefusedAtOnce = async () => {
      const { outcome, ms } = await changes.make();
      expect(outcome).toMatch(/^unavailable: /);
      expect(ms).toBeLessThan(AT_ONCE_MS);
    };

    disk.fill();
    const { outcome, ms } = await changes.make();
    expect(outcome).toMatch(/^unavailable: .* as when its disk is full: make room there, and start it again/);
    expect(ms).toBeLessThan(PATIENCE_MS);
    await expectRefusedAtOnce();
    await room();

    // Full in the midst of a change: whether that came true nobody knows, since the server does not answer at all.
    disk.fill(8 * VALUE_BYTES);
    let last = await changes.make(VALUE_BYTES);
    for (; last.outcome === 'done'; last = await changes.make(VALUE_BYTES));
    expect(last.outcome).toMatch(/^(unavailable|in_doubt): /);
    await expectRefusedAtOnce();
    changes.expectKept();
    await room();

    expect(storage.storage.shared.alarm).toBeUndefined();
    // One that has nothing yet finds all of it there.
    await using fresh = await closing(openStorage(cluster, { maxBytes }));
    changes.expectKept(fresh.storage);
  });

  test('of three, the one that leads: the others go on, and it has all when it has room again', async () => {
    await using cluster = await NatsCluster.start({ size: 3, direct: true });
    const server = cluster.servers[1] as ClusterServer;
    using disk = await onSmallDisk(cluster, server);
    await using storage = await closing(openStorage(cluster, { maxBytes }));
    const changes = new Changes(storage.storage);
    await expect.poll(async () => (await changes.make()).outcome).toBe('done');
    const connection = await cluster.connect();
    const stepDown = () =>
      connection.request(
        '$JS.API.STREAM.LEADER.STEPDOWN.KV_test',
        JSON.stringify({ placement: { preferred: server.name } }),
      );
    const itLeads = () =>
      expect
        .poll(async () => {
          const leader = await cluster.leaderOf('KV_test');
          if (leader !== server) await stepDown();
          return leader?.name;
        })
        .toBe(server.name);
    await itLeads();
    await expect.poll(async () => (await changes.make()).outcome).toBe('done');
    disk.fill();
    const refused: string[] = [];
    await expect
      .poll(async () => {
        const { outcome } = await changes.make(VALUE_BYTES);
        if (outcome !== 'done') refused.push(outcome);
        return [outcome, (await cluster.leaderOf('KV_test'))?.name !== server.name];
      })
      .toEqual(['done', true]);
    // While another one is chosen, as when a leader is killed.
    for (const outcome of refused) expect(outcome).toMatch(/^(unavailable|in_doubt): /);
    for (let i = 0; i < 5; i++) expect((await changes.make()).outcome).toBe('done');

    disk.empty();
    await server.stop();
    await server.start();
    await cluster.settled('KV_test');
    expect((await changes.make()).outcome).toBe('done');
    // It leads again, and what it has is what is read.
    await itLeads();
    await using fresh = await closing(openStorage(cluster, { maxBytes }));
    changes.expectKept(fresh.storage);
    expect(storage.storage.shared.alarm).toBeUndefined();
  });
});

async function closing(opening: Promise<JetStreamStorage>) {
  const storage = await opening;
  return { storage, [Symbol.asyncDispose]: () => storage.close() };
}
