import { CofferError } from '../errors.js';
import type { Anchor } from '../integrity.js';
import { DISK_BOUNDS, Timings } from '../timings.js';
import type { LogFile } from './log-file.js';
import { closeCurrent, currentPath, prepareNext } from './segments.js';

/** A flush starts as soon as this part of those who lately waited at once has arrived … */
const FLUSH_PART = 2;
/** … by a measure that forgets this much with each entry. */
const FORGET = 0.999;
/** A file that could not be closed, as on a full disk, is tried again when it has grown by this part of its limit. */
const RETRY_PART = 16;

/** A line on its way to the disk. */
export interface Queued {
  readonly line: string;
  readonly hash: string;
  readonly seq: number;
  /** When it was made, in milliseconds. */
  readonly time: number;
  /** `seq` of the intent that it closes. */
  readonly closes?: number | undefined;
  readonly resolve: (seq: number) => void;
  readonly reject: (error: Error) => void;
}

/** When the current file is closed and the next one begins. */
export interface SegmentLimits {
  readonly bytes: number;
  readonly milliseconds: number;
}

/** The current file's first line. */
export interface FirstLine {
  readonly seq: number;
  /** Milliseconds. */
  readonly time: number;
}

export interface WriterOptions {
  readonly folder: string;
  readonly limits: SegmentLimits;
  /** Queues the line that closes a file. */
  seal(): void;
  /** These were not written, since the disk is full: the log's end is {@link LogWriter.written}. */
  onRefused(refused: readonly Queued[]): void;
  onFatal(error: CofferError): void;
}

/**
 * Writes lines and answers for their being on stable storage.
 *
 * One `fdatasync` serves all lines that wait at that moment, and a few may be under way at once. A full disk refuses the
 * lines (`storage_full`) and it goes on when there is room; a failed `fdatasync` is never retried, since the kernel may
 * have dropped the pages that it could not write: it stops.
 *
 * A file that is full (`stage`) gets no more lines until nothing is being synced; then what waits meanwhile and a last
 * line close it, and when they are durable the next file takes its place. Who appends waits for some milliseconds.
 */
export class LogWriter {
  readonly syncs = new Timings(DISK_BOUNDS);
  readonly #options: WriterOptions;
  readonly #path: string;
  #file: LogFile;
  #first: FirstLine | undefined;
  /** When the last line was made, in milliseconds. */
  #lastTime = 0;
  #stage: 'open' | 'full' | 'closing' = 'open';
  /** Bytes that the current file must reach before it is closed. */
  #closeAt: number;
  /** The last line that the files hold. */
  #written: Anchor;
  /** The last line that is known to be on stable storage. */
  #durable: Anchor;
  #pending: Queued[] = [];
  #flushScheduled = false;
  /** Lines that a running sync will make durable. */
  #syncing = 0;
  /** How many lines waited at once lately, pending or syncing. */
  #crowd = 0;
  #idle: (() => void)[] = [];
  #movement: { readonly promise: Promise<void>; resolve(): void } | undefined;
  #failed: CofferError | undefined;

  /** @param first of the file, undefined if it is empty */
  constructor(file: LogFile, first: FirstLine | undefined, end: Anchor, options: WriterOptions) {
    this.#file = file;
    this.#first = first;
    this.#written = end;
    this.#durable = end;
    this.#options = options;
    this.#path = currentPath(options.folder);
    this.#closeAt = options.limits.bytes;
  }

  get written(): Anchor {
    return this.#written;
  }

  get durable(): Anchor {
    return this.#durable;
  }

  /** `seq` of the current file's first line, or of the one that will be. */
  get first(): number {
    return this.#first?.seq ?? this.#written.seq + 1;
  }

  get pending(): number {
    return this.#pending.length;
  }

  add(entry: Queued): void {
    this.#pending.push(entry);
    this.#crowd = Math.max(this.#pending.length + this.#syncing, this.#crowd * FORGET);
  }

  /**
   * A turn of the event loop gathers the entries of all requests that have arrived; the first of many need not wait for
   * the last, and while their entries are synced the process goes on with the others.
   */
  schedule(): void {
    if (this.#pending.length * FLUSH_PART >= this.#crowd && this.#file.canSync) {
      this.#flush();
    } else if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      setImmediate(() => {
        this.#flushScheduled = false;
        this.#flush();
      });
    }
  }

  /** Resolves when {@link durable} has moved on, or never will. */
  moved(): Promise<void> {
    if (!this.#movement) {
      let resolve: () => void = () => undefined;
      const promise = new Promise<void>((done) => {
        resolve = done;
      });
      this.#movement = { promise, resolve };
    }
    return this.#movement.promise;
  }

  /** Waits for what is pending, then closes the file. */
  async close(): Promise<void> {
    if (!this.#quiet) await new Promise<void>((resolve) => this.#idle.push(resolve));
    await this.#file.close();
    this.#tellMovement();
  }

  get #quiet(): boolean {
    return this.#pending.length === 0 && this.#file.quiet && (this.#stage === 'open' || !!this.#failed);
  }

  #flush(): void {
    // A sync that ends takes up what waits.
    if (this.#pending.length === 0 || this.#stage !== 'open' || !this.#file.canSync) return;
    if (this.#write() && this.#isFull()) this.#stage = 'full';
  }

  #isFull(): boolean {
    const { limits } = this.#options;
    const now = this.#lastTime;
    return (
      this.#file.length >= this.#closeAt ||
      (this.#closeAt === limits.bytes && now - (this.#first?.time ?? now) >= limits.milliseconds)
    );
  }

  /** Writes all that waits, and answers for it when it is synced. */
  #write(): boolean {
    const batch = this.#pending;
    this.#pending = [];
    const bytes = Buffer.from(`${batch.map(({ line }) => line).join('\n')}\n`);
    try {
      this.#file.append(bytes);
    } catch (error) {
      this.#writeFailed(error as NodeJS.ErrnoException, batch);
      return false;
    }
    const { seq, hash, time } = batch.at(-1) as Queued;
    const written = { seq, hash };
    this.#written = written;
    this.#lastTime = time;
    this.#first ??= batch[0];
    this.#syncing += batch.length;
    const begun = performance.now();
    this.#file.sync((error) => {
      this.syncs.since(begun);
      this.#syncing -= batch.length;
      if (error || this.#failed) {
        this.#fail(error, batch);
        return;
      }
      // A sync covers all that was written before it began, and a later one may have been quicker.
      if (written.seq > this.#durable.seq) this.#durable = written;
      for (const { resolve, seq } of batch) resolve(seq);
      if (this.#movement) this.#tellMovement();
      this.#next();
    });
    return true;
  }

  #next(): void {
    if (this.#quiet) {
      for (const resolve of this.#idle.splice(0)) resolve();
    } else if (this.#stage === 'open') {
      if (this.#pending.length > 0) this.schedule();
    } else if (this.#file.quiet && !this.#failed) {
      if (this.#stage === 'full') this.#seal();
      else void this.#turn();
    }
  }

  /** Writes the last lines of a file. */
  #seal(): void {
    this.#stage = 'closing';
    this.#options.seal();
    this.#write();
  }

  /** Puts a new file in the place of the current one, of which every line is durable. */
  async #turn(): Promise<void> {
    const { folder, limits } = this.#options;
    try {
      const next = await prepareNext(folder).catch(() => undefined);
      if (next && (await closeCurrent(folder, this.first))) {
        const old = this.#file;
        this.#file = next;
        this.#first = undefined;
        this.#closeAt = limits.bytes;
        await old.close();
      } else {
        // There is no room for a new file, or too many are open: the current one will do for a while.
        await next?.close();
        this.#postpone();
      }
    } catch (error) {
      this.#fail(error as Error, []);
      return;
    }
    this.#stage = 'open';
    this.#next();
  }

  #postpone(): void {
    this.#closeAt = this.#file.length + Math.ceil(this.#options.limits.bytes / RETRY_PART);
  }

  /** Takes back what was written of the batch, so that the log ends with a whole line. */
  #writeFailed(error: NodeJS.ErrnoException, batch: Queued[]): void {
    if (error.code !== 'ENOSPC' && error.code !== 'EDQUOT') {
      this.#fail(error, batch);
      return;
    }
    try {
      this.#file.takeBack();
    } catch (failure) {
      this.#fail(failure as Error, batch);
      return;
    }
    const refused = [...batch, ...this.#pending];
    this.#pending = [];
    if (this.#stage === 'closing') {
      this.#stage = 'open';
      this.#postpone();
    }
    this.#options.onRefused(refused);
    const full = new CofferError(
      'storage_full',
      `the disk of the audit log ${this.#path} is full, and nothing is done that cannot be logged: make room, then try again`,
      { cause: error },
    );
    for (const { reject } of refused) reject(full);
    this.#next();
  }

  /** `error` is null for lines whose own sync went well after another one's had failed: they are refused too. */
  #fail(error: Error | null, batch: readonly Queued[]): void {
    if (!this.#failed) {
      this.#failed = new CofferError(
        'io',
        `the audit log ${this.#path} could not be written durably (${error?.message}): the server stops, since nothing may ` +
          'be revealed or changed that is not logged; check the disk, then start it again',
        { cause: error },
      );
      this.#options.onFatal(this.#failed);
      this.#tellMovement();
    }
    for (const { reject } of [...batch, ...this.#pending.splice(0)]) reject(this.#failed);
    this.#next();
  }

  #tellMovement(): void {
    this.#movement?.resolve();
    this.#movement = undefined;
  }
}
