import { setTimeout as sleep } from 'node:timers/promises';
import type { ClusterServer } from '../../support/cluster.mjs';
import type { CofferInstance } from '../../support/instances.mjs';
import type { Deployment } from '../deployment.js';

/** When something was broken, by the clock of `performance`. */
export interface Fault {
  readonly what: string;
  readonly start: number;
  readonly end: number;
  /** The only instance that it concerns; undefined: any may have felt it. */
  readonly instance: string | undefined;
}

interface Plan {
  readonly what: string;
  readonly instance?: string;
  readonly break: () => unknown;
  readonly mend: () => unknown;
}

/** Breaks one thing after the other, at random, and mends it again. */
export class Nemesis {
  readonly faults: Fault[] = [];
  readonly #deployment: Deployment;
  readonly #random: () => number;

  /** @param random from 0 to 1, so that a run can be had again as far as it depends on us */
  constructor(deployment: Deployment, random: () => number) {
    this.#deployment = deployment;
    this.#random = random;
  }

  /** Until the time is up, in milliseconds; what is broken by then is mended. */
  async run(forMs: number): Promise<void> {
    const end = performance.now() + forMs;
    while (performance.now() < end) {
      const plan = this.#plan();
      const start = performance.now();
      await plan.break();
      try {
        await sleep(500 + this.#random() * 4_500);
      } finally {
        await plan.mend();
        this.faults.push({ what: plan.what, instance: plan.instance, start, end: performance.now() });
      }
      await sleep(500 + this.#random() * 4_000);
    }
  }

  #plan(): Plan {
    const { cluster, instances } = this.#deployment;
    const plans =
      this.#random() < 0.5
        ? this.#ofServer(this.#some(cluster.servers))
        : this.#ofInstance(this.#some(instances));
    return this.#random() < 0.1 ? this.#some(this.#ofAllServers()) : this.#some(plans);
  }

  #ofServer(server: ClusterServer): Plan[] {
    const { cluster } = this.#deployment;
    const { name } = server;
    const mend = () => cluster.mend();
    return [
      { what: `kill ${name}`, break: () => server.kill(), mend: () => server.start() },
      { what: `stop ${name}`, break: () => server.stop(), mend: () => server.start() },
      { what: `pause ${name}`, break: () => server.pause(), mend: () => server.resume() },
      { what: `cut ${name} from the servers`, break: () => cluster.isolate(server), mend },
      { what: `cut ${name} from all`, break: () => cluster.isolate(server, { clients: true }), mend },
      { what: `cut what ${name} asks`, break: () => cluster.isolate(server, { direction: 'there' }), mend },
    ];
  }

  #ofAllServers(): Plan[] {
    const { cluster } = this.#deployment;
    const each = (act: (server: ClusterServer) => unknown) => () => Promise.all(cluster.servers.map(act));
    const start = each((server) => server.start());
    return [
      { what: 'kill all servers', break: each((server) => server.kill()), mend: start },
      {
        what: 'pause all servers',
        break: each((server) => server.pause()),
        mend: each((server) => server.resume()),
      },
      {
        what: 'cut all servers',
        break: each((server) => cluster.isolate(server)),
        mend: () => cluster.mend(),
      },
      { what: 'slow servers', break: () => cluster.delay(150), mend: () => cluster.mend() },
    ];
  }

  #ofInstance(instance: CofferInstance): Plan[] {
    const { cluster } = this.#deployment;
    const { name, gate } = instance;
    const plan = (what: string, brk: () => unknown, mend: () => unknown = () => gate?.mend()): Plan => ({
      what: `${what} ${name}`,
      instance: name,
      break: brk,
      mend,
    });
    const server = this.#some(cluster.servers);
    return [
      plan(
        'kill',
        () => instance.kill(),
        () => instance.start(),
      ),
      plan(
        'kill',
        () => instance.kill(),
        () => instance.start(),
      ),
      plan(
        'stop',
        () => instance.stop(),
        () => instance.start(),
      ),
      plan(
        'pause',
        () => instance.pause(),
        () => instance.resume(),
      ),
      plan('cut off', () => gate?.cut()),
      plan('cut what asks', () => gate?.cut(undefined, 'there')),
      plan('cut answers to', () => gate?.cut(undefined, 'back')),
      plan(`cut from ${server.name}`, () => gate?.cut(server)),
      plan('break connections of', () => gate?.break()),
      plan('slow', () => gate?.delay(200)),
    ];
  }

  #some<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.#random() * items.length)] as Item;
  }
}
