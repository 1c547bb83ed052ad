import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { completeLimits, completeWasmcloud, loadConfig, type PartialSettings } from '../src/index.js';
import { temporaryFolder } from './support.js';

const HOME = '/home/ada';

async function configFile(yaml: string): Promise<string> {
  const path = join(await temporaryFolder(), 'coffer.yaml');
  writeFileSync(path, yaml);
  return path;
}

describe('the configuration', () => {
  it('has defaults for everything, in the folders that the XDG rules name', () => {
    expect(loadConfig({ env: { HOME } })).toEqual({
      listen: '127.0.0.1:2633',
      stateDir: '/home/ada/.local/state/coffer',
      rootKey: 'file:/home/ada/.config/coffer/root.key',
      dev: false,
      insecureHttp: false,
      publicUrl: undefined,
      limits: completeLimits(),
      wasmcloud: completeWasmcloud(),
      storage: {},
    });
    const env = { HOME, XDG_STATE_HOME: '/state', XDG_CONFIG_HOME: 'relative' };
    expect(loadConfig({ env })).toMatchObject({
      stateDir: '/state/coffer',
      rootKey: 'file:/home/ada/.config/coffer/root.key',
    });
  });

  it('keeps a development server apart, with its root key beside its data', () => {
    expect(loadConfig({ flags: { dev: true }, env: { HOME } })).toMatchObject({
      dev: true,
      stateDir: '/home/ada/.local/state/coffer-dev',
      rootKey: 'file:/home/ada/.local/state/coffer-dev/root.key',
    });
  });

  it('believes a flag before the environment before the file', async () => {
    const file = await configFile('listen: 127.0.0.1:1\nstateDir: /file\nrootKey: file:/file.key\n');
    const env = { HOME, COFFER_LISTEN: '127.0.0.1:2', COFFER_STATE_DIR: '/env', COFFER_ROOT_KEY: '' };
    expect(loadConfig({ flags: { listen: '127.0.0.1:3' }, env, file })).toMatchObject({
      listen: '127.0.0.1:3',
      stateDir: '/env',
      rootKey: 'file:/file.key',
    });
  });

  it('puts settings of a command over those of the file, and others behind them', async () => {
    const file = await configFile('nats: { servers: [nats://file:1] }\nwasmcloud: { name: vault }\n');
    const over = {
      nats: { creds: '/over.creds' },
      wasmcloud: { prefix: 'acme.secrets', trust: 'self-issued' as const },
      retention: [{ secrets: ['*'], keepVersions: 5 }],
    } satisfies PartialSettings;
    const under = { listen: 'none', nats: { servers: ['nats://under:1'], allowOpen: true } };
    expect(loadConfig({ env: { HOME }, file, settings: { over, under } })).toMatchObject({
      listen: 'none',
      nats: { servers: ['nats://file:1'], creds: '/over.creds', allowOpen: true },
      wasmcloud: { name: 'vault', prefix: 'acme.secrets', trust: 'self-issued' },
      retention: over.retention,
    });
    const wrong = { over: { retention: [{ secrets: ['*'], keepVersions: 0 }] } };
    expect(() => loadConfig({ env: { HOME }, settings: wrong })).toThrow(/retention/);
  });

  it('takes a certificate and its key together or not at all, each by flag before environment before file', async () => {
    const file = await configFile('tls: { cert: /file.crt, key: /file.key }\n');
    const env = { HOME, COFFER_TLS_KEY: '/env.key' };
    expect(loadConfig({ env, file }).tls).toEqual({ cert: '/file.crt', key: '/env.key' });
    expect(loadConfig({ flags: { tlsKey: '/flag.key' }, env, file }).tls?.key).toBe('/flag.key');
    expect(() => loadConfig({ env })).toThrow(
      'there is a TLS key and no certificate: name its file with --tls-cert',
    );
    expect(loadConfig({ flags: { listen: '0.0.0.0:1' }, env: { HOME }, file }).listen).toBe('0.0.0.0:1');
  });

  it('finds its file by flag, then by COFFER_CONFIG', async () => {
    const one = await configFile('listen: 127.0.0.1:1');
    const two = await configFile('listen: 127.0.0.1:2');
    expect(loadConfig({ flags: { config: one }, env: { HOME, COFFER_CONFIG: two } }).listen).toBe(
      '127.0.0.1:1',
    );
    expect(loadConfig({ env: { HOME, COFFER_CONFIG: two } }).listen).toBe('127.0.0.1:2');
  });

  it('takes limits from the file, and derives from them what they imply', async () => {
    const file = await configFile(
      'limits: {valueBytes: 10000000, idleSeconds: 5, watchers: 9}\nstorage: {quotaBytes: 1000000}\n',
    );
    const { limits, storage } = loadConfig({ env: { HOME }, file });
    expect(limits).toMatchObject({
      valueBytes: 10_000_000,
      idleSeconds: 5,
      nameBytes: 1024,
      headerBytes: 16_384,
      watchers: 9,
      watchersPerPrincipal: 3,
      watchersPerAccount: 5,
    });
    expect(limits.bodyBytes).toBeGreaterThan(40_000_000);
    expect(limits.inFlightBytes).toBeGreaterThanOrEqual(limits.bodyBytes);
    expect(storage).toEqual({ quotaBytes: 1_000_000 });
  });

  it('leaves room beside the watchers, beside those of one principal, and beside those of one account', async () => {
    const limitsOf = async (content: string) =>
      loadConfig({ env: { HOME }, file: await configFile(`limits: {${content}}\n`) }).limits;
    expect(await limitsOf('')).toMatchObject({
      connections: 4_096,
      connectionsPerAddress: 1_024,
      watchers: 2_048,
      watchersPerPrincipal: 512,
      watchersPerAccount: 1_024,
    });
    const behindProxy = await limitsOf('connectionsPerAddress: 4096');
    expect(behindProxy).toMatchObject({ watchers: 2_048, watchersPerPrincipal: 512 });
    const largeSite = await limitsOf('connections: 8192, connectionsPerAddress: 600, watchersPerAccount: 9');
    expect(largeSite).toMatchObject({ watchers: 4_096, watchersPerPrincipal: 300, watchersPerAccount: 9 });
  });

  it('takes rules of retention from the file', async () => {
    const file = await configFile(
      'retention:\n  - secrets: ["prod/*", ca]\n    keepVersions: 5\n    keepDays: 0.5\n  - {secrets: ["*"], keepDays: 90}\n',
    );
    expect(loadConfig({ env: { HOME }, file }).retention).toEqual([
      { secrets: ['prod/*', 'ca'], keepVersions: 5, keepDays: 0.5 },
      { secrets: ['*'], keepDays: 90 },
    ]);
  });

  it('may be an empty file', async () => {
    const file = await configFile('# nothing yet\n');
    expect(loadConfig({ env: { HOME }, file }).listen).toBe('127.0.0.1:2633');
  });

  it.each([
    ['listen: 127.0.0.1:1\nlisten_on: x\n', ':2: listen_on: unknown key'],
    ['limits:\n  nameBytes: 5\n  valuebytes: 7\n', ':3: limits.valuebytes: unknown key'],
    ['limits:\n  valueBytes: many\n', ':2: limits.valueBytes: '],
    ['limits: 5\n', ':1: limits: '],
    ['storage:\n  quotaBytes: -1\n', ':2: storage.quotaBytes: '],
    ['retention:\n  - secrets: [a]\n', ':2: retention[0]: needs keepVersions or keepDays'],
    ['retention: [{secrets: [], keepVersions: 1}]\n', ':1: retention[0].secrets: '],
    ['retention: [{secrets: [a], keepVersions: 0}]\n', ':1: retention[0].keepVersions: '],
    ['retention: [{secrets: [a], keepdays: 1}]\n', ':1: retention[0].keepdays: unknown key'],
    ['- listen\n', ': must be keys with values (KEY: VALUE), and is a list'],
    [
      'listen: none\nbackends: {name: a}\n',
      ':2: backends: must be a list, and is keys with values (KEY: VALUE)',
    ],
    ['backends:\n', ':1: backends: is empty, and must be a list'],
    ['backends:\n  - kind: module\n    module: x\n', ':2: backends[0].name: is missing'],
    [
      'backends: [{name: a, kind: module, module: b, settings: [1]}]\n',
      ':1: backends[0].settings: must be keys',
    ],
    ['nats: {servers: []}\n', ':1: nats.servers: must not be empty'],
    ['insecureHttp: yes\n', ':1: insecureHttp: must be true or false, and is text'],
    ['logLevel: loud\n', ':1: logLevel: must be one of '],
    [
      'limits: {watchers: 1.5}\n',
      ':1: limits.watchers: must be a whole number, and is a number with a fraction',
    ],
    ['limits: {idleSeconds: 0}\n', ':1: limits.idleSeconds: must be more than 0'],
    [
      'backends: [{name: a, kind: module, module: b, maxInFlight: 65537}]\n',
      ':1: backends[0].maxInFlight: must be at most 65536',
    ],
    ['listen: "x\n', ':2: '],
    ['listen: a\nlisten: b\n', ':2: '],
  ])('names file, line and path of what is wrong in %j', async (yaml, message) => {
    const file = await configFile(yaml);
    const load = () => loadConfig({ env: { HOME }, file });
    expect(load).toThrow(`${file}${message}`);
    expect(load).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });

  it.each([
    [{ config: '/nowhere.yaml' }, 'the configuration file /nowhere.yaml: there is no such file'],
    [{ listen: 'localhost' }, 'the address to listen on must be HOST:PORT'],
    [{ listen: '127.0.0.1:65536' }, 'the address to listen on must be HOST:PORT'],
    [{ listen: '::1:2633' }, 'the address to listen on must be HOST:PORT'],
    [{ listen: '192.0.2.1:2633' }, '192.0.2.1:2633 can be reached from other machines'],
    [{ listen: '[::]:2633', dev: true, insecureHttp: true }, 'on this machine only, not on [::]:2633'],
    [{ publicUrl: 'secrets.example' }, 'publicUrl must be an http or https URL'],
  ])('refuses %j in one sentence', (flags, message) => {
    expect(() => loadConfig({ flags, env: { HOME } })).toThrow(message);
  });

  it.each(['127.0.0.1:0', 'localhost:2633', '[::1]:2633', '127.8.9.1:1'])(
    'lets %s be served in clear',
    (listen) => {
      expect(loadConfig({ flags: { listen }, env: { HOME } }).listen).toBe(listen);
    },
  );
});
