/** Where a cluster is and who we are there, as files and environment say it. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { delimiter } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { canary } from '../../../../test/support/canary.mjs';
import { TemporaryFolder } from '../../../../test/support/processes.mjs';
import {
  type Environment,
  type KubeConfigSource,
  kubeConfigReader,
  readKubeConfig,
  secretFilesOf,
} from '../../src/kubernetes/kubeconfig.js';

const folder = new TemporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const TOKEN = canary('token').replaceAll(' ', '-');

function file(name: string, content: object | string): string {
  writeFileSync(folder.join(name), typeof content === 'string' ? content : JSON.stringify(content));
  return folder.join(name);
}

const config = ({
  name = 'one',
  server = 'https://one.example:6443',
  user = { token: TOKEN } as object,
} = {}) => ({
  clusters: [{ name, cluster: { server } }],
  users: [{ name, user }],
  contexts: [{ name, context: { cluster: name, user: name } }],
  'current-context': name,
});

const from = (source: Partial<KubeConfigSource>): KubeConfigSource => ({
  kubeconfig: undefined,
  context: undefined,
  serviceAccountDir: folder.join('none'),
  impersonation: [],
  ...source,
});

const read = (source: Partial<KubeConfigSource>, env: Environment = {}) =>
  readKubeConfig(from(source), { HOME: folder.path, ...env });

const RULES = [{ entities: ['*'], users: ['a'] }];

async function authorization(source: Partial<KubeConfigSource>, env?: Environment): Promise<unknown> {
  const options: RequestOptions = {};
  await (await read(source, env)).applyToHTTPSOptions(options);
  return (options.headers as Record<string, unknown>).Authorization;
}

/** What is wrong, which never quotes a file. */
async function problem(source: Partial<KubeConfigSource>, env?: Environment): Promise<string> {
  const error = await read(source, env).then(
    () => new Error('it was read'),
    (thrown: Error) => thrown,
  );
  expect(`${error.stack} ${error.cause}`).not.toContain(TOKEN);
  return error.message.replaceAll(folder.path, '…');
}

describe('a kubeconfig', () => {
  it('says where the cluster is, in its current context or in another one', async () => {
    const two = config({ name: 'two', server: 'https://two.example' });
    const both = { ...config(), contexts: [...config().contexts, ...two.contexts] };
    const path = file('both', {
      ...both,
      clusters: [...both.clusters, ...two.clusters],
      users: [...both.users, ...two.users],
    });
    expect((await read({ kubeconfig: path })).getCurrentCluster()?.server).toBe('https://one.example:6443');
    expect((await read({ kubeconfig: path, context: 'two' })).getCurrentCluster()?.server).toBe(
      'https://two.example',
    );
  });

  it('may name a file for the token, which goes before a token in it', async () => {
    file('the-token', 'from-the-file\n');
    const path = file('token-file', config({ user: { token: TOKEN, tokenFile: 'the-token' } }));
    expect(await authorization({ kubeconfig: path })).toBe('Bearer from-the-file\n');
  });

  it('is found as kubectl finds it: KUBECONFIG, whose first file counts, or in the home folder', async () => {
    mkdirSync(folder.join('.kube'));
    file('.kube/config', config({ name: 'home', server: 'https://home.example' }));
    expect((await read({})).getCurrentCluster()?.server).toBe('https://home.example');
    const first = file('first', config({ name: 'first', server: 'https://first.example' }));
    const clash = config({ name: 'first', server: 'https://clash.example' });
    const second = file('second', {
      clusters: [...clash.clusters, ...config().clusters],
      users: config().users,
      contexts: config().contexts,
      'current-context': 'one',
    });
    const env = { KUBECONFIG: [first, second].join(delimiter) };
    expect((await read({}, env)).getCurrentCluster()?.server).toBe('https://first.example');
    expect((await read({ context: 'one' }, env)).getCurrentCluster()?.server).toBe(
      'https://one.example:6443',
    );
  });

  it.each([
    [
      'is not there',
      () => ({ kubeconfig: folder.join('gone') }),
      /^cannot read the kubeconfig …\/gone \(ENOENT\)$/,
    ],
    ['is no YAML', () => ({ kubeconfig: file('a', `a: [${TOKEN}`) }), /^…\/a is no kubeconfig: /],
    ['is empty', () => ({ kubeconfig: file('b', '') }), /^…\/b is no kubeconfig: /],
    [
      'has a user without a name',
      () => ({ kubeconfig: file('c', { users: [{ user: { token: TOKEN } }] }) }),
      /no kubeconfig/,
    ],
    [
      'has no current context',
      () => ({ kubeconfig: file('d', { ...config(), 'current-context': '' }) }),
      /no current context/,
    ],
    [
      'has no such context',
      () => ({ kubeconfig: file('e', config()), context: 'none' }),
      /there is no context none/,
    ],
    [
      'names no cluster that is there',
      () => ({ kubeconfig: file('f', { ...config(), clusters: [] }) }),
      /names no cluster/,
    ],
    [
      'names no user that is there',
      () => ({ kubeconfig: file('g', { ...config(), users: [] }) }),
      /names no user/,
    ],
    [
      'is for a server without TLS',
      () => ({ kubeconfig: file('h', config({ server: 'http://one.example' })) }),
      /no https:/,
    ],
    [
      'is for a server whose certificate nobody would look at',
      () => {
        const plain = config();
        const clusters = plain.clusters.map((one) => ({
          ...one,
          cluster: { ...one.cluster, 'insecure-skip-tls-verify': true },
        }));
        return { kubeconfig: file('i', { ...plain, clusters }) };
      },
      /insecure-skip-tls-verify/,
    ],
    [
      'has a user who is another one, where rules would take that one’s place',
      () => ({
        kubeconfig: file('j', config({ user: { token: TOKEN, as: 'limited' } })),
        impersonation: RULES,
      }),
      /\(as: …\), and rules of impersonation take that one's place/,
    ],
    [
      'has a user in groups that would not be sent',
      () => ({ kubeconfig: file('k', config({ user: { token: TOKEN, as: 'a', 'as-groups': ['b'] } })) }),
      /as-groups is not known here/,
    ],
    [
      'has a user by a way to log in that is no more',
      () => ({
        kubeconfig: file(
          'l',
          config({ user: { 'auth-provider': { name: 'gcp', config: { 'cmd-path': 'x' } } } }),
        ),
      }),
      /the auth-provider gcp is not known here/,
    ],
    [
      'has a plugin that wants a person',
      () => ({
        kubeconfig: file('m', config({ user: { exec: { command: 'x', interactiveMode: 'Always' } } })),
      }),
      /its plugin wants a person/,
    ],
  ])('is refused with a sentence where it %s', async (_, source, sentence) => {
    expect(await problem(source())).toMatch(sentence);
  });
});

describe('a user who is another one', () => {
  it('is that one where no rule takes its place', async () => {
    const options: RequestOptions = {};
    const kubeconfig = file('limited', config({ user: { token: TOKEN, as: 'limited' } }));
    await (await read({ kubeconfig })).applyToHTTPSOptions(options);
    expect(options.headers).toMatchObject({ 'Impersonate-User': 'limited' });
  });
});

describe('the files that make coffer who it is', () => {
  it('are the configuration, and what it names of the user', async () => {
    const user = { tokenFile: 'its-token', 'client-key': 'its.key', 'client-certificate': 'its.crt' };
    const kubeconfig = file('files', config({ user }));
    expect(await secretFilesOf(from({ kubeconfig }), {})).toEqual([
      kubeconfig,
      folder.join('its-token'),
      folder.join('its.key'),
    ]);
    const plain = file('plain', config());
    expect(await secretFilesOf(from({}), { KUBECONFIG: plain })).toEqual([plain]);
  });
});

describe('in a cluster', () => {
  const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443', HOME: '/nonexistent' };

  it('the pod’s service account counts', async () => {
    mkdirSync(folder.join('account'));
    file('account/token', 'of-the-pod');
    file('account/ca.crt', 'CA');
    const source = { serviceAccountDir: folder.join('account') };
    expect((await read(source, env)).getCurrentCluster()?.server).toBe('https://[fd00::1]:6443');
    expect(await authorization(source, env)).toBe('Bearer of-the-pod');
    const path = file('own', config());
    expect(await authorization({ ...source, kubeconfig: path }, env)).toBe(`Bearer ${TOKEN}`);
  });

  it('the pod’s service account is whom coffer stays, also while its token is away', async () => {
    mkdirSync(folder.join('away'));
    file('away/token', 'of-the-pod');
    file('away/ca.crt', 'CA');
    const other = file('someone', config({ server: 'https://elsewhere.example' }));
    const reader = kubeConfigReader(from({ serviceAccountDir: folder.join('away') }), {
      ...env,
      KUBECONFIG: other,
    });
    rmSync(folder.join('away/token'));
    const read = await reader();
    expect(read.getCurrentCluster()?.server).toBe('https://[fd00::1]:6443');
    await expect(read.applyToHTTPSOptions({})).rejects.toThrow('ENOENT');
  });

  it('a pod without one is told what to do', async () => {
    expect(await problem({}, env)).toMatch(/^this is no pod with a service account, and there is no /);
  });
});
