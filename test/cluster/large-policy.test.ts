import { writeFileSync } from 'node:fs';
import { jetstreamManager } from '@nats-io/jetstream';
import { expect, it } from 'vitest';
import { coffer } from '../support/servers.mjs';
import { Deployment, readiness } from './deployment.js';
import { KnownSecrets } from './known-secrets.js';

const granted = (count: number) =>
  Array.from({ length: count }, (_, n) => ({ to: [`token:t${n}`], actions: ['get'], secrets: [`x/${n}`] }));

it('a large policy comes true at once or not at all, though its instance dies over it', {
  timeout: 120_000,
}, async () => {
  await using deployment = await Deployment.start({ instances: 2, servers: 1 });
  const known = new KnownSecrets(deployment);
  await known.client('b').put('db', 'x');
  const [a, other] = [deployment.instance('a'), deployment.instance('b')];
  const had = JSON.parse(await deployment.admin('a', 'policy', 'show', '--json')).grants;
  const file = a.server.folder.join('p.json');
  const apply = (count: number) => {
    writeFileSync(file, JSON.stringify({ grants: [...had, ...granted(count)] }));
    return coffer(['policy', 'apply', file, '-s', a.server.socket]);
  };
  const countAt = async (name: string): Promise<number> =>
    JSON.parse(await deployment.admin(name, 'policy', 'show', '--json')).grants.length - had.length;

  const refused = await apply(4_000);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr.toString()).toMatch(/takes 800.*in parts/s);
  await expect.poll(() => countAt('b')).toBe(0);

  const manager = await jetstreamManager(await deployment.cluster.connect());
  const messages = async () => (await manager.streams.info('KV_coffer')).state.messages;
  const before = await messages();
  const applied = apply(700).catch(() => undefined);
  await expect.poll(messages, { interval: 1, timeout: 20_000 }).toBeGreaterThan(before + 300);
  await a.kill();
  await applied;
  await deployment.admin('b', 'token', 'create', 'new');
  expect([0, 700]).toContain(await countAt('b'));
  expect(
    await known
      .client('b')
      .get('db')
      .then(() => 'ok'),
  ).toBe('ok');
  expect((await readiness(other)).status).toBe(200);
  await a.start();
  await expect.poll(() => countAt('a')).toBe(await countAt('b'));
});
