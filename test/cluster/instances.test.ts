import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { admin, bytes, codeOf, text, token } from '../../packages/engine/test/support.js';
import { NatsCluster } from '../support/cluster.mjs';
import { Engines } from './engines.js';

let cluster: NatsCluster;

beforeAll(async () => {
  cluster = await NatsCluster.start({ size: 3, auth: 'open' });
});

afterAll(async () => {
  await cluster?.stop();
});

let buckets = 0;
const newEngines = () => new Engines(cluster, `instances-${++buckets}`);

/** What `ask` answers when it is no more refused as too old. */
async function fresh<T>(ask: () => Promise<T>): Promise<T> {
  let answer: { value: T } | undefined;
  await expect
    .poll(async () => {
      answer = await ask().then(
        (value) => ({ value }),
        (error: { code: string }) => {
          if (error.code !== 'stale') throw error;
          return undefined;
        },
      );
      return answer !== undefined;
    })
    .toBe(true);
  return (answer as { value: T }).value;
}

describe('engines on one bucket', () => {
  it('read what any of them has written', { timeout: 60_000 }, async () => {
    const engines = newEngines();
    const [a, b, c] = [await engines.open('a'), await engines.open('b'), await engines.open('c')];
    await fresh(() => a.engine.put(admin, 'db', bytes('one')));
    await expect.poll(() => b.engine.get(admin, 'db').then(({ value }) => text(value), String)).toBe('one');
    await a.engine.applyPolicy(admin, [{ to: ['token:reader'], actions: ['get'], secrets: ['*'] }]);
    await expect
      .poll(() => c.engine.get(token('reader'), 'db').then(({ value }) => text(value), String))
      .toBe('one');
    expect(await codeOf(fresh(() => c.engine.get(token('other'), 'db')))).toBe('access_denied');
    const made = await Promise.all(
      Array.from({ length: 30 }, (_, index) =>
        [a, b, c][index % 3]?.engine.put(admin, 'hot', bytes(`value ${index}`)),
      ),
    );
    expect(new Set(made).size).toBe(30);
    expect([a, b, c].flatMap(({ fatal }) => fatal)).toEqual([]);
  });
});
