import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, type ExpectStatic, it } from 'vitest';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { Leases } from '../../packages/engine/src/storage/jetstream/leases.js';
import type { Link } from '../../packages/engine/src/storage/jetstream/link.js';
import { parseLease } from '../../packages/engine/src/storage/jetstream/notes.js';
import { Tap } from '../../packages/engine/src/storage/jetstream/tap.js';
import type { Lease } from '../../packages/engine/src/storage/shared.js';
import { NatsServer } from '../support/nats.mjs';

const layout = new Layout('test');
/** Longer than the ten seconds after which others may take a lease that nobody renews. */
const RENEWALS = 7;

let server: NatsServer;
let connection: NatsConnection;
let manager: JetStreamManager;

beforeAll(async () => {
  server = await NatsServer.start();
  connection = await connect({ servers: server.url });
  manager = await jetstreamManager(connection);
  await manager.streams.add({ name: layout.stream, subjects: [layout.all], max_msgs_per_subject: 1 });
});

afterAll(async () => {
  await connection?.close();
  await server?.stop();
});

/** Who takes leases as an instance does, and nothing else. */
class Taker implements AsyncDisposable {
  /** Whose each lease was that it heard of; undefined: it was given up. */
  readonly heard: (string | undefined)[] = [];
  readonly leases: Leases;

  /** It cannot reach the servers. */
  isCutOff = false;

  private constructor(
    readonly instance: string,
    readonly tap: Tap,
    now: () => number,
  ) {
    const reach = () => (this.isCutOff ? undefined : connection);
    const link = {
      get connection() {
        return reach();
      },
    } as Link;
    this.leases = new Leases({ layout, link, instance, age: () => 0, now });
  }

  /** @param now of a clock of its own */
  static async open(work: string, name: string, now = () => performance.now()): Promise<Taker> {
    const filters = [layout.lease(work)];
    const tap = await Tap.open({ connection, manager, stream: layout.stream, filters, from: 1 });
    const taker = new Taker(name.repeat(16), tap, now);
    void taker.#hear(work);
    taker.leases.start();
    return taker;
  }

  /** Tries to take a lease whenever it can, not at the same time as the holder renews it. */
  async insist(work: string, until: () => boolean): Promise<void> {
    while (!until()) {
      this.leases.lease(work).close();
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  async #hear(work: string): Promise<void> {
    for (;;) {
      const drops = await this.tap.next().catch(() => undefined);
      if (!drops) return;
      for (const { data, sequence } of drops) {
        const bytes = data.length > 0 ? data : undefined;
        this.heard.push(bytes && parseLease(bytes).instance);
        this.leases.heard(work, bytes, sequence);
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.tap.close();
    await this.leases.close();
  }
}

describe.concurrent('a lease', () => {
  it('that several take at the same moment is one’s, until each had it', async ({
    expect,
    onTestFinished,
  }) => {
    const names = ['1', '2', '3', '4', '5'];
    const takers = await Promise.all(names.map((name) => Taker.open('raced', name)));
    for (const taker of takers) onTestFinished(() => taker[Symbol.asyncDispose]());
    const wanting = new Set(takers.map(({ leases }) => leases.lease('raced')));
    const atOnce: number[] = [];
    const holders = () => [...wanting].filter(({ held }) => held);
    for (const lease of wanting) lease.onChange(() => atOnce.push(holders().length));
    while (wanting.size > 0) {
      await expect.poll(() => holders().length, { interval: 5 }).toBe(1);
      const [holder] = holders() as [Lease];
      wanting.delete(holder);
      // All others hear of it, and ask.
      holder.close();
    }
    expect(Math.max(...atOnce)).toBe(1);
    await expect
      .poll(() => takers[0]?.heard.filter((instance) => instance !== undefined))
      .toHaveLength(names.length);
    expect(new Set(takers[0]?.heard).size).toBe(names.length + 1);
  });

  /** Two whose clocks go too slow and too fast, and tell nothing of the other's time. */
  async function holderAndOther(work: string, expect: ExpectStatic) {
    const holder = await Taker.open(work, 'a', () => 0.9 * performance.now() - 1e9);
    const lease = holder.leases.lease(work);
    await expect.poll(() => lease.held).toBe(true);
    const other = await Taker.open(work, 'b', () => 1.1 * performance.now() + 1e9);
    const wanted = other.leases.lease(work);
    const changes: string[] = [];
    lease.onChange(() => changes.push('the holder lost it'));
    wanted.onChange(() => changes.push('another took it'));
    return { holder, other, changes };
  }

  it('that is renewed stays its holder’s, whatever the others’ clocks say', async ({ expect }) => {
    const both = await holderAndOther('kept', expect);
    await using holder = both.holder;
    await using other = both.other;
    await other.insist('kept', () => both.changes.length > 0 || other.heard.length > RENEWALS);
    expect(both.changes).toEqual([]);
    expect(new Set(other.heard)).toEqual(new Set([holder.instance]));
  });

  it('that cannot be renewed is given up before another takes it, whatever their clocks say', async ({
    expect,
  }) => {
    const both = await holderAndOther('lost', expect);
    await using holder = both.holder;
    await using other = both.other;
    holder.isCutOff = true;
    await other.insist('lost', () => both.changes.includes('another took it'));
    expect(both.changes).toEqual(['the holder lost it', 'another took it']);
  });

  it('is not taken by one that hears nothing of it, however long ago that was', async ({ expect }) => {
    await using holder = await Taker.open('unheard', 'a');
    const lease = holder.leases.lease('unheard');
    await expect.poll(() => lease.held).toBe(true);
    let ahead = 0;
    await using deaf = await Taker.open('unheard', 'b', () => performance.now() + ahead);
    await expect.poll(() => deaf.heard).toContain(holder.instance);
    deaf.tap.close();
    // The holder renews it, which the other does not hear.
    const heard = holder.heard.length;
    await expect.poll(() => holder.heard.length).toBeGreaterThan(heard);
    ahead = 3_600_000;
    const changes: string[] = [];
    lease.onChange(() => changes.push('the holder lost it'));
    const wanted = deaf.leases.lease('unheard');
    wanted.onChange(() => changes.push('another took it'));
    await expect.poll(() => holder.heard.length).toBeGreaterThan(heard + 2);
    expect([lease.held, wanted.held, changes]).toEqual([true, false, []]);
    expect(new Set(holder.heard)).toEqual(new Set([holder.instance]));
  });

  it('is lost by a process that is paused, which knows so before it does anything else', async ({
    expect,
    onTestFinished,
  }) => {
    const child = fork(fileURLToPath(new URL('lease-holder.mjs', import.meta.url)), [
      server.url,
      'test',
      'paused',
      'a'.repeat(16),
    ]);
    onTestFinished(() => void child.kill('SIGKILL'));
    const said: boolean[] = [];
    child.on('message', ({ held }: { held: boolean }) => said.push(held));
    await expect.poll(() => said.at(-1)).toBe(true);
    await using other = await Taker.open('paused', 'b');
    const lease = other.leases.lease('paused');
    child.kill('SIGSTOP');
    await expect.poll(() => lease.held).toBe(true);
    const before = said.length;
    child.kill('SIGCONT');
    await expect.poll(() => said.length).toBeGreaterThan(before + 100);
    expect(said.slice(before).filter((held) => held)).toEqual([]);
    expect(lease.held).toBe(true);
  });
});
