import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DamagedStore } from './damaged-store.js';

let store: DamagedStore;
beforeAll(async () => {
  store = await DamagedStore.start();
});
beforeEach(() => store.known.untilWritable());
afterAll(() => store?.[Symbol.asyncDispose]());

describe('all servers set back to a copy', () => {
  it('is noticed, stops all writing, and a heal brings back what the instances have', async () => {
    const { known } = store;
    await known.put(10);
    await store.powerCut(async () => {
      await known.put(10);
      await known.remove();
    });
    await store.expectAlarm();
    await store.heal();
    await store.expectWhole();
  });

  it('is noticed by instances that were all stopped meanwhile', async () => {
    const { known, deployment } = store;
    await known.put(10);
    await store.powerCut(async () => {
      await known.put(10);
      await known.remove();
      for (const instance of deployment.instances) await instance.kill();
    });
    for (const instance of deployment.instances) await instance.start();
    await store.expectAlarm();
    await store.heal();
    await store.expectWhole();
  });

  // The last, since the one that lost its disk comes back as another member.
  it('is noticed together with the loss of one instance’s disk, too', async () => {
    const { known, deployment } = store;
    await known.put(10);
    const lost = deployment.instance('b');
    await store.powerCut(async () => {
      await known.put(10);
      await known.remove();
      await lost.kill();
      lost.wipe({ audit: true });
    });
    await lost.start();
    await store.expectAlarm();
    // Who had that disk is a member still.
    await expect(deployment.admin('a', 'storage', 'heal')).rejects.toThrow('coffer storage heal --without');
    await store.heal('--without', 'b');
    await store.expectWhole();
  });
});
