import { afterAll, beforeAll } from 'vitest';

import { storageSuite } from '../../packages/engine/test/storage-suite.js';
import { NatsCluster } from '../support/cluster.mjs';
import { newFolder, openStorage, removeFolders } from './jetstream-support.js';

let single: NatsCluster;
let three: NatsCluster;

beforeAll(async () => {
  [single, three] = await Promise.all([
    NatsCluster.start({ size: 1, auth: 'open', direct: true }),
    NatsCluster.start({ size: 3, auth: 'open', direct: true }),
  ]);
});

afterAll(async () => {
  await Promise.all([single?.stop(), three?.stop()]);
  removeFolders();
});

let places = 0;
/** A place is a bucket of its own and the folder of the instance that opens it. */
const driver = (cluster: () => NatsCluster) => {
  const buckets = new Map<string, string>();
  return {
    open: (place: string) =>
      openStorage(cluster(), {
        folder: place,
        bucket: buckets.get(place) ?? 'none',
        maxBytes: 64 * 1024 * 1024,
      }),
    async newPlace() {
      const place = newFolder();
      buckets.set(place, `suite-${++places}`);
      return place;
    },
  };
};

storageSuite(
  'JetStreamStorage on one nats-server',
  driver(() => single),
);
storageSuite(
  'JetStreamStorage on three',
  driver(() => three),
);
