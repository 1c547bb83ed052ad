import { afterEach, expect, it } from 'vitest';
import { NatsCluster } from '../support/cluster.mjs';
import { CofferInstance } from '../support/instances.mjs';
import { coffer } from '../support/servers.mjs';
import { openStorage, removeFolders } from './jetstream-support.js';

let cluster: NatsCluster;
let instance: CofferInstance | undefined;
afterEach(async () => {
  await instance?.[Symbol.asyncDispose]();
  await cluster?.stop();
  removeFolders();
});

it('An instance that was killed at its first start, before its root key was tried, is no member: no heal waits for it', async () => {
  cluster = await NatsCluster.start({ size: 1 });
  const one = await CofferInstance.prepare({ cluster, name: 'one', direct: true });
  instance = one;
  await one.start();
  const seen: string[] = [];
  const nats = await cluster.connect();
  nats.subscribe('$KV.coffer.m.*', { callback: (_, { subject }) => void seen.push(subject) });
  await nats.flush();
  // It has read all of the store, and takes nothing back.
  const killed = await openStorage(cluster, { bucket: 'coffer', follow: false });
  const { instance: id } = killed.shared;
  await killed.close();
  await expect.poll(() => seen).toContain(`$KV.coffer.m.${id}`);

  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await coffer(['storage', ...args, '--json', '-s', one.server.socket]);
    expect(code, String(stderr)).toBe(0);
    return JSON.parse(String(stdout));
  };
  const { shared } = await run('status');
  expect(shared.members).toEqual([expect.objectContaining({ instance: shared.instance })]);
  expect(await run('heal', '--dry-run')).toMatchObject({ compared: [shared.instance], absent: [] });
});
