import { randomBytes } from 'node:crypto';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, describe, expect, it } from 'vitest';
import { NatsCluster } from '../support/cluster.mjs';
import { CofferInstance } from '../support/instances.mjs';
import { coffer } from '../support/servers.mjs';
import { connectTo, openStorage, removeFolders } from './jetstream-support.js';

let cluster: NatsCluster | undefined;
let instance: CofferInstance | undefined;
afterEach(async () => {
  await instance?.[Symbol.asyncDispose]();
  await cluster?.stop();
  removeFolders();
  instance = undefined;
  cluster = undefined;
});

const OTHER_KEY = `coffer-root-key-v1:${randomBytes(32).toString('base64')}\n`;

/** What the doctor says at an instance of JetStream, or of something else. */
async function doctor(instance: CofferInstance, of = ['JetStream']): Promise<string[]> {
  const config = ['--config', instance.folder.join('coffer.yaml')];
  const state = [
    '--state-dir',
    instance.folder.join('state'),
    '--root-key',
    `file:${instance.folder.join('root.key')}`,
  ];
  const { stdout } = await coffer(['doctor', '--json', ...config, ...state]);
  const report = JSON.parse(stdout.toString()) as {
    findings: Record<'subject' | 'level' | 'says', string>[];
  };
  return report.findings
    .filter(({ subject }) => of.includes(subject))
    .map(({ level, says }) => `${level}: ${says}`);
}

/** What it says of JetStream where no instance was started yet, in the order of its looks. */
async function findings(storage: object, { cluster }: { readonly cluster: NatsCluster }): Promise<string[]> {
  instance = await CofferInstance.prepare({ cluster, name: 'one', direct: true, storage: { ...storage } });
  const found = await doctor(instance);
  await instance[Symbol.asyncDispose]();
  return found;
}

describe('the doctor', () => {
  it('sees by the system account whether all servers sync, and how the bucket is', async () => {
    cluster = await NatsCluster.start({ auth: 'operator' });
    const files = [expect.stringMatching(/^ok: .*creds/), expect.stringMatching(/^ok: .*creds/)];
    const answers = expect.stringMatching(/^ok: 127\.0\.0\.1:\d+ \(2\.\d+\.\d+\) answers$/);
    const synced = 'ok: all servers sync before they acknowledge';
    expect(await findings({}, { cluster })).toEqual([
      ...files,
      answers,
      synced,
      'ok: there is no bucket coffer yet: the first start makes it',
    ]);
  });

  it('warns of a bucket on one server, of servers that do not sync, and takes the operator’s word', async () => {
    cluster = await NatsCluster.start({ size: 1, sync: '2m' });
    const stated = await findings({}, { cluster });
    expect(stated[1]).toBe('ok: the servers sync before they acknowledge, as storage.syncAlways says');
    const lazy = { syncAlways: false, allowLazySync: true };
    expect((await findings(lazy, { cluster }))[1]).toMatch(
      /^warning: the servers acknowledge before they sync/,
    );
    expect((await findings({ replicas: 3 }, { cluster })).slice(2)).toEqual([
      expect.stringMatching(
        /^problem: there is no bucket coffer yet, .* is alone, .*: write storage\.replicas: 1, or/,
      ),
    ]);
    expect(await findings({ syncAlways: false }, { cluster })).toEqual([
      expect.stringMatching(/^problem: it is not known whether the NATS servers sync/),
    ]);
    const storage = await openStorage(cluster, { bucket: 'coffer' });
    await storage.close();
    const bucket = (await findings({}, { cluster })).slice(2);
    expect(bucket).toEqual([
      'ok: the bucket coffer on 1 server, 0 MiB of 256 MiB',
      expect.stringMatching(/^warning: the bucket coffer is on one server, and gone with its disk/),
    ]);
  });

  it('names the alarm of a store whose bucket is gone, and promises no start that would make it', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const running = await CofferInstance.prepare({ cluster, name: 'one' });
    instance = running;
    await running.start();
    const nats = await connectTo([cluster.urls[0] ?? '']);
    await (await jetstreamManager(nats)).streams.delete('KV_coffer');
    await nats.close();
    const readyz = async () => (await fetch(`${running.url}/readyz`)).text();
    await expect.poll(readyz, { timeout: 30_000 }).toContain('"alarm":"gone"');
    const found = await doctor(running, ['JetStream', 'store']);
    expect(found).toContainEqual(
      expect.stringMatching(/^problem: the alarm is raised \(gone\).*storage heal --dry-run/),
    );
    expect(found).toContainEqual(
      expect.stringMatching(/^problem: the bucket coffer, of which .* is gone.*coffer storage status/),
    );
    expect(found.join()).not.toContain('the first start makes it');
    const lost = await findings({}, { cluster });
    instance = running;
    expect(lost).toContainEqual(expect.stringMatching(/^problem: there was a store in the bucket coffer/));
    expect(lost.join()).not.toContain('the first start makes it');
  });

  it('misses no audit log where an instance has a replica, and never served', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const served = await CofferInstance.prepare({ cluster, name: 'one', direct: true });
    instance = served;
    await served.start();
    await served.stop();
    const other = await CofferInstance.prepare({ cluster, name: 'two', direct: true });
    try {
      const folder = other.folder.join('state', 'store');
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      // As one that was killed after it had read the store, and before its root key was tried.
      await (await openStorage(cluster, { bucket: 'coffer', folder, follow: false })).close();
      writeFileSync(other.folder.join('root.key'), OTHER_KEY, { mode: 0o600 });
      expect(await doctor(other, ['store', 'audit log'])).toEqual([
        expect.stringMatching(/^problem: the root key does not open this store/),
        expect.stringMatching(
          /^warning: there is none in .*: if this instance has served the store before, put/,
        ),
      ]);
      copyFileSync(served.folder.join('root.key'), other.folder.join('root.key'));
      expect(await doctor(other, ['store', 'audit log'])).toEqual([
        expect.stringMatching(/^ok: the replica of .*, opened by the root key$/),
        'ok: there is none yet: the first start makes it',
      ]);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it('holds the root key against the store in the bucket before an instance has read it', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const served = await CofferInstance.prepare({ cluster, name: 'one', direct: true });
    instance = served;
    await served.start();
    const other = await CofferInstance.prepare({ cluster, name: 'two', direct: true });
    try {
      expect(await doctor(other, ['root key'])).toEqual([
        expect.stringMatching(
          /^problem: the root key file .* is not there, and the store in the bucket coffer cannot be read without it: put a copy/,
        ),
      ]);
      writeFileSync(other.folder.join('root.key'), OTHER_KEY, { mode: 0o600 });
      expect(await doctor(other, ['root key'])).toEqual([
        expect.stringMatching(/^problem: the root key does not open this store/),
      ]);
      copyFileSync(served.folder.join('root.key'), other.folder.join('root.key'));
      expect((await doctor(other, ['root key']))[1]).toBe('ok: it opens the store in the bucket coffer');
      const status = await coffer(['storage', 'status', '--json', '-s', served.server.socket]);
      expect(JSON.parse(String(status.stdout)).shared.members).toHaveLength(1);
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it('names a root key that is not there once, and one that took its place while the instance was away as no trouble', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const served = await CofferInstance.prepare({ cluster, name: 'one', direct: true });
    instance = served;
    await served.start();
    const other = await CofferInstance.prepare({ cluster, name: 'two', like: served, direct: true });
    try {
      await other.start();
      await other.stop();
      const key = other.folder.join('root.key');
      rmSync(key);
      expect(await doctor(other, ['root key', 'store'])).toEqual([
        expect.stringMatching(
          /^problem: .* is not there, and the store cannot be read without it: put your copy/,
        ),
        expect.stringMatching(/^ok: the replica of .*; without its root key not looked into$/),
      ]);
      const rotated = await coffer(['keys', 'rotate', '--root', '-s', served.server.socket]);
      expect(rotated.code, String(rotated.stderr)).toBe(0);
      copyFileSync(served.folder.join('root.key'), key);
      expect(await doctor(other, ['root key', 'store'])).toEqual([
        expect.stringMatching(/^ok: .*root\.key \([0-9a-f]+\), for its owner only$/),
        expect.stringMatching(/^warning: the replica here is from before the root key was changed/),
        'ok: it opens the store in the bucket coffer',
      ]);
      await other.start();
      expect(other.server.process.output).toContain(
        'was changed at another instance while this one was away',
      );
    } finally {
      await other[Symbol.asyncDispose]();
    }
  });

  it('misses the audit log of one that served', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const served = await CofferInstance.prepare({ cluster, name: 'one', direct: true });
    instance = served;
    await served.start();
    await served.stop();
    rmSync(served.folder.join('state', 'audit'), { recursive: true });
    expect(await doctor(served, ['audit log'])).toEqual([
      expect.stringMatching(/^problem: there is none in .*, and the store has had one: put it back$/),
    ]);
  });

  it('names a file of credentials that is not there once', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const creds = '/nowhere/store.creds';
    expect(await findings({ creds }, { cluster })).toEqual([`problem: storage.creds: ${creds} is not there`]);
    const systemCreds = '/nowhere/sys.creds';
    expect(await findings({ systemCreds }, { cluster })).toEqual([
      `problem: storage.systemCreds: ${systemCreds} is not there`,
    ]);
  });

  it('names the setting of a user whom NATS does not let in', async () => {
    cluster = await NatsCluster.start({ size: 1, auth: 'operator' });
    const other = await NatsCluster.start({ size: 1, auth: 'operator' });
    const refused = 'does not let us in \\(Authorization Violation\\): look at';
    try {
      const of = async (storage: object) =>
        (await findings(storage, { cluster: cluster as NatsCluster })).at(-1);
      expect(await of({ systemCreds: other.systemCreds })).toMatch(
        new RegExp(`^problem: the system account.* ${refused} storage\\.systemCreds$`),
      );
      expect(await of({ creds: other.appCreds })).toMatch(
        new RegExp(
          `^problem: .* ${refused} storage\\.creds, storage\\.nkey or the user in storage\\.servers$`,
        ),
      );
    } finally {
      await other.stop();
    }
  });

  it('says that nobody answers', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    await cluster.servers[0]?.kill();
    expect(await findings({}, { cluster })).toEqual([
      expect.stringMatching(
        /^problem: there is no connection to the store's NATS \(nats:\/\/127\.0\.0\.1:\d+\): connection refused$/,
      ),
    ]);
  });
});
