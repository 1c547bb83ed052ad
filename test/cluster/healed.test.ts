import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, describe, expect, it } from 'vitest';
import { canary } from '../support/canary.mjs';
import { type ClusterServer, NatsCluster } from '../support/cluster.mjs';
import { CofferInstance } from '../support/instances.mjs';
import type { TemporaryFolder } from '../support/processes.mjs';
import { coffer } from '../support/servers.mjs';
import { connectTo } from './jetstream-support.js';

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function start(cluster: NatsCluster, name: string, like?: CofferInstance): Promise<CofferInstance> {
  const instance = await CofferInstance.prepare({ cluster, name, like });
  closing.push(() => instance[Symbol.asyncDispose]());
  await instance.start();
  return instance;
}

/** A command of an administrator's at one instance. */
async function run(instance: CofferInstance, command: string, input?: string) {
  const { code, stdout, stderr } = await coffer([...command.split(' '), '-s', instance.server.socket], {
    ...(input !== undefined && { input }),
  });
  return { code, said: `${stdout}${stderr}` };
}

/** Two instances of a store on one server that can be put back. */
async function pair() {
  const cluster = await NatsCluster.start({ size: 1 });
  closing.push(() => cluster.stop());
  const [server] = cluster.servers as [ClusterServer];
  const one = await start(cluster, 'one');
  const two = await start(cluster, 'two', one);
  return { server, one, two };
}

/** The server's folder as it is now, to be put back. */
async function save(server: ClusterServer): Promise<TemporaryFolder> {
  const copy = await server.save();
  closing.push(() => copy[Symbol.dispose]());
  return copy;
}

/** Until all instances have noticed. */
async function putBack(server: ClusterServer, copy: TemporaryFolder, ...instances: CofferInstance[]) {
  await server.kill();
  server.putBack(copy);
  await server.start();
  for (const instance of instances) {
    await expect
      .poll(() => storeOf(instance), { timeout: 30_000 })
      .toHaveProperty('alarm', expect.any(String));
  }
}

const RAISED =
  /"alarm":"\w+","raisedBy":"[0-9a-f]{16}","at":"[^"]+","reason":"[^"]+","msg":"[^"]+ has raised the alarm, .*storage heal/;

const ALARM = { last_by_subj: '$KV.coffer.alarm' };

const storeOf = async (instance: CofferInstance) => {
  const answer = await fetch(`${instance.url}/readyz`);
  return ((await answer.json()) as { store: { alarm?: string; warnings: string[] } }).store;
};

describe('a store that was put back to an earlier state', () => {
  it('is noticed by all instances, looked at, and healed from what they have, by its administrator', async () => {
    const { server, one, two } = await pair();
    await run(one, 'put deleted', canary('deleted'));
    await run(one, 'put changed', canary('before'));
    const copy = await save(server);
    await run(one, 'put later', canary('later'));
    await run(one, 'put changed --activate', canary('after'));
    const { said } = await run(one, 'delete deleted');
    const [, token = ''] = /use token "([^"]+)"/.exec(said) ?? [];
    expect((await run(one, `delete deleted ${token}`)).code).toBe(0);
    await expect.poll(() => run(two, 'get later')).toEqual({ code: 0, said: canary('later') });
    await expect.poll(async () => (await run(two, 'get deleted')).said).toContain('not found');

    await putBack(server, copy, one, two);
    for (const instance of [one, two]) {
      await expect.poll(() => instance.server.process.output).toMatch(RAISED);
    }
    const status = await run(two, 'storage status');
    expect(status).toMatchObject({
      code: 1,
      said: expect.stringMatching(/^Alarm \(\w+\), raised by \w+ \([0-9a-f]{16}\) at /m),
    });
    expect(await run(one, 'put refused', canary('refused'))).toMatchObject({
      code: 1,
      said: expect.stringContaining('raised an alarm'),
    });
    const wouldBe = await run(one, 'storage heal --dry-run');
    expect(wouldBe).toMatchObject({
      code: 0,
      said: expect.stringMatching(/^\d+ records? and \d+ removals? would be brought back\.$/m),
    });
    expect(await storeOf(one)).toHaveProperty('alarm');

    const healed = await run(one, 'storage heal');
    expect(healed).toMatchObject({ code: 0, said: expect.stringMatching(/ were brought back\.$/m) });
    for (const instance of [one, two]) {
      await expect.poll(() => storeOf(instance), { timeout: 30_000 }).not.toHaveProperty('alarm');
      await expect.poll(() => run(instance, 'get later')).toEqual({ code: 0, said: canary('later') });
      await expect.poll(() => run(instance, 'get changed')).toEqual({ code: 0, said: canary('after') });
      expect((await run(instance, 'get deleted')).said).toContain('not found');
      expect(instance.server.process.output).toContain('the alarm of the store is lifted');
    }
    await expect.poll(() => run(two, 'put again', canary('again'))).toMatchObject({ code: 0 });
    expect(await run(one, 'storage set-aside')).toEqual({ code: 0, said: 'Nothing is set aside.\n' });
    expect(await run(one, 'audit query --action storage-heal')).toMatchObject({
      code: 0,
      said: expect.stringContaining('storage-heal'),
    });
  });

  it('says so when a heal was broken off by the death of its instance, and is healed by another', async () => {
    const { server, one, two } = await pair();
    const copy = await save(server);
    for (const name of ['a', 'b', 'c']) await run(one, `put ${name}`, canary(name));
    await expect.poll(() => run(two, 'get c')).toEqual({ code: 0, said: canary('c') });
    await putBack(server, copy, one, two);
    const nats = await connectTo([server.url]);
    closing.push(() => nats.close());
    const manager = await jetstreamManager(nats, { checkAPI: false });
    const noted = async () => {
      const found = await manager.streams.getMessage('KV_coffer', ALARM);
      return Buffer.from(found?.data ?? []).toString();
    };
    const healing = run(one, 'storage heal');
    // It gathers answers for more than a second then; a command that asks how it is takes as long where much else runs.
    await expect.poll(noted, { timeout: 20_000, interval: 20 }).toContain('"healer"');
    await one.kill();
    expect((await healing).code).not.toBe(0);
    await expect
      .poll(async () => (await run(two, 'storage status')).said, { timeout: 20_000 })
      .toContain('heals the store, or its heal was broken off');

    const { warnings } = await storeOf(two);
    expect(warnings).toContainEqual(expect.stringContaining('coffer storage heal'));
    expect((await run(two, 'put refused', canary('refused'))).code).not.toBe(0);
    await one.start();
    await expect.poll(async () => (await run(one, 'storage status')).said).toContain('heal was broken off');
    expect(await run(two, 'storage heal')).toMatchObject({ code: 0 });
    for (const instance of [one, two]) {
      await expect.poll(() => storeOf(instance), { timeout: 30_000 }).not.toHaveProperty('alarm');
      for (const name of ['a', 'b', 'c']) {
        await expect.poll(() => run(instance, `get ${name}`)).toEqual({ code: 0, said: canary(name) });
      }
      await expect.poll(() => run(instance, 'put a', canary(instance.name))).toMatchObject({ code: 0 });
    }
  });
});
