import { readFileSync, writeFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { NatsCluster } from '../support/cluster.mjs';
import { CofferInstance } from '../support/instances.mjs';
import { coffer } from '../support/servers.mjs';

const REFUSED = /does not let us in \(Authorization Violation\): look at .* the user in storage\.servers/;

let cluster: NatsCluster;
let instance: CofferInstance;
afterEach(async () => {
  await instance?.[Symbol.asyncDispose]();
  await cluster?.stop();
});

/** Puts another password than the servers know into its configuration, or the right one back. */
function password(word: string): void {
  const path = instance.folder.join('coffer.yaml');
  const config = JSON.parse(readFileSync(path, 'utf8'));
  config.storage.servers = cluster.urls.map((url) => url.replace('nats://', `nats://app:${word}@`));
  writeFileSync(path, JSON.stringify(config));
}

const seconds = async (task: () => Promise<unknown>): Promise<number> => {
  const begun = performance.now();
  await task();
  return (performance.now() - begun) / 1000;
};

describe('an instance that NATS does not let in', () => {
  it('says so at once, whatever servers the cluster names; and with a replica it serves, and goes on when it may', async () => {
    cluster = await NatsCluster.start({ direct: true });
    instance = await CofferInstance.prepare({
      cluster,
      name: 'one',
      direct: true,
      storage: { stale: 'allow' },
    });
    const place = ['--config', instance.folder.join('coffer.yaml')];
    const state = ['--state-dir', instance.folder.join('state')];
    const key = ['--root-key', `file:${instance.folder.join('root.key')}`];
    password('app');
    await instance.start();
    await instance.stop();

    password('wrong');
    const doctor = await coffer(['doctor', ...place, ...state, ...key]);
    expect(doctor.stdout.toString()).toMatch(REFUSED);
    await instance.start();
    expect(instance.server.process.output).toMatch(REFUSED);
    const { body } = await fetch(`${instance.url}/readyz`).then(async (answer) => ({
      body: await answer.json(),
    }));
    expect(body).toMatchObject({ ready: true, store: { connected: false, sync: 'stated' } });
    expect(await seconds(() => instance.stop())).toBeLessThan(5);

    instance.wipe({ audit: true });
    const started = await coffer(['server', '--listen', '127.0.0.1:0', ...place, ...state, ...key]);
    expect([started.code, started.stderr.toString()]).toEqual([1, expect.stringMatching(REFUSED)]);
  });
});
