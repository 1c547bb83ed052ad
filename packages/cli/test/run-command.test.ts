import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canary, expectNoCanary } from '../../../test/support/canary.mjs';
import { Process, TemporaryFolder } from '../../../test/support/processes.mjs';
import { cofferCommand } from '../../../test/support/servers.mjs';
import { type Outcome, type RunningServer, startServer } from './run.js';

/** Says what it hears, and exits with the number that it reads. */
const CHILD = `
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH']) {
    process.on(signal, () => console.log('got ' + signal));
  }
  process.stdin.on('data', (data) => process.exit(Number(data)));
  console.log('ready as ' + process.pid);
`;

/** What proc(5) and util-linux's script(1) tell is not to be had elsewhere. */
const linux = process.platform === 'linux';

let server: RunningServer;
const folder = new TemporaryFolder();
const child = folder.join('child.mjs');
const value = canary('for a command');

beforeAll(async () => {
  server = await startServer('--dev');
  writeFileSync(child, CHILD);
  for (const [name, input] of Object.entries({
    'db/password': value,
    'user@host@7': 'at',
    'a=b': 'equals',
    binary: new Uint8Array([0xff, 0xfe]),
    nul: 'a\0b',
    large: 'x'.repeat(200_000),
  })) {
    await server.run(['put', '--verbatim', name], { input });
  }
  await server.run(['put', 'db/password'], { input: 'second' });
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** `coffer run` to its end. */
const run = (args: readonly string[], env: Record<string, string> = {}, input = ''): Promise<Outcome> =>
  server.run(['run', ...args], { env, input });
/** `coffer run` of a Node program that prints. */
const printing = (expression: string) => ['--', process.execPath, '-p', expression];
/** `coffer run` under way, without a terminal. */
const started = (args: readonly string[], env: Record<string, string> = {}) =>
  new Process(...cofferCommand('run', ...args), {
    detached: true,
    env: { COFFER_SERVER: server.url, ...env },
  });
const file = (name: string, text: string): string => {
  writeFileSync(folder.join(name), text);
  return folder.join(name);
};

describe('the environment of the command', () => {
  test('holds the active value, or that of a version', async () => {
    const args = [
      '--env',
      'A=db/password',
      '-e',
      'B=db/password@2',
      ...printing('[process.env.A, process.env.B].join()'),
    ];
    expect(await run(args)).toEqual({ code: 0, stdout: `${value},second\n`, stderr: '' });
  });

  test('a version begins at the last @ before nothing but digits, a name ends at the first =', async () => {
    const args = ['--env', 'A=user@host@7@1', '--env', 'B=user@host@7@0', '--env', 'C=a=b'];
    expect((await run([...args, ...printing('process.env.A + process.env.B + process.env.C')])).stdout).toBe(
      'atatequals\n',
    );
    expect((await run(['--env', 'A=user@host@7', '--', 'true'])).stderr).toBe(
      'coffer: nothing was started: version 7 of "user@host": not found\n',
    );
  });

  test('comes from a file, too, whose lines --env overrules', async () => {
    const path = file('app.secrets', '# ours\n\nA=db/password\r\n  B=a=b\nC=db/password\n');
    const args = ['--env-file', path, '--env', 'C=db/password@2'];
    expect(
      (await run([...args, ...printing('[process.env.A, process.env.B, process.env.C].join()')])).stdout,
    ).toBe(`${value},equals,second\n`);
  });

  test('is otherwise ours, without the token and passwords', async () => {
    const env = {
      COFFER_TOKEN: 'cft_x',
      COFFER_SERVER: server.url.replace('://', '://any:cft_y@'),
      SETEC_SERVER: 'https://a:b@host/p@q',
      OTHER: 'kept',
    };
    const all = printing('JSON.stringify(process.env)');
    const fromFile = { ...env, COFFER_TOKEN: '', COFFER_TOKEN_FILE: file('token', 'cft_x') };
    const unnamed = JSON.parse((await run(['--env', 'A=a=b', ...all], fromFile)).stdout);
    expect(unnamed).not.toHaveProperty('COFFER_TOKEN_FILE');
    const bare = JSON.parse((await run(['--env', 'A=a=b', ...all], env)).stdout);
    expect(bare).toMatchObject({
      A: 'equals',
      OTHER: 'kept',
      COFFER_SERVER: server.url,
      SETEC_SERVER: 'https://host/p@q',
    });
    expect(bare).not.toHaveProperty('COFFER_TOKEN');
    const kept = JSON.parse((await run(['--keep-token', '--env', 'A=a=b', ...all], env)).stdout);
    expect(kept).toMatchObject(env);
    const asked = JSON.parse((await run(['--env', 'COFFER_TOKEN=a=b', ...all], env)).stdout);
    expect(asked.COFFER_TOKEN).toBe('equals');
  });
});

describe('nothing is started', () => {
  const mark = (name: string) => ['--', 'touch', folder.join(name)];

  test('when a secret is missing, and all that are wrong are named', async () => {
    const args = [
      '--env',
      'A=none',
      '--env',
      'B=nul',
      '--env',
      'C=binary',
      '--env',
      'D=a=b',
      '--env',
      'E=a=b@9',
    ];
    expect(await run([...args, ...mark('started')])).toEqual({
      code: 1,
      stdout: '',
      stderr:
        'coffer: nothing was started: "none": not found; "nul": holds a NUL byte, which no environment variable can; ' +
        '"binary": is no UTF-8 text, as an environment variable must be; version 9 of "a=b": not found\n',
    });
    expect(readdirSync(folder.path)).not.toContain('started');
  });

  test('when one is denied', async () => {
    await using production = await startServer();
    await production.run(['put', '-s', production.socket, 'x'], { input: 'x' });
    const made = await production.run(['token', 'create', 'n', '-s', production.socket]);
    const env = { COFFER_TOKEN: made.stdout.trim() };
    expect((await production.run(['run', '--env', 'A=x', '--', 'true'], { env })).stderr).toBe(
      'coffer: nothing was started: "x": no grant allows you to get it\n',
    );
    expect((await production.run(['run', '--env', 'A=x', '--', 'true'])).stderr).toMatch(
      /^coffer: nothing was started: the server does not know you: /,
    );
  });

  test.each([
    [['--env', 'A', '--', 'true'], '"A" is no mapping: write NAME=SECRET or NAME=SECRET@VERSION'],
    [['--env', 'A=', '--', 'true'], '"A=" names no secret: write NAME=SECRET or NAME=SECRET@VERSION'],
    [['--env', 'A=@3', '--', 'true'], '"A=@3" names no secret: write NAME=SECRET or NAME=SECRET@VERSION'],
    [['--env', '=x', '--', 'true'], '"" cannot be the name of a variable: use letters, digits and _'],
    [
      ['--env', 'A=x@99999999999', '--', 'true'],
      'invalid version "99999999999": write a whole number from 0 to 4294967295',
    ],
    [['--env', 'A=x', '--env', 'A=y', '--', 'true'], '--env sets "A" twice: leave one out'],
    [['--', 'true'], 'no secret is asked for: use --env NAME=SECRET or --env-file FILE'],
    [['--env', 'A=x'], 'no command to run: write it behind --, see "coffer run --help"'],
  ])('coffer run %j', async (args, sentence) => {
    expect(await run(args)).toEqual({ code: 1, stdout: '', stderr: `coffer: ${sentence}\n` });
  });

  test('when a file is not there, which Node 20 notices before us (nodejs/node#54232)', async () => {
    const { code, stderr } = await run(['--env-file', '/nowhere', '--', 'true']);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/\/nowhere: (no such file|not found)\n$/);
  });

  test('when a file has a mistake in it, told by file and line', async () => {
    const bad = file('bad.secrets', 'A=x\n\nB x\n');
    expect((await run(['--env-file', bad, '--', 'true'])).stderr).toMatch(
      `coffer: ${bad}:3: "B x" is no mapping`,
    );
    const twice = file('twice.secrets', 'A=x\nA=y\n');
    expect((await run(['--env-file', twice, '--', 'true'])).stderr).toBe(
      `coffer: ${twice}:2: "A" is set at ${twice}:1 already\n`,
    );
  });
});

describe('the end of the command', () => {
  test.each([0, 1, 7, 255])('with exit code %d is ours', async (code) => {
    expect(await run(['--env', 'A=a=b', '--', 'sh', '-c', `exit ${code}`])).toMatchObject({
      code,
      stderr: '',
    });
  });

  test('it has our standard input and its own arguments', async () => {
    const args = [
      '--env',
      'A=a=b',
      '--',
      'sh',
      '-c',
      'cat; echo "$@" >&2',
      '-',
      '--generate',
      'x',
      '--',
      '$A',
    ];
    expect(await run(args, {}, 'input')).toEqual({
      code: 0,
      stdout: 'input',
      stderr: '--generate x -- $A\n',
    });
    expect((await run(['--env', 'A=a=b', 'echo', '--env', '--help'])).stdout).toBe('--env --help\n');
  });

  test.each(['SIGTERM', 'SIGKILL', 'SIGINT', 'SIGSEGV', 'SIGUSR1', 'SIGPIPE'] as const)(
    'by %s is ours',
    async (signal) => {
      await using process = started(['--env', 'A=a=b', '--', 'sh', '-c', `kill -${signal.slice(3)} $$`]);
      expect(await process.exited).toEqual({ code: null, signal });
    },
  );

  test('127 means that there is no such command, 126 that it cannot be run', async () => {
    expect(await run(['--env', 'A=a=b', '--', 'no-such-command'])).toEqual({
      code: 127,
      stdout: '',
      stderr: 'coffer: cannot run "no-such-command": no such command\n',
    });
    expect(await run(['--env', 'A=a=b', '--', child])).toEqual({
      code: 126,
      stdout: '',
      stderr: `coffer: cannot run "${child}": permission denied\n`,
    });
    expect(await run(['--env', 'A=large', '--', 'true'])).toEqual({
      code: 126,
      stdout: '',
      stderr:
        'coffer: cannot run "true": the values are too large for an environment (Linux takes 128 KiB for a variable)\n',
    });
  });
});

describe('signals', () => {
  test.each(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const)(
    '%s reaches the command, which may go on',
    async (signal) => {
      await using process = started(['--env', 'A=a=b', '--', globalThis.process.execPath, child]);
      await process.waitFor(/ready/);
      process.signal(signal);
      await process.waitFor(new RegExp(`got ${signal}`));
      process.write('9\n');
      expect(await process.exited).toEqual({ code: 9, signal: null });
      expect(process.output.match(/got/g)).toHaveLength(1);
    },
  );

  test.skipIf(!linux)('Ctrl-C on a terminal reaches the command once', async () => {
    const words = cofferCommand('run', '--env', 'A=a=b', '--', process.execPath, child).flat();
    // In place of the shell, which the keys would end.
    const line = `exec ${words.map((word) => `'${word}'`).join(' ')}`;
    await using terminal = new Process('script', ['-qec', line, '/dev/null'], {
      env: { COFFER_SERVER: server.url, SHELL: '/bin/sh' },
    });
    await terminal.waitFor(/ready/);
    terminal.write('\x03');
    await terminal.waitFor(/got SIGINT/);
    terminal.write('\x1c');
    await terminal.waitFor(/got SIGQUIT/);
    const [, pid] = await terminal.waitFor(/ready as (\d+)/);
    // Ours is passed on, and would come after a second one of the terminal's.
    process.kill(parentOf(Number(pid)), 'SIGUSR1');
    await terminal.waitFor(/got SIGUSR1/);
    terminal.write('5\n');
    expect(await terminal.exited).toMatchObject({ code: 5 });
    expect(terminal.output.match(/got \w+/g)).toEqual(['got SIGINT', 'got SIGQUIT', 'got SIGUSR1']);
  });
});

describe('no value', () => {
  test.skipIf(!linux)(
    'is in the arguments of a process, in our environment, in a file or in what we print',
    async () => {
      const home = folder.join('home');
      mkdirSync(home);
      const env = {
        HOME: home,
        TMPDIR: home,
        XDG_CACHE_HOME: home,
        XDG_CONFIG_HOME: home,
        COFFER_DEBUG: '1',
      };
      await using running = new Process(
        ...cofferCommand('run', '--env', 'A=db/password', '--', process.execPath, child),
        { cwd: home, detached: true, env: { COFFER_SERVER: server.url, ...env } },
      );
      const [, pid] = await running.waitFor(/ready as (\d+)/);
      expect(readFileSync(`/proc/${pid}/environ`, 'utf8')).toContain(value);
      for (const each of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
        expectNoCanary(ifThere(`/proc/${each}/cmdline`), `the command line of ${each}`);
      }
      expectNoCanary(readFileSync(`/proc/${running.pid}/environ`), 'the environment of coffer');
      running.write('0\n');
      expect(await running.exited).toMatchObject({ code: 0 });
      expect(readdirSync(home)).toEqual([]);
      expectNoCanary(running.output, 'the output');
      expectNoCanary(
        (await run(['--env', 'A=db/password', '--env', 'B=none', '--', 'true'])).stderr,
        'an error',
      );
      expectNoCanary(
        (await run(['--env', 'A=db/password', '--', 'no-such-command'], env)).stderr,
        'an error',
      );
    },
  );
});

function parentOf(pid: number): number {
  return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

/** A process may end while we look. */
function ifThere(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}
