import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Process } from '../../../test/support/processes.mjs';
import { cofferCommand } from '../../../test/support/servers.mjs';
import { Client } from '../../client/src/index.js';
import { type RunningServer, startServer } from './run.js';

let server: RunningServer;
let client: Client;
const folder = mkdtempSync(join(tmpdir(), 'coffer-export-'));
const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);

beforeAll(async () => {
  server = await startServer('--dev');
  client = new Client({ server: server.url });
});
afterAll(async () => {
  client?.close();
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const put = async (secrets: Record<string, string | Uint8Array>) => {
  for (const [name, value] of Object.entries(secrets)) await client.put(name, Buffer.from(value));
};
const exporting = (...args: string[]) => server.run(['export', ...args]);
const failure = (line: string) => ({ code: 1, stdout: '', stderr: `coffer: ${line}\n` });

describe('export env', () => {
  test('prints what import env reads as it was', async () => {
    const values = {
      PLAIN: 'a-b_c/d:e@f.g,h+i=',
      EMPTY: '',
      QUOTES: `it's "so" \\ \`$HOME\``,
      LINES: 'one\ntwo\r\nthree\n',
      SPACES: '  # x ',
      UNICODE: 'Ключ \u{1F600}\u001b',
    };
    await put(Object.fromEntries(Object.entries(values).map(([key, value]) => [`env/${key}`, value])));
    const { code, stdout, stderr } = await exporting('env', '--prefix', 'env/', '--yes');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    await server.run(['import', 'env', '--prefix', 'back/', '-'], { input: stdout });
    for (const [key, value] of Object.entries(values)) {
      expect(Buffer.from((await client.get(`back/${key}`)).value).toString(), key).toBe(value);
    }
    expect((await server.run(['import', 'env', '--prefix', 'env/', '-'], { input: stdout })).stdout).toBe(
      '0 created, 0 changed, 6 unchanged, 0 failed\n',
    );
  });

  test('refuses what can be no key and what is no text, and prints nothing', async () => {
    await put({ 'odd/a/b': '1', 'odd/1': '1', 'bin/A': bytes, 'bin/B': 'a\0', 'bin/C': 'text' });
    expect(await exporting('env', '--prefix', 'odd/', '--yes')).toEqual(
      failure(
        'some names cannot be keys of a .env file; --prefix takes away what stands before the key: ' +
          '"1" has other characters than letters, digits and _; "a/b" has other characters than letters, digits and _',
      ),
    );
    expect(await exporting('env', '--prefix', 'bin/', '--yes')).toEqual(
      failure(
        'some values cannot be in a .env file; "coffer export dir" and "coffer export json" take them: ' +
          '"bin/A" is no text; "bin/B" is no text',
      ),
    );
  });
});

describe('export dir', () => {
  test('writes files for our eyes alone, which import dir reads as they were', async () => {
    await put({ 'dir/a': 'x\n', 'dir/b/c': bytes, 'dir/b/.d': '', 'dir/Ключ': 'y' });
    const out = join(folder, 'out');
    expect(await exporting('dir', out, '--prefix', 'dir/', '--yes')).toEqual({
      code: 0,
      stdout: '',
      stderr: `Wrote 4 files into ${out}\n`,
    });
    expect(readFileSync(join(out, 'a'), 'utf8')).toBe('x\n');
    expect(readFileSync(join(out, 'b/c'))).toEqual(Buffer.from(bytes));
    expect([out, `${out}/b`, `${out}/b/c`].map((path) => statSync(path).mode & 0o777)).toEqual([
      0o700, 0o700, 0o600,
    ]);
    expect((await server.run(['import', 'dir', '--prefix', 'dir/', out])).stdout).toBe(
      '0 created, 0 changed, 4 unchanged, 0 failed\n',
    );
    expect((await exporting('dir', out, '--prefix', 'dir/', '--yes')).stderr).toBe(
      `coffer: ${out} is not empty: name a folder that is, or one that does not exist yet\n`,
    );
  });

  test('takes an empty folder, and closes it to others', async () => {
    const out = join(folder, 'empty');
    mkdirSync(out, { mode: 0o755 });
    await put({ 'one/x': '1' });
    expect(await exporting('dir', out, '--prefix', 'one/', '--yes')).toMatchObject({ code: 0 });
    expect(statSync(out).mode & 0o777).toBe(0o700);
  });

  test.each([
    ['a/../../x', 'has a part that begins with ..'],
    ['..data', 'has a part that begins with ..'],
    ['/etc/passwd', 'begins or ends with / or holds //'],
    ['a//b', 'begins or ends with / or holds //'],
    ['a/', 'begins or ends with / or holds //'],
    ['./a', 'has a part that is .'],
    ['a\0b', 'holds a NUL byte'],
    ['x'.repeat(256), 'has a part of more than 255 bytes'],
  ])('refuses the name %j before anything is written', async (name, problem) => {
    const prefix = `${problem}, ${Buffer.byteLength(name)}:`;
    await put({ [prefix + name]: 'x', [`${prefix}fine`]: 'x' });
    const out = join(folder, 'refused');
    const { code, stderr } = await exporting('dir', out, '--prefix', prefix, '--yes');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^coffer: some names cannot be paths: "/),
    });
    expect(stderr).toContain(`" ${problem}\n`);
    expect(readdirSync(folder)).not.toContain('refused');
  });

  test('refuses a name that would be a file and a folder', async () => {
    await put({ 'both/a': '1', 'both/a/b': '2', 'both/a-b': '3' });
    expect((await exporting('dir', join(folder, 'both'), '--prefix', 'both/', '--yes')).stderr).toBe(
      'coffer: some names cannot be paths: "a" would be both a file and a folder\n',
    );
    expect(readdirSync(folder)).not.toContain('both');
  });

  test('leaves nothing when a file cannot be written', async () => {
    const deep = Array.from({ length: 5 }, () => 'd'.repeat(200)).join('/');
    await put({ 'long/a': '1', [`long/${deep}`]: '2' });
    const base = join(folder, 'x'.repeat(250));
    let out = base;
    // So deep that the file's path is longer than the system takes.
    while (out.length < 3200) out = join(out, 'x'.repeat(250));
    mkdirSync(out, { recursive: true });
    const { code, stderr } = await exporting('dir', out, '--prefix', 'long/', '--yes');
    expect(code).toBe(1);
    expect(stderr).toContain('coffer: cannot write ');
    expect(readdirSync(out)).toEqual([]);
  });
});

describe('export json', () => {
  test('holds the active version, or every one', async () => {
    await put({ 'json/a': 'one', 'json/b': bytes });
    await put({ 'json/a': 'two' });
    await client.activate('json/a', 2);
    await put({ 'json/a': 'three' });
    const base64 = (value: string | Uint8Array) => Buffer.from(value).toString('base64');
    const b = { name: 'b', activeVersion: 1, versions: [{ version: 1, value: base64(bytes) }] };
    const { stdout } = await exporting('json', '--prefix', 'json/', '--yes');
    expect(JSON.parse(stdout)).toEqual({
      secrets: [{ name: 'a', activeVersion: 2, versions: [{ version: 2, value: base64('two') }] }, b],
    });
    const all = await exporting('json', '--all-versions', '--prefix', 'json/', '--yes');
    const versions = ['one', 'two', 'three'].map((value, index) => ({
      version: index + 1,
      value: base64(value),
    }));
    expect(JSON.parse(all.stdout)).toEqual({ secrets: [{ name: 'a', activeVersion: 2, versions }, b] });
  });

  test('holds thousands of secrets, each read and audited by itself', async () => {
    await using own = await startServer();
    await using admin = new Client({ server: own.socket });
    await Promise.all(
      Array.from({ length: 600 }, (_, index) => admin.put(`many/${index}`, Buffer.from(`value ${index}`))),
    );
    const { stdout } = await own.run(['export', 'json', '-s', own.socket, '--yes']);
    expect(JSON.parse(stdout).secrets).toHaveLength(600);
    const log = readFileSync(
      join(own.stateDir, 'audit', readdirSync(join(own.stateDir, 'audit'))[0] ?? ''),
      'utf8',
    );
    expect(log.match(/"action":"get"/g)).toHaveLength(600);
  });
});

describe('what is exported', () => {
  test('is what patterns and the prefix name, and a dry run reads no value', async () => {
    await put({ 'sel/a': '1', 'sel/ab': '2', 'sel/b.c': '3', 'sel/bxc': '4' });
    const named = async (...args: string[]) =>
      (await exporting('json', '--dry-run', ...args)).stdout.trim().split('\n');
    expect(await named('--secrets', 'sel/a*', '--secrets', 'sel/b.c')).toEqual([
      'sel/a',
      'sel/ab',
      'sel/b.c',
    ]);
    expect(await named('--secrets', '*c', '--prefix', 'sel/')).toEqual(['b.c', 'bxc']);
    expect((await exporting('env', '--dry-run', '--prefix', 'sel/', '--secrets', '*/a')).stderr).toBe(
      '1 secret: a dry run, no value was read\n',
    );
    expect(await exporting('json', '--secrets', 'none*', '--yes')).toEqual(
      failure('nothing to export: no secret that you may see has such a name; "coffer list" shows them'),
    );
  });

  test('is nothing while one secret may not be read', async () => {
    await using production = await startServer();
    const socket = ['-s', production.socket];
    for (const name of ['ok', 'no']) await production.run(['put', ...socket, name], { input: 'x' });
    const token = JSON.parse((await production.run(['token', 'create', 'n', '--json', ...socket])).stdout);
    const policy = join(folder, 'policy.json');
    const grants = [
      { to: [`token:${token.id}`], actions: ['info'], secrets: ['*'] },
      { to: [`token:${token.id}`], actions: ['get'], secrets: ['ok'] },
    ];
    writeFileSync(policy, JSON.stringify({ grants }));
    await production.run(['policy', 'apply', ...socket, policy]);
    expect(await production.run(['export', 'json', '--yes'], { env: { COFFER_TOKEN: token.token } })).toEqual(
      failure('nothing was written, since some secrets could not be had: "no" (access denied)'),
    );
  });
});

describe('before it reveals', () => {
  /** By util-linux's script(1). */
  const linux = process.platform === 'linux';
  const onTerminal = (line: string) =>
    new Process('script', ['-qec', `exec ${[...cofferCommand()].flat().join(' ')} ${line}`, '/dev/null'], {
      env: { COFFER_SERVER: server.url, SHELL: '/bin/sh', NO_COLOR: '1' },
      cwd: folder,
    });
  beforeAll(() => put({ 'ask/A': 'canary-a', 'ask/B': 'canary-b' }));

  test.skipIf(!linux)('it asks on a terminal, and takes yes for yes alone', async () => {
    await using yes = onTerminal('export env --prefix ask/ > yes.env');
    await yes.waitFor(/This reveals 2 secrets of http:\S+, which its audit log records\. Go on\? \[y\/N\] /);
    yes.write('y\r');
    expect(await yes.exited).toMatchObject({ code: 0 });
    expect(readFileSync(join(folder, 'yes.env'), 'utf8')).toBe('A=canary-a\nB=canary-b\n');
    for (const answer of ['\r', 'n\r', 'yess\r', '\x04', '\x03']) {
      await using no = onTerminal('export env --prefix ask/ > no.env');
      await no.waitFor(/Go on\?/);
      no.write(answer);
      expect(await no.exited, JSON.stringify(answer)).toMatchObject({ code: 1 });
      expect(no.output).toContain('coffer: nothing was revealed');
      expect(readFileSync(join(folder, 'no.env'), 'utf8')).toBe('');
    }
  });

  test.skipIf(!linux)('it does not show values on a terminal, unless told so', async () => {
    await using refused = onTerminal('export env --prefix ask/');
    expect(await refused.exited).toMatchObject({ code: 1 });
    expect(refused.output).toContain('shows them on this terminal: send the output to a file, or say --yes');
    expect(refused.output).not.toContain('canary-a');
    await using shown = onTerminal('export env --prefix ask/ --yes');
    expect(await shown.exited).toMatchObject({ code: 0 });
    expect(shown.output).toContain('A=canary-a');
  });

  test('it needs --yes where there is no terminal', async () => {
    const { code, stdout, stderr } = await exporting('json', '--prefix', 'ask/');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^coffer: This reveals 2 secrets .*: there is no terminal to ask on, so say it with --yes\n$/,
    );
  });
});
