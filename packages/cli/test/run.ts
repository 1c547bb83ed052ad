import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const BIN = fileURLToPath(new URL('../bin/coffer.js', import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly env?: Record<string, string>;
}

/** Runs the built program to its end, in an environment that holds nothing of the developer's. */
export async function coffer(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
  const child = start(args, options.env ?? {});
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text) => (stderr += text));
  // A command that does not read its input may be gone before it is written.
  child.stdin?.on('error', () => {});
  child.stdin?.end(options.input ?? '');
  const code = await ended(child);
  return { code, stdout, stderr };
}

export interface RunningServer extends AsyncDisposable {
  readonly url: string;
  readonly stateDir: string;
  /** The admin socket, as `-s` takes it. */
  readonly socket: string;
  /** What it printed on standard output until it served. */
  readonly welcome: string;
  /** Runs a command against this server. */
  run(args: readonly string[], options?: RunOptions): Promise<Outcome>;
  /** Sends a signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<number | null>;
}

/** Starts `coffer server` on a free port with a state folder of its own, and waits until it serves. */
export async function startServer(...args: readonly string[]): Promise<RunningServer> {
  const folder = mkdtempSync(join(tmpdir(), 'coffer-test-'));
  const stateDir = join(folder, 'state');
  const rootKey = args.includes('--dev') ? [] : ['--root-key', `file:${join(folder, 'root.key')}`];
  const listen = ['--listen', '127.0.0.1:0', '--state-dir', stateDir];
  const child = start(['server', ...listen, ...rootKey, ...args], {});
  const welcome = await untilItSays(child, /^Programs |^ {2}.* list$/m);
  const [url = ''] = /https?:\/\/\S+/.exec(welcome) ?? [];

  const stop = stopper(child);
  return {
    url,
    stateDir,
    socket: `unix:${join(stateDir, 'admin.sock')}`,
    welcome,
    run: (command, options = {}) =>
      coffer(command, { ...options, env: { COFFER_SERVER: url, ...options.env } }),
    stop,
    async [Symbol.asyncDispose]() {
      await stop('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function start(args: readonly string[], env: Record<string, string>): ChildProcess {
  return spawn(process.execPath, [BIN, ...args], {
    env: { PATH: process.env.PATH ?? '', HOME: '/nonexistent', ...env },
    stdio: 'pipe',
  });
}

function stopper(child: ChildProcess): RunningServer['stop'] {
  return async (signal = 'SIGTERM') => {
    const end = ended(child);
    child.kill(signal);
    return end;
  };
}

/** Starts `coffer wasmcloud run`, and waits until it serves. */
export async function startWasmcloud(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Pick<RunningServer, 'welcome' | 'stop'> & AsyncDisposable> {
  return startDropIn('run', args, env, /^ {2}.* policy show$/m);
}

/** The same of `coffer wasmcloud vault` and `kube`. */
export async function startDropIn(
  command: 'run' | 'vault' | 'kube',
  args: readonly string[],
  env: Record<string, string> = {},
  last = /^ {2}admin socket: .*$/m,
): Promise<Pick<RunningServer, 'welcome' | 'stop'> & AsyncDisposable> {
  const child = start(['wasmcloud', command, ...args], env);
  const welcome = await untilItSays(child, last);
  const stop = stopper(child);
  return {
    welcome,
    stop,
    async [Symbol.asyncDispose]() {
      await stop('SIGKILL');
    },
  };
}

function untilItSays(child: ChildProcess, last: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stderr?.setEncoding('utf8').on('data', (text) => (stderr += text));
    child.stdout?.setEncoding('utf8').on('data', (text) => {
      stdout += text;
      if (last.test(stdout)) resolve(stdout);
    });
    child.once('close', () => reject(new Error(`the server ended: ${stdout}${stderr}`)));
  });
}

function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => child.once('close', resolve));
}
