import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CANARY, canary, expectNoCanary, findCanary } from '../support/canary.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, coffer } from '../support/servers.mjs';

describe('the search for values', () => {
  it('finds one in any form that a log or a message may give it', () => {
    const value = Buffer.from(`x${canary('of a test')}`);
    for (const before of ['', 'a', 'ab', 'abc']) {
      expect(findCanary(`log: ${Buffer.concat([Buffer.from(before), value]).toString('base64')}`)).toBe(
        'base64',
      );
    }
    expect(findCanary(value)).toBe('text');
    expect(findCanary(JSON.stringify({ value: [...value] }))).toBe('a list of bytes');
    expect(findCanary(value.toString('hex'))).toBe('hexadecimal');
    expect(findCanary(encodeURIComponent(value.toString('latin1')))).toBe('text');
    expect(findCanary('nothing of the kind')).toBeUndefined();
    expect(() => expectNoCanary(value, 'this')).toThrow(/this holds a secret value/);
  });
});

/** Everything that coffer says or writes but where it is asked for a value. */
describe('no value shows', () => {
  let server: CofferServer;
  let files: TemporaryFolder;
  let token: string;
  beforeAll(async () => {
    files = new TemporaryFolder();
    server = await CofferServer.start({ env: { COFFER_LOG: 'trace' } });
    const made = await server.createToken('everything');
    token = made.token;
    await server.applyPolicy([
      {
        to: [made.principal],
        actions: ['get', 'info', 'put', 'create-version', 'activate', 'delete'],
        secrets: ['*'],
      },
    ]);
  });
  afterAll(async () => {
    await server?.stop();
    files?.[Symbol.dispose]();
  });

  /** Runs a command whose output must not hold a value, whether it succeeds or not. */
  const quiet = async (args: readonly string[], input = '') => {
    const { stdout, stderr, code } = await coffer(['-s', server.url, ...args], {
      input,
      env: { COFFER_TOKEN: token, COFFER_DEBUG: '1' },
    });
    expectNoCanary(stdout, `standard output of ${args.join(' ')}`);
    expectNoCanary(stderr, `standard error of ${args.join(' ')}`);
    return { code, stdout: stdout.toString() };
  };

  it('in what commands print', async () => {
    const file = files.join('value');
    writeFileSync(file, canary('from a file'));
    expect((await quiet(['put', 'app/one'], canary('one'))).code).toBe(0);
    expect((await quiet(['put', '--json', 'app/one'], canary('two'))).code).toBe(0);
    expect((await quiet(['put', '--from-file', file, 'app/file'])).code).toBe(0);
    expect((await quiet(['create-version', 'app/one', '9'], canary('nine'))).code).toBe(0);
    expect((await quiet(['create-version', 'app/one', '9'], canary('again'))).code).toBe(1);
    expect((await quiet(['put', 'app/one'], ` ${canary('with space')} `)).code).toBe(1);
    expect((await quiet(['put', '_internal/x'], canary('reserved'))).code).toBe(1);
    for (const args of [['list'], ['info', 'app/one'], ['whoami'], ['list', '--json']]) {
      expect((await quiet(args)).code, args.join(' ')).toBe(0);
    }
    expect((await quiet(['get', 'absent'])).code).toBe(1);
  });

  it('in what runs, imports and exports print', async () => {
    const env = files.join('app.env');
    writeFileSync(env, `DOTENV_ONE="${canary('dotenv')}"\nDOTENV_TWO='${canary('dotenv')}\nover lines'\n`);
    const broken = files.join('broken.env');
    writeFileSync(broken, `GOOD="${canary('good')}"\nBROKEN="${canary('never ends')}\n`);
    const folder = files.join('folder');
    mkdirSync(folder);
    writeFileSync(join(folder, 'file'), canary('of a file'));
    expect((await quiet(['import', 'env', env, '--dry-run'])).code).toBe(0);
    expect((await quiet(['import', 'env', env])).code).toBe(0);
    expect((await quiet(['import', 'env', broken])).code).toBe(1);
    expect((await quiet(['import', 'dir', folder, '--prefix', 'dir/'])).code).toBe(0);
    expect((await quiet(['export', 'env', '--secrets', 'DOTENV_*', '--dry-run'])).code).toBe(0);
    // Without a terminal and without --yes it is refused.
    expect((await quiet(['export', 'json'])).code).toBe(1);
    const child = ['--', process.execPath, '-e', 'process.exit(process.env.ONE.includes("canary") ? 7 : 8)'];
    expect((await quiet(['run', '--env', 'ONE=app/one', ...child])).code).toBe(7);
    expect((await quiet(['run', '--env', 'ONE=app/one', '--env', 'NO=absent', ...child])).code).toBe(1);
  });

  it('in what administration prints and writes', async () => {
    const backup = files.join('backup');
    const rootKey = `file:${server.folder.join('root.key')}`;
    const admin = [
      ['keys', 'list'],
      ['keys', 'rotate'],
      ['audit', 'tail', '-n', '100'],
      ['audit', 'query', '--json'],
      ['audit', 'verify'],
      ['policy', 'show'],
      ['token', 'list'],
      ['backup', 'create', backup],
    ];
    for (const args of admin) {
      const { code, stdout, stderr } = await coffer(['-s', server.socket, ...args]);
      expect(code, `${args.join(' ')}: ${stderr}`).toBe(0);
      expectNoCanary(stdout, `standard output of ${args.join(' ')}`);
      expectNoCanary(stderr, `standard error of ${args.join(' ')}`);
    }
    expectNoCanary(readFileSync(backup), 'the backup');
    const verified = await coffer(['backup', 'verify', backup, '--root-key', rootKey]);
    expect(verified.code, verified.stderr.toString()).toBe(0);
    expectNoCanary(verified.stdout, 'standard output of backup verify');
    const doctor = await coffer(['doctor', '--state-dir', server.stateDir, '--root-key', rootKey]);
    expectNoCanary(Buffer.concat([doctor.stdout, doctor.stderr]), 'the output of doctor');
    for (const path of ['/metrics', '/openapi.json', '/healthz', '/readyz', '/api/admin/audit']) {
      expectNoCanary(await fetched(path), `the answer of ${path}`);
    }
  });

  it('in answers to what is wrong with a request', async () => {
    const value = Buffer.from(canary('raw')).toString('base64');
    const bodies = [
      `{"Name":"raw","Value":"${value}"} and more`,
      `{"Name":"raw","Value":"${value}"`,
      `{"Name":"raw","Value":"${canary('not base64')}"}`,
      `{"Name":"raw","Value":{"inner":"${canary('wrong type')}"}}`,
      `{"Name":"raw","Version":"${canary('wrong type')}"}`,
      canary('no json'),
      `{"secrets":"${canary('a wrong list')}"}`,
      `{"unknown":"${canary('unknown')}"}`,
    ];
    const paths = [
      'put',
      'create-version',
      'info',
      'list',
      'get-many',
      'no-such',
      'admin/tokens',
      'admin/policy',
    ];
    for (const path of paths) {
      for (const body of bodies) expectNoCanary(await post(`/api/${path}`, body), `the answer of ${path}`);
    }
    expectNoCanary(
      await post(`/api/${encodeURIComponent(CANARY)}?x=${encodeURIComponent(CANARY)}`, '{}'),
      'an answer',
    );
    expectNoCanary(await post('/api/list', '{}', { Authorization: `Bearer ${CANARY}` }), 'an answer');
  });

  it('in what the server says and writes', async () => {
    const { stateDir, folder } = server;
    await server.process.stop();
    expectNoCanary(server.process.output, "the server's output");
    expect(server.process.output).toMatch(/"method":"POST"/);
    const written = readdirSync(folder.path, { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder.path, name))
      .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile());
    expect(written).toContain(join(stateDir, 'store', 'data.mdb'));
    expect(written).toContain(join(stateDir, 'audit', 'audit.log'));
    for (const path of written) expectNoCanary(readFileSync(path), path);
  });

  /** Over the admin socket. */
  function fetched(path: string): Promise<Buffer> {
    const headers = { 'Sec-X-Tailscale-No-Browsers': 'setec' };
    return new Promise((resolve, reject) => {
      const socketPath = join(server.stateDir, 'admin.sock');
      const sent = request({ socketPath, path, headers, agent: false }, (answer) => {
        if (answer.statusCode !== 200) reject(new Error(`${path}: ${answer.statusCode}`));
        buffer(answer).then(resolve, reject);
      });
      sent.on('error', reject);
      sent.end();
    });
  }

  function post(path: string, body: string, headers: Record<string, string> = {}): Promise<Buffer> {
    const all = {
      'Content-Type': 'application/json',
      'Sec-X-Tailscale-No-Browsers': 'setec',
      Authorization: `Bearer ${token}`,
      ...headers,
    };
    return new Promise((resolve, reject) => {
      const sent = request(
        new URL(path, server.url),
        { method: 'POST', headers: all, agent: false },
        (answer) => {
          const chunks: Buffer[] = [Buffer.from(JSON.stringify(answer.rawHeaders))];
          answer.on('data', (chunk) => chunks.push(chunk));
          answer.on('end', () => resolve(Buffer.concat(chunks)));
          answer.on('error', reject);
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }
});
