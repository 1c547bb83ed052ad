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
  #carry: Buffer = Buffer.alloc(0);

  /** @param anchor a line that the store knows */
  constructor(options: VerifyOptions, anchor: Anchor | undefined) {
    this.#verifier = new AuditVerifier({
      ...options,
      known: anchor ? [{ ...anchor, from: 'the store' }] : [],
    });
  }

  add(bytes: Buffer): void {
    const text = this.#carry.length === 0 ? bytes : Buffer.concat([this.#carry, bytes]);
    let start = 0;
    for (let end = text.indexOf(NEWLINE); end >= 0; end = text.indexOf(NEWLINE, start)) {
      this.#verifier.add(text.subarray(start, end));
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
    return { first: entries > 0 ? first : 0, lines: entries, signed };
  }
}

const damagedLog = (seq: number, what: string) =>
  broken(`is whole, but was made with a damaged audit log: line ${seq}: ${what}. Take an earlier backup`);
