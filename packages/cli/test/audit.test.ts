import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { coffer, type Outcome, type RunningServer, type RunOptions, startServer } from './run.js';

const BIN = fileURLToPath(new URL('../bin/coffer.js', import.meta.url));

let server: RunningServer;
const folder = mkdtempSync(join(tmpdir(), 'coffer-cli-'));

beforeAll(async () => {
  server = await startServer();
  await admin('put app/db', { input: 'v1' });
  await admin('get app/db');
  await admin('get nothing');
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** As the administrator, over the admin socket. */
function admin(line: string, options: RunOptions = {}): Promise<Outcome> {
  return server.run(line.split(' '), { ...options, env: { COFFER_SERVER: server.socket } });
}

/** A copy of the state folder as it is now. */
function stateCopy(): string {
  const copy = mkdtempSync(join(folder, 'copy-'));
  cpSync(join(server.stateDir, 'audit'), join(copy, 'audit'), { recursive: true });
  return copy;
}

function changeLine(stateDir: string, number: number, change: (line: string) => string): void {
  const path = join(stateDir, 'audit', 'audit.log');
  const lines = readFileSync(path, 'utf8').split('\n');
  lines[number - 1] = change(lines[number - 1] as string);
  writeFileSync(path, lines.join('\n'));
}

describe('audit tail', () => {
  test('prints the last entries in words', async () => {
    const { code, stdout } = await admin('audit tail -n 4');
    expect(code).toBe(0);
    const time = String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`;
    const lines = [
      ` +2  ${time}  begun    put                 app/db  by socket`,
      ` +3  ${time}  done     put                 app/db  by socket`,
      ` +4  ${time}  allowed  get                 app/db  by socket`,
      ` +5  ${time}  failed   get                 nothing  \\(not_found\\)  by socket`,
    ];
    expect(stdout).toMatch(new RegExp(`^${lines.join('\n')}\n$`));
  });

  test('says what was asked of the log as a person would', async () => {
    await admin('audit query --since 2026-01-01 --secret app/db --action get');
    const { stdout } = await admin('audit tail -n 2');
    expect(stdout).toContain('action get, since 2026-01-01T00:00:00.000Z');
    expect(stdout).not.toContain('%');
  });

  test('prints the log’s own lines with --json, and reads the files without a server', async () => {
    const file = readFileSync(join(server.stateDir, 'audit', 'audit.log'), 'utf8');
    expect(
      (await coffer(['audit', 'tail', '--json', '-n', '1000', '--state-dir', server.stateDir])).stdout,
    ).toBe(file);
    const { stdout } = await admin('audit tail --json -n 1000');
    expect(stdout).toBe(file);
    expect((await admin('audit tail -n 0')).stdout).toBe('');
    expect(await admin('audit tail -n many')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('whole number'),
    });
  });

  test.each([
    ['from the server', () => []],
    ['from the files', () => ['--state-dir', server.stateDir]],
  ])('follows %s', async (_, where) => {
    const env = { PATH: process.env.PATH ?? '', HOME: '/nonexistent', COFFER_SERVER: server.socket };
    const child = spawn(process.execPath, [BIN, 'audit', 'tail', '-f', '-n', '0', '--json', ...where()], {
      env,
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    let output = '';
    let onData = () => {};
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      onData();
    });
    const name = `followed/${where().length}`;
    const seen = new Promise<void>((resolve) => {
      onData = () => {
        if (output.includes(`"secret":"${name}","phase":"outcome"`)) resolve();
      };
    });
    // It says nothing when it begins to follow: asked again until it does.
    const again = setInterval(() => void admin(`put ${name}`, { input: String(Math.random()) }), 1_000);
    await seen;
    clearInterval(again);
    expect(
      output
        .split('\n')
        .filter((line) => line !== '')
        .every((line) => JSON.parse(line).seq > 1),
    ).toBe(true);
  });
});

describe('audit query', () => {
  test('narrows by what is given', async () => {
    const seqs = async (line: string) =>
      (await admin(`audit query --json ${line}`)).stdout
        .split('\n')
        .filter((each) => each !== '')
        .map((each) => JSON.parse(each).seq as number);
    expect(await seqs('--action get --since 1h')).toEqual([4, 5]);
    expect(await seqs('--secret app/* --principal socket --until 2999-01-01')).toEqual([2, 3, 4]);
    expect(await seqs('--action get --until 1h')).toEqual([]);
    expect(
      await seqs(`--action get --secret n* --since 2020-01-01T00:00:00Z --state-dir ${server.stateDir}`),
    ).toEqual([5]);
  });

  test('finds and tells what was asked on behalf of an application, or from a host', async () => {
    const copy = stateCopy();
    const claims = '"user":"socket","application":"shop \\u001b[2J","host":"N1"';
    changeLine(copy, 4, (line) => line.replace('"user":"socket"', claims));
    const query = async (...more: string[]) =>
      (await coffer(['audit', 'query', '--state-dir', copy, ...more])).stdout;
    const told = await query('--application', 'shop*');
    expect(told).toMatch(/^ +4 .* by socket, application "shop \\x1b\[2J", host N1\n$/);
    expect(await query('--host', 'N1')).toBe(told);
    expect(await query('--application', 'shop*', '--host', 'N2')).toBe('');
    expect(await admin('audit query --application shop* --host N1')).toMatchObject({
      code: 0,
      stderr: 'coffer: no entries match\n',
    });
  });

  test('refuses an action that there is not, and says when nothing matches', async () => {
    for (const where of ['', ` --state-dir ${server.stateDir}`]) {
      expect(await admin(`audit query --action gett${where}`)).toMatchObject({
        code: 1,
        stdout: '',
        stderr: expect.stringMatching(
          /^coffer: [^\n]*unknown action "gett": the log knows get, info, put, [^\n]*checkpoint[^\n]*\n$/,
        ),
      });
      expect(await admin(`audit query --action prune${where}`)).toEqual({
        code: 0,
        stdout: '',
        stderr: 'coffer: no entries match\n',
      });
      expect((await admin(`audit query --action checkpoint${where}`)).stdout).toContain('checkpoint');
    }
  });

  test.each(['yesterday', '2026-13-01', '5 minutes'])('refuses the time %j in one line', async (since) => {
    const outcome = await coffer(['audit', 'query', '--since', since, '--state-dir', server.stateDir]);
    expect(outcome).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^coffer: invalid --since [^\n]+\n$/),
    });
  });
});

describe('audit verify', () => {
  test('names the head, which --expect takes, and the key with whose word it is', async () => {
    const { code, stdout } = await admin('audit verify');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^The audit log holds\.\n/);
    expect(stdout).toMatch(
      new RegExp(`Server key: +N[A-Z2-7]{55} \\(the server at ${server.socket} says so\\)\n`),
    );
    const [, head = ''] = /Head: +(\d+:[0-9a-f]{64})\n/.exec(stdout) ?? [];
    expect(head).not.toBe('');

    const [seq] = head.split(':');
    expect((await admin(`audit verify --expect ${head}`)).stdout).toContain(`${seq} of --expect holds`);
    const wrong = `${seq}:${'0'.repeat(64)}`;
    expect(await admin(`audit verify --expect ${wrong}`)).toEqual({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        new RegExp(
          `^coffer: the audit log is broken at line ${seq}: it is not the line that --expect knows; [^\n]+\n$`,
        ),
      ),
    });
    const later = `100000:${'0'.repeat(64)}`;
    expect((await admin(`audit verify --expect ${later}`)).stderr).toMatch(
      /broken at line \d+: it is gone, and --expect knows of line 100000: the end was cut off/,
    );
    expect((await admin('audit verify --expect nonsense')).stderr).toMatch(
      /^coffer: invalid --expect "nonsense"/,
    );
  });

  test('takes the key from --key, and refuses a server that has another', async () => {
    const { serverKey } = JSON.parse((await admin('whoami --json')).stdout).server;
    expect((await admin(`audit verify --key ${serverKey}`)).stdout).toContain(`${serverKey} (--key)`);
    const other = `${serverKey.slice(0, -1)}${serverKey.endsWith('A') ? 'B' : 'A'}`;
    expect((await admin(`audit verify --key ${other}`)).stderr).toMatch(
      /^coffer: the server at .* signs with the key N/,
    );
    expect((await admin('audit verify --key N123')).stderr).toMatch(/^coffer: invalid --key/);
  });

  test('reads files beside a running server, and says that the log alone names its key', async () => {
    const { code, stdout } = await coffer(['audit', 'verify', '--state-dir', server.stateDir]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Server key: +N[A-Z2-7]{55} \(the log itself\)\n/);
    expect(stdout).toContain('ONLY THE LOG ITSELF names the key');
    const busy = ['audit', 'verify', '--state-dir', server.stateDir, '--root-key', 'file:/nowhere'];
    expect((await coffer(busy)).stderr).toMatch(
      /^coffer: the store in \S+ is in use by process \d+.*ask that server/,
    );
    expect((await coffer(['audit', 'verify', '--state-dir', '/nowhere'])).stderr).toMatch(
      /^coffer: the audit log in \/nowhere\/audit cannot be read: it is not there/,
    );
    expect((await coffer(['audit', 'verify', '--root-key', 'file:/nowhere'])).stderr).toMatch(
      /--state-dir\n$/,
    );
  });

  test('opens the store of a stopped server for its key and the line that it knows', async () => {
    await using other = await startServer();
    await other.run(['put', 'a'], { input: 'v', env: { COFFER_SERVER: other.socket } });
    await other.stop();
    const rootKey = `file:${join(other.stateDir, '..', 'root.key')}`;
    const line = ['audit', 'verify', '--state-dir', other.stateDir, '--root-key', rootKey];
    const { stdout } = await coffer(line);
    expect(stdout).toMatch(/Known lines: \d+ of the store holds\n/);
    expect(stdout).toContain(`(the store in ${other.stateDir}, opened with its root key)`);

    const path = join(other.stateDir, 'audit', 'audit.log');
    const lines = readFileSync(path, 'utf8').split('\n');
    writeFileSync(path, lines.slice(0, -2).join('\n').concat('\n'));
    expect(await coffer(line)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /broken at line \d+: it is gone, and the store knows of line \d+: the end was cut off/,
      ),
    });
    expect(await coffer(['audit', 'verify', '--state-dir', other.stateDir])).toMatchObject({ code: 0 });
    expect(readdirSync(join(other.stateDir, 'store')).sort()).toEqual([
      'data.mdb',
      'data.mdb-lock',
      'lock.1',
    ]);
  });

  test('names the file and the line that is broken, and prints JSON of it', async () => {
    const copy = stateCopy();
    changeLine(copy, 3, (line) => line.replace('app/db', 'app/dc'));
    const line = ['audit', 'verify', '--state-dir', copy];
    expect(await coffer(line)).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'coffer: the audit log is broken at line 4 (audit.log, line 4): it does not carry the hash of the line before; it is ' +
        'signed up to line 1\n',
    });
    const { code, stdout } = await coffer([...line, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      whole: false,
      broken: { seq: 4, file: 'audit.log', fileLine: 4 },
    });
  });
});
