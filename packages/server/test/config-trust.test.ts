import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createKeyPair } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import { compareConfigs } from '../src/config/changes.js';
import { explainConfig } from '../src/config/explain.js';
import { type ConfigSources, loadConfig } from '../src/index.js';
import { temporaryFolder } from './support.js';

const HOME = '/home/ada';
const ACCOUNT = 'ACAAT4P4VF7X27BSKUZTMBHAP6GOHYYLSQG6IUX7ODW7AMTTBS234JZX';

async function configFile(yaml: string): Promise<string> {
  const path = join(await temporaryFolder(), 'coffer.yaml');
  writeFileSync(path, yaml);
  return path;
}

async function trustOf(yaml: string, more: Partial<ConfigSources> = {}) {
  return loadConfig({ env: { HOME }, file: await configFile(yaml), ...more }).trust;
}

describe('trust in the configuration', () => {
  it('is nobody’s until something is said of it', async () => {
    expect(await trustOf('listen: 127.0.0.1:1\n')).toBeUndefined();
  });

  it('names operators, where the tokens of accounts are, and how far clocks may differ', async () => {
    const yaml = `
trust:
  operators: [/etc/coffer/operator.jwt]
  accounts: [${ACCOUNT}]
  resolver: {nats: {servers: ["nats://127.0.0.1:4222"], creds: /etc/coffer/sys.creds}}
  audiences: ["https://coffer.internal"]
  clockSkewSeconds: 2
  maxAgeSeconds: 60
`;
    expect(await trustOf(yaml)).toEqual({
      operators: ['/etc/coffer/operator.jwt'],
      accounts: [ACCOUNT],
      resolver: { nats: { servers: ['nats://127.0.0.1:4222'], creds: '/etc/coffer/sys.creds' } },
      audiences: ['https://coffer.internal'],
      clockSkewSeconds: 2,
      maxAgeSeconds: 60,
    });
  });

  it('needs no more than the folder of an operator in a store', async () => {
    const expected = {
      operators: [],
      accounts: [],
      resolver: { store: '/nsc/stores/O' },
      audiences: [],
      clockSkewSeconds: 5,
      maxAgeSeconds: 300,
    };
    expect(await trustOf('trust: {resolver: {store: /nsc/stores/O}}\n')).toEqual(expected);
    expect(loadConfig({ flags: { trustStore: '/nsc/stores/O' }, env: { HOME } }).trust).toEqual(expected);
    expect(loadConfig({ env: { HOME, COFFER_TRUST_STORE: '/nsc/stores/O' } }).trust).toEqual(expected);
  });

  it('takes an operator by its public key alone, which is no path', async () => {
    const key = createKeyPair('operator').publicKey;
    const yaml = `trust: {operators: [${key}, ./o.jwt], resolver: {folder: /a}}\n`;
    expect(await trustOf(yaml)).toMatchObject({ operators: [key, resolve('./o.jwt')] });
  });

  it('comes from a flag before the environment before the file', async () => {
    const yaml = 'trust: {operators: [/file.jwt], resolver: {folder: /file}}\n';
    const env = { HOME, COFFER_TRUST_OPERATOR: '/env.jwt:/more.jwt', COFFER_TRUST_STORE: '/env' };
    expect(await trustOf(yaml, { env })).toMatchObject({
      operators: ['/env.jwt', '/more.jwt'],
      resolver: { store: '/env' },
    });
    const flags = { trustOperator: ['/flag.jwt'], trustStore: '/flag' };
    expect(await trustOf(yaml, { env, flags })).toMatchObject({
      operators: ['/flag.jwt'],
      resolver: { store: '/flag' },
    });
    const file = await configFile(yaml);
    const { settings } = explainConfig({ flags, env, file });
    const from = (key: string) => settings.find((one) => one.key === key)?.from;
    expect(from('trust.operators')).toEqual({ kind: 'flag', name: '--trust-operator' });
    expect(from('trust.resolver.store')).toEqual({ kind: 'flag', name: '--trust-store' });
    expect(from('trust.clockSkewSeconds')).toEqual({ kind: 'default' });
  });

  it.each([
    ['trust: {}', 'trust names nobody: write the files of the operators’ tokens into trust.operators'],
    ['trust: {operators: [/a.jwt]}', 'trust.resolver is missing: say where the tokens of accounts are'],
    ['trust: {operators: [], resolver: {folder: /a}}', 'trust.operators: '],
    ['trust: {resolver: {}}', 'trust.resolver: needs exactly one of folder, store and nats'],
    ['trust: {resolver: {folder: /a, store: /b}}', 'needs exactly one of folder, store and nats'],
    ['trust: {resolver: {store: /a}, operator: /b}', 'trust.operator: unknown key'],
    ['trust: {accounts: [UAAA]}', 'trust.accounts takes public keys of accounts'],
    ['trust: {resolver: {store: /a}, clockSkewSeconds: 301}', 'trust.clockSkewSeconds: '],
    ['trust: {resolver: {store: /a}, audiences: [coffer]}', 'trust.audiences is no audience of proofs'],
    [
      'trust: {resolver: {store: /a}}\npublicUrl: "https://a.example/?b"',
      'publicUrl is no audience of proofs',
    ],
  ])('is refused where it cannot be: %s', async (yaml, sentence) => {
    await expect(trustOf(`${yaml}\n`)).rejects.toThrow(sentence);
  });

  it('needs a public URL where other machines come, for a proof counts for one server alone', async () => {
    const yaml = 'listen: 0.0.0.0:2633\ninsecureHttp: true\ntrust: {resolver: {store: /a}}\n';
    const sentence = 'trust needs publicUrl, for a proof counts for one server alone: write the URL';
    await expect(trustOf(yaml)).rejects.toThrow(sentence);
    await trustOf(`${yaml}publicUrl: https://coffer.example.com\n`);
  });

  it('is nothing for a development server, which lets everybody in', () => {
    expect(() => loadConfig({ flags: { dev: true, trustStore: '/a' }, env: { HOME } })).toThrow(
      'a development server lets everybody in, so that trust decides nothing: leave out --dev, or trust',
    );
  });

  it('takes other operators without a restart, and nothing else', () => {
    const load = (...trustOperator: string[]) =>
      loadConfig({ flags: { trustOperator, trustStore: '/a' }, env: { HOME } });
    expect(compareConfigs(load('/a.jwt'), load('/a.jwt', '/b.jwt'))).toEqual({
      live: ['trust.operators'],
      needRestart: [],
    });
    const { needRestart } = compareConfigs(loadConfig({ env: { HOME } }), load('/a.jwt'));
    expect(needRestart).toContain('trust.operators');
  });
});
