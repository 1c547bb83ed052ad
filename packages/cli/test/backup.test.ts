import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { coffer, type Outcome, type RunningServer, type RunOptions, startServer } from './run.js';

let server: RunningServer;
let rootKey: string;
const folder = mkdtempSync(join(tmpdir(), 'coffer-cli-'));
const at = (name: string) => join(folder, name);

beforeAll(async () => {
  server = await startServer();
  rootKey = `file:${join(dirname(server.stateDir), 'root.key')}`;
  await admin(['put', 'app/db'], { input: 'v1' });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});

const admin = (args: string[], options: RunOptions = {}): Promise<Outcome> =>
  server.run(args, { ...options, env: { COFFER_SERVER: server.socket } });
const create = (...args: string[]) => admin(['backup', 'create', ...args]);
const verify = (...args: string[]) => coffer(['backup', 'verify', '--root-key', rootKey, ...args]);
const restore = (...args: string[]) => coffer(['backup', 'restore', '--root-key', rootKey, ...args]);

describe('backup create', () => {
  test('writes a file for its owner only, and says what it is', async () => {
    const { code, stdout, stderr } = await create(at('one'));
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(
      /^Backup in \S+one: [\d.]+ kB, \d+ records\n {2}Store: +[0-9a-f]{32}\n {2}Backup: +[0-9a-f]{32}\n {2}Audit head: \d+:[0-9a-f]{64}\n/,
    );
    expect(statSync(at('one')).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(['one']);
  });

  test('overwrites nothing but with --force', async () => {
    writeFileSync(at('there'), 'kept');
    expect(await create(at('there'))).toEqual({
      code: 1,
      stdout: '',
      stderr: `coffer: there is a file ${at('there')} already: choose another name, or replace it with --force\n`,
    });
    expect(readFileSync(at('there'), 'utf8')).toBe('kept');
    const { stdout } = await create('--force', '--json', at('there'));
    expect(JSON.parse(stdout)).toMatchObject({ file: at('there'), bytes: statSync(at('there')).size });
    expect(await verify(at('there'))).toMatchObject({ code: 0 });
  });

  test('leaves nothing behind when it is refused or cannot write', async () => {
    expect(await server.run(['backup', 'create', at('refused')])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^coffer: failed to make a backup: the server does not know you[^\n]*\n$/,
      ),
    });
    expect(await create(join(folder, 'no', 'folder'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^coffer: cannot write \S+folder: there is no folder \S+no\n$/),
    });
    for (const force of [[], ['--force']]) {
      expect(await create(...force, folder)).toEqual({
        code: 1,
        stdout: '',
        stderr: `coffer: ${folder} is a folder: name a file in it\n`,
      });
    }
    expect(readdirSync(folder).filter((name) => name.includes('refused') || name.endsWith('.part'))).toEqual(
      [],
    );
  });
});

describe('backup create of a damaged store', () => {
  test('keeps the file, says what is damaged, and fails; restore goes on when it is told to', async () => {
    const audit = join(server.stateDir, 'audit');
    writeFileSync(join(audit, `audit-${'1'.padStart(16, '0')}.log`), 'x\n');
    const { code, stdout, stderr } = await create(at('damaged'));
    rmSync(join(audit, `audit-${'1'.padStart(16, '0')}.log`));
    expect(code).toBe(1);
    expect(stdout).toMatch(/^Backup in /);
    expect(stderr).toMatch(
      /^coffer: the backup is whole and was kept, but [^\n]*: the audit log from line 1 on\./,
    );
    expect(await verify(at('damaged'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^coffer: the backup is whole, but was made of a damaged store: [^\n]*--accept-damage/,
      ),
    });
    const stateDir = ['--state-dir', at('damaged-state')];
    expect(await restore(...stateDir, at('damaged'))).toMatchObject({ code: 1 });
    const restored = await restore(...stateDir, '--accept-damage', at('damaged'));
    expect(restored).toMatchObject({ code: 0 });
    expect(restored.stdout).toContain('DAMAGED: the audit log does not hold from line 1 on');
    rmSync(at('damaged-state'), { recursive: true });
    rmSync(at('damaged'));
  });
});

describe('backup verify', () => {
  test('tells what a whole backup holds, and why another is none', async () => {
    await create('--force', at('one'));
    const { code, stdout } = await verify(at('one'));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\S+one is whole and sound\n/);
    expect(stdout).toMatch(/^ {2}Holds: +1 secret in 1 version, 0 tokens, 0 grants; \d+ records$/m);
    expect(stdout).toMatch(/^ {2}Server key: +N[A-Z2-7]{55}$/m);
    expect(JSON.parse((await verify('--json', at('one'))).stdout)).toMatchObject({ secrets: 1, versions: 1 });

    writeFileSync(at('cut'), readFileSync(at('one')).subarray(0, 3_000));
    expect(await verify(at('cut'))).toEqual({
      code: 1,
      stdout: '',
      stderr: 'coffer: the backup is cut off: it ends after 3000 bytes, in the middle\n',
    });
    expect(await verify(at('absent'))).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^coffer: the backup \S+absent cannot be read: it is not there\n$/),
    });
    expect(await coffer(['backup', 'verify', at('one')])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^coffer: the root key file \S+ is not there, and this backup cannot be read without it: [^\n]*--root-key\n$/,
      ),
    });
  });

  test('reads standard input', async () => {
    await create('--force', at('one'));
    const outcome = await coffer(['backup', 'verify', '-', '--root-key', rootKey], {
      input: readFileSync(at('one')),
    });
    expect(outcome).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^The backup is whole and sound\n/),
    });
  });

  test('says so when the root key is another', async () => {
    await using other = await startServer();
    const key = `file:${join(dirname(other.stateDir), 'root.key')}`;
    const outcome = await coffer(['backup', 'verify', at('one'), '--root-key', key]);
    expect(outcome).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /^coffer: the root key does not open this backup, and the file is not damaged[^\n]*\n$/,
      ),
    });
  });
});

describe('backup restore', () => {
  test('makes a state folder that a server serves, and warns of what counts again', async () => {
    await create('--force', at('one'));
    const { code, stdout } = await restore(at('one'), '--state-dir', at('restored'));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\S+one is restored to \S+restored: every record was read back and opened\n/);
    expect(stdout).toContain('TOKENS AND IDENTITIES REVOKED, AND GRANTS REMOVED');
    expect(await restore(at('one'), '--state-dir', at('restored'))).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is not empty, and a restore overwrites nothing'),
    });
    await using again = await startServer('--state-dir', at('restored'), '--root-key', rootKey);
    const env = { COFFER_SERVER: `unix:${join(at('restored'), 'admin.sock')}` };
    expect((await again.run(['get', 'app/db'], { env })).stdout).toBe('v1');
  });

  test('takes over what was revoked since, from the folder of a server that runs', async () => {
    const { stdout: made } = await admin(['token', 'create', '--json', 'ci']);
    const { id } = JSON.parse(made) as { id: string };
    await create('--force', at('merged'));
    await admin(['token', 'revoke', id]);
    await admin(['put', 'made/since'], { input: 'v1' });
    const args = [at('merged'), '--state-dir', at('newest'), '--merge-from', server.stateDir, '--verbose'];
    const { code, stdout } = await restore(...args);
    expect(code).toBe(0);
    expect(stdout).toContain(`1 token revoked since the backup: revoked here too\n  ${id} "ci"\n`);
    expect(stdout).toContain(`No grant was removed since, by the policy in ${server.stateDir}\n`);
    expect(stdout).toMatch(
      /^Made since, and not in the backup: 1 secret and 0 versions of others\n {2}made\/since$/m,
    );
  });
});
