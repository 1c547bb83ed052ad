import { afterEach, expect, test } from 'vitest';

import { admin, bytes, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Engines } from './engines.js';
import { connectTo } from './jetstream-support.js';

const WAIT = { timeout: 20_000 };
const clusters: NatsCluster[] = [];

afterEach(async () => {
  for (const cluster of clusters.splice(0)) await cluster.stop();
});

async function servers(): Promise<NatsCluster> {
  const cluster = await NatsCluster.start({ size: 1 });
  clusters.push(cluster);
  return cluster;
}

test.each(['without such a bucket', 'with another store in a bucket of that name'])(
  'an instance that was led to other servers %s, and back, goes on, and no other hears an alarm',
  async (which) => {
    const cluster = await servers();
    const wrong = await servers();
    const engines = new Engines(cluster, 'coffer');
    const a = await engines.open('a');
    const b = await engines.open('b');
    await expect
      .poll(() => a.engine.put(admin, 's', bytes(canary('1'))).catch(() => undefined), WAIT)
      .toBeDefined();
    await b.engine.close();
    const other = which.startsWith('with another') ? await new Engines(wrong, 'coffer').open('c') : undefined;

    const slip = await engines.open('b', { connect: () => connectTo(wrong.urls) });
    await expect.poll(() => slip.engine.sharedHealth?.alarm?.kind, WAIT).toMatch(/gone|recreated/);
    await slip.engine.close();
    expect(other?.engine.sharedHealth?.alarm).toBeUndefined();
    await a.engine.put(admin, 's2', bytes(canary('2')));

    const right = await engines.open('b');
    await expect.poll(() => right.engine.sharedHealth?.alarm, WAIT).toBeUndefined();
    const read = (name: string) => () =>
      right.engine.get(admin, name).then(
        ({ value }) => text(value),
        () => undefined,
      );
    await expect.poll(read('s2'), WAIT).toBe(canary('2'));
    await a.engine.put(admin, 's3', bytes(canary('3')));
    await expect.poll(read('s3'), WAIT).toBe(canary('3'));
    expect(a.engine.sharedHealth?.alarm).toBeUndefined();
    await other?.engine.put(admin, 's', bytes(canary('other')));
  },
);
