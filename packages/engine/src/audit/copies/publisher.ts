import { RandomPool } from '../../crypto/random-pool.js';
import { CofferError } from '../../errors.js';
import type { Anchor } from '../../integrity.js';
import type { AuditLog } from '../log.js';
import { readLog } from '../reader.js';
import { NOT_NEEDED } from '../rollback.js';
import { type Batch, batchesOf, type CopyPlace, NOWHERE } from './batch.js';
import { chainOf, encodeBody, formatSpan, instanceOf, lifeOf, sealCopy } from './format.js';
import type { CopyKeys } from './keys.js';
import { type KeyNotes, storeNotes } from './notes.js';
import { agrees, commonLine } from './own-chain.js';
import type { CopiesReader } from './reader.js';
import { type CopiesStream, NotTaken } from './stream.js';

/** New lines are gathered for so long before they are copied, in milliseconds. */
const GATHER_MS = 50;
/** Of a message: readers hold some of each chain. */
const BATCH_BYTES = 128 * 1024;
/** For the header and what NATS puts around it. */
const ENVELOPE_BYTES = 4 * 1024;
/** First and longest wait before another try, in milliseconds. */
const RETRY = 250;
const RETRY_MAX = 5_000;
/** How long a close waits for the last lines, in milliseconds. */
const FAREWELL_MS = 3_000;

/** How far the copies of an instance's log are. */
export interface CopiesFacts {
  /** The last line whose copy the stream has acknowledged; without a hash until the stream was looked at. */
  readonly delivered: Anchor;
  /** Durable lines that wait. */
  readonly pending: number;
  /** Since when some do without a break; undefined if none does. */
  readonly pendingSince: Date | undefined;
  /** Why nothing is delivered now; undefined as it should be. */
  readonly problem: CofferError | undefined;
}

export interface PublisherParts {
  readonly log: AuditLog;
  readonly stream: CopiesStream;
  readonly reader: CopiesReader;
  readonly keys: CopyKeys;
  /** Hex. */
  readonly storeId: string;
  readonly instance: string;
  /** The instance's name, for people. */
  readonly name: string;
  /** A log that was put back to an earlier state begins a new chain of copies. */
  readonly acceptRollback: boolean;
  readonly now: () => Date;
  onNotice(sentence: string): void;
}

/** Copies an instance's own log into the stream, see `format.ts`. Nobody waits for it. */
export class CopyPublisher {
  readonly #parts: PublisherParts;
  readonly #random = new RandomPool();
  readonly #stopping = new AbortController();
  readonly #notes: KeyNotes;
  #place: CopyPlace;
  #chain: string;
  #common = 0;
  #told = 0;
  #acceptRollback: boolean;
  /** The log has ended: what is durable is delivered, then it stops. */
  #farewell = false;
  #wake: () => void = () => undefined;
  #pendingSince: Date | undefined;
  #problem: CofferError | undefined;
  #running: Promise<void> | undefined;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    this.#chain = parts.instance;
    // What was acknowledged before, by the log's own word; its hash is known when the stream was looked at.
    this.#place = { ...NOWHERE, seq: parts.log.deliveredBefore, hash: '' };
    this.#acceptRollback = parts.acceptRollback;
    this.#notes = { stream: parts.stream, keys: parts.keys, random: this.#random };
  }

  start(): void {
    this.#running ??= this.#run();
    this.#parts.stream.onChange(() => this.#wake());
  }

  /** The chain that the log is copied into. */
  get chain(): string {
    return this.#chain;
  }

  get facts(): CopiesFacts {
    const { seq, hash } = this.#place;
    const pending = Math.max(0, this.#parts.log.durable.seq - seq);
    return {
      delivered: { seq, hash },
      pending,
      pendingSince: pending === 0 ? undefined : (this.#pendingSince ?? this.#parts.now()),
      problem: this.#problem,
    };
  }

  /**
   * Before a data key is destroyed: the stream has a note that holds the keys of all copies.
   *
   * @throws CofferError `unavailable`, `storage_full`, `unfit_store`
   */
  async keepKeys(): Promise<void> {
    try {
      await this.#parts.stream.ready();
      await storeNotes(this.#notes);
    } catch (error) {
      throw problemOf(error);
    }
  }

  /** Delivers what is durable, for some seconds at the most, and stops. What is left is delivered after the next start. */
  async close(): Promise<void> {
    this.#farewell = true;
    this.#wake();
    const timer = setTimeout(() => this.#stop(), this.#problem ? 0 : FAREWELL_MS);
    await this.#running;
    clearTimeout(timer);
    this.#stop();
  }

  #stop(): void {
    this.#stopping.abort();
    this.#wake();
  }

  get #over(): boolean {
    return this.#stopping.signal.aborted;
  }

  async #run(): Promise<void> {
    let wait = RETRY;
    while (!this.#over) {
      const before = this.#place;
      try {
        await this.#deliver();
        if (this.#farewell) return;
      } catch (error) {
        this.#hinder(error);
      }
      if (this.#place !== before) wait = RETRY;
      await this.#sleep(wait);
      wait = Math.min(2 * wait, RETRY_MAX);
    }
  }

  /** Looks where the copies end, and goes on there until something is in the way. */
  async #deliver(): Promise<void> {
    const { log, stream } = this.#parts;
    await stream.ready();
    await storeNotes(this.#notes);
    this.#place = await this.#find();
    const limit = Math.min(BATCH_BYTES, stream.maxPayload - ENVELOPE_BYTES);
    const end = { seq: () => log.durable.seq, more: (seen: number) => this.#more(seen) };
    for await (const lines of readLog(log.folder, { from: this.#place.seq + 1 }, end)) {
      for (const batch of batchesOf(lines, limit)) {
        if (this.#over) return;
        await this.#publish(batch, limit);
      }
      this.#problem = undefined;
    }
  }

  async #publish(batch: Batch, limit: number): Promise<void> {
    const { stream, keys, storeId, name } = this.#parts;
    if (this.#notes.under !== keys.current.id) await storeNotes(this.#notes);
    const subject = stream.layout.chain(this.#chain);
    const { first, last, hash, time, lines } = batch;
    this.#told = batch.told || this.#told;
    const parts = Math.ceil(lines.length / limit);
    for (let part = 1; part <= parts; part++) {
      const span = { first, last, prev: this.#place.hash, hash, time, part, parts };
      const header = formatSpan(span);
      const note = { name, told: this.#told, common: this.#common };
      const body = encodeBody(note, lines.subarray((part - 1) * limit, part * limit));
      const owner = { storeId, chain: this.#chain };
      const payload = sealCopy(owner, header, body, keys.current, this.#random);
      const message = await stream.publish(subject, header, payload, this.#place.message);
      this.#place = { ...this.#place, message };
    }
    this.#place = { ...this.#place, seq: last, hash };
    const { log, now } = this.#parts;
    this.#pendingSince = log.durable.seq > last ? now() : undefined;
  }

  /** Where the copies end: by the stream, held against the log. */
  async #find(): Promise<CopyPlace> {
    const { log, stream, reader, instance } = this.#parts;
    const chains = (await stream.chains()).filter((chain) => instanceOf(chain) === instance);
    const life = Math.max(0, ...chains.map(lifeOf));
    this.#chain = chainOf(instance, life);
    const end = await reader.end(this.#chain);
    if (end?.hash === '') throw foreign(this.#chain, end.message);
    const { seq: known } = this.#place;
    const seq = end?.seq ?? 0;
    if (end && !(await agrees(log, end))) {
      // The only way on is a new chain, and a person's word that it may be.
      await this.#fork(life);
      return NOWHERE;
    }
    if (seq < known) {
      await log.note('copies-lost', { target: `lines ${seq + 1} to ${known}, copied again` });
      this.#parts.onNotice(
        `Copies of the audit log's lines ${seq + 1} to ${known} were acknowledged and are gone from the stream; they are copied again.`,
      );
    }
    if (this.#acceptRollback && !log.hasAccepted) this.#parts.onNotice(NOT_NEEDED);
    this.#acceptRollback = false;
    this.#common = end?.common ?? this.#common;
    this.#told = end?.told ?? 0;
    return end ? { seq, hash: end.hash, message: end.message } : NOWHERE;
  }

  async #fork(life: number): Promise<void> {
    const { log, stream, reader, instance } = this.#parts;
    if (!this.#acceptRollback) throw putBack(log.durable.seq);
    const left = this.#chain;
    this.#common = await commonLine(log, stream, reader, left);
    this.#acceptRollback = false;
    this.#chain = chainOf(instance, life + 1);
    await log.note('accept-rollback', {
      reason: 'audit_rolled_back',
      target: `the copies ${left} had other lines behind line ${this.#common}`,
    });
    this.#parts.onNotice(
      `Going on as --accept-rollback says: the copies ${left} of the audit log had other lines behind line ${this.#common}.`,
    );
  }

  /** Waits for new lines; false if it is to end. */
  async #more(seen: number): Promise<boolean> {
    const { log, now } = this.#parts;
    while (log.durable.seq <= seen) {
      if (this.#over || this.#farewell || log.ended) return false;
      this.#problem = undefined;
      await Promise.race([
        log.moved(),
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
      ]);
    }
    this.#pendingSince ??= now();
    if (!this.#farewell) await this.#sleep(GATHER_MS);
    return !this.#over;
  }

  async #sleep(milliseconds: number): Promise<void> {
    if (this.#over) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Says why, once for each reason. */
  #hinder(error: unknown): void {
    if (error instanceof NotTaken && error.why === 'overtaken') return;
    const problem = problemOf(error);
    if (problem.code !== this.#problem?.code && !this.#over) {
      const { message } = problem;
      this.#parts.onNotice(`${message[0]?.toUpperCase()}${message.slice(1)}.`);
    }
    this.#problem = problem;
    if (this.facts.pending > 0) this.#pendingSince ??= this.#parts.now();
  }
}

function problemOf(error: unknown): CofferError {
  if (error instanceof CofferError) return error;
  const waits = 'copies of the audit log wait on this disk';
  return error instanceof NotTaken
    ? new CofferError('storage_full', `${waits}: their JetStream stream is full; give it more bytes`)
    : new CofferError('unavailable', `${waits}: JetStream cannot be reached`, { cause: error });
}

const foreign = (chain: string, message: number) =>
  new CofferError(
    'audit_broken',
    `the message ${message} of the audit log's copies ${chain} is not what this instance wrote: somebody else may write to ` +
      'their JetStream stream, or it is under a key that is gone. No copies are made until it is taken away',
  );

const putBack = (seq: number) =>
  new CofferError(
    'audit_rolled_back',
    `the audit log, which ends with line ${seq}, is not the one of which copies were made before: it was put back to an earlier ` +
      'state, or another process has its copy. Put the newest log back; or, if it is lost, start once with --accept-rollback, ' +
      'which says so in the audit log. No copies are made until then',
  );
