import { createHash } from 'node:crypto';
import { CofferError } from '../../errors.js';
import { isLiteral, type Layout } from './layout.js';
import type { MessageSeal } from './message-seal.js';
import { decodeMessage, type Incoming, type RawMessage, unsealed } from './messages.js';
import { UnclaimedParts } from './unclaimed-parts.js';

/** For so long a record may wait for a part of it, which another commit replaced, when all that was there has been read. */
const PARTS_MS = 5_000;

/** A message of the stream as it is applied: whole. */
export type Whole =
  | Exclude<Incoming, { kind: 'record' | 'chunk' }>
  | (Omit<Extract<Incoming, { kind: 'record' }>, 'payload'> & {
      /** Undefined: removed. */
      readonly bytes: Uint8Array | undefined;
    });

/** What can be applied. */
export interface Taken {
  readonly messages: readonly Whole[];
  /** The stream's sequence up to where that is. */
  readonly upTo: number;
  /** Nothing was behind it when it was sent, so that nothing lacks. */
  readonly settled: boolean;
}

/**
 * Puts together what came one by one: parts to records, messages to batches. What it gives can be applied, and nothing that is
 * needed for it is still to come.
 */
export class Intake {
  readonly #layout: Layout;
  readonly #seal: MessageSeal;
  readonly #now: () => number;
  #pending: Incoming[] = [];
  /** Of records that are still to come: a heal writes them one message after the other, and they may come so. */
  readonly #parts: UnclaimedParts;
  #waitingSince: number | undefined;
  /** How many of the messages that were there when a record began to wait are still to come. */
  #backlog = 0;
  /** How many messages there were behind the newest, when it was sent. */
  #behind = 0;

  constructor(
    layout: Layout,
    seal: MessageSeal,
    now: () => number = () => performance.now(),
    parts = new UnclaimedParts(),
  ) {
    this.#layout = layout;
    this.#seal = seal;
    this.#now = now;
    this.#parts = parts;
  }

  /** @throws CofferError `tampered` for a message that no instance wrote */
  add(messages: readonly RawMessage[]): void {
    for (const message of messages) {
      // Nothing of ours is under such a subject, and nobody could remove it alone.
      if (!isLiteral(message.subject)) continue;
      const { subject, headers, sequence } = message;
      const decoded = decodeMessage(this.#layout, message);
      if (decoded.kind === 'record' && this.#seal.isGood(subject, headers) === false) {
        throw unsealed(sequence);
      }
      this.#pending.push(decoded);
    }
    if (this.#waitingSince !== undefined && this.#backlog > 0) this.#waitingSince = this.#now();
    const behind = messages.at(-1)?.pending ?? 0;
    this.#behind = behind;
    const counts =
      this.#waitingSince === undefined ? Number.POSITIVE_INFINITY : this.#backlog - messages.length;
    this.#backlog = Math.max(0, Math.min(behind, counts));
  }

  /**
   * What is whole, in order, and up to where that is. `settled`: behind it there was nothing when it was sent. Before that a change
   * may lack that another has replaced, and its replacement is still to come.
   *
   * @throws CofferError `tampered` for a record whose parts are not there
   */
  take(): { readonly messages: Whole[]; readonly upTo: number | undefined; readonly settled: boolean } {
    const end = this.#endOfWhole();
    const parts = this.#parts;
    const messages: Whole[] = [];
    let taken = end;
    for (const [at, message] of this.#pending.slice(0, end).entries()) {
      if (message.kind === 'chunk') parts.set(message.key, message.index, message.sequence, message.bytes);
      else if (message.kind !== 'record') messages.push(message);
      else {
        const { payload, ...record } = message;
        const bytes = record.removed ? undefined : this.#assemble(message);
        if (bytes !== 'incomplete') {
          messages.push({ ...record, bytes });
          parts.drop(message.key);
        } else if (!this.#isReplaced(message, end)) {
          taken = this.#startOfBatch(at);
          break;
        }
      }
    }
    this.#noteWait(taken < end);
    const upTo = this.#pending[taken - 1]?.sequence;
    this.#pending = this.#pending.slice(taken);
    parts.limit();
    const settled = this.#pending.length === 0 && this.#behind === 0;
    const done = messages.filter(({ sequence }) => upTo !== undefined && sequence <= upTo);
    return { messages: done, upTo, settled };
  }

  /** A batch becomes visible whole or not at all; its last message may have been replaced meanwhile, and then others follow. */
  #endOfWhole(): number {
    const last = this.#pending.at(-1);
    return last?.batch === undefined || last.batch.last
      ? this.#pending.length
      : this.#startOfBatch(this.#pending.length - 1);
  }

  #startOfBatch(at: number): number {
    const id = this.#pending[at]?.batch?.id;
    let start = at;
    while (id !== undefined && start > 0 && this.#pending[start - 1]?.batch?.id === id) start--;
    return start;
  }

  #assemble({ key, chunks, payload }: Extract<Incoming, { kind: 'record' }>): Uint8Array | 'incomplete' {
    if (chunks === 0) return payload;
    const found = this.#parts.of(key, chunks);
    if (!found) return 'incomplete';
    const bytes = Buffer.concat(found);
    return createHash('sha256').update(bytes).digest().equals(payload) ? bytes : 'incomplete';
  }

  #isReplaced({ key, sequence }: Extract<Incoming, { kind: 'record' }>, end: number): boolean {
    return this.#pending
      .slice(0, end)
      .some((one) => one.kind === 'record' && one.sequence > sequence && one.key.equals(key));
  }

  #noteWait(waits: boolean): void {
    if (!waits) {
      this.#waitingSince = undefined;
      return;
    }
    // What replaced it may lie far behind, and the time does not count until that was read.
    if (this.#waitingSince === undefined || this.#backlog > 0) this.#waitingSince = this.#now();
    if (this.#now() - this.#waitingSince < PARTS_MS) return;
    throw new CofferError(
      'tampered',
      'a record of the bucket lacks a part of its value, which nobody has replaced: run coffer storage heal',
    );
  }
}
