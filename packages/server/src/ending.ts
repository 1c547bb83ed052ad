import { writeSync } from 'node:fs';
import { CofferError } from '@coffer/engine';
import type { Logger } from 'pino';
import { framesOf } from './http/refuse.js';

const STANDARD_ERROR = 2;
/** `EX_SOFTWARE` of sysexits.h. What ends with 1 wants a person; a mistake in a program may not come again at once. */
const MISTAKE = 70;

/** One line for a person. A reader that is gone, or a full disk behind the file, is no reason to fail. */
export function printNotice(sentence: string, file = STANDARD_ERROR): void {
  try {
    writeSync(file, `coffer: ${sentence}\n`);
  } catch {
    // There is nowhere else to say it.
  }
}

/** Durability is lost: whatever else happened could be acknowledged and then forgotten. */
export function endProcess(error: CofferError, file = STANDARD_ERROR): void {
  try {
    printNotice(error.message, file);
  } finally {
    process.exit(1);
  }
}

/**
 * Something was thrown where nobody waits for it, by a module or by ourselves, and nobody knows what is left undone. What it says
 * may be a secret: the log has its name and where it comes from.
 */
export function endByMistake(error: unknown, log: Pick<Logger, 'fatal'>): void {
  try {
    log.fatal(
      { code: nameOf(error), at: framesOf(error) },
      'the process ends, since something was thrown where nobody waits for it: by the module of a backend, if that is where it comes from, or by a mistake of coffer’s',
    );
  } finally {
    process.exit(MISTAKE);
  }
}

/** A name is whatever its thrower made it. */
function nameOf(error: unknown): string | undefined {
  try {
    const name: unknown = error instanceof CofferError ? error.code : (error as Error | undefined)?.name;
    return typeof name === 'string' && /^[\w.]{1,64}$/.test(name) ? name : undefined;
  } catch {
    return undefined;
  }
}
