import { afterEach, expect, it } from 'vitest';
import { NatsCluster } from '../support/cluster.mjs';
import { newFolder, openStorage, removeFolders } from './jetstream-support.js';

/** More than an instance reads one by one. */
const MANY = 6_000;

const key = (name: string) => Buffer.from(name);

let cluster: NatsCluster;
const opened: Awaited<ReturnType<typeof openStorage>>[] = [];
afterEach(async () => {
  for (const storage of opened.splice(0)) await storage.close();
  await cluster?.stop();
  removeFolders();
});

async function open(folder = newFolder()) {
  const storage = await openStorage(cluster, { folder });
  opened.push(storage);
  return storage;
}

it('an instance that was away for thousands of changes, or has no replica, takes over all of them and then what follows', async () => {
  cluster = await NatsCluster.start({ size: 1 });
  const folder = newFolder();
  const away = await openStorage(cluster, { folder });
  await away.close();
  const writer = await open();
  const put = (name: string) =>
    writer.commit({ head: { key: key(name), bytes: Buffer.from(name) }, expectedRevision: 0 });
  await Promise.all(Array.from({ length: MANY }, (_, index) => put(`many ${index}`)));

  const back = await open(folder);
  const anew = await open();
  await put('what follows');
  for (const storage of [back, anew]) {
    const has = (name: string) => storage.get(key(name))?.bytes.toString() === name;
    await expect.poll(() => has('what follows')).toBe(true);
    expect(Array.from({ length: MANY }, (_, index) => has(`many ${index}`)).filter((one) => !one)).toEqual(
      [],
    );
    await expect.poll(() => storage.shared.freshness.age()).toBeLessThan(1_000);
    expect((await storage.shared.status()).health.alarm).toBeUndefined();
  }
});
