import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SERVER } from '@coffer/engine';
import { createKeyPair, decodeSeed } from '@coffer/identity';
import { completeLimits, completeWasmcloud, startServer } from '@coffer/server';
import { expect, onTestFinished, test } from 'vitest';
import { coffer } from './run.js';

/** A server that has served these backends: each has its first key. */
async function servedBefore(...backends: string[]) {
  const folder = mkdtempSync(join(tmpdir(), 'coffer-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const server = await startServer(
    {
      listen: '127.0.0.1:0',
      stateDir: join(folder, 'state'),
      rootKey: `file:${join(folder, 'root.key')}`,
      dev: false,
      insecureHttp: false,
      storage: { minFreeBytes: 0 },
      limits: completeLimits(),
      logLevel: 'error',
      wasmcloud: completeWasmcloud(),
    },
    { onNotice: () => undefined },
  );
  onTestFinished(() => server.close());
  const keys = [];
  for (const backend of backends) {
    const pair = createKeyPair('curve');
    const { bytes } = decodeSeed(pair.seed());
    await server.engine.addTransitKey(SERVER, { backend, publicKey: pair.publicKey, seed: bytes });
    keys.push(pair.publicKey);
  }
  const run = (line: string) =>
    coffer(['wasmcloud', ...line.split(' ')], { env: { COFFER_SERVER: `unix:${server.socketPath}` } });
  return { run, keys, engine: server.engine, socket: `unix:${server.socketPath}` };
}

test('transit keys are listed, rotated and retired', async () => {
  const { run, keys, socket } = await servedBefore('nats-kv', 'vault');
  const [first, other] = keys as [string, string];
  const { stdout: listed } = await run('transit-keys');
  expect(listed).toMatch(/^BACKEND KEY +STATE +CREATED +LAST USED\n/);
  expect(listed).toMatch(new RegExp(`nats-kv ${first} current \\S+Z -\nvault +${other} current \\S+Z -\n$`));
  const rotated = await run('rotate-transit');
  expect(rotated).toMatchObject({ code: 0, stderr: '' });
  const [, second] = /^(X[A-Z2-7]{55}) is the current transit key of nats-kv/.exec(rotated.stdout) ?? [];
  const { stdout } = await run(`transit-keys --server ${socket} -n nats-kv --json`);
  expect(JSON.parse(stdout).keys).toMatchObject([
    { publicKey: second, current: true },
    { publicKey: first, current: false },
  ]);
  expect(await run(`retire-transit ${first}`)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/not used since the server began, which may be a moment ago/),
  });
  expect(await run(`retire-transit ${first} --yes`)).toEqual({
    code: 0,
    stdout: `${first} is retired: what is sealed to it is served no more, for good.\n`,
    stderr: '',
  });
  expect((await run('transit-keys -n nats-kv')).stdout).not.toContain(first);
  expect(JSON.parse((await run('rotate-transit -n vault --json')).stdout)).toMatchObject({
    backend: 'vault',
  });
});

test('a transit key that is current, unknown, or no public key is not retired, and a seed is never shown', async () => {
  const { run, keys } = await servedBefore('nats-kv');
  expect(await run(`retire-transit ${keys[0]}`)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/failed to retire the transit key: this is the current transit key/),
  });
  expect((await run(`retire-transit ${createKeyPair('curve').publicKey}`)).stderr).toMatch(
    /has no transit key/,
  );
  const seed = Buffer.from(createKeyPair('curve').seed()).toString();
  const given = await run(`retire-transit ${seed}`);
  expect(given).toMatchObject({ code: 1, stderr: expect.stringMatching(/KEY is a public key/) });
  expect(given.stdout + given.stderr).not.toContain(seed);
  expect((await run('rotate-transit -n never')).stderr).toMatch(/no server has served this backend/);
});

test('a server that served no backend yet says so', async () => {
  const { run } = await servedBefore();
  expect((await run('transit-keys')).stdout).toMatch(/^There are none/);
  expect(await run('transit-keys --json')).toMatchObject({ stdout: '{\n  "keys": []\n}\n' });
});

test('keys that sign are listed, rotated and retired apart from those', async () => {
  const { run, engine } = await servedBefore('vault');
  expect((await run('signing-keys list')).stdout).toMatch(/^There are none/);
  const pair = createKeyPair('server');
  const first = pair.publicKey;
  const { bytes: seed } = decodeSeed(pair.seed());
  await engine.addTransitKey(SERVER, { backend: 'vault', publicKey: first, seed });
  const { stdout: listed } = await run('signing-keys list');
  expect(listed).toMatch(new RegExp(`^BACKEND KEY +STATE +CREATED\nvault +${first} current \\S+Z\n$`));
  expect((await run('transit-keys')).stdout).not.toContain(first);
  const rotated = await run('signing-keys rotate');
  expect(rotated).toMatchObject({ code: 0, stderr: '' });
  const [, second] = /^(N[A-Z2-7]{55}) signs the log-ins of vault in ten seconds/.exec(rotated.stdout) ?? [];
  expect(JSON.parse((await run('signing-keys list -n vault --json')).stdout).keys).toMatchObject([
    { publicKey: second, current: true },
    { publicKey: first, current: false },
  ]);
  expect(await run(`signing-keys retire ${first}`)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/This key goes from \/\.well-known\/keys\/vault: /),
  });
  // Nobody is asked about what cannot be.
  expect((await run(`signing-keys retire ${second}`)).stderr).toMatch(/this is the current signing key/);
  const unknown = createKeyPair('server').publicKey;
  expect((await run(`signing-keys retire ${unknown}`)).stderr).toMatch(/has no signing key/);
  expect(await run(`signing-keys retire ${first} --yes`)).toEqual({
    code: 0,
    stdout: expect.stringContaining(`${first} is retired: nothing is signed with it any more, for good. `),
    stderr: '',
  });
  const secret = Buffer.from(pair.seed()).toString();
  const given = await run(`signing-keys retire ${secret}`);
  expect(given).toMatchObject({ code: 1, stderr: expect.stringMatching(/KEY is a public key/) });
  expect(given.stdout + given.stderr).not.toContain(secret);
});
