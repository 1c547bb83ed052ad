import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createKeyPair } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import { noticesOf } from '../src/config/backends.js';
import { assembleConfig } from '../src/config/config.js';
import { explainConfig } from '../src/config/explain.js';
import { checkConfiguration, loadConfig, startServer } from '../src/index.js';
import { temporaryFolder } from './support.js';

using account = createKeyPair('account');
const SERVED = `listen: none\nnats: {servers: ["nats://127.0.0.1"]}\ntrust: {accounts: [${account.publicKey}]}\n`;

async function fileOf(yaml: string) {
  const folder = await temporaryFolder();
  const config = join(folder, 'coffer.yaml');
  writeFileSync(config, yaml);
  return { folder, sources: { flags: { config }, env: { HOME: folder } } };
}

const load = async (yaml: string) => loadConfig((await fileOf(yaml)).sources);

describe('the configuration of backends', () => {
  it('needs a name, a kind and what that wants, and finds modules beside the file', async () => {
    const { folder, sources } = await fileOf(
      `${SERVED}backends: [{name: one, kind: module, module: ./a.mjs}, {name: two, kind: module, module: some-package, prefix: p, settings: {x: [1]}}]`,
    );
    expect(loadConfig(sources).backends).toEqual([
      {
        name: 'one',
        kind: 'module',
        module: join(folder, 'a.mjs'),
        folder,
        prefix: 'wasmcloud.secrets',
        queueGroup: 'wasmcloud.secrets.one',
        trust: 'lineage',
        grants: 'required',
        maxInFlight: 256,
        timeoutSeconds: 9,
        settings: {},
      },
      expect.objectContaining({ module: 'some-package', queueGroup: 'p.two', settings: { x: [1] } }),
    ]);
  });

  it('has those of a cluster with what is not written', async () => {
    const settings = '{impersonation: [{applications: [shop], users: [reader]}]}';
    expect(
      (await load(`${SERVED}backends: [{name: kube, kind: kubernetes, settings: ${settings}}]`)).backends,
    ).toEqual([
      expect.objectContaining({
        kind: 'kubernetes',
        settings: {
          serviceAccountDir: '/var/run/secrets/kubernetes.io/serviceaccount',
          namespace: 'default',
          timeoutSeconds: 5,
          retries: 2,
          anyVersion: false,
          impersonation: [{ applications: ['shop'], users: ['reader'] }],
          direct: false,
        },
      }),
    ]);
  });

  it.each([
    ['{name: a, kind: module}', /: backends\[0\]\.module: /],
    ['{name: a, kind: module, module: b, extra: 1}', /backends\[0\]\.extra: unknown key/],
    ['{name: a, kind: other, module: b}', /backends\[0\]\.kind: must be/],
    ['{name: a, kind: kubernetes}', /backends\[0\]\.settings: /],
    ['{name: a, kind: kubernetes, settings: {}}', /backends\[0\]\.settings\.impersonation: it lets nobody/],
    [
      '{name: a, kind: kubernetes, settings: {impersonation: [{users: [b]}]}}',
      /backends\[0\]\.settings\.impersonation\[0\]: a rule says for whom/,
    ],
    [
      '{name: a, kind: kubernetes, grants: upstream, settings: {impersonation: [{entities: ["*"], users: [b]}, {applications: [c], users: [b]}]}}',
      /backends\[0\]\.settings\.impersonation\[1\]: with grants: upstream a rule says in entities for whom/,
    ],
    [
      '{name: a, kind: kubernetes, settings: {direct: true, kubeConfig: b}}',
      /settings\.kubeConfig: unknown key/,
    ],
    ['{name: a, kind: vault}', /backends\[0\]\.settings: /],
    [
      '{name: a, kind: vault, settings: {address: "http://v", roll: x}}',
      /backends\[0\]\.settings\.roll: unknown key/,
    ],
    [
      '{name: a, kind: vault, settings: {address: "http://v", kvVersion: 3}}',
      /settings\.kvVersion: must be 1 or 2/,
    ],
    [
      `{name: a, kind: vault, settings: {address: "http://v", applicationHosts: {keys: [${account.publicKey}]}}}`,
      /backends\[0\]\.settings\.applicationHosts\.keys takes public keys of hosts \(N…\)/,
    ],
    [
      '{name: a, kind: vault, settings: {address: "http://v", applicationHosts: {clusters: [AX]}}}',
      /backends\[0\]\.settings\.applicationHosts\.clusters takes public keys of clusters \(C…\) or accounts/,
    ],
    ['{name: a/b, kind: module, module: b}', /backends\[0\]\.name is one token of a subject/],
    ['{name: a.b, kind: module, module: b}', /backends\[0\]\.name is one token of a subject/],
    ['{name: nats-kv, kind: module, module: b}', /backends\[0\]\.name: "nats-kv" is wasmcloud\.name/],
    ['{name: a, kind: module, module: b, prefix: "x.*"}', /backends\[0\]\.prefix consists of tokens/],
    [
      '{name: a, kind: module, module: b}, {name: a, kind: module, module: b}',
      /backends\[1\]\.name: "a" is the name of another/,
    ],
  ])('refuses %s', async (backends, sentence) => {
    await expect(load(`${SERVED}backends: [${backends}]`)).rejects.toThrow(sentence);
  });

  const vault = (name: string, more = '', settings = '') =>
    `{name: ${name}, kind: vault, settings: {address: "https://v"${settings}}${more}}`;
  using host = createKeyPair('server');
  const hosts = `, applicationHosts: {keys: [${host.publicKey}]}`;

  it.each([
    [vault('a', ', trust: self-issued'), 'trust'],
    [vault('a', ', grants: upstream'), 'grants'],
    [vault('a', '', hosts), 'settings.applicationHosts'],
  ])('has no audience for both %s and one that asks more', async (one, differs) => {
    const refused = `backends[1].settings.audience: it is that of "a", too, which has another ${differs}`;
    await expect(load(`${SERVED}backends: [${one}, ${vault('b')}]`)).rejects.toThrow(refused);
    const apart = `${SERVED}backends: [${one}, ${vault('b', '', ', audience: B')}]`;
    expect(noticesOf((await load(apart)).backends ?? [])).toEqual([]);
  });

  it('says of backends that ask the same that they have one audience', async () => {
    const { sources } = await fileOf(`${SERVED}backends: [${vault('a')}, ${vault('b')}]`);
    const says = expect.stringContaining('The backends a and b have the same audience');
    expect(noticesOf(loadConfig(sources).backends ?? [])).toEqual([says]);
    const { findings } = await checkConfiguration(sources);
    expect(findings).toContainEqual({ subject: 'backends', level: 'warning', says });
  });

  it('shows keys to a network in clear if that is said', async () => {
    const listening = (address: string) => load(`${SERVED}jwksListen: "${address}"\n`);
    await expect(listening('10.0.0.5:8080')).rejects.toThrow(
      /^jwksListen: 10\.0\.0\.5:8080 .* or write http:\/\/10\.0\.0\.5:8080/,
    );
    await expect(listening('http://nonsense')).rejects.toThrow(/HOST:PORT/);
    for (const address of ['http://10.0.0.5:8080', '127.0.0.1:8080', '[::1]:0']) {
      expect((await listening(address)).jwksListen).toBe(address);
    }
  });

  it('takes rules without components where grants name those, and everybody where that is written', async () => {
    const ruled = (rule: string, grants: string) =>
      load(
        `${SERVED}backends: [{name: a, kind: kubernetes, grants: ${grants}, settings: {impersonation: [{${rule}, users: [b]}]}}]`,
      );
    await expect(ruled('applications: [c]', 'required')).resolves.toBeDefined();
    await expect(ruled('applications: [c], entities: ["*"]', 'upstream')).resolves.toBeDefined();
  });

  it('has kubeconfigs and keys of their own that nobody else may read or write', async () => {
    const { folder, sources } = await fileOf(
      `${SERVED}backends: [{name: kube, kind: kubernetes, settings: {kubeconfig: KUBECONFIG, direct: true}}]`,
    );
    const [kubeconfig, key] = [join(folder, 'kubeconfig'), join(folder, 'client.key')];
    writeFileSync(
      sources.flags.config,
      readFileSync(sources.flags.config, 'utf8').replace('KUBECONFIG', kubeconfig),
    );
    const content = {
      clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
      users: [{ name: 'u', user: { 'client-key': 'client.key', 'client-certificate': 'client.crt' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    };
    writeFileSync(kubeconfig, JSON.stringify(content));
    writeFileSync(key, '');
    const told = async (...modes: [kubeconfig: number, key: number]) => {
      chmodSync(kubeconfig, modes[0]);
      chmodSync(key, modes[1]);
      const { findings } = await checkConfiguration(sources);
      return findings.flatMap(({ subject, level, says }) =>
        subject === 'backend kube' && level === 'problem' ? [says] : [],
      );
    };
    expect(await told(0o600, 0o400)).toEqual([]);
    expect(await told(0o602, 0o400)).toEqual([`others can read ${kubeconfig}: chmod 600 ${kubeconfig}`]);
    expect(await told(0o600, 0o644)).toEqual([`others can read ${key}: chmod 600 ${key}`]);
  });

  it('is shown without what is secret, where a seed or a password stands', async () => {
    const seed = Buffer.from(createKeyPair('server').seed()).toString();
    const settings = `{address: "https://user:pass@v", applicationHosts: {keys: [${seed}]}}`;
    const { sources } = await fileOf(`${SERVED}backends: [{name: a, kind: vault, settings: ${settings}}]`);
    const shown = new Map(explainConfig(sources).settings.map(({ key, value }) => [key, value]));
    expect(shown.get('backends[0].settings.address')).toBe('https://…@v');
    expect(shown.get('backends[0].settings.applicationHosts.keys')).toEqual(['S… (a seed)']);
  });

  it('wants NATS, somebody who is trusted, and something that is served', async () => {
    const one = 'backends: [{name: a, kind: module, module: b}]';
    await expect(load(one)).rejects.toThrow(/backends are served over NATS, and there is none/);
    const untrusted = `nats: {servers: ["nats://127.0.0.1"]}\nwasmcloud: {trust: self-issued}\n${one}`;
    await expect(load(untrusted)).rejects.toThrow(/backends\[0\]: somebody must be trusted/);
    await expect(load(`${SERVED}wasmcloud: {serve: false}`)).rejects.toThrow(/leaves nothing to be served/);
    expect((await load(`${SERVED}wasmcloud: {serve: false, name: a}\n${one}`)).wasmcloud.serve).toBe(false);
  });

  it('keeps the rest of a file whose backends are wrong', async () => {
    const { sources } = await fileOf(`${SERVED}logLevel: warn\nbackends: [{kind: module}]`);
    const { config, problems } = assembleConfig(sources);
    expect([config.logLevel, config.listen, problems.length]).toEqual(['warn', 'none', 2]);
  });

  it('is shown setting by setting with its lines, and modules that are not there are named', async () => {
    const { folder, sources } = await fileOf(
      `${SERVED}backends:\n  - name: one\n    kind: module\n    module: ./not-there.mjs\n    settings: {folder: /x}\n`,
    );
    const { settings } = explainConfig(sources);
    const from = (line: number) => ({ kind: 'file', name: sources.flags.config, line });
    expect(settings.filter(({ key }) => key.startsWith('backends'))).toEqual([
      { key: 'backends[0].name', value: 'one', from: from(5) },
      { key: 'backends[0].prefix', value: 'wasmcloud.secrets', from: { kind: 'default' } },
      { key: 'backends[0].queueGroup', value: 'wasmcloud.secrets.one', from: { kind: 'default' } },
      { key: 'backends[0].trust', value: 'lineage', from: { kind: 'default' } },
      { key: 'backends[0].grants', value: 'required', from: { kind: 'default' } },
      { key: 'backends[0].maxInFlight', value: 256, from: { kind: 'default' } },
      { key: 'backends[0].timeoutSeconds', value: 9, from: { kind: 'default' } },
      { key: 'backends[0].kind', value: 'module', from: from(6) },
      { key: 'backends[0].module', value: join(folder, 'not-there.mjs'), from: from(7) },
      { key: 'backends[0].settings.folder', value: '/x', from: from(8) },
    ]);
    const { findings } = await checkConfiguration(sources);
    expect(findings.filter(({ subject }) => subject === 'backend one')).toEqual([
      {
        subject: 'backend one',
        level: 'problem',
        says: `there is no module ${join(folder, 'not-there.mjs')}: a path is relative to the configuration file`,
      },
    ]);
  });

  const vaultOf = (settings: string) => `kind: vault, settings: {${settings}}`;
  const inCluster = 'kind: kubernetes, settings: {kubeconfig: KUBECONFIG, context: prod, direct: true}';

  it.each([
    [vaultOf('address: "vault.example.com:8200"'), /the address of a Vault is https:/],
    [
      vaultOf('address: "https://v", ca: /not-there.pem'),
      /settings\.ca: the file \/not-there\.pem cannot be read \(ENOENT\)/,
    ],
    [vaultOf('address: "http://vault.example.com"'), /is not on this machine, and without TLS everybody/],
    [inCluster, /there is no context prod$/],
    ['kind: module, module: no-such-package', /there is no package no-such-package in /],
  ])('of {%s} is found wrong in the words in which the start refuses it', async (one, sentence) => {
    const { folder, sources } = await fileOf('');
    const kubeconfig = join(folder, 'kubeconfig');
    writeFileSync(kubeconfig, 'apiVersion: v1\nkind: Config\ncontexts: []\ncurrent-context: dev\n');
    const backends = `backends: [{name: a, ${one.replace('KUBECONFIG', kubeconfig)}}]`;
    writeFileSync(sources.flags.config, `${SERVED}${backends}`);
    const { findings } = await checkConfiguration(sources);
    expect(findings.filter(({ subject }) => subject === 'backend a')).toEqual([
      { subject: 'backend a', level: 'problem', says: expect.stringMatching(sentence) },
    ]);
    await expect(startServer(loadConfig(sources))).rejects.toThrow(sentence);
  });

  it('finds a package without running it', async () => {
    const { folder, sources } = await fileOf(
      `${SERVED}backends: [{name: a, kind: module, module: loud}, {name: b, ${vaultOf('address: "http://[::1]:8200"')}}]`,
    );
    const loud = join(folder, 'node_modules', 'loud');
    mkdirSync(loud, { recursive: true });
    writeFileSync(join(loud, 'index.js'), 'throw new Error("it was run");\n');
    const { findings } = await checkConfiguration(sources);
    expect(findings.filter(({ subject }) => subject.startsWith('backend '))).toEqual([
      { subject: 'backend a', level: 'ok', says: 'module loud' },
      { subject: 'backend b', level: 'ok', says: 'Vault at http://[::1]:8200' },
    ]);
  });
});
