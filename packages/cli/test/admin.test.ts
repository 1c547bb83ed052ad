import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { coffer, type Outcome, type RunningServer, type RunOptions, startServer } from './run.js';

let server: RunningServer;
const folder = mkdtempSync(join(tmpdir(), 'coffer-cli-'));
const policyFile = join(folder, 'policy.yaml');

beforeAll(async () => {
  server = await startServer();
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** As the administrator, over the admin socket. */
function admin(line: string, options: RunOptions = {}): Promise<Outcome> {
  return server.run(line.split(' '), { ...options, env: { COFFER_SERVER: server.socket } });
}

async function newToken(name: string, ...more: string[]): Promise<{ id: string; token: string }> {
  const { stdout } = await admin(['token create --json', name, ...more].join(' '));
  return JSON.parse(stdout);
}

describe('who may do what', () => {
  test('a token does what the policy grants to it, and nothing else', async () => {
    await admin('put app/db', { input: 'v1' });
    await admin('put other', { input: 'v1' });
    const { id, token } = await newToken('app');
    const asApp = (line: string) => server.run(line.split(' '), { env: { COFFER_TOKEN: token } });
    expect(await asApp('get app/db')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('access denied'),
    });

    writeFileSync(policyFile, `grants: [{ to: ["token:${id}"], actions: [get], secrets: ["app/*"] }]`);
    expect(await admin(`policy apply ${policyFile}`)).toMatchObject({ code: 0 });

    expect((await asApp('get app/db')).stdout).toBe('v1');
    expect(await asApp('get other')).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'coffer: failed to get secret: access denied: no grant allows you to get "other"; ask an administrator for ' +
        'one; "coffer whoami" shows your rights\n',
    });
    expect((await asApp('whoami')).stdout).toMatch(
      new RegExp(
        `^You are: +token:${id} \\("app"\\)\nServer: +${server.url}, coffer .*\nServer key: +N[A-Z2-7]{55}\n` +
          `Store: +\\S+\nYou may: +to: \\["token:${id}"\\], actions: \\[get\\], secrets: \\["app/\\*"\\]\n$`,
      ),
    );
    expect((await asApp('token list')).stderr).toMatch(/^coffer: failed to list tokens: [^\n]+\n$/);
  });

  test('a token comes from a file, the environment or the address; none is a line that says so', async () => {
    await admin('put where/a', { input: 'v1' });
    const { id, token } = await newToken('where');
    writeFileSync(policyFile, `grants: [{ to: ["token:${id}"], actions: [get], secrets: ["where/*"] }]`);
    await admin(`policy apply ${policyFile}`);
    writeFileSync(join(folder, 'token'), `${token}\n`);

    const line = ['get', 'where/a'];
    const withToken = server.url.replace('//', `//any:${token}@`);
    expect((await server.run([...line, '--token-file', join(folder, 'token')])).stdout).toBe('v1');
    expect((await server.run(['--token-file', join(folder, 'token'), ...line])).stdout).toBe('v1');
    expect((await server.run(line, { env: { COFFER_TOKEN: token } })).stdout).toBe('v1');
    expect((await server.run([...line, '-s', withToken])).stdout).toBe('v1');
    expect((await coffer(line, { env: { SETEC_SERVER: withToken } })).stdout).toBe('v1');
    expect(await server.run(line)).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'coffer: failed to get secret: the server does not know you: no credential was given; ' +
        'use --token-file FILE, --creds FILE, COFFER_TOKEN or COFFER_CREDS\n',
    });
  });
});

describe('token', () => {
  test('create puts the token alone on standard output', async () => {
    const { code, stdout, stderr } = await admin('token create ci --expires 30d');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^cft_[A-Za-z0-9_-]{43}\n$/);
    expect(stderr).toMatch(
      /^Token "ci" made: .*\n {2}Expires: \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\n.* token:\S+\n$/,
    );
  });

  test('list shows each one, its state and no token', async () => {
    const { id, token } = await newToken('listed');
    await admin(`token revoke ${id}`);
    const { stdout } = await admin('token list');
    expect(stdout).toMatch(/^ID +NAME +STATE +EXPIRES +CREATED +BY\n/);
    expect(stdout).toMatch(new RegExp(`^${id} +listed +revoked +never +\\S+Z +socket$`, 'm'));
    expect(stdout).not.toContain(token);
    const listed = JSON.parse((await admin('token list --json')).stdout);
    expect(listed).toContainEqual(expect.objectContaining({ id, name: 'listed', createdBy: 'socket' }));
  });

  test('revoke takes the id with or without "token:", and a revoked token is refused at once', async () => {
    const { id, token } = await newToken('gone');
    const whoami = () => server.run(['whoami'], { env: { COFFER_TOKEN: token } });
    expect(await whoami()).toMatchObject({ code: 0 });
    expect((await admin(`token revoke token:${id}`)).stdout).toBe(`Token "gone" (${id}) is revoked\n`);
    expect(await whoami()).toMatchObject({ code: 1, stderr: expect.stringContaining('does not know you') });
    expect(await admin('token revoke nobody')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^coffer: failed to revoke the token: [^\n]+\n$/),
    });
  });
});

describe('policy', () => {
  test('apply shows what it changes, and --dry-run changes nothing', async () => {
    const [first, second] = ['one/*', 'two/*'].map(
      (secrets) => `  - to: ["token:p"]\n    actions: [get]\n    secrets: ["${secrets}"]\n`,
    );
    const line = (secrets: string) => `to: ["token:p"], actions: [get], secrets: ["${secrets}"]\n`;
    writeFileSync(policyFile, `grants:\n${first}`);
    await admin(`policy apply ${policyFile}`);
    const { stdout: before } = await admin('policy show');
    writeFileSync(policyFile, `grants:\n${second}`);

    expect((await admin(`policy apply --dry-run ${policyFile}`)).stdout).toBe(
      `- ${line('one/*')}+ ${line('two/*')}1 added, 1 removed, 0 unchanged: a dry run, nothing was changed\n`,
    );
    expect((await admin('policy show')).stdout).toBe(before);

    expect((await admin(`policy apply ${policyFile}`)).stdout).toMatch(
      /1 added, 1 removed, 0 unchanged: generation \d+ /,
    );
    expect((await admin('policy show')).stdout).toMatch(
      new RegExp(`^# generation \\d+\ngrants:\n${literal(second ?? '')}$`),
    );
  });

  test('show prints a file that apply takes', async () => {
    writeFileSync(policyFile, (await admin('policy show')).stdout);
    expect((await admin(`policy apply --json ${policyFile}`)).stdout).toMatch(
      /"added": \[\],\n {2}"removed": \[\]/,
    );
  });

  test('has conditions, which apply, show and whoami tell', async () => {
    const { id, token } = await newToken('conditional');
    const grant = `to: ["token:${id}"], actions: [get], secrets: ["app/*"], when: {application: [shop, "shop-*"], host: ["N1"]}`;
    writeFileSync(policyFile, `grants: [{${grant}}]`);
    expect((await admin(`policy apply ${policyFile}`)).stdout).toContain(`+ ${grant}\n`);
    const { stdout: shown } = await admin('policy show');
    expect(shown).toContain(
      '    secrets: ["app/*"]\n    when: {application: [shop, "shop-*"], host: ["N1"]}\n',
    );
    writeFileSync(policyFile, shown);
    expect((await admin(`policy apply ${policyFile}`)).stdout).toMatch(/^0 added, 0 removed, 1 unchanged/);
    expect((await server.run(['whoami'], { env: { COFFER_TOKEN: token } })).stdout).toContain(grant);
    // Over HTTP nothing is claimed that could meet them.
    await admin('put app/x', { input: 'v1' });
    expect(await server.run(['get', 'app/x'], { env: { COFFER_TOKEN: token } })).toMatchObject({ code: 1 });
  });

  test('check needs no server, and names the place of a mistake', async () => {
    writeFileSync(policyFile, 'grants: [{ to: [a], actions: [get], secrets: [b] }]');
    expect(await coffer(['policy', 'check', policyFile])).toEqual({
      code: 0,
      stdout: `${policyFile}: 1 grant, well formed\n`,
      stderr: '',
    });
    writeFileSync(policyFile, 'grants: [{ to: [a], action: [get], secrets: [b] }]');
    expect(await coffer(['policy', 'check', policyFile])).toEqual({
      code: 1,
      stdout: '',
      stderr: `coffer: ${policyFile}: grants[0].action: unknown key, write to, actions, secrets, when\n`,
    });
    expect((await coffer(['policy', 'check', '/nowhere'])).stderr).toBe(
      'coffer: cannot read /nowhere: no such file\n',
    );
  });
});

describe('server', () => {
  test('says where it serves and what to type next', async () => {
    expect(server.welcome).toContain(`coffer serves on ${server.url}\n`);
    expect(server.welcome).toMatch(
      new RegExp(`coffer.js -s ${literal(server.socket)} token create my-program --expires 30d\n`),
    );
    await using development = await startServer('--dev');
    expect(development.welcome).toContain('DEVELOPMENT: whoever can connect may read and change everything.');
    expect(development.welcome).toContain(`coffer.js -s ${development.url} put hello\n`);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)(
    'ends on %s with the exit status 0, and keeps what it has',
    async (signal) => {
      await using first = await startServer('--dev');
      await first.run(['put', 'kept'], { input: 'v1' });
      expect(await first.stop(signal)).toBe(0);
      await using second = await startServer('--dev', '--state-dir', first.stateDir);
      expect((await second.run(['get', 'kept'])).stdout).toBe('v1');
    },
  );

  test('a second one for the same state folder is refused in one line', async () => {
    const args = ['server', '--dev', '--listen', '127.0.0.1:0', '--state-dir'];
    await using first = await startServer('--dev');
    const second = await coffer([...args, first.stateDir]);
    expect(second).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^coffer: [^\n]+\n$/),
    });
  });

  test.each([
    [['--listen', 'nonsense']],
    [['--dev', '--listen', '0.0.0.0:0']],
    [['--root-key', 'nonsense']],
    [['--root-key', 'passphrase:prompt']],
    [['--config', '/nowhere.yaml']],
  ])('%j is refused in one line', async (args) => {
    const stateDir = mkdtempSync(join(folder, 'state-'));
    const outcome = await coffer(['server', '--state-dir', stateDir, ...args]);
    expect(outcome).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^coffer: [^\n]+\n$/),
    });
    expect(outcome.stderr).not.toContain('unexpected error');
  });
});

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
