import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createKeyPair } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import { explainConfig } from '../src/config/explain.js';
import { loadConfig } from '../src/index.js';
import { temporaryFolder } from './support.js';

const key = (kind: Parameters<typeof createKeyPair>[0]) => {
  using pair = createKeyPair(kind);
  return pair.publicKey;
};
const ACCOUNT = key('account');
const USER = key('user');

async function load(yaml: string, flags: object = {}) {
  const folder = await temporaryFolder();
  const config = join(folder, 'coffer.yaml');
  writeFileSync(config, yaml);
  return loadConfig({ flags: { config, ...flags }, env: { HOME: folder } });
}

const TRUSTING = `trust: {accounts: [${ACCOUNT}]}\n`;

describe('the configuration of NATS', () => {
  it('has the defaults of secrets-nats-kv, and needs no more than servers and an account', async () => {
    const { nats, wasmcloud } = await load(`nats: {servers: ["nats://127.0.0.1"]}\n${TRUSTING}`);
    expect(nats).toEqual({ servers: ['nats://127.0.0.1'], allowOpen: false });
    expect(wasmcloud).toEqual({
      serve: true,
      name: 'nats-kv',
      prefix: 'wasmcloud.secrets',
      queueGroup: 'wasmcloud_secrets.nats-kv',
      trust: 'lineage',
      hosts: {},
      allowUnauthenticatedAdmin: false,
      unsignedAdmin: 'permitted',
      maxInFlight: 256,
    });
  });

  it('takes everything that there is, with paths made absolute', async () => {
    const host = key('server');
    const config = await load(`
listen: none
nats:
  servers: [tls://a.example, "tls://b.example:4333"]
  creds: coffer.creds
  tls: {ca: ca.pem, cert: c.pem, key: k.pem}
  allowOpen: true
wasmcloud:
  name: coffer
  prefix: acme
  queueGroup: one
  trust: self-issued
  hosts: {keys: [${host}], clusters: [${key('cluster')}, ${ACCOUNT}]}
  mappingAccount: ${ACCOUNT}
  allowUnauthenticatedAdmin: true
  maxInFlight: 8
${TRUSTING}`);
    const here = (path: string) => join(process.cwd(), path);
    expect(config.listen).toBe('none');
    expect(config.nats).toEqual({
      servers: ['tls://a.example', 'tls://b.example:4333'],
      creds: here('coffer.creds'),
      tls: { ca: here('ca.pem'), cert: here('c.pem'), key: here('k.pem') },
      allowOpen: true,
    });
    expect(config.wasmcloud).toMatchObject({ name: 'coffer', queueGroup: 'one', hosts: { keys: [host] } });
  });

  it.each(
    [
      ['nats: {servers: ["nats://a"]}', 'with nats somebody must be trusted'],
      [
        `nats: {servers: ["nats://a"], creds: a, nkey: b}\n${TRUSTING}`,
        'several credentials for NATS, nats.creds and nats.nkey',
      ],
      [
        `nats: {servers: ["nats://u:p@a"], creds: a}\n${TRUSTING}`,
        'several credentials for NATS, nats.creds and a user in the URL',
      ],
      [`nats: {servers: ["nats://u:p@a", "nats://v:p@b"]}\n${TRUSTING}`, 'nats.servers names several users'],
      [`nats: {servers: ["http://a"]}\n${TRUSTING}`, 'nats.servers takes URLs such as'],
      [`nats: {servers: ["nats://a:99999"]}\n${TRUSTING}`, 'nats.servers takes URLs such as'],
      [`nats: {servers: ["nats://%zz:p@a"]}\n${TRUSTING}`, 'not percent-encoded'],
      [
        `nats: {servers: ["nats://a"], tls: {cert: a}}\n${TRUSTING}`,
        'nats.tls.cert and nats.tls.key go together',
      ],
      [`nats: {servers: []}\n${TRUSTING}`, ':1: nats.servers: '],
      [`nats: {servers: [a], server: b}\n${TRUSTING}`, ':1: nats.server: unknown key'],
      ['wasmcloud: {trust: self-issued}', 'wasmcloud is served over NATS, and there is none'],
      [`nats: {servers: [a]}\nwasmcloud: {name: a.b}\n${TRUSTING}`, 'wasmcloud.name is one token'],
      [
        `nats: {servers: [a]}\nwasmcloud: {prefix: "a.>"}\n${TRUSTING}`,
        'wasmcloud.prefix consists of tokens',
      ],
      [`nats: {servers: [a]}\nwasmcloud: {queueGroup: "a b"}\n${TRUSTING}`, 'wasmcloud.queueGroup has no'],
      [`nats: {servers: [a]}\nwasmcloud: {trust: none}\n${TRUSTING}`, ':2: wasmcloud.trust: '],
      [
        `nats: {servers: [a]}\nwasmcloud: {mappingAccount: ${USER}}\n${TRUSTING}`,
        'wasmcloud.mappingAccount takes public keys of accounts',
      ],
      [
        `nats: {servers: [a]}\nwasmcloud: {mappingAccount: ${key('account')}}\n${TRUSTING}`,
        'mappingAccount is none of trust.accounts',
      ],
      [`nats: {servers: [a]}\nwasmcloud: {unsignedAdmin: no}\n${TRUSTING}`, ':2: wasmcloud.unsignedAdmin: '],
      [
        `nats: {servers: [a]}\nwasmcloud: {unsignedAdmin: refused, allowUnauthenticatedAdmin: true}\n${TRUSTING}`,
        'wasmcloud.unsignedAdmin refuses it: keep one of them',
      ],
      [
        `nats: {servers: [a]}\nwasmcloud: {hosts: {keys: [${USER}]}}\n${TRUSTING}`,
        'wasmcloud.hosts.keys takes public keys of hosts',
      ],
      [
        `nats: {servers: [a]}\nwasmcloud: {hosts: {clusters: [x]}}\n${TRUSTING}`,
        'wasmcloud.hosts.clusters takes public keys of clusters (C…) or accounts',
      ],
    ].map(([yaml, message]) => [message, yaml] as const),
  )('refuses, as %s …', async (message = '', yaml = '') => {
    await expect(load(yaml)).rejects.toThrow(message);
    await expect(load(yaml)).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it('refuses a development server behind NATS', async () => {
    const yaml = 'nats: {servers: [a]}\nwasmcloud: {trust: self-issued}\n';
    expect((await load(yaml)).dev).toBe(false);
    await expect(load(yaml, { dev: true })).rejects.toThrow(
      'a development server lets everybody in, and NATS',
    );
  });

  it('needs no publicUrl without a TCP door, and no TLS', async () => {
    await expect(load(`listen: 0.0.0.0:1\n${TRUSTING}`)).rejects.toThrow();
    expect((await load(`listen: none\n${TRUSTING}`)).listen).toBe('none');
  });

  it('explains who may administer unsigned', async () => {
    const folder = await temporaryFolder();
    const config = join(folder, 'coffer.yaml');
    writeFileSync(config, `nats: {servers: [a]}\nwasmcloud: {unsignedAdmin: refused}\n${TRUSTING}`);
    const { settings } = explainConfig({ flags: { config }, env: { HOME: folder } });
    expect(settings.find(({ key }) => key === 'wasmcloud.unsignedAdmin')).toMatchObject({
      value: 'refused',
      from: { kind: 'file', line: 2 },
    });
  });

  it('is explained without the password in a URL', async () => {
    const folder = await temporaryFolder();
    const config = join(folder, 'coffer.yaml');
    writeFileSync(config, `nats: {servers: ["nats://ada:tops%65cret@a:1", "b"]}\n${TRUSTING}`);
    const { settings } = explainConfig({ flags: { config }, env: { HOME: folder } });
    expect(settings.find(({ key }) => key === 'nats.servers')?.value).toEqual(['nats://…@a:1', 'b']);
    expect(JSON.stringify(settings)).not.toContain('tops');
  });
});

describe('docs/configuration.md', () => {
  it('has a file with every key that a server takes', async () => {
    const text = readFileSync(new URL('../../../docs/configuration.md', import.meta.url), 'utf8');
    const [, yaml = ''] = /```yaml\n(listen:[\s\S]*?)```/.exec(text) ?? [];
    const { nats, wasmcloud } = await load(yaml);
    expect(nats?.tls).toMatchObject({ ca: '/etc/coffer/nats-ca.pem' });
    expect(wasmcloud.hosts.keys).toHaveLength(1);
  });
});
