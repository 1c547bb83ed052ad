import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test } from 'vitest';
import { startTestServer, type TestServer } from '../src/index.js';
import { StateFolder } from '../src/state-folder.js';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** The folder of everything that a server keeps. */
const folderOf = ({ socket }: Pick<TestServer, 'socket'>) => dirname(dirname(socket.slice('unix:'.length)));

/** A program that starts a server, tells where its socket is, and goes on with `rest`. */
const program = (rest: string) => `
  import { startTestServer } from '@coffer/testing';
  const server = await startTestServer();
  process.stdout.write(server.socket + '\\n');
  ${rest}`;

async function outcome(source: string) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', source], {
    cwd: HERE,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const { stdout, stderr } = child;
  const [out, error, [code, signal]] = await Promise.all([text(stdout), text(stderr), once(child, 'exit')]);
  return { folder: folderOf({ socket: out.trim() }), out, error, code, signal };
}

test('nothing is left of a closed server, and it says nothing', async () => {
  const { folder, out, error, code } = await outcome(program('await server.close();'));
  expect({ error, code, lines: out.split('\n').length }).toEqual({ error: '', code: 0, lines: 2 });
  expect(existsSync(folder)).toBe(false);
});

test.each([
  ['ends without closing it', 'process.exit(3);', 3],
  ['throws', 'throw new Error("of the test");', 1],
  ['has a promise rejected', 'Promise.reject(new Error("of the test"));', 1],
])('nothing is left of the server of a process that %s', async (_, rest, status) => {
  const { folder, code } = await outcome(program(rest));
  expect(code).toBe(status);
  expect(existsSync(folder)).toBe(false);
});

test('what a killed process leaves goes with the next server; a living one’s stays', async () => {
  const { folder, signal } = await outcome(program('process.kill(process.pid, "SIGKILL");'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  expect(signal).toBe('SIGKILL');
  await using living = await startTestServer();
  expect(existsSync(folder)).toBe(true);
  const longAgo = Date.now() / 1000 - 120;
  for (const old of [folder, folderOf(living)]) utimesSync(old, longAgo, longAgo);
  await living.stop();
  await (await startTestServer()).close();
  expect(existsSync(folder)).toBe(false);
  expect(existsSync(folderOf(living))).toBe(true);
  await living.start();
});

test('a failed start leaves nothing and says why', async () => {
  const { folder, out } = await outcome(
    program(`
      const port = Number(new URL(server.url).port);
      await startTestServer({ port }).catch((error) => console.log(error.code));
      await startTestServer({ secrets: { '': 'x' } }).catch((error) => console.log(error.code));
      const { readdirSync } = await import('node:fs');
      const { dirname, join } = await import('node:path');
      await server.close();`),
  );
  expect(out).toMatch(/\nio\ninvalid_name\n$/);
  expect(existsSync(folder)).toBe(false);
});

test('a server in a worker thread is as any other', async () => {
  const source = `
    const { parentPort } = require('node:worker_threads');
    import('@coffer/testing').then(async ({ startTestServer }) => {
      const server = await startTestServer({ secrets: { a: 'x' } });
      const { value } = await server.mustGet('a');
      parentPort.postMessage({ socket: server.socket, value: value.toString() });
      parentPort.once('message', () => process.exit());
    });`;
  const worker = new Worker(source, { eval: true });
  const [{ socket, value }] = await once(worker, 'message');
  expect(value).toBe('x');
  expect(statSync(socket.slice('unix:'.length)).mode & 0o777).toBe(0o600);
  worker.postMessage('end');
  await once(worker, 'exit');
  expect(existsSync(folderOf({ socket }))).toBe(false);
});

test('its folder is for its owner only, and the admin socket too', async () => {
  await using server = await startTestServer();
  expect(statSync(folderOf(server)).mode & 0o777).toBe(0o700);
  expect(statSync(server.socket.slice('unix:'.length)).mode & 0o777).toBe(0o600);
});

test('a folder whose path is too long for sockets is passed over, and one that is not there', async () => {
  const base = mkdtempSync(join(tmpdir(), 'c-'));
  onTestFinished(() => rmSync(base, { recursive: true, force: true }));
  const long = join(base, 'x'.repeat(60));
  mkdirSync(long);
  const folder = await StateFolder.make([long, join(base, 'nowhere'), base]);
  expect(dirname(dirname(folder.stateDir))).toBe(base);
  await folder.remove();
  expect(readdirSync(base)).toEqual(['x'.repeat(60)]);
  await expect(StateFolder.make([long])).rejects.toThrow('no place for the state of a test server');
});
