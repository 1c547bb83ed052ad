import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { type RunningServer, startServer } from './run.js';

const asAdmin = (server: RunningServer) => (line: string) =>
  server.run(line.split(' '), { env: { COFFER_SERVER: server.socket } });

test('keys are listed, and rotated until all records are under the new one', async () => {
  await using server = await startServer();
  const admin = asAdmin(server);
  await server.run(['put', 'a'], { input: 'v', env: { COFFER_SERVER: server.socket } });
  const { stdout } = await admin('keys list');
  expect(stdout).toMatch(
    /^Root key: file [0-9a-f]{16}, since \S+Z\nDATA KEY STATE +RECORDS CREATED\n1 +active 3 +\S+Z\n$/,
  );
  expect(await admin('keys rotate')).toMatchObject({
    code: 0,
    stdout: 'All records are under it, and no other data key is left.\n',
    stderr: expect.stringMatching(
      /^The data key 2 is in force\. .*Ctrl-C ends this command alone: the re-encryption goes on\.\n/,
    ),
  });
  const keys = JSON.parse((await admin('keys rotate --json')).stdout);
  expect(keys.dataKeys).toEqual([{ id: 3, createdAt: expect.any(String), state: 'active', records: 3 }]);
  expect((await admin('keys rotate --no-wait')).stdout).toMatch(
    /^The data key 4 is in force\. Records are re-enc/,
  );
  expect((await admin('get a')).stdout).toBe('v');
});

test('a new root key takes the place of the old one, or another place', async () => {
  await using server = await startServer();
  const admin = asAdmin(server);
  const folder = dirname(server.stateDir);
  const { rootKey: before } = JSON.parse((await admin('keys list --json')).stdout);
  const { code, stdout } = await admin('keys rotate --root');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^The root key [0-9a-f]{16} is in force\. .*backups made until now need it\.\n$/);
  expect(readdirSync(folder)).toContain(`root.key.retired-${before.id}`);
  const other = join(folder, 'other.key');
  expect((await admin(`keys rotate --root --to file:${other}`)).stdout).toMatch(
    `It is in file:${other}: make that rootKey`,
  );
  expect(readdirSync(folder)).toContain('other.key');
  expect(await admin(`keys rotate --to file:${other}`)).toMatchObject({
    code: 1,
    stderr: 'coffer: --to is for the root key: say --root --to SPEC\n',
  });
  expect(await admin('keys rotate --root --to file:relative.key')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^coffer: failed to rotate the key: name the file by its whole path[^\n]*\n$/,
    ),
  });
});

test('a rotation outlives the command that waits for it', async () => {
  await using server = await startServer();
  const admin = asAdmin(server);
  for (let i = 0; i < 8; i++) {
    const value = `${i}`.repeat(1_000_000);
    await server.run(['put', `large/${i}`], { input: value, env: { COFFER_SERVER: server.socket } });
  }
  const bin = fileURLToPath(new URL('../bin/coffer.js', import.meta.url));
  const child = spawn(process.execPath, [bin, 'keys', 'rotate', '-s', server.socket], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text;
    if (text.includes('in force')) child.kill('SIGINT');
  });
  const [code] = await once(child, 'close');
  // It may have been done before the signal came.
  if (code !== 0) {
    expect(code).toBe(1);
    expect(stderr).toMatch(/\ncoffer: interrupted: the re-encryption goes on in the server[^\n]*\n$/);
  }
  await expect
    .poll(async () => JSON.parse((await admin('keys list --json')).stdout).rotation, { timeout: 20_000 })
    .toBeUndefined();
});
