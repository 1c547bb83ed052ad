import { setTimeout as delay } from 'node:timers/promises';

import { CofferError } from '../errors.js';
import { LogCursor, linesOf } from './cursor.js';
import { LineHead } from './line-head.js';
import { type AuditVerdict, AuditVerifier, type VerifyOptions } from './verifier.js';

/** How long a line may take that a server is writing at this moment, in milliseconds. */
const PATIENCE = 1_000;
const PAUSE = 50;

export interface VerifyLogOptions extends VerifyOptions {
  /** A server may be writing: a last line that is not whole gets a moment to become so. */
  readonly live?: boolean | undefined;
}

/**
 * Checks every line of the log in a folder, over all of its files, to the end that is found when it is reached.
 *
 * @throws what the operating system says of files that cannot be read
 */
export async function verifyAuditLog(folder: string, options: VerifyLogOptions): Promise<AuditVerdict> {
  const verifier = new AuditVerifier(options);
  const cursor = await LogCursor.open(folder);
  let file = '';
  let fileLine = 0;
  const brokenHere = (reason?: string): AuditVerdict => {
    if (reason !== undefined) verifier.breakOff(reason);
    const verdict = verifier.end();
    return verdict.broken ? { ...verdict, broken: { ...verdict.broken, file, fileLine } } : verdict;
  };
  try {
    for (let block = await cursor.read(); block; block = await next(cursor, options)) {
      if (block.file !== file) fileLine = 0;
      file = block.file;
      for (const line of linesOf(block)) {
        fileLine++;
        if (block.cutOff) return brokenHere('it was cut off');
        if (fileLine === 1 && !beginsAsNamed(file, line)) {
          return brokenHere('its file does not begin with the line that its name says');
        }
        if (!verifier.add(line)) return brokenHere();
      }
    }
    if (cursor.unfinished === 0) return verifier.end();
    fileLine++;
    return brokenHere('it was cut off');
  } catch (error) {
    if (!(error instanceof CofferError) || error.code !== 'audit_broken') throw error;
    if (cursor.file !== file) fileLine = 0;
    file = cursor.file;
    fileLine++;
    return brokenHere('it is longer than any entry');
  } finally {
    await cursor.close();
  }
}

async function next(cursor: LogCursor, { live = false }: VerifyLogOptions): ReturnType<LogCursor['read']> {
  let block = await cursor.read();
  for (let waited = 0; !block && live && cursor.unfinished > 0 && waited < PATIENCE; waited += PAUSE) {
    await delay(PAUSE);
    block = await cursor.read();
  }
  return block;
}

function beginsAsNamed(file: string, line: Buffer): boolean {
  const [digits] = /\d{16}/.exec(file) ?? [];
  return digits === undefined || LineHead.of(line)?.seq === Number(digits);
}
