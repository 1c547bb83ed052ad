import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, expect, it } from 'vitest';

import { NatsCluster } from '../support/cluster.mjs';
import { CofferInstance } from '../support/instances.mjs';
import { coffer } from '../support/servers.mjs';

const WAIT = { timeout: 60_000 };

let cluster: NatsCluster;
const instances: CofferInstance[] = [];
afterEach(async () => {
  for (const instance of instances.splice(0)) await instance[Symbol.asyncDispose]();
  await cluster?.stop();
});

it('tells during an alarm who is there, however old the replica becomes, and says of a member that is forgotten what that gives up', async () => {
  cluster = await NatsCluster.start({ size: 3 });
  const one = await CofferInstance.prepare({ cluster, name: 'one', direct: true });
  instances.push(one);
  await one.start();
  const two = await CofferInstance.prepare({ cluster, name: 'two', like: one, direct: true });
  instances.push(two);
  await two.start();
  const run = async (...args: string[]) =>
    String((await coffer(['storage', ...args, '-s', one.server.socket])).stdout);
  const shared = async () => JSON.parse(await run('status', '--json')).shared;
  await expect.poll(async () => (await shared()).members.length, WAIT).toBe(2);
  const nats = await cluster.connect();
  await nats.request(`$KV.coffer.r.${Buffer.from('sz').toString('base64url')}`, 'x');
  await expect.poll(async () => (await shared()).replicaAgeMs, WAIT).toBeGreaterThan(10_000);
  const stdout = await run('status');
  expect(stdout).toContain('Alarm (damaged)');
  expect(stdout).toMatch(/ two .* alive$/m);

  await two.kill();
  await expect.poll(() => run('status'), WAIT).toMatch(/ two .* away$/m);
  const id = '\\([0-9a-f]{16}\\)';
  expect(await run('heal', '--dry-run')).toMatch(
    new RegExp(
      `^Alarm \\(damaged\\), raised by one ${id} at .*\nCompared the replicas of one ${id}\\.\nNot there, .*: two ${id}\\.\n[^]*` +
        '\nWithout --dry-run this would be refused: not all members answer, .* --without [0-9a-f]{16}$',
      'm',
    ),
  );
  expect(await run('forget', 'two')).toMatch(
    /^The member two \([0-9a-f]{16}\) is forgotten\. There is an alarm: what only this member has is not brought back by the heal\.$/m,
  );
  await (await jetstreamManager(nats)).streams.delete('KV_coffer');
  await expect.poll(() => run('status'), WAIT).toContain('of a size that its servers do not say');
}, 180_000);
