import { LineBlocks } from '../audit/lines.js';
import { AuditVerifier, type VerifyOptions } from '../audit/verifier.js';
import { CofferError } from '../errors.js';
import type { Anchor } from '../integrity.js';
import type { LogDamage } from './damage.js';
import { broken, type LogHead } from './format.js';

const NEWLINE = 0x0a;

/** What the log in a backup holds. */
export interface LogCounts {
  /** `seq` of its first line; 0 if it has none. */
  readonly first: number;
  readonly lines: number;
  /** `seq` of the last signed line. */
  readonly signed: number;
  /** Where it stops to hold, which it did when the backup was made; the lines before are those that are counted. */
  readonly broken?: LogDamage;
}

/** Checks the lines of an audit log as their bytes come: their numbers, hashes and signatures, up to its head. */
export class LogCheck {
  readonly #verifier: AuditVerifier;
  /** The store's. */
  readonly #sequence: number;
  /** What the log says of it, by the last checkpoint and the lines behind it. */
  #stated = 0;
  readonly #blocks = new LineBlocks();
  #isTooLong = false;

  /** @param store its sequence, and a line that it knows */
  constructor(
    options: VerifyOptions,
    { anchor, sequence }: { anchor?: Anchor | undefined; sequence: number },
  ) {
    this.#sequence = sequence;
    this.#verifier = new AuditVerifier({
      ...options,
      known: anchor ? [{ ...anchor, from: 'the store' }] : [],
    });
  }

  add(bytes: Buffer): void {
    if (this.#isTooLong) return;
    let text: Buffer;
    try {
      text = this.#blocks.add(bytes);
    } catch (error) {
      if (!(error instanceof CofferError)) throw error;
      this.#isTooLong = true;
      this.#verifier.breakOff('it is longer than any entry');
      return;
    }
    let start = 0;
    for (let end = text.indexOf(NEWLINE); end >= 0; end = text.indexOf(NEWLINE, start)) {
      this.#addLine(text.subarray(start, end));
      start = end + 1;
    }
  }

  /** @throws CofferError `backup_broken` if a log that holds tells of more than the records do */
  finish(head: LogHead): LogCounts {
    const { broken: reason, entries, first, signed, head: found } = this.#verifier.end();
    const counts = { first: entries > 0 ? first : 0, lines: entries, signed };
    if (reason) return { ...counts, broken: { seq: reason.seq, reason: reason.reason } };
    const empty = entries === 0 && head.seq === 0;
    if (this.#blocks.held > 0 || !(empty || (found.seq === head.seq && found.hash === head.hash))) {
      return {
        ...counts,
        broken: { seq: found.seq, reason: 'it does not end with the line that it ended with' },
      };
    }
    if (this.#stated > this.#sequence) {
      throw broken(
        `is whole, but was made of a damaged store: its audit log tells, up to line ${found.seq}, of changes that the ` +
          `records lack (${this.#stated}). Take an earlier backup`,
      );
    }
    return counts;
  }

  #addLine(line: Buffer): void {
    this.#verifier.add(line);
    // Only what stands behind the last checkpoint counts, as at a start: before it, somebody may have accepted a rollback.
    for (const [, revision] of line.toString('latin1').matchAll(STATED)) {
      this.#stated = revision === undefined ? 0 : Math.max(this.#stated, Number(revision));
    }
  }
}

/** Without reading all of the line a second time; what is read only ever refuses. */
const STATED = /"action":"checkpoint"|"revision":(\d{1,16})/g;
