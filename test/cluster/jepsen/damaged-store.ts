import { expect } from 'vitest';
import type { ClusterServer } from '../../support/cluster.mjs';
import { Deployment, readiness } from '../deployment.js';
import { KnownSecrets } from '../known-secrets.js';

/** Of the bucket, by default. */
export const STREAM = 'KV_coffer';

/** Three instances on three nats-servers to which something is done, and secrets that must be there afterwards. */
export class DamagedStore implements AsyncDisposable {
  static async start(): Promise<DamagedStore> {
    return new DamagedStore(await Deployment.start({ together: true }));
  }

  readonly deployment: Deployment;
  readonly known: KnownSecrets;
  /** How often an alarm may be healed that comes while secrets are changed: each server may have lost something else. */
  #heals = 3;

  private constructor(deployment: Deployment) {
    this.deployment = deployment;
    this.known = new KnownSecrets(deployment, () => this.#alarmed());
  }

  get servers(): readonly ClusterServer[] {
    return this.deployment.cluster.servers;
  }

  each(act: (server: ClusterServer) => unknown): Promise<unknown[]> {
    return Promise.all(this.servers.map(act));
  }

  /** Kills all servers, sets their folders back to what they were before `changes` was run, and starts them. */
  async powerCut(changes: () => Promise<void>): Promise<void> {
    const { cluster } = this.deployment;
    await cluster.settled(STREAM);
    const copies = await Promise.all(this.servers.map((server) => server.save()));
    await changes();
    await this.each((server) => server.kill());
    for (const [index, server] of this.servers.entries()) {
      const copy = copies[index] as (typeof copies)[number];
      server.putBack(copy);
      copy[Symbol.dispose]();
    }
    await cluster.resume();
  }

  /** All instances know that something is wrong, and nobody writes. */
  async expectAlarm(): Promise<void> {
    for (const { name } of this.deployment.instances) {
      await expect.poll(() => this.#alarmAt(name).catch(() => null), { timeout: 60_000 }).not.toBe(null);
      const client = this.known.client(name);
      const refusal = () =>
        client.put('known/refused', 'x').then(String, ({ code, message }) => `${code}: ${message}`);
      // Whom it cannot know for certain any more it refuses before it looks at what is asked.
      await expect.poll(refusal).toMatch(/^(store_alarm|stale): the store has raised an alarm/);
      client.close();
    }
  }

  /** Shows what it would do first, and does nothing then. @param options of the command */
  async heal(...options: string[]): Promise<void> {
    await this.deployment.admin('a', 'storage', 'heal', '--dry-run');
    expect(await this.#alarmAt('a')).not.toBe(null);
    await this.deployment.admin('a', 'storage', 'heal', ...options);
    for (const { name } of this.deployment.instances) {
      await expect.poll(() => this.#alarmAt(name).catch(() => 'no answer'), { timeout: 60_000 }).toBe(null);
    }
  }

  /**
   * What of it NATS mends by itself need not raise an alarm; what it does not, must, and is healed. The alarm may come late: when a
   * server leads that lost something, and changes are taken already.
   */
  async expectWhole(): Promise<void> {
    const { known } = this;
    this.#heals = this.servers.length;
    await known.untilWritable();
    await known.expectEverywhere();
    await known.put(5);
    await known.expectEverywhere();
  }

  async #alarmed(): Promise<void> {
    expect(this.#heals, 'heals that one damage may take').toBeGreaterThan(0);
    this.#heals--;
    // Who refused may have heard of it first.
    await expect.poll(() => this.#alarmAt('a').catch(() => null), { timeout: 60_000 }).not.toBe(null);
    await this.heal();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.deployment[Symbol.asyncDispose]();
  }

  async #alarmAt(name: string): Promise<unknown> {
    const { body } = await readiness(this.deployment.instance(name));
    return (JSON.parse(body) as { store?: { alarm?: unknown } }).store?.alarm ?? null;
  }
}
