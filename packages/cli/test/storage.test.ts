import { expect, test } from 'vitest';
import { startServer } from './run.js';

test('a store in the state folder says how full it is, and has nothing to be healed', async () => {
  await using server = await startServer();
  const env = { COFFER_SERVER: server.socket };
  await server.run(['put', 'a'], { input: 'v', env });
  expect(await server.run(['storage', 'status'], { env })).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^Store: in the state folder, \d+ KiB\n$/),
  });
  const status = JSON.parse((await server.run(['storage', 'status', '--json'], { env })).stdout);
  expect(status).toEqual({ usedBytes: expect.any(Number), writable: true });
  for (const act of [
    'replicas 3',
    'forget 0123456789abcdef',
    'heal --dry-run',
    'heal --without a b',
    'set-aside',
  ]) {
    expect(await server.run(['storage', ...act.split(' ')], { env })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^coffer: failed to [^\n]* is for one in NATS JetStream\n$/),
    });
  }
});

test('what cannot be is refused before any server is asked', async () => {
  await using server = await startServer();
  const env = { COFFER_SERVER: 'http://127.0.0.1:1' };
  expect((await server.run(['storage', 'replicas', '2'], { env })).stderr).toBe(
    'coffer: a store is kept on 1, 3 or 5 servers\n',
  );
  expect((await server.run(['storage', 'heal', '--without', '-s', server.socket], { env })).stderr).toMatch(
    /^coffer: --without takes members, by id or name, and not "-s"\n$/,
  );
});

test('a store is moved to where a configuration says, or nothing happens', async () => {
  await using server = await startServer();
  const refused = async (...args: string[]) => (await server.run(['storage', 'migrate', ...args])).stderr;
  expect(await refused('--to', 'elsewhere')).toBe('coffer: --to is jetstream or embedded\n');
  expect(await refused('--to', 'jetstream', '--force')).toBe('coffer: --force is for --to embedded\n');
  expect(await refused('--to', 'jetstream')).toMatch(/^coffer: the configuration names no bucket: /);
});
