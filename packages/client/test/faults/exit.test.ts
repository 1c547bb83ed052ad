import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { startTestServer } from '@coffer/testing';
import { describe, expect, test } from 'vitest';
import { canary } from '../../../../test/support/canary.mjs';
import { FaultProxy } from './fault-proxy.js';

const HERE = fileURLToPath(new URL('.', import.meta.url));

/** An end without a wait for anything, on a busy machine. */
const SOON_MS = 2_000;

/** A program with an open store, in a process of its own. It says when its own work is done. */
function program(work: string): string {
  return `
    import { Client, Store } from '@coffer/client';
    const [, server, token] = process.argv;
    const client = new Client({ server, token });
    const open = (more) => Store.open({ client, secrets: ['a'], ...more });
    const done = () => process.stdout.write('done\\n');
    const hear = () => new Promise((resolve) => process.stdin.once('data', resolve));
    process.stdin.unref();
    ${work}`;
}

/** What became of a program, and how long after its work was done. */
async function ended(source: string, args: readonly string[], meanwhile?: () => Promise<unknown>) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, ...args], { cwd: HERE });
  const errors = text(child.stderr);
  const exit = once(child, 'exit');
  let said = '';
  let doneAt = Number.NaN;
  let next = 'ready';
  child.stdout.setEncoding('utf8').on('data', async (output: string) => {
    said += output;
    if (meanwhile && said.includes(next)) {
      next = '\0';
      await meanwhile();
      child.stdin.write('go on');
    }
    if (said.includes('done')) doneAt = performance.now();
  });
  const [code, signal] = await exit;
  return { code, signal, said, stderr: await errors, late: performance.now() - doneAt };
}

describe('a process with an open store', () => {
  test('does not end while somebody waits for what it fetches', async () => {
    await using server = await startTestServer({ secrets: { a: canary('a') } });
    await using proxy = await FaultProxy.open(server.url);
    proxy.fault = { kind: 'delay', milliseconds: 200 };
    const source = program(`
      const store = await open();
      await store.refresh();
      done();`);
    expect(await ended(source, [proxy.url, server.token])).toMatchObject({ code: 0, said: 'done\n' });
  });

  test.each([
    ['that watches', 'await open(); done();'],
    ['that only polls', 'await open({ watch: false }); done();'],
    [
      'and a value that was looked up',
      "const s = await open({ allowLookup: true }); await s.lookup('b'); done();",
    ],
    ['and a refresh that nobody waits for', 'const s = await open(); s.refresh(); done();'],
    ['that was closed', 'const s = await open(); await s.close(); done();'],
    // What `await using` comes to, which Node 20 does not read.
    ['that was disposed of', 'const s = await open(); await s[Symbol.asyncDispose](); done();'],
    [
      'whose opening was given up',
      "await open({ secrets: ['missing'], signal: AbortSignal.timeout(50), onError() {} }).catch(done);",
    ],
  ])('%s ends when its work is done, and says nothing', async (_, work) => {
    await using server = await startTestServer({ secrets: { a: canary('a'), b: canary('b') } });
    const outcome = await ended(program(work), [server.url, server.token]);
    expect(outcome).toMatchObject({ code: 0, signal: null, said: 'done\n', stderr: '' });
    expect(outcome.late).toBeLessThan(SOON_MS);
  });

  test('ends when its server is gone, whatever it tries meanwhile', async () => {
    await using server = await startTestServer({ secrets: { a: canary('a') } });
    const source = program(`
      const store = await open({ onError() {} });
      const trouble = new Promise((resolve) => store.on('error', resolve));
      process.stdout.write('ready\\n');
      process.stdin.ref();
      await hear();
      await store.refresh().catch(() => {});
      await trouble;
      process.stdin.unref();
      done();`);
    const outcome = await ended(source, [server.url, server.token], () => server.stop());
    expect(outcome).toMatchObject({ code: 0, said: 'ready\ndone\n', stderr: '' });
    expect(outcome.late).toBeLessThan(SOON_MS);
  });

  test('ends while an answer is under way that does not come', async () => {
    await using server = await startTestServer({ secrets: { a: canary('a') } });
    await using proxy = await FaultProxy.open(server.url);
    const source = program(`
      let poll;
      const store = await open({ ticker: { start: (given) => ((poll = given), () => {}) }, onError() {} });
      process.stdout.write('ready\\n');
      process.stdin.ref();
      await hear();
      process.stdin.unref();
      poll();
      setTimeout(done, 100);`);
    const outcome = await ended(source, [proxy.url, server.token], async () => {
      proxy.fault = { kind: 'stall' };
      await server.mustRotate('a', canary('b'));
    });
    expect(outcome).toMatchObject({ code: 0, said: 'ready\ndone\n', stderr: '' });
    expect(outcome.late).toBeLessThan(SOON_MS);
  });
});
