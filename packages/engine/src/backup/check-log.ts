import { AuditVerifier, type VerifyOptions } from '../audit/verifier.js';
import type { Anchor } from '../integrity.js';
import { broken, type LogHead } from './format.js';

const NEWLINE = 0x0a;

/** What the log in a backup holds. */
export interface LogCounts {
  /** `seq` of its first line; 0 if it has none. */
  readonly first: number;
  readonly lines: number;
  /** `seq` of the last signed line. */
  readonly signed: number;
}

/** Checks the lines of an audit log as their bytes come: their numbers, hashes and signatures, up to its head. */
export class LogCheck {
  readonly #verifier: AuditVerifier;
  /** The store's. */
  readonly #sequence: number;
  /** What the log says of it, by the last checkpoint and the lines behind it. */
  #stated = 0;
  #carry: Buffer = Buffer.alloc(0);

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
    const text = this.#carry.length === 0 ? bytes : Buffer.concat([this.#carry, bytes]);
    let start = 0;
    for (let end = text.indexOf(NEWLINE); end >= 0; end = text.indexOf(NEWLINE, start)) {
      this.#addLine(text.subarray(start, end));
      start = end + 1;
    }
    // A copy: the caller's memory may be large.
    this.#carry = Buffer.from(text.subarray(start));
  }

  /** @throws CofferError `backup_broken` */
  finish(head: LogHead): LogCounts {
    const { broken, entries, first, signed, head: found } = this.#verifier.end();
    if (broken) throw damagedLog(broken.seq, broken.reason);
    const empty = entries === 0 && head.seq === 0;
    if (this.#carry.length > 0 || !(empty || (found.seq === head.seq && found.hash === head.hash))) {
      throw damagedLog(found.seq, 'it does not end with the line that it ended with');
    }
    if (this.#stated > this.#sequence) {
      throw damagedLog(
        found.seq,
        `up to it the log tells of changes that the records lack (${this.#stated})`,
      );
    }
    return { first: entries > 0 ? first : 0, lines: entries, signed };
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

const damagedLog = (seq: number, what: string) =>
  broken(`is whole, but was made with a damaged audit log: line ${seq}: ${what}. Take an earlier backup`);
