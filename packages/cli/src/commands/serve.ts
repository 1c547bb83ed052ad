import { setFlagsFromString } from 'node:v8';
import type { RunningServer, ServerConfig, StartOptions } from '@coffer/server';
import { note, print } from '../output.js';
import { promptPassphrase } from '../passphrase.js';

/**
 * V8 lets the heap grow to four times what is in use before it collects. Two and a half times costs no throughput that
 * could be measured here, and takes some 40 MB off the peak under load.
 */
const HEAP_GROWTH = '--heap-growing-percent=150';

export interface Serving {
  /** The configuration, again at each SIGHUP. */
  read(): ServerConfig;
  /** What is said when it serves. */
  welcome(running: RunningServer, config: ServerConfig): string;
  /** When the terminal is closed nobody wants it any more. */
  readonly endsWithTerminal?: boolean;
  readonly start?: Pick<StartOptions, 'env' | 'transitSeed' | 'signingSeed'>;
}

/** Runs a server until SIGTERM or SIGINT; SIGHUP has it read its configuration again. */
export async function serve({ read, welcome, endsWithTerminal = false, start = {} }: Serving): Promise<void> {
  setFlagsFromString(HEAP_GROWTH);
  const { createLog, endByMistake, startServer } = await import('@coffer/server');
  // Without a listener Node opens its inspector, to which every user of this machine can connect.
  process.on('SIGUSR1', () => {});
  const signal = stopSignal(endsWithTerminal ? ['SIGTERM', 'SIGINT', 'SIGHUP'] : ['SIGTERM', 'SIGINT']);
  let onHangUp = () => {};
  if (!endsWithTerminal) process.on('SIGHUP', () => onHangUp());
  const config = read();
  // On a terminal a person reads, to whom each line of JSON is noise.
  const log = createLog(config.logLevel ?? (process.stderr.isTTY ? 'warn' : 'info'));
  process.on('uncaughtException', (error) => endByMistake(error, log));
  const running = await startServer(config, { ...start, log, promptPassphrase });
  onHangUp = () => void running.reload(read);
  await unlessUnread(print(welcome(running, config)));
  await unlessUnread(note(`coffer: ${await signal}: finishing what is under way`));
  await running.close();
  await unlessUnread(note('coffer: stopped'));
}

/** A server goes on, and ends as it should, when nobody reads what it says any more. */
async function unlessUnread(saying: Promise<void>): Promise<void> {
  await saying.catch(() => undefined);
}

/**
 * The first signal ends the server gracefully, a later one at once. Those that come within a second are one: of a
 * single Ctrl-C npm passes its own on to a program that got it already.
 */
function stopSignal(signals: readonly NodeJS.Signals[]): Promise<string> {
  return new Promise((resolve) => {
    let since: number | undefined;
    const stop = (signal: string) => {
      if (since !== undefined && Date.now() - since > 1000) process.exit(1);
      since ??= Date.now();
      resolve(signal);
    };
    for (const one of signals) process.on(one, stop);
  });
}
