import { expect, test } from 'vitest';

import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { put } from '../../packages/engine/src/storage/jetstream/put.js';
import { admin, bytes, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Engines } from './engines.js';
import { later } from './followers.js';
import { connectTo } from './jetstream-support.js';

const PRINT = '0123456789abcdef';
/** Of which a quarter is kept for what must go through. */
const MAX_BYTES = 4 * 1024 * 1024;

test('a bucket that is full of what was set aside, or of what somebody says was, has room again when that is removed', async () => {
  const cluster = await NatsCluster.start({ size: 1 });
  later(() => cluster.stop());
  const { engine } = await new Engines(cluster, 'full').open('a', { maxBytes: MAX_BYTES });
  await expect.poll(() => engine.sharedHealth?.problem).toBeUndefined();
  await engine.put(admin, 'kept', bytes(canary('kept')));
  expect(await engine.setAside(admin, { remove: true })).toEqual({ records: 0, bytes: 0, removed: true });
  const connection = await connectTo(cluster.urls);
  later(() => connection.close());
  const layout = new Layout('full');
  const piece = Buffer.alloc(500_000);
  const one = (part: number) => layout.fork(Buffer.from('s1'), PRINT, part);
  const other = layout.fork(Buffer.from('s2'), PRINT, 0);
  for (const subject of [one(0), one(1), one(2), one(3), one(4), '$KV.full.f.whatever', other]) {
    expect(await put(connection, subject, piece)).toBeGreaterThan(0);
  }
  const outcome = () =>
    engine.put(admin, 'more', bytes(canary('more'))).then(
      () => 'done',
      ({ code }) => code,
    );
  await expect.poll(outcome).toBe('storage_full');

  const aside = await engine.setAside(admin, { remove: false });
  expect(aside).toMatchObject({ records: 3, removed: false });
  expect(aside.bytes).toBe(7 * piece.length);
  expect(await engine.setAside(admin, { remove: true })).toEqual({ ...aside, removed: true });
  expect(await engine.setAside(admin, { remove: false })).toEqual({ records: 0, bytes: 0, removed: false });
  await expect.poll(outcome).toBe('done');
  expect(text((await engine.get(admin, 'kept')).value)).toBe(canary('kept'));
  expect(engine.sharedHealth?.alarm).toBeUndefined();
});
