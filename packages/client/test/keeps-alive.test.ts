import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startTestServer } from '@coffer/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Authority } from '../../../test/support/certificates.mjs';
import { Process, TemporaryFolder } from '../../../test/support/processes.mjs';
import { serve } from './http-server.js';

const LIBRARY = fileURLToPath(new URL('../dist/index.js', import.meta.url));

/** A program that tells the events of a watch on standard output; `busy` with something else until the first comes, or not. */
function watching(options: object, watch: object, { busy = false } = {}): Process {
  const program = `
    import { Client } from ${JSON.stringify(LIBRARY)};
    const client = new Client(${JSON.stringify(options)});
    const work = ${busy} && setInterval(() => {}, 1000);
    (async () => {
      for await (const { type } of client.watch(${JSON.stringify(watch)})) {
        console.log(type);
        clearInterval(work);
      }
    })().catch((error) => console.log(error.code));
    console.log('begun');
  `;
  const child = new Process(process.execPath, ['--input-type=module', '--eval', program]);
  onTestFinished(() => child[Symbol.asyncDispose]());
  return child;
}

describe('a watch with keepsAlive: false', () => {
  test('lets the process end that has nothing else to do, over HTTP and TLS', async () => {
    const authority = new Authority();
    const issued = authority.issue();
    using folder = new TemporaryFolder();
    const tls = { cert: folder.join('tls.crt'), key: folder.join('tls.key') };
    writeFileSync(tls.cert, issued.cert);
    writeFileSync(tls.key, issued.key, { mode: 0o600 });
    for (const config of [{}, { tls }]) {
      await using server = await startTestServer({ config });
      const { url, token } = server;
      const options = { server: url, token, ca: authority.cert };
      const child = watching(options, { keepsAlive: false }, { busy: true });
      expect(await child.exited).toMatchObject({ code: 0 });
      expect(child.output).toBe('begun\nready\n');
    }
  });

  test('lets it end while a server does not answer, and between two tries', async () => {
    await using silent = await serve(() => {});
    const first = watching({ server: silent.url }, { keepsAlive: false });
    expect(await first.exited).toMatchObject({ code: 0 });
    const second = watching({ server: 'unix:/nowhere', retries: 10 }, { keepsAlive: false });
    expect(await second.exited).toMatchObject({ code: 0 });
    expect(first.output + second.output).toBe('begun\nbegun\n');
  });
});

test('a watch keeps the process alive otherwise', async () => {
  await using server = await startTestServer();
  const child = watching({ server: server.url, token: server.token }, {});
  await child.waitFor(/ready/);
  await server.mustPut('x', 'y');
  await child.waitFor(/change/);
  expect(child.running).toBe(true);
});
