import { writeSync } from 'node:fs';
import type { CofferError } from '@coffer/engine';

const STANDARD_ERROR = 2;

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
