import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { explainConfig } from '../src/config/explain.js';
import { type ConfigFlags, type ConfigSources, loadConfig } from '../src/index.js';
import { temporaryFolder } from './support.js';

const HOME = '/home/ada';

async function configFile(yaml: string): Promise<string> {
  const path = join(await temporaryFolder(), 'coffer.yaml');
  writeFileSync(path, yaml);
  return path;
}

function setting(key: string, sources: ConfigSources) {
  const found = explainConfig(sources).settings.find((each) => each.key === key);
  return found && { value: found.value, from: found.from };
}

describe('the configuration explained', () => {
  it.each([
    ['listen', 'listen', '--listen', 'COFFER_LISTEN', '127.0.0.1:1'],
    ['stateDir', 'stateDir', '--state-dir', 'COFFER_STATE_DIR', '/a'],
    ['rootKey', 'rootKey', '--root-key', 'COFFER_ROOT_KEY', 'file:/k'],
    ['publicUrl', 'publicUrl', '--public-url', 'COFFER_PUBLIC_URL', 'https://a.example'],
    ['tls.cert', 'tlsCert', '--tls-cert', 'COFFER_TLS_CERT', '/c'],
    ['tls.key', 'tlsKey', '--tls-key', 'COFFER_TLS_KEY', '/k'],
  ] as const)('says who decided %s, as the server has it', async (key, flag, option, variable, value) => {
    const [group = '', inner] = key.split('.');
    const yaml = inner === undefined ? `${group}: ${value}` : `tls:\n  cert: /c\n  key: /k`;
    const file = await configFile(`# settings\n${yaml}\n`);
    const line = key === 'tls.key' ? 4 : key === 'tls.cert' ? 3 : 2;
    const tls: ConfigFlags = inner === undefined ? {} : { tlsCert: '/c', tlsKey: '/k' };

    const cases: [ConfigSources, object][] = [
      [
        { flags: { ...tls, [flag]: value }, env: { HOME, [variable]: 'no' }, file },
        { kind: 'flag', name: option },
      ],
      [
        { env: { HOME, [variable]: value }, file },
        { kind: 'environment', name: variable },
      ],
      [
        { env: { HOME, [variable]: '' }, file },
        { kind: 'file', name: file, line },
      ],
    ];
    for (const [sources, from] of cases) {
      expect(setting(key, sources)).toEqual({ value, from });
      const loaded = inner === undefined ? loadConfig(sources) : (loadConfig(sources).tls ?? {});
      expect((loaded as Record<string, unknown>)[inner ?? group]).toBe(value);
    }
  });

  it('says that the environment decided the level of the log', async () => {
    const file = await configFile('logLevel: warn\n');
    const from = { kind: 'environment', name: 'COFFER_LOG' };
    expect(setting('logLevel', { env: { HOME, COFFER_LOG: 'debug' }, file })).toEqual({
      value: 'debug',
      from,
    });
    expect(setting('logLevel', { env: { HOME }, file })).toMatchObject({ value: 'warn', from: { line: 1 } });
  });

  it('has a line for what is left to its default, and for what is in no file', () => {
    const env = { HOME };
    expect(setting('listen', { env })).toEqual({ value: '127.0.0.1:2633', from: { kind: 'default' } });
    expect(setting('limits.nameBytes', { env })).toEqual({ value: 1024, from: { kind: 'default' } });
    expect(setting('limits.watchers', { env })).toEqual({ value: 2048, from: { kind: 'default' } });
    expect(setting('storage.minFreeBytes', { env })).toEqual({
      value: 67_108_864,
      from: { kind: 'default' },
    });
    expect(setting('audit.segmentDays', { env })).toEqual({ value: 30, from: { kind: 'default' } });
    expect(setting('publicUrl', { env })).toEqual({ value: undefined, from: { kind: 'default' } });
  });

  it('has a line for every setting of a store in JetStream, as docs/configuration.md does', async () => {
    const text = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
    const [, block = ''] = /```yaml\n(storage:\n {2}kind: jetstream[\s\S]*?)```/.exec(text) ?? [];
    const documented = [...block.matchAll(/^ {2}(?:# )?(\w+):/gm)].map(([, key]) => `storage.${key}`);
    expect(documented).toContain('storage.nkey');
    const storage = 'storage: { kind: jetstream, servers: [nats://a:4222] }';
    const file = await configFile(`nats: { servers: [nats://a:4222] }\n${storage}\n`);
    const { settings } = explainConfig({ env: { HOME }, file });
    const keys = settings.map(({ key }) => key);
    expect(keys.filter((key) => key.startsWith('storage.')).sort()).toEqual(documented.sort());
    expect(keys).toEqual(expect.arrayContaining(['nats.creds', 'nats.nkey', 'nats.tls']));
    const of = (key: string) => settings.find((each) => each.key === key);
    expect(of('storage.auditMaxBytes')).toMatchObject({ value: 1024 ** 3, from: { kind: 'default' } });
    expect(of('storage.instanceName')).toMatchObject({ value: hostname(), from: { kind: 'default' } });
    expect(of('storage.systemCreds')).toMatchObject({ value: undefined, from: { kind: 'default' } });
  });

  it('has all that is wrong, and the rest as it is right', async () => {
    const file = await configFile(
      'listen: 0.0.0.0:1\nnonsense: 1\nlimits: { nameBytes: 77, valueBytes: none, other: 2 }\npublicUrl: ftp://x\n',
    );
    const { problems, config } = explainConfig({ env: { HOME, COFFER_TLS_CERT: '/c' }, file });
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringMatching(/coffer\.yaml:3: limits\.valueBytes: must be a whole number of bytes$/),
      expect.stringMatching(/coffer\.yaml:3: limits\.other: unknown key$/),
      expect.stringMatching(/coffer\.yaml:2: nonsense: unknown key$/),
      expect.stringMatching(/^there is a TLS certificate and no key/),
      expect.stringMatching(/^0\.0\.0\.0:1 can be reached from other machines/),
      expect.stringMatching(/^publicUrl must be an http or https URL/),
    ]);
    expect(config.limits).toMatchObject({ nameBytes: 77, valueBytes: 1024 * 1024 });
  });

  it('has nothing from a file that is not there or no YAML, and says so', async () => {
    const missing = explainConfig({ env: { HOME }, file: '/nowhere.yaml' });
    expect(missing.problems.map(({ message }) => message)).toEqual([
      'the configuration file /nowhere.yaml: there is no such file',
    ]);
    expect(explainConfig({ env: { HOME }, file: await configFile('a: [1') }).problems).toHaveLength(1);
  });
});
