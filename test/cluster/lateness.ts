import { setTimeout as wait } from 'node:timers/promises';
import { type Deployment, readiness } from './deployment.js';

const EVERY_MS = 200;

/** Looks at every instance how old its replica is, so that a test can say when one was late. */
export class Lateness {
  readonly #deployment: Deployment;
  readonly #since = performance.now();
  readonly #late: string[] = [];
  readonly #boundSeconds: number;
  readonly #looking: Promise<void>[];
  #oldest = { name: '', age: 0, at: 0 };
  #stopped = false;

  constructor(deployment: Deployment, boundSeconds: number) {
    this.#deployment = deployment;
    this.#boundSeconds = boundSeconds;
    this.#looking = deployment.instances.map(({ name }) => this.#look(name));
  }

  /** @returns when an instance was older than the bound, or did not say */
  get late(): readonly string[] {
    return this.#late;
  }

  async stop(): Promise<string> {
    this.#stopped = true;
    await Promise.all(this.#looking);
    const { name, age, at } = this.#oldest;
    return `the oldest replica ${age.toFixed(1)} s, at ${name} after ${at.toFixed(0)} s`;
  }

  async #look(name: string): Promise<void> {
    while (!this.#stopped) {
      const age = await this.#ageOf(name);
      const at = (performance.now() - this.#since) / 1_000;
      if (age === undefined || age > this.#boundSeconds)
        this.#late.push(`${name} ${age ?? 'says nothing'} at ${at.toFixed(1)}`);
      if (age !== undefined && age > this.#oldest.age) this.#oldest = { name, age, at };
      await wait(EVERY_MS);
    }
  }

  async #ageOf(name: string): Promise<number | undefined> {
    try {
      const { body } = await readiness(this.#deployment.instance(name));
      return (JSON.parse(body) as { store?: { ageSeconds?: number } }).store?.ageSeconds;
    } catch {
      return undefined;
    }
  }
}
