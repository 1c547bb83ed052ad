import { writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { Ending } from '../failure.js';
import type { Exit } from './child.js';

/** Signals after which the system writes a process's memory to a file, where it is set up so. */
const DUMPING: readonly string[] = [
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGSEGV',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGSYS',
];

/**
 * Ends this process as the command ended: with its exit code, or by the same signal, so that a shell or a service
 * manager sees what it would see without us. Where we cannot die of the signal the code is 128 and its number.
 */
export async function endAs({ code, signal }: Exit): Promise<never> {
  if (signal === null) throw new Ending(code ?? 1);
  const dumps = DUMPING.includes(signal);
  if (!dumps || withoutMemoryInDumps()) await dieOf(signal);
  throw new Ending(128 + constants.signals[signal]);
}

async function dieOf(signal: NodeJS.Signals): Promise<void> {
  if (signal !== 'SIGKILL') {
    // Node ignores some signals and has a use of its own for others; a listener that goes leaves the system's default.
    process.on(signal, () => {}).removeAllListeners(signal);
  }
  process.kill(process.pid, signal);
  await new Promise((resolve) => setTimeout(resolve, 1000));
}

/** Our memory may hold values still, as strings: none of it may go into a core file. proc(5), Linux. */
function withoutMemoryInDumps(): boolean {
  try {
    writeFileSync('/proc/self/coredump_filter', '0');
    return true;
  } catch {
    return false;
  }
}
