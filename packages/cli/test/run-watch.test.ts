import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Process, TemporaryFolder } from '../../../test/support/processes.mjs';
import { CofferServer, cofferCommand } from '../../../test/support/servers.mjs';
import { Admin } from '../../client/src/admin/index.js';
import { Client } from '../../client/src/index.js';

/** Says what it has and what it hears, and exits with the number that it reads. */
const CHILD = `
  for (const signal of ['SIGHUP', 'SIGUSR2']) process.on(signal, () => console.log('got ' + signal));
  if (process.argv[2] === 'stubborn') process.on('SIGTERM', () => console.log('got SIGTERM'));
  process.stdin.on('data', (data) => process.exit(Number(data)));
  console.log('started with ' + process.env.A + ' and ' + process.env.B + ';');
`;

const folder = new TemporaryFolder();
const child = folder.join('child.mjs');
let server: CofferServer;
let client: Client;

beforeAll(async () => {
  writeFileSync(child, CHILD);
  server = await CofferServer.start({ dev: true });
  client = new Client({ server: server.url });
});
afterAll(async () => {
  client?.close();
  await server?.stop();
  folder[Symbol.dispose]();
});

/** `coffer run --watch` of the child, without a terminal. */
const watching = (args: readonly string[], childArgs: readonly string[] = [], url = server.url) =>
  new Process(...cofferCommand('run', ...args, '--', process.execPath, child, ...childArgs), {
    detached: true,
    env: { COFFER_SERVER: url },
  });
const put = async (name: string, ...values: string[]) => {
  for (const value of values) await client.put(name, Buffer.from(value));
};
const startsOf = (running: Process) => running.output.match(/started with [^;]*/g);
/** How often the audit log says that a value of the secret was given out. */
const readsOf = (name: string) => {
  const folder = join(server.stateDir, 'audit');
  const log = readdirSync(folder)
    .map((file) => readFileSync(join(folder, file), 'utf8'))
    .join('');
  const entries = log.split('\n').filter((line) => line.includes(`"secret":"${name}"`));
  return entries.filter((line) => line.includes('"action":"get"')).length;
};
const endWith = async (running: Process, code: number) => {
  running.write(`${code}\n`);
  expect(await running.exited).toEqual({ code, signal: null });
};

describe('coffer run --watch', () => {
  test('restarts the command with the new values', async () => {
    await put('r/a', 'one', 'two');
    await put('r/b', 'b');
    await using running = watching(['--watch', '--env', 'A=r/a', '--env', 'B=r/b']);
    await running.waitFor(/started with one and b;/);
    await client.activate('r/a', 2);
    await running.waitFor(/started with two and b;/);
    await client.createVersion('r/b', 7, Buffer.from('c'));
    await running.waitFor(/started with two and c;/);
    await endWith(running, 3);
    expect(running.stderr.toString()).toBe(
      'coffer: "r/a" changed: restarting the command\ncoffer: "r/b" changed: restarting the command\n',
    );
  });

  test('does not for a version that is not active, one that is pinned, or an equal value', async () => {
    await put('q/a', 'one');
    await put('q/b', 'pinned', 'other');
    await put('q/other', '1');
    await using running = watching(['--watch=restart', '--env', 'A=q/a', '--env', 'B=q/b@1']);
    await running.waitFor(/started with one and pinned;/);
    await put('q/a', 'two');
    await client.activate('q/b', 2);
    await client.createVersion('q/other', 5, Buffer.from('2'));
    await client.createVersion('q/a', 9, Buffer.from('one'));
    // It was looked at, and found equal.
    await expect.poll(() => readsOf('q/a')).toBe(2);
    await client.activate('q/a', 2);
    await running.waitFor(/started with two and pinned;/);
    await endWith(running, 0);
    expect(startsOf(running)).toEqual(['started with one and pinned', 'started with two and pinned']);
  });

  test('takes a burst of changes for one', async () => {
    await put('burst', '0');
    await using running = watching(['--watch', '--env', 'A=burst', '--env', 'B=burst']);
    await running.waitFor(/started with 0/);
    await Promise.all(
      [2, 3, 4, 5, 6].map((version) => client.createVersion('burst', version, Buffer.from(`v${version}`))),
    );
    const active = Buffer.from((await client.get('burst')).value).toString();
    await running.waitFor(new RegExp(`started with ${active} and ${active};`));
    await endWith(running, 0);
    expect(running.stderr.toString()).toBe('coffer: "burst" changed: restarting the command\n');
  });

  test('kills a command that does not end in time', async () => {
    await put('k', 'one', 'two');
    await using running = watching(['--watch', '--grace', '0.3', '--env', 'A=k'], ['stubborn']);
    await running.waitFor(/started with one/);
    await client.activate('k', 2);
    await running.waitFor(/got SIGTERM/);
    await running.waitFor(/started with two/);
    await endWith(running, 0);
  });

  test('sends a signal where one is named, and the command goes on', async () => {
    await put('s', 'one', 'two');
    await using running = watching(['--watch=hup', '--env', 'A=s']);
    await running.waitFor(/started with one/);
    await client.activate('s', 2);
    await running.waitFor(/got SIGHUP/);
    await client.activate('s', 1);
    await running.waitFor(/got SIGHUP[\s\S]*got SIGHUP/);
    await endWith(running, 4);
    expect(startsOf(running)).toHaveLength(1);
    expect(running.stderr.toString()).toContain('coffer: "s" changed: SIGHUP for the command\n');
  });

  test('ends with a command that was asked to end, and starts no other', async () => {
    await put('e', 'one', 'two');
    await using running = watching(['--watch', '--env', 'A=e'], ['stubborn']);
    await running.waitFor(/started with one/);
    running.signal('SIGTERM');
    await running.waitFor(/got SIGTERM/);
    await client.activate('e', 2);
    running.signal('SIGUSR2');
    await running.waitFor(/got SIGUSR2/);
    await endWith(running, 6);
    expect(startsOf(running)).toHaveLength(1);
  });

  test('warns of a secret that is gone, and the command keeps what it has', async () => {
    await put('gone', 'one');
    await using running = watching(['--watch', '--env', 'A=gone']);
    await running.waitFor(/started with one/);
    await client.delete('gone');
    await running.waitFor(/coffer: warning: "gone": not found; the command keeps the values that it has\n/);
    await client.put('gone', Buffer.from('two'));
    await running.waitFor(/started with two/);
    await endWith(running, 0);
  });

  test('goes on through an outage of the server', async () => {
    using home = new TemporaryFolder();
    let own = await CofferServer.start({ dev: true, folder: home });
    const args = ['--listen', new URL(own.url).host];
    await using other = new Client({ server: own.url });
    await other.put('o', Buffer.from('one'));
    await other.put('o', Buffer.from('two'));
    await using running = watching(['--watch', '--env', 'A=o'], [], own.url);
    await running.waitFor(/started with one/);
    await own.stop();
    await running.waitFor(
      /coffer: warning: [^\n]*127\.0\.0\.1[^\n]*; the command keeps the values that it has\n/,
    );
    running.signal('SIGHUP');
    await running.waitFor(/got SIGHUP/);
    own = await CofferServer.start({ dev: true, folder: home, args });
    await running.waitFor(/coffer: connected again\n/);
    await other.activate('o', 2);
    await running.waitFor(/started with two/);
    await endWith(running, 0);
    expect(running.stderr.toString().match(/warning|again/g)).toEqual(['warning', 'again']);
    await own.stop();
  });

  test('goes on without its token, and takes the next one from the file', async () => {
    await using own = await CofferServer.start();
    await using admin = new Client({ server: own.socket });
    await admin.put('t', Buffer.from('one'));
    await admin.put('t', Buffer.from('two'));
    const tokens = [await own.createToken('first'), await own.createToken('second')];
    await own.applyPolicy([
      { to: tokens.map(({ principal }) => principal), actions: ['get'], secrets: ['t'] },
    ]);
    const file = folder.join('token');
    writeFileSync(file, tokens[0]?.token ?? '');
    await using running = watching(['--watch', '--token-file', file, '--env', 'A=t'], [], own.url);
    await running.waitFor(/started with one/);
    await new Admin(admin).revokeToken(tokens[0]?.principal.replace('token:', '') ?? '');
    await running.waitFor(/coffer: warning: .*; the command keeps the values that it has\n/);
    writeFileSync(file, tokens[1]?.token ?? '');
    await admin.activate('t', 2);
    await running.waitFor(/started with two/);
    await endWith(running, 0);
  });

  test.each([
    [['--watch', '--env', 'A=x@1'], '--watch has nothing to watch: each secret is pinned to a version'],
    [['--watch=sometimes', '--env', 'A=x'], '--watch=sometimes: write restart, or a signal such as SIGHUP'],
    [['--watch=SIGKILL', '--env', 'A=x'], '--watch=SIGKILL: write restart, or a signal such as SIGHUP'],
    [['--watch', '--grace', 'x', '--env', 'A=x'], 'invalid --grace "x": write seconds, from 0 to 3600'],
    [['--watch', '--env', 'A=none'], 'nothing was started: "none": not found'],
  ])('%j is refused', async (args, sentence) => {
    await using running = watching(args);
    expect(await running.exited).toEqual({ code: 1, signal: null });
    expect(running.output).toBe(`coffer: ${sentence}\n`);
  });
});
