import { afterEach, expect, test } from 'vitest';

import { inspectBucketKey } from '../../packages/engine/src/inspect/bucket-key.js';
import { lookAtBucket } from '../../packages/engine/src/migrate/bucket-look.js';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { BUCKET_FORMAT, encodeMeta } from '../../packages/engine/src/storage/jetstream/notes.js';
import { keyed } from '../../packages/engine/test/sealing.js';
import { createSigner } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { connectTo, newFolder, openStorage, removeFolders } from './jetstream-support.js';
import { moveOptions } from './move-options.mjs';

let cluster: NatsCluster;
afterEach(async () => {
  await cluster?.stop();
  removeFolders();
});

const FORMAT = BUCKET_FORMAT + 1;
const REFUSAL = {
  code: 'newer_format',
  message: `the bucket has format ${FORMAT} and this coffer reads up to ${BUCKET_FORMAT}: use a newer coffer`,
};

test('a bucket that a newer coffer has made its own is refused by who begins, who runs and who only looks', async () => {
  cluster = await NatsCluster.start({ size: 1 });
  const storage = await openStorage(cluster);
  const key = Buffer.from('db');
  const head = { key, bytes: Buffer.from(canary('one')) };
  await storage.commit({ head, expectedRevision: 0 });
  const connection = await connectTo(cluster.urls);
  await connection.request(new Layout('test').meta, asNewer(storage.incarnation));

  await expect.poll(() => storage.shared.health.problem).toMatchObject(REFUSAL);
  expect(storage.shared.alarm).toBeUndefined();
  expect(storage.get(key)?.bytes.toString()).toBe(canary('one'));
  await storage.close();

  await expect(openStorage(cluster)).rejects.toMatchObject(REFUSAL);
  const stateDir = newFolder();
  const rootKey = { kind: 'file', path: 'not looked at' } as const;
  const options = moveOptions({
    stateDir,
    rootKey,
    createSigner,
    connect: () => connectTo(cluster.urls),
    bucket: 'test',
  });
  await expect(lookAtBucket(options, async () => undefined)).rejects.toMatchObject(REFUSAL);
  const look = inspectBucketKey(options.jetstream, rootKey, { stateDir, development: false });
  await expect(look).rejects.toMatchObject(REFUSAL);
  await connection.close();
});

/** As an instance of the same store would seal it, were it newer. */
function asNewer(incarnation: Uint8Array): Uint8Array {
  const store = Buffer.from(incarnation).toString('hex');
  const said = `coffer-epoch-v1\0${JSON.stringify(['KV_test', store, 1, FORMAT])}`;
  const seal = keyed('a')(Buffer.from(said)).toString('hex');
  return encodeMeta({ format: FORMAT, incarnation, epoch: 1, seal });
}
