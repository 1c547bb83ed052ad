import { Client } from '@coffer/client';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { CofferInstance } from '../support/instances.mjs';
import { coffer } from '../support/servers.mjs';
import { SmallDisk } from '../support/small-disk.js';
import { readiness } from './deployment.js';

const MIB = 1024 * 1024;
const FLOOR_BYTES = 4 * MIB;
const BOUND_MS = 1_000;

let cluster: NatsCluster;
const instances: CofferInstance[] = [];
const clients: Client[] = [];

beforeEach(async () => {
  cluster = await NatsCluster.start({ size: 1 });
});

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const instance of instances.splice(0)) await instance[Symbol.asyncDispose]();
  await cluster?.stop();
});

async function prepare(name: string): Promise<CofferInstance> {
  const [like] = instances;
  const storage = { consistency: `bounded(${BOUND_MS / 1_000}s)`, minFreeBytes: FLOOR_BYTES };
  const instance = await CofferInstance.prepare({ cluster, name, like, storage });
  instances.push(instance);
  return instance;
}

function clientOf({ server }: CofferInstance): Client {
  const client = new Client({ server: server.socket, retries: 0 });
  clients.push(client);
  return client;
}

const codeOf = (asked: Promise<unknown>) =>
  asked.then(
    () => 'done',
    ({ code }) => code as string,
  );

test('an instance whose disk is full refuses changes, reads on as long as it keeps up, falls stale visibly, and comes back with room', async () => {
  const roomy = await prepare('roomy');
  await roomy.start();
  const tight = await prepare('tight');
  using disk = SmallDisk.mount(tight.folder.join('state', 'store'), 24 * 1024);
  await tight.start();
  const [there, here] = [clientOf(roomy), clientOf(tight)];
  const read = async (name = 'a') => Buffer.from((await here.get(name)).value).toString();
  const put = (client: Client, value: string, name = 'a') => codeOf(client.put(name, Buffer.from(value)));
  const first = canary('first');
  await expect.poll(() => put(here, first)).toBe('done');
  expect(await read()).toBe(first);

  // Into the room that is kept free: what others change goes on coming in.
  disk.fill(0.75 * FLOOR_BYTES);
  await expect.poll(() => put(here, first, 'own')).toBe('storage_full');
  const second = canary('second');
  await there.createVersion('a', 2, Buffer.from(second));
  await expect.poll(() => read().catch(String)).toBe(second);
  expect(await readiness(tight)).toMatchObject({
    status: 200,
    body: expect.stringMatching(/"writable":false.*changes are refused here: there is no room on the disk/),
  });
  expect(await put(here, first, 'own')).toBe('storage_full');

  // To the last byte: what comes cannot be kept.
  disk.fill();
  await there.put('big', Buffer.alloc(MIB, 'x'));
  await expect.poll(() => codeOf(here.get('a'))).toBe('stale');
  expect(await readiness(tight)).toMatchObject({
    status: 503,
    body: expect.stringContaining('changes are refused now (storage_full)'),
  });
  expect(await put(here, first, 'own')).toBe('storage_full');
  const third = canary('third');
  await there.createVersion('a', 3, Buffer.from(third));
  expect(await codeOf(here.get('a'))).toBe('stale');
  expect(tight.running).toBe(true);

  disk.empty();
  await expect.poll(() => read().catch(String)).toBe(third);
  expect((await here.get('big')).value).toHaveLength(MIB);
  await expect.poll(() => put(here, first, 'own')).toBe('done');
  expect(await readiness(tight)).toMatchObject({
    status: 200,
    body: expect.stringContaining('"writable":true'),
  });
});

test('an instance on whose disk nothing can be written answers nothing, not even a refusal that it cannot log, and serves again with room', async () => {
  const roomy = await prepare('roomy');
  await roomy.start();
  const tight = await prepare('tight');
  using disk = SmallDisk.mount(tight.folder.join('state'), 24 * 1024);
  await tight.start();
  const [there, here] = [clientOf(roomy), clientOf(tight)];
  const value = canary('kept');
  await expect.poll(() => codeOf(here.put('a', Buffer.from(value)))).toBe('done');
  disk.fill();
  const refused = new Set<string>();
  let answered = 0;
  // Until its log has used up what its last page had left.
  await expect
    .poll(async () => {
      const code = await codeOf(here.get('a'));
      if (code === 'done') answered++;
      else refused.add(code);
      return code;
    })
    .not.toBe('done');
  for (let i = 0; i < 20; i++) refused.add(await codeOf(here.put(`b/${i}`, Buffer.alloc(5_000, 'b'))));
  refused.delete('stale');
  expect(refused).toEqual(new Set(['storage_full']));
  expect(await codeOf(there.put('c', Buffer.from(value)))).toBe('done');
  expect(Buffer.from((await there.get('a')).value).toString()).toBe(value);

  disk.empty();
  await expect.poll(() => codeOf(here.get('c'))).toBe('done');
  expect(Buffer.from((await here.get('a')).value).toString()).toBe(value);
  await expect.poll(() => codeOf(here.put('d', Buffer.from(value)))).toBe('done');
  const { socket } = tight.server;
  const { stdout } = await coffer(['audit', 'query', '--own', '--json', '--secret', 'a', '-s', socket]);
  const logged = String(stdout)
    .split('\n')
    .filter((line) => line.includes('"action":"get"'));
  expect(logged.length).toBeGreaterThan(answered);
  for (const { server } of [roomy, tight]) {
    const { code, stderr } = await coffer(['audit', 'verify', '--own', '-s', server.socket]);
    expect([code, String(stderr)]).toEqual([0, expect.not.stringContaining('broken')]);
  }
});
