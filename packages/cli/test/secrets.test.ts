import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Outcome, type RunningServer, type RunOptions, startServer } from './run.js';

let server: RunningServer;
const folder = mkdtempSync(join(tmpdir(), 'coffer-cli-'));

beforeAll(async () => {
  server = await startServer('--dev');
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

/** Runs one command line, split at blanks. */
function run(line: string, options?: RunOptions): Promise<Outcome> {
  return server.run(line.split(' '), options);
}

async function put(name: string, ...values: string[]): Promise<void> {
  for (const input of values) expect(await server.run(['put', name], { input })).toMatchObject({ code: 0 });
}

function failure(line: string): Outcome {
  return { code: 1, stdout: '', stderr: `coffer: ${line}\n` };
}

describe('put and get', () => {
  test('the first value is active, a later one says how to activate it', async () => {
    expect(await run('put pg/db', { input: 'v1' })).toEqual({
      code: 0,
      stdout: 'Secret saved as "pg/db", version 1\n',
      stderr: 'Read 2 bytes from stdin\n',
    });
    expect((await run('put pg/db', { input: 'v2' })).stdout).toBe(
      'Secret saved as "pg/db", version 2\n  To activate this version, run \'coffer activate "pg/db" 2\'\n',
    );
    expect((await run('get pg/db')).stdout).toBe('v1');
    expect((await run('get pg/db --version 2')).stdout).toBe('v2');
    expect(await run('activate pg/db 2')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect((await run('get pg/db')).stdout).toBe('v2');
  });

  test('--activate makes the new version active at once', async () => {
    await put('pg/activate', 'v1');
    expect((await run('put --activate pg/activate', { input: 'v2' })).stdout).toBe(
      'Secret saved as "pg/activate", version 2\n  Version 2 is active\n',
    );
    expect((await run('get pg/activate')).stdout).toBe('v2');
  });

  test('bytes that are no text come back as they were', async () => {
    const value = Uint8Array.from({ length: 256 }, (_, index) => 255 - index);
    writeFileSync(join(folder, 'bytes'), value);
    expect(await run(`put pg/bytes --from-file ${folder}/bytes`)).toMatchObject({ code: 0, stderr: '' });
    const { stdout } = await run('get --json pg/bytes');
    expect(JSON.parse(stdout)).toEqual({
      name: 'pg/bytes',
      version: 1,
      value: Buffer.from(value).toString('base64'),
    });
  });

  test('text with white space around it is refused until the user says what to do with it', async () => {
    const input = ' \u00a0text\u3000\n';
    expect(await run('put pg/space', { input })).toEqual(
      failure(
        'text value has surrounding whitespace, specify --verbatim to keep the space or --trim-space to remove it',
      ),
    );
    await run('put --trim-space pg/space', { input });
    expect((await run('get pg/space')).stdout).toBe('text');
    await run('put --verbatim --trim-space --activate pg/space', { input });
    expect((await run('get pg/space')).stdout).toBe(input);
  });

  test('an empty value needs --empty-ok', async () => {
    expect(await run('put pg/empty')).toEqual(failure('empty secret value, specify --empty-ok to save it'));
    expect(await run('put --trim-space pg/empty', { input: ' \n' })).toMatchObject({ code: 1 });
    expect(await run('put --empty-ok pg/empty')).toMatchObject({ code: 0 });
    expect(await run('get pg/empty')).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('--if-changed gives the active version unless it is the one at hand', async () => {
    await put('pg/changed', 'v1');
    expect(await run('get --if-changed --version 1 pg/changed')).toEqual(
      failure('failed to get secret: value not changed: version 1 is still the active one'),
    );
    await run('put --activate pg/changed', { input: 'v2' });
    expect((await run('get --if-changed --version 1 pg/changed')).stdout).toBe('v2');
    expect((await run('get --if-changed pg/changed')).stdout).toBe('v2');
  });

  test('create-version makes the number active, and no number twice', async () => {
    expect(await run('create-version pg/own 7', { input: 'v7' })).toMatchObject({
      code: 0,
      stdout: 'Secret saved as "pg/own", version 7\n  Version 7 is active\n',
    });
    expect((await run('get pg/own')).stdout).toBe('v7');
    expect(await run('create-version pg/own 7', { input: 'other' })).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('version already set: number 7 of "pg/own" is or was in use'),
    });
  });
});

describe('put --generate', () => {
  test('saves 32 letters and digits and shows none of them', async () => {
    const { stdout, stderr } = await run('put --generate gen/a');
    expect(stdout).toBe('Secret saved as "gen/a", version 1\n');
    expect(stderr).toBe('');
    expect((await run('get gen/a')).stdout).toMatch(/^[A-Za-z0-9]{32}$/);
  });

  test('takes a length, before or after the name', async () => {
    await run('put --generate 12 gen/b');
    expect((await run('get gen/b')).stdout).toHaveLength(12);
    await run('put gen/c --generate=64');
    expect((await run('get gen/c')).stdout).toHaveLength(64);
    expect(await run('put gen/d --generate 4')).toEqual(
      failure('invalid length "4": --generate takes 8 to 4096 characters'),
    );
  });

  test('with --print the value alone is on standard output', async () => {
    const { stdout, stderr } = await run('put --generate --print gen/e');
    expect(stdout).toBe((await run('get gen/e')).stdout);
    expect(stderr).toBe('Secret saved as "gen/e", version 1\n');
    expect(await run('put --print gen/f', { input: 'x' })).toMatchObject({ code: 1, stdout: '' });
  });
});

describe('list and info', () => {
  test('print the tables that setec prints', async () => {
    await using own = await startServer('--dev');
    expect((await own.run(['list'])).stdout).toBe('NAME ACTIVE VERSIONS\n');
    for (const input of ['1', '2', '3']) await own.run(['put', 'prod/db'], { input });
    await own.run(['put', 'ключ'], { input: '1' });

    expect((await own.run(['list'])).stdout).toBe(
      ['NAME    ACTIVE VERSIONS', 'prod/db 1      1,2,3', 'ключ    1      1', ''].join('\n'),
    );
    expect((await own.run(['info', 'prod/db'])).stdout).toBe(
      ['Name:           prod/db', 'Active version: 1', 'Versions:       1, 2, 3', ''].join('\n'),
    );
    expect(JSON.parse((await own.run(['list', '--json'])).stdout)).toEqual([
      { name: 'prod/db', versions: [1, 2, 3], activeVersion: 1 },
      { name: 'ключ', versions: [1], activeVersion: 1 },
    ]);
    expect(JSON.parse((await own.run(['info', '--json', 'ключ'])).stdout)).toMatchObject({ name: 'ключ' });
  });

  test('a name that a terminal would obey is shown quoted', async () => {
    await put('odd/\u001b[2J\n"x"', '1');
    expect((await run('list')).stdout).toContain('\n"odd/\\x1b[2J\\n\\"x\\"" 1 ');
    expect((await server.run(['get', 'odd/\u001b[2J'])).stderr).not.toContain('\u001b');
  });
});

describe('rollback', () => {
  test('activates the highest version that exists below the active one', async () => {
    await put('rb/a', '1', '2', '3');
    await run('activate rb/a 3');
    const { stderr } = await run('delete-version rb/a 2');
    await run(`delete-version rb/a 2 ${token(stderr)}`);

    expect((await run('rollback rb/a')).stdout).toBe('Version 1 of "rb/a" is active, in place of 3\n');
    expect(await run('rollback rb/a')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('"rb/a" has no version below 1, the active one'),
    });
    await run('activate rb/a 3');
    expect(JSON.parse((await run('rollback --json rb/a')).stdout)).toEqual({
      name: 'rb/a',
      activeVersion: 1,
      previousVersion: 3,
    });
  });
});

describe('delete and delete-version', () => {
  test('ask for a confirmation that they name', async () => {
    await put('del/a', '1', '2');
    const first = await run('delete-version del/a 2');
    expect(first.stderr).toMatch(
      /^coffer: confirmation required for "delete-version:del\/a:2", use token "[0-9a-f]+\.[0-9a-f]{16}"\n$/,
    );
    expect(await run('delete-version del/a 2 wrong')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^coffer: incorrect confirmation for "delete-version:del\/a:2", use token/,
      ),
    });
    expect(await run(`delete-version del/a 2 ${token(first.stderr)}`)).toEqual({
      code: 0,
      stdout: '',
      stderr: '',
    });
    expect(JSON.parse((await run('info --json del/a')).stdout).versions).toEqual([1]);
  });

  test('the confirmation of one request does not serve another', async () => {
    await put('del/b', '1');
    await put('del/c', '1');
    const { stderr } = await run('delete del/b');
    expect(await run(`delete del/c ${token(stderr)}`)).toMatchObject({ code: 1 });
    expect(await run(`delete del/b ${token(stderr)}`)).toMatchObject({ code: 0 });
    expect(await run('info del/b')).toMatchObject({ code: 1 });
    expect(await run('info del/c')).toMatchObject({ code: 0 });
  });

  test('the active version cannot be deleted, and the line says so', async () => {
    await put('del/d', '1');
    const { stderr } = await run('delete-version del/d 1');
    expect(await run(`delete-version del/d 1 ${token(stderr)}`)).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^coffer: failed to delete secret "del\/d" version 1: .*active/),
    });
  });
});

/** The confirmation that a refusal names. */
function token(stderr: string): string {
  return /use token "(.*)"/.exec(stderr)?.[1] ?? '';
}
