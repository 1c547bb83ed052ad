import { chmodSync, copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { compareConfigs } from '../src/config/changes.js';
import { explainConfig } from '../src/config/explain.js';
import { boundOf, type JetStreamConfig } from '../src/config/storage.js';
import { checkConfiguration, loadConfig, startServer } from '../src/index.js';
import { jetStreamOptions } from '../src/nats/store-connection.js';
import { natsUser, newKeys } from './nats-world.js';
import { temporaryFolder, testConfig } from './support.js';

async function load(yaml: string, flags: object = {}) {
  const folder = await temporaryFolder();
  const config = join(folder, 'coffer.yaml');
  writeFileSync(config, yaml);
  return loadConfig({ flags: { config, ...flags }, env: { HOME: folder } });
}

describe('the configuration of the store', () => {
  it('is a store in the state folder unless something else is said', async () => {
    expect((await load('')).storage).toEqual({});
    expect((await load('storage: {kind: embedded, quotaBytes: 5}')).storage).toEqual({
      kind: 'embedded',
      quotaBytes: 5,
    });
  });

  it('needs no more than the kind and servers for one in NATS JetStream', async () => {
    const { storage } = await load('storage: {kind: jetstream, servers: ["nats://127.0.0.1"]}');
    expect(storage).toEqual({
      kind: 'jetstream',
      servers: ['nats://127.0.0.1'],
      bucket: 'coffer',
      replicas: 3,
      maxBytes: 1024 ** 3,
      auditMaxBytes: 1024 ** 3,
      syncAlways: false,
      allowLazySync: false,
      consistency: 'bounded(1s)',
      stale: 'refuse',
    });
  });

  it('takes everything that there is, with paths made absolute, and hands it to the driver', async () => {
    const { storage } = await load(`
storage:
  kind: jetstream
  servers: [tls://a.example, "tls://b.example:4333"]
  creds: store.creds
  tls: {ca: ca.pem, cert: c.pem, key: k.pem}
  bucket: acme_secrets
  replicas: 5
  maxBytes: 20000000
  auditMaxBytes: 30000000
  placement: [eu, ssd]
  syncAlways: true
  systemCreds: sys.creds
  consistency: bounded(2.5s)
  stale: allow
  instanceName: one
  minFreeBytes: 1
`);
    const here = (path: string) => join(process.cwd(), path);
    expect(storage).toEqual({
      kind: 'jetstream',
      servers: ['tls://a.example', 'tls://b.example:4333'],
      creds: here('store.creds'),
      tls: { ca: here('ca.pem'), cert: here('c.pem'), key: here('k.pem') },
      bucket: 'acme_secrets',
      replicas: 5,
      maxBytes: 20_000_000,
      auditMaxBytes: 30_000_000,
      placement: ['eu', 'ssd'],
      syncAlways: true,
      allowLazySync: false,
      systemCreds: here('sys.creds'),
      consistency: 'bounded(2.5s)',
      stale: 'allow',
      instanceName: 'one',
      minFreeBytes: 1,
    });
    expect(jetStreamOptions(storage as JetStreamConfig)).toMatchObject({
      bucket: 'acme_secrets',
      replicas: 5,
      maxBytes: 20_000_000,
      auditMaxBytes: 30_000_000,
      placementTags: ['eu', 'ssd'],
      syncAlways: true,
      allowLazySync: false,
      consistency: { bounded: 2_500 },
      allowStale: true,
      instanceName: 'one',
    });
  });

  it.each([
    ['latest', 'latest'],
    ['bounded(1s)', 1_000],
    ['bounded(300ms)', 300],
    ['bounded(600s)', 600_000],
  ])('understands %s', (consistency, bound) => {
    expect(boundOf({ consistency })).toBe(bound);
  });

  it.each(
    [
      ['storage: {kind: sqlite}', ':1: storage.kind: must be embedded or jetstream'],
      ['storage: {kind: jetstream}', 'storage.servers is missing: say where NATS is'],
      ['storage: {kind: jetstream, servers: []}', ':1: storage.servers: must name at least one server'],
      ['storage: {kind: jetstream, servers: [a], server: b}', ':1: storage.server: unknown key'],
      ['storage: {bucket: a}', 'storage.bucket is for a store in NATS JetStream: write storage.kind'],
      ['storage: {kind: embedded, replicas: 3}', 'storage.replicas is for a store in NATS JetStream'],
      ['storage: {kind: jetstream, servers: [a], replicas: 2}', ':1: storage.replicas: must be 1, 3 or 5'],
      ['storage: {kind: jetstream, servers: [a], bucket: "a.b"}', ':1: storage.bucket: must consist of'],
      [
        'storage: {kind: jetstream, servers: [a], maxBytes: 5}',
        ':1: storage.maxBytes: must be at least 16777216 bytes',
      ],
      ['storage: {kind: jetstream, servers: ["http://a"]}', 'storage.servers takes URLs such as'],
      [
        'storage: {kind: jetstream, servers: ["nats://u:p@a", "nats://v:p@b"]}',
        'storage.servers names several users',
      ],
      [
        'storage: {kind: jetstream, servers: [a], creds: a, nkey: b}',
        'several credentials for NATS, storage.creds and storage.nkey',
      ],
      [
        'storage: {kind: jetstream, servers: [a], tls: {cert: a}}',
        'storage.tls.cert and storage.tls.key go together',
      ],
      [
        'storage: {kind: jetstream, servers: [a], syncAlways: true, allowLazySync: true}',
        'storage.allowLazySync that they need not: keep one',
      ],
      [
        'storage: {kind: jetstream, servers: [a], consistency: soon}',
        ':1: storage.consistency: must be latest, or',
      ],
      [
        'storage: {kind: jetstream, servers: [a], consistency: bounded(1)}',
        ':1: storage.consistency: must be latest',
      ],
      ['storage: {kind: jetstream, servers: [a], consistency: bounded(299ms)}', 'from 300ms to 600s'],
      ['storage: {kind: jetstream, servers: [a], consistency: bounded(601s)}', 'from 300ms to 600s'],
    ].map(([yaml, message]) => [message, yaml] as const),
  )('refuses, as %s …', async (message = '', yaml = '') => {
    await expect(load(yaml)).rejects.toThrow(message);
    await expect(load(yaml)).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it('refuses a development server whose store others share', async () => {
    const yaml = 'storage: {kind: jetstream, servers: [a]}';
    await expect(load(yaml, { dev: true })).rejects.toThrow('a development server lets everybody in');
  });

  it('is explained with the defaults, and without the password in a URL', async () => {
    const folder = await temporaryFolder();
    const config = join(folder, 'coffer.yaml');
    writeFileSync(config, 'storage:\n  kind: jetstream\n  servers: ["nats://ada:tops%65cret@a:1", "b"]\n');
    const { settings } = explainConfig({ flags: { config }, env: { HOME: folder } });
    const setting = (key: string) => settings.find((one) => one.key === `storage.${key}`);
    expect(setting('kind')).toMatchObject({ value: 'jetstream', from: { kind: 'file', line: 2 } });
    expect(setting('consistency')).toEqual({
      key: 'storage.consistency',
      value: 'bounded(1s)',
      from: { kind: 'default' },
    });
    expect(setting('servers')?.value).toEqual(['nats://…@a:1', 'b']);
    expect(JSON.stringify(settings)).not.toContain('tops');
    const embedded = explainConfig({ env: { HOME: folder } }).settings;
    expect(embedded.find(({ key }) => key === 'storage.kind')).toMatchObject({ value: 'embedded' });
  });

  it('is looked at before a start: files that are not there, or that others can read', async () => {
    const folder = await temporaryFolder();
    const config = join(folder, 'coffer.yaml');
    const { creds } = await natsUser(newKeys('account'));
    chmodSync(creds, 0o644);
    const yaml = `storage: {kind: jetstream, servers: [a], creds: ${creds}, systemCreds: ${folder}/sys.creds}\n`;
    writeFileSync(config, yaml);
    const check = async () => {
      const { findings } = await checkConfiguration({ flags: { config }, env: { HOME: folder } });
      return findings.filter(({ subject }) => subject === 'JetStream').map(({ says }) => says);
    };
    expect(await check()).toEqual([expect.stringContaining(`${folder}/sys.creds is not there`)]);
    copyFileSync(creds, `${folder}/sys.creds`);
    chmodSync(`${folder}/sys.creds`, 0o600);
    expect(await check()).toEqual([
      `others can read ${creds}: chmod 600 ${creds}`,
      `${folder}/sys.creds, for its owner only`,
    ]);
  });

  it('is looked at before a start: whether it is known that the servers sync', async () => {
    const folder = await temporaryFolder();
    const config = join(folder, 'coffer.yaml');
    const check = async (more: string) => {
      writeFileSync(config, `storage: {kind: jetstream, servers: [a]${more}}\n`);
      const { findings } = await checkConfiguration({ flags: { config }, env: { HOME: folder } });
      return findings.filter(({ subject }) => subject === 'JetStream');
    };
    expect(await check('')).toEqual([
      {
        subject: 'JetStream',
        level: 'problem',
        says: expect.stringMatching(
          /^it is not known whether the NATS servers sync .*storage\.syncAlways: true$/,
        ),
      },
    ]);
    expect(await check(', syncAlways: true')).toEqual([]);
    expect(await check(', allowLazySync: true')).toEqual([]);
  });

  it('is not changed while a server runs', async () => {
    const one = await load('storage: {kind: jetstream, servers: [a]}');
    const { storage } = await load('storage: {kind: jetstream, servers: [a, b], stale: allow}');
    expect(compareConfigs(one, { ...one, storage })).toEqual({
      live: [],
      needRestart: ['storage.servers', 'storage.stale'],
    });
  });

  it('names the file of credentials that cannot be used, before anything is made', async () => {
    const { storage } = await load('storage: {kind: jetstream, servers: [a], creds: /nowhere/store.creds}');
    const config = await testConfig({ storage, dev: false });
    await expect(startServer(config)).rejects.toThrow('storage.creds: /nowhere/store.creds is not there');
  });
});

describe('docs/configuration.md', () => {
  it('has a file with every key of a store in JetStream', async () => {
    const text = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
    const [, yaml = ''] = /```yaml\n(storage:\n {2}kind: jetstream[\s\S]*?)```/.exec(text) ?? [];
    expect((await load(yaml)).storage).toMatchObject({ kind: 'jetstream', replicas: 3, stale: 'refuse' });
  });
});
