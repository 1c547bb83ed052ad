import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Outcome, type RunningServer, startServer } from './run.js';

let server: RunningServer;
const folder = mkdtempSync(join(tmpdir(), 'coffer-import-'));

beforeAll(async () => {
  server = await startServer('--dev');
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const importing = (args: readonly string[], input = ''): Promise<Outcome> =>
  server.run(['import', ...args], { input });
const valueIn = async (name: string) => (await server.run(['get', name])).stdout;
const infoOf = async (name: string) => JSON.parse((await server.run(['info', '--json', name])).stdout);
const names = async (prefix: string): Promise<string[]> =>
  JSON.parse((await server.run(['list', '--json'])).stdout)
    .map(({ name }: { name: string }) => name)
    .filter((name: string) => name.startsWith(prefix));
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

describe('import env', () => {
  test('makes a secret of each key, and again nothing', async () => {
    const path = file('a.env', 'export DB=one # c\nKEY="two\nlines"\nEMPTY=\n');
    expect(await importing(['env', '--prefix', 'a/', path])).toEqual({
      code: 0,
      stdout:
        'created a/DB    version 1\ncreated a/KEY   version 1\ncreated a/EMPTY version 1\n' +
        '3 created, 0 changed, 0 unchanged, 0 failed\n',
      stderr: '',
    });
    expect([await valueIn('a/DB'), await valueIn('a/KEY'), await valueIn('a/EMPTY')]).toEqual([
      'one',
      'two\nlines',
      '',
    ]);
    expect((await importing(['env', '--prefix', 'a/', path])).stdout).toBe(
      '0 created, 0 changed, 3 unchanged, 0 failed\n',
    );
    expect((await infoOf('a/DB')).versions).toEqual([1]);
  });

  test('a changed value waits, until --activate', async () => {
    await importing(['env', '-', '--prefix', 'b/'], 'X=1\nY=1');
    const waits = '1 wait for "coffer activate", or for this command with --activate\n';
    expect((await importing(['env', '-', '--prefix', 'b/'], 'X=2\nY=1')).stdout).toBe(
      `changed b/X version 2 waits, 1 is active\n${waits}0 created, 1 changed, 1 unchanged, 0 failed\n`,
    );
    expect((await importing(['env', '-', '--prefix', 'b/'], 'X=2\nY=1')).stdout).toBe(
      `unchanged b/X version 2 waits, 1 is active\n${waits}0 created, 0 changed, 2 unchanged, 0 failed\n`,
    );
    expect(await valueIn('b/X')).toBe('1');
    expect((await importing(['env', '-', '--prefix', 'b/', '--activate'], 'X=2\nY=1')).stdout).toBe(
      'changed b/X version 2 is active, in place of 1\n0 created, 1 changed, 1 unchanged, 0 failed\n',
    );
    expect(await valueIn('b/X')).toBe('2');
    expect((await importing(['env', '-', '--prefix', 'b/', '--activate'], 'X=2\nY=1')).stdout).toBe(
      '0 created, 0 changed, 2 unchanged, 0 failed\n',
    );
  });

  test('--dry-run says the same and does nothing', async () => {
    const said = async (input: string, ...more: string[]) =>
      (await importing(['env', '-', '--prefix', 'c/', ...more], input)).stdout;
    const dry = ': a dry run, nothing was changed\n';
    expect(await said('X=1', '--dry-run')).toBe(
      `created c/X version 1\n1 created, 0 changed, 0 unchanged, 0 failed${dry}`,
    );
    expect(await names('c/')).toEqual([]);
    await said('X=1');
    expect(await said('X=1', '--dry-run')).toBe(`0 created, 0 changed, 1 unchanged, 0 failed${dry}`);
    expect(await said('X=2', '--dry-run', '--activate')).toBe(
      `changed c/X a new version is active, in place of 1\n0 created, 1 changed, 0 unchanged, 0 failed${dry}`,
    );
    expect(await infoOf('c/X')).toMatchObject({ versions: [1], activeVersion: 1 });
  });

  test('nothing is expanded, and that is said', async () => {
    const { stderr } = await importing(['env', '-', '--prefix', 'e/'], 'A=$HOME\nB="x$(id)"\nC=\'$\'');
    expect(stderr).toBe('"$" is kept as it stands, nothing is expanded, in A, B\n');
    expect([await valueIn('e/A'), await valueIn('e/B')]).toEqual(['$HOME', 'x$(id)']);
  });

  test('a file with a mistake in it is not imported at all', async () => {
    const path = file('bad.env', 'A=1\nA=2\n');
    expect(await importing(['env', '--prefix', 'f/', path])).toEqual({
      code: 1,
      stdout: '',
      stderr: `coffer: ${path}:2: "A" is set at line 1 already\n`,
    });
    expect(await names('f/')).toEqual([]);
    expect((await importing(['env', join(folder, 'none')])).stderr).toMatch(
      /^coffer: cannot read .*none: no such file\n$/,
    );
  });

  test('what fails is told at the end, the rest is done', async () => {
    const long = 'K'.repeat(1100);
    const { code, stdout, stderr } = await importing(['env', '-', '--prefix', 'g/'], `${long}=1\nX=2`);
    expect(code).toBe(1);
    expect(stdout).toMatch(
      /^created g\/X +version 1\nfailed +g\/K+ .*name.*\n1 created, 0 changed, 0 unchanged, 1 failed\n$/,
    );
    expect(stderr).toBe(
      'coffer: 1 of 2 failed: mend that and run the command again, it changes only what differs\n',
    );
  });

  test('a server that does not answer is tried but a few times', async () => {
    const input = Array.from({ length: 100 }, (_, index) => `K${index}=v`).join('\n');
    const { code, stdout } = await importing(['env', '-', '--json', '-s', 'http://127.0.0.1:1'], input);
    const { failed, secrets } = JSON.parse(stdout);
    expect({ code, failed }).toEqual({ code: 1, failed: 100 });
    const details = secrets.map(({ detail }: { detail: string }) => detail);
    expect(details.filter((detail: string) => detail === 'not tried').length).toBeGreaterThan(80);
    expect(details[0]).toContain('cannot reach http://127.0.0.1:1');
  });
});

describe('import dir', () => {
  const tree = (name: string, files: Record<string, string | Uint8Array>): string => {
    for (const [path, content] of Object.entries(files)) {
      const at = join(folder, name, path);
      mkdirSync(join(at, '..'), { recursive: true });
      writeFileSync(at, content);
    }
    return join(folder, name);
  };

  test('makes a secret of each file, bytes as they are', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, index) => index);
    const path = tree('plain', {
      'tls.key': 'key\n',
      'db/password': ' p ',
      '.dockerconfigjson': '{}',
      'b/c/bytes': bytes,
    });
    const { stdout, code } = await importing(['dir', path, '--prefix', 'dir/']);
    expect({ code, summary: stdout.split('\n').at(-2) }).toEqual({
      code: 0,
      summary: '4 created, 0 changed, 0 unchanged, 0 failed',
    });
    expect(await names('dir/')).toEqual([
      'dir/.dockerconfigjson',
      'dir/b/c/bytes',
      'dir/db/password',
      'dir/tls.key',
    ]);
    expect([await valueIn('dir/tls.key'), await valueIn('dir/db/password')]).toEqual(['key\n', ' p ']);
    const { value } = JSON.parse((await server.run(['get', '--json', 'dir/b/c/bytes'])).stdout);
    expect(Buffer.from(value, 'base64')).toEqual(Buffer.from(bytes));
    expect((await importing(['dir', path, '--prefix', 'dir/'])).stdout).toBe(
      '0 created, 0 changed, 4 unchanged, 0 failed\n',
    );
  });

  test('reads a folder that Kubernetes makes of a secret', async () => {
    const path = tree('k8s', { '..2026_11_22/password': 'p', '..2026_11_22/tls/key': 'k' });
    symlinkSync('..2026_11_22', join(path, '..data'));
    symlinkSync('..data/password', join(path, 'password'));
    symlinkSync('..data/tls', join(path, 'tls'));
    expect(await importing(['dir', path, '--prefix', 'k8s/'])).toMatchObject({ code: 0 });
    expect(await names('k8s/')).toEqual(['k8s/password', 'k8s/tls/key']);
  });

  test('what is no file, cannot be read or leads out of the folder is told', async () => {
    const path = tree('odd', { fine: '1', unreadable: '2' });
    symlinkSync('/etc/passwd', join(path, 'out'));
    symlinkSync(join(folder, 'odd-beside'), join(path, 'beside'));
    tree('odd-beside', { x: '1' });
    symlinkSync('nowhere', join(path, 'broken'));
    symlinkSync('.', join(path, 'loop'));
    execFileSync('mkfifo', [join(path, 'pipe')]);
    chmodSync(join(path, 'unreadable'), 0);
    const socket = createServer();
    await new Promise<void>((resolve) => socket.listen(join(path, 'socket'), resolve));
    const { code, stdout } = await importing(['dir', path, '--prefix', 'odd/', '--json']);
    socket.close();
    expect(code).toBe(1);
    const failures = JSON.parse(stdout).secrets.filter(
      ({ outcome }: { outcome: string }) => outcome === 'failed',
    );
    expect(
      Object.fromEntries(failures.map(({ name, detail }: Record<string, string>) => [name, detail])),
    ).toEqual({
      'odd/out': 'it is a link that leads out of the folder',
      'odd/beside': 'it is a link that leads out of the folder',
      'odd/broken': 'cannot read it: no such file',
      'odd/loop': 'it is a link to a folder that it lies in',
      'odd/pipe': 'it is no file',
      'odd/socket': 'it is no file',
      // Root may read everything.
      ...(process.getuid?.() === 0 ? {} : { 'odd/unreadable': 'cannot read it: permission denied' }),
    });
    expect(await names('odd/')).toContain('odd/fine');
  });

  test('a folder that is not there is an error', async () => {
    expect(await importing(['dir', join(folder, 'none')])).toMatchObject({
      code: 1,
      stderr: `coffer: cannot read ${join(folder, 'none')}: no such file\n`,
    });
  });
});
