import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DamagedStore } from './damaged-store.js';

let store: DamagedStore;
beforeAll(async () => {
  store = await DamagedStore.start();
});
beforeEach(() => store.known.untilWritable());
afterAll(() => store?.[Symbol.asyncDispose]());

describe('all of JetStream gone', () => {
  it('for a while: writes are refused at once, and all comes back by itself', async () => {
    const { known, deployment } = store;
    await known.put(5);
    await store.each((server) => server.kill());
    const client = known.client('a');
    await expect.poll(() => client.put('known-x/a', 'x').catch(({ code }) => code)).toBe('unavailable');
    const asked = performance.now();
    await expect(client.put('known-x/a', 'x')).rejects.toMatchObject({ code: 'unavailable' });
    expect(performance.now() - asked).toBeLessThan(500);
    await expect.poll(() => client.get('known/1').catch(({ code }) => code)).toBe('stale');
    await deployment.resume();
    client.close();
    await known.untilWritable();
    await known.put(5);
    await known.expectEverywhere();
  });

  it('for good: it is noticed, and a heal brings back what the instances have', async () => {
    const { known, deployment } = store;
    await known.put(10);
    await known.remove();
    await store.each((server) => server.kill());
    await store.each((server) => server.wipe());
    await deployment.cluster.resume();
    await store.expectAlarm();
    await store.heal();
    await store.expectWhole();
  });
});
