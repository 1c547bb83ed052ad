import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { flipBits, truncateBlocks } from '../../support/block-files.mjs';
import { DamagedStore, STREAM } from './damaged-store.js';

let store: DamagedStore;
beforeAll(async () => {
  store = await DamagedStore.start();
});
beforeEach(() => store.known.untilWritable());
afterAll(() => store?.[Symbol.asyncDispose]());

describe('files of one server of three', () => {
  it.each([
    ['cut short', (folder: string) => truncateBlocks(folder, 2_000)],
    ['with bits turned round', (folder: string) => flipBits(folder, 1_000)],
  ])('%s: nothing that was acknowledged is lost', async (_how, damage) => {
    const { known, deployment } = store;
    await known.put(20);
    await known.remove();
    for (const server of [await deployment.cluster.leaderOf(STREAM), store.servers[0]]) {
      if (!server) throw new Error('the stream has no leader');
      await deployment.cluster.settled(STREAM);
      await store.each((other) => other.kill());
      expect(damage(server.messagesOf(STREAM))).toBeGreaterThan(0);
      await deployment.cluster.resume();
      await store.expectWhole();
    }
  });

  it('deleted: nothing that was acknowledged is lost', async () => {
    const { known, deployment } = store;
    await known.put(20);
    await known.remove();
    const leader = await deployment.cluster.leaderOf(STREAM);
    await leader?.kill();
    leader?.wipe();
    await known.untilWritable();
    await known.put(5);
    await deployment.cluster.resume();
    await deployment.cluster.settled(STREAM);
    await store.expectWhole();
  });
});
