/** How to start a process. */
export interface StartOptions {
  /** All of the environment besides PATH, LANG and a HOME that does not exist: nothing is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** In a session of its own, without the tester's terminal. */
  readonly detached?: boolean;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A child process that is stopped by its pid, and killed when this process ends without having stopped it. */
export class Process implements AsyncDisposable {
  constructor(command: string, args: readonly string[], options?: StartOptions);
  readonly pid: number | undefined;
  readonly running: boolean;
  /** Settles when the process has ended and its output is read; rejects when it could not be started. */
  readonly exited: Promise<Exit>;
  /** Standard output and standard error as they came, together. */
  readonly output: string;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  signal(signal: NodeJS.Signals): void;
  write(text: string | Uint8Array): void;
  endInput(text?: string | Uint8Array): void;
  /** Waits until `output` matches; rejects with all of it when the process ends first or the time (30 s) is up. */
  waitFor(pattern: RegExp, options?: { readonly timeoutMs?: number }): Promise<RegExpMatchArray>;
  /** Sends the signal (SIGTERM), and SIGKILL when the process has not ended in time (10 s). */
  stop(options?: { readonly signal?: NodeJS.Signals; readonly timeoutMs?: number }): Promise<Exit>;
  /** `kill -9`. */
  kill(): Promise<Exit>;
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Finished extends Exit {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

/** Runs a command to its end (killed after 60 s), with `input` as its standard input, a pipe. */
export function run(
  command: string,
  args: readonly string[],
  options?: StartOptions & { readonly input?: string | Uint8Array; readonly timeoutMs?: number },
): Promise<Finished>;

/** A folder in the system's temporary folder; removed when disposed of, or when this process ends. */
export class TemporaryFolder implements Disposable {
  readonly path: string;
  join(...names: string[]): string;
  [Symbol.dispose](): void;
}

/** For a program that must be told its port before it listens: it is free at this moment. */
export function freePort(): Promise<number>;
