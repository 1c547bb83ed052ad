/** Programs that give credentials: what they see, how long they run, and that nothing is left of them. */
import { readFileSync } from 'node:fs';
import type { RequestOptions } from 'node:https';
import { afterAll, describe, expect, it } from 'vitest';
import { canary } from '../../../../test/support/canary.mjs';
import { TemporaryFolder } from '../../../../test/support/processes.mjs';
import { PLUGIN, Plugins, withoutSecrets } from '../../src/kubernetes/plugin.js';

const folder = new TemporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const TOKEN = canary('token').replaceAll(' ', '-');
const around = { PATH: process.env.PATH ?? '' };

const user = (script: string, more: object = {}) => ({
  name: 'u',
  authProvider: {
    name: PLUGIN,
    config: {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', script],
      env: {},
      ...more,
    },
  },
});

async function applied(plugins: Plugins, ...args: Parameters<typeof user>): Promise<RequestOptions> {
  const options: RequestOptions = {};
  await plugins.applyAuthentication(user(...args), options);
  return options;
}

const prints = (status: object, more = '') =>
  `${more}; console.log(${JSON.stringify(JSON.stringify({ status }))})`;

/** Why there are no credentials, without a word of what the plugin printed. */
async function problem(plugins: Plugins, ...args: Parameters<typeof user>): Promise<string> {
  const error = await applied(plugins, ...args).then(
    () => new Error('there were some'),
    (thrown: Error) => thrown,
  );
  expect(`${error.stack} ${error.cause}`).not.toContain(TOKEN);
  return error.message;
}

/** A process that ended, and was not waited for, is there still, as a zombie. */
function runs(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

/** A plugin that never ends, with a child that does not either, and where their process ids are. */
function hanging(name: string) {
  const file = folder.join(name);
  const script = `
    const child = require('child_process').spawn('sleep', ['600'], { stdio: 'inherit' });
    require('fs').writeFileSync(${JSON.stringify(`${file}.new`)}, process.pid + ' ' + child.pid);
    require('fs').renameSync(${JSON.stringify(`${file}.new`)}, ${JSON.stringify(file)});
    setInterval(() => {}, 1000)`;
  const pids = () => readFileSync(file, 'utf8').split(' ').map(Number);
  return { script, pids };
}

describe('a plugin', () => {
  it('gives a token, or a certificate with its key', async () => {
    const plugins = new Plugins(around);
    const { headers } = await applied(plugins, prints({ token: TOKEN }));
    expect(headers).toEqual({ Authorization: `Bearer ${TOKEN}` });
    const pair = { clientCertificateData: 'CERT', clientKeyData: 'KEY' };
    expect(await applied(new Plugins(around), prints(pair))).toMatchObject({ cert: 'CERT', key: 'KEY' });
  });

  it('is run again when what it gave has ended, and not before', async () => {
    const counted = (name: string, status: object) =>
      prints(status, `require('fs').appendFileSync(${JSON.stringify(folder.join(name))}, '.')`);
    for (const [name, expirationTimestamp, runs] of [
      ['over', '2020-01-01T00:00:00Z', 2],
      ['kept', '2120-01-01T00:00:00Z', 1],
      ['endless', undefined, 1],
    ] as const) {
      const plugins = new Plugins(around);
      for (let times = 0; times < 2; times++)
        await applied(plugins, counted(name, { token: TOKEN, expirationTimestamp }));
      expect(readFileSync(folder.join(name), 'utf8')).toHaveLength(runs);
    }
  });

  it('sees what its entry says, and that nobody will answer it', async () => {
    const script = `
      const typed = require('fs').readFileSync(0, 'utf8');
      console.log(JSON.stringify({ status: { token: JSON.stringify([typed, process.env.MINE, process.env.KUBERNETES_EXEC_INFO]) } }))`;
    const { headers } = await applied(new Plugins(around), script, { env: { MINE: 'mine' } });
    const [typed, mine, info] = JSON.parse(
      String((headers as Record<string, string>).Authorization).replace('Bearer ', ''),
    );
    expect([typed, mine, JSON.parse(info)]).toEqual([
      '',
      'mine',
      {
        apiVersion: 'client.authentication.k8s.io/v1',
        kind: 'ExecCredential',
        spec: { interactive: false },
      },
    ]);
  });

  it.each([
    [
      'fails',
      `console.log('${TOKEN}'); console.error('${TOKEN}'); process.exit(3)`,
      'its plugin ended with 3',
    ],
    ['prints nonsense', `console.log('${TOKEN}')`, 'its plugin printed no JSON'],
    ['prints no credentials', prints({ clientCertificateData: TOKEN }), 'its plugin printed no credentials'],
    [
      'prints without an end',
      `setInterval(() => process.stdout.write('x'.repeat(1e5)), 1)`,
      'its plugin printed more than any credentials',
    ],
  ])('that %s is told of by its end', async (_, script, sentence) => {
    expect(await problem(new Plugins(around), script)).toBe(sentence);
  });

  it('that is not there is told of', async () => {
    expect(await problem(new Plugins(around), '', { command: folder.join('none') })).toBe(
      'its plugin cannot be run: ENOENT',
    );
  });

  it('that never ends is killed, with what it has started', async () => {
    const { script, pids } = hanging('late');
    expect(await problem(new Plugins(around, undefined, 3_000), script)).toBe(
      'its plugin had not ended after 3 s',
    );
    await expect.poll(() => pids().filter(runs)).toEqual([]);
  });

  it('is killed when the backend is closed', async () => {
    const { script, pids } = hanging('closed');
    const closing = new AbortController();
    const said = problem(new Plugins(around, closing.signal), script);
    await expect.poll(pids, { timeout: 10_000 }).toHaveLength(2);
    expect(pids().every(runs)).toBe(true);
    closing.abort();
    expect(await said).toBe('the backend is closed');
    await expect.poll(() => pids().filter(runs)).toEqual([]);
  });
});

describe('the environment of plugins', () => {
  it('has nothing that is coffer’s own, by its name or by what it is', () => {
    const own = {
      COFFER_TOKEN: 'x',
      COFFER_ROOT_KEY: 'x',
      SV_NATS_SEED: 'x',
      TRANSIT_XKEY_SEED: 'x',
      ENCRYPTION_XKEY_SEED: 'x',
      BACKEND_SEED: 'x',
      MY_PASSPHRASE: 'x',
      ANY: `SX${'A'.repeat(56)}`,
    };
    const others = { PATH: '/bin', HOME: '/root', AWS_SESSION_TOKEN: 'x', KUBECONFIG: '/x', SVELTE: 'x' };
    expect(withoutSecrets({ ...own, ...others }, ['MY_PASSPHRASE'])).toEqual(others);
  });
});
