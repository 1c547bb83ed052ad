import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { isatty } from 'node:tty';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';

/** How a command ended: with an exit code, or by a signal. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Those that one process sends to another on purpose. */
const PASSED_ON: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGUSR1', 'SIGUSR2'];
/** Those that a terminal sends, by a key or a change of size, to every process in its foreground. */
const OF_TERMINALS: readonly NodeJS.Signals[] = ['SIGINT', 'SIGQUIT', 'SIGWINCH'];
/** Those by which somebody asks a command to end. */
const ENDING: readonly NodeJS.Signals[] = ['SIGTERM', 'SIGINT', 'SIGQUIT'];

/**
 * Runs a command as a child that shares our terminal, our process group and our standard input and output, and
 * passes on the signals that come to us. It can be stopped and started anew with another environment.
 */
export class Supervised {
  /** Settles when the command has ended by itself, or by a signal that was not `replace`'s. */
  readonly ended: Promise<Exit>;
  readonly #command: string;
  readonly #args: readonly string[];
  readonly #end: (exit: Exit) => void;
  readonly #fail: (error: unknown) => void;
  #child: ChildProcess | undefined;
  #asked = false;
  #over = false;
  #replaced: (() => void) | undefined;

  constructor(command: string, args: readonly string[]) {
    this.#command = command;
    this.#args = args;
    const { promise, resolve, reject } = withResolvers<Exit>();
    this.#end = resolve;
    this.#fail = reject;
    this.ended = promise;
    // Whoever waits for the start hears of the same failure first.
    promise.catch(() => {});
  }

  /** From now on signals are passed on, and no more obeyed. Rejects with the code 127 or 126 if it cannot start. */
  async start(env: NodeJS.ProcessEnv): Promise<void> {
    for (const signal of [...PASSED_ON, ...OF_TERMINALS]) process.on(signal, this.#passOn);
    await this.#spawn(env);
  }

  /** True once the command was asked to end, or has. It is not started anew then. */
  get ending(): boolean {
    return this.#asked || this.#over;
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /**
   * Asks the command to end with SIGTERM, with SIGKILL after the grace (in milliseconds), and starts it with the
   * new environment; unless it was asked to end meanwhile.
   */
  async replace(env: NodeJS.ProcessEnv, grace: number): Promise<void> {
    if (this.ending) return;
    const { promise, resolve } = withResolvers<void>();
    this.#replaced = resolve;
    this.#child?.kill('SIGTERM');
    const timer = setTimeout(() => this.#child?.kill('SIGKILL'), grace);
    await promise;
    clearTimeout(timer);
    if (!this.#over) await this.#spawn(env);
  }

  async #spawn(env: NodeJS.ProcessEnv): Promise<void> {
    try {
      const child = spawn(this.#command, this.#args, { stdio: 'inherit', env });
      this.#child = child;
      child.on('exit', (code, signal) => this.#exited({ code, signal }));
      await new Promise((resolve, reject) => child.once('spawn', resolve).once('error', reject));
    } catch (error) {
      const failure = notStarted(this.#command, error as NodeJS.ErrnoException);
      this.#fail(failure);
      throw failure;
    }
  }

  #exited(exit: Exit): void {
    const replaced = this.#replaced;
    this.#replaced = undefined;
    if (replaced === undefined || this.#asked) {
      this.#over = true;
      for (const signal of [...PASSED_ON, ...OF_TERMINALS]) process.off(signal, this.#passOn);
      this.#end(exit);
    }
    replaced?.();
  }

  readonly #passOn = (signal: NodeJS.Signals): void => {
    if (ENDING.includes(signal)) this.#asked = true;
    if (OF_TERMINALS.includes(signal) && inForeground()) return;
    this.#child?.kill(signal);
  };
}

/**
 * Are we in the foreground of a terminal? Then what its keys send reached the command too, which is in our process
 * group, and a second Ctrl-C would mean more than the first. Who sent a signal, Node does not say: one that somebody
 * else sends to us alone while we are in the foreground is not passed on either.
 */
function inForeground(): boolean {
  try {
    // proc(5): behind the name, which may hold anything: state, parent, process group, session, terminal, its foreground group.
    const stat = readFileSync('/proc/self/stat', 'latin1');
    const [, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return group === foreground;
  } catch {
    return [0, 1, 2].some((stream) => isatty(stream));
  }
}

/** 127 and 126 as in shells and env(1). */
function notStarted(command: string, error: NodeJS.ErrnoException): Failure {
  const [why, code] = WHY_NOT[error.code ?? ''] ?? [error.code ?? error.message, 126];
  return new Failure(`cannot run ${quote(command)}: ${why}`, code);
}

const WHY_NOT: Record<string, [string, number]> = {
  ENOENT: ['no such command', 127],
  ENOTDIR: ['no such command', 127],
  ERR_INVALID_ARG_VALUE: ['no such command', 127],
  EACCES: ['permission denied', 126],
  E2BIG: ['the values are too large for an environment (Linux takes 128 KiB for a variable)', 126],
};

function withResolvers<T>(): {
  promise: Promise<T>;
  resolve: (value: T) => void;
  reject: (reason: unknown) => void;
} {
  let resolve: (value: T) => void = () => {};
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
