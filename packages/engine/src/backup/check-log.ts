import { sha256 } from '../audit/hash.js';
import { isSigned, parseEntry, type VerifyOptions } from '../audit/verify.js';
import type { Anchor } from '../integrity.js';
import { broken, type LogHead } from './format.js';

const NEWLINE = 0x0a;

/** What the log in a backup holds. */
export interface LogCounts {
  /** `seq` of its first line; 0 if it has none. */
  readonly first: number;
  readonly lines: number;
  /** `seq` of the last checkpoint. */
  readonly signed: number;
}

/** Checks the lines of an audit log as their bytes come: their numbers, hashes and signatures, up to its head. */
export class LogCheck {
  readonly #options: VerifyOptions;
  /** A line that the store knows. */
  readonly #anchor: Anchor | undefined;
  #carry: Buffer = Buffer.alloc(0);
  #first = 0;
  #lines = 0;
  #signed = 0;
  #head: LogHead | undefined;
  #anchorSeen = false;

  constructor(options: VerifyOptions, anchor: Anchor | undefined) {
    this.#options = options;
    this.#anchor = anchor && anchor.seq > 0 ? anchor : undefined;
  }

  /** @throws CofferError `backup_broken` */
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
    const { seq, hash } = this.#head ?? { seq: 0, hash: head.hash };
    if (this.#carry.length > 0 || seq !== head.seq || hash !== head.hash) {
      throw damagedLog(seq, 'it does not end with the line that it ended with');
    }
    // What retention took away may have been the line; the store's own check at a start says the same.
    if (this.#anchor && !this.#anchorSeen && this.#anchor.seq >= this.#first) {
      throw damagedLog(this.#anchor.seq, 'it is not the one that the store knows');
    }
    return { first: this.#first, lines: this.#lines, signed: this.#signed };
  }

  #addLine(line: Buffer): void {
    const before = this.#head;
    const entry = parseEntry(line);
    const seq = (before?.seq ?? (entry?.seq ?? 1) - 1) + 1;
    if (!entry || !Number.isSafeInteger(entry.seq)) throw damagedLog(seq, 'it is no entry');
    if (entry.seq !== seq) throw damagedLog(seq, `its number is ${entry.seq}`);
    if (before && entry.prev !== before.hash)
      throw damagedLog(seq, 'it does not carry the hash of the line before');
    if (entry.action === 'checkpoint') {
      if (!isSigned(entry, this.#options)) throw damagedLog(seq, "its signature is not the server's");
      this.#signed = seq;
    }
    this.#first ||= seq;
    this.#lines++;
    this.#head = { seq, hash: sha256(line) };
    if (this.#anchor?.seq === seq) this.#anchorSeen = this.#anchor.hash === this.#head.hash;
  }
}

const damagedLog = (seq: number, what: string) =>
  broken(`is whole, but was made with a damaged audit log: line ${seq}: ${what}. Take an earlier backup`);
