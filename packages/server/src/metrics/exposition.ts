import { setTimeout as delay } from 'node:timers/promises';
import type { Metric, Registry } from 'prom-client';
import type { Family } from './family.js';

const FIRST_LOOK_MS = 50;

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/**
 * Prometheus's text format: what is given, and what prom-client knows of the process (`process_…`, `nodejs_…`).
 *
 * Nothing of that is loaded or measured until somebody asks for the first time.
 */
export class Exposition {
  #ofProcess: Promise<Registry> | undefined;

  async render(families: readonly Family[]): Promise<string> {
    const { Registry } = await import('prom-client');
    const registry = new Registry();
    for (const family of families) {
      if (family.values.length === 0) continue;
      // A registry asks its metrics for a name and for their values, and for nothing else.
      const metric = { name: family.name, get: async () => family };
      registry.registerMetric(metric as unknown as Metric);
    }
    this.#ofProcess ??= observeProcess();
    return `${await registry.metrics()}\n${await (await this.#ofProcess).metrics()}`;
  }
}

async function observeProcess(): Promise<Registry> {
  const { collectDefaultMetrics, Registry } = await import('prom-client');
  const register = new Registry();
  collectDefaultMetrics({ register });
  // Else the first answer would tell of an event loop that nobody has looked at yet.
  await delay(FIRST_LOOK_MS);
  return register;
}
