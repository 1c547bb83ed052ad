import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { flipBits, truncateBlocks } from '../support/block-files.mjs';
import type { ClusterServer } from '../support/cluster.mjs';
import { Deployment, readiness } from './deployment.js';
import { KnownSecrets } from './known-secrets.js';

/** Of the bucket, by default. */
const STREAM = 'KV_coffer';

let deployment: Deployment;
let known: KnownSecrets;
beforeEach(async () => {
  deployment = await Deployment.start();
  known = new KnownSecrets(deployment);
});
afterEach(() => deployment?.[Symbol.asyncDispose]());

const servers = () => deployment.cluster.servers;
const each = (act: (server: ClusterServer) => unknown) => Promise.all(servers().map(act));

/** Kills all servers, sets their folders back to what they were before `changes` was run, and starts them. */
async function powerCut(changes: () => Promise<void>): Promise<void> {
  await deployment.cluster.settled(STREAM);
  const copies = await each((server) => server.save());
  await changes();
  await each((server) => server.kill());
  for (const [index, server] of servers().entries()) {
    const copy = copies[index] as Awaited<ReturnType<ClusterServer['save']>>;
    server.putBack(copy);
    copy[Symbol.dispose]();
  }
  await deployment.cluster.resume();
}

async function alarmAt(name: string): Promise<unknown> {
  const { body } = await readiness(deployment.instance(name));
  return (JSON.parse(body) as { store?: { alarm?: unknown } }).store?.alarm ?? null;
}

/** All instances know that something is wrong, and nobody writes. */
async function expectAlarm(): Promise<void> {
  for (const { name } of deployment.instances) {
    await expect.poll(() => alarmAt(name).catch(() => null), { timeout: 60_000 }).not.toBe(null);
    const client = known.client(name);
    const refused = await client.put('known/refused', 'x').catch(({ code }) => code);
    // Whom it cannot know for certain any more it refuses before it looks at what is asked.
    expect(['store_alarm', 'stale']).toContain(refused);
    client.close();
  }
}

/** Shows what it would do first, and does nothing then. */
async function heal(): Promise<void> {
  await deployment.admin('a', 'storage', 'heal', '--dry-run');
  expect(await alarmAt('a')).not.toBe(null);
  await deployment.admin('a', 'storage', 'heal');
  for (const { name } of deployment.instances) {
    await expect.poll(() => alarmAt(name).catch(() => 'no answer'), { timeout: 60_000 }).toBe(null);
  }
}

/** What of it NATS mends by itself need not raise an alarm; what it does not, must, and is healed. */
async function expectWhole(): Promise<void> {
  const client = known.client('a');
  const taken = () =>
    client.put('known-after/a', `${Math.random()}`).then(
      () => true,
      () => false,
    );
  const decided = async () => (await taken()) || (await alarmAt('a').catch(() => null)) !== null;
  await expect.poll(decided, { timeout: 60_000 }).toBe(true);
  if ((await alarmAt('a')) !== null) await heal();
  client.close();
  await known.expectEverywhere();
  await known.untilWritable();
  await known.put(5);
  await known.expectEverywhere();
}

describe('files of one server of three', () => {
  it.each([
    ['cut short', (folder: string) => truncateBlocks(folder, 2_000)],
    ['with bits turned round', (folder: string) => flipBits(folder, 1_000)],
  ])('%s: nothing that was acknowledged is lost', async (_how, damage) => {
    await known.put(20);
    await known.remove();
    for (const server of [await deployment.cluster.leaderOf(STREAM), servers()[0]]) {
      if (!server) throw new Error('the stream has no leader');
      await deployment.cluster.settled(STREAM);
      await each((other) => other.kill());
      expect(damage(server.messagesOf(STREAM))).toBeGreaterThan(0);
      await deployment.cluster.resume();
      await expectWhole();
    }
  });

  it('deleted: nothing that was acknowledged is lost', async () => {
    await known.put(20);
    await known.remove();
    const leader = await deployment.cluster.leaderOf(STREAM);
    await leader?.kill();
    leader?.wipe();
    await known.untilWritable();
    await known.put(5);
    await deployment.cluster.resume();
    await deployment.cluster.settled(STREAM);
    await expectWhole();
  });
});

describe('all servers set back to a copy', () => {
  it('is noticed, stops all writing, and a heal brings back what the instances have', async () => {
    await known.put(10);
    await powerCut(async () => {
      await known.put(10);
      await known.remove();
    });
    await expectAlarm();
    await heal();
    await expectWhole();
  });

  it('is noticed together with the loss of one instance’s disk, too', async () => {
    await known.put(10);
    const lost = deployment.instance('b');
    await powerCut(async () => {
      await known.put(10);
      await known.remove();
      await lost.kill();
      lost.wipe({ audit: true });
    });
    await lost.start();
    await expectAlarm();
    await heal();
    await expectWhole();
  });

  it('is noticed by instances that were all stopped meanwhile', async () => {
    await known.put(10);
    await powerCut(async () => {
      await known.put(10);
      await known.remove();
      for (const instance of deployment.instances) await instance.kill();
    });
    for (const instance of deployment.instances) await instance.start();
    await expectAlarm();
    await heal();
    await expectWhole();
  });
});

describe('all of JetStream gone', () => {
  it('for a while: writes are refused at once, and all comes back by itself', async () => {
    await known.put(5);
    await each((server) => server.kill());
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
    await known.put(10);
    await known.remove();
    await each((server) => server.kill());
    await each((server) => server.wipe());
    await deployment.cluster.resume();
    await expectAlarm();
    await heal();
    await expectWhole();
  });
});
