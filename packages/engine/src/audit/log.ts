import { fdatasync, ftruncateSync, writeSync } from 'node:fs';
import { type FileHandle, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { CofferError } from '../errors.js';
import { privateFolder, syncFolder } from '../files.js';
import { type AuditDecision, type AuditSubject, EntryEncoder, EntryIds } from './entry.js';
import { GENESIS, sha256 } from './hash.js';
import { findRollbacks, type Rollback, type StoreWitness } from './rollback.js';
import { type Checkpoint, checkpointMessage, type Signer } from './signer.js';
import { type OpenIntent, readTail, type SignedCheckpoint } from './tail.js';

/** A checkpoint at least every so many entries. */
const CHECKPOINT_ENTRIES = 10_000;

/** The principal of what the log writes on its own. */
const SERVER = { id: 'server', kind: 'server', user: 'server' } as const;

/** Appended in place of an entry's fields. */
const CHECKPOINT = Symbol('checkpoint');

/** How many `fdatasync`s may run at once. libuv has four threads, and the store needs one. */
const SYNCS_AT_ONCE = 3;
/** A flush starts as soon as this part of those who lately waited at once has arrived … */
const FLUSH_PART = 2;
/** … by a measure that forgets this much with each entry. */
const FORGET = 0.999;

export interface AuditOptions {
  /** The store's id in hex; checkpoints are bound to it. */
  readonly storeId: string;
  readonly signer: Signer;
  /** The store's manifest generation, for checkpoints. */
  generation(): number;
  /** The store's sequence, for checkpoints and outcomes. */
  revision(): number;
  /** What the store said when it was opened; the log must fit it. */
  readonly witness: StoreWitness;
  /** Goes on, with an entry that says so, where log or store were put back to an earlier state. */
  readonly acceptRollback: boolean;
  readonly now: () => Date;
  /** Called once when an entry could not be made durable. */
  onFatal(error: CofferError): void;
  onNotice(sentence: string): void;
}

/**
 * The append-only log `audit.log`, one JSON object a line, each carrying the hash of the one before.
 *
 * `append` resolves when its entry is on stable storage. One `fdatasync` serves all entries that wait at that moment, and
 * a few may be under way at once, so that some callers are answered while others' entries are still being written.
 * A full disk refuses the entries (`storage_full`) and the log goes on when there is room; a failed `fdatasync` is never
 * retried, since the kernel may have dropped the pages that it could not write: the log stops.
 */
export class AuditLog {
  /** Changes that were about to be made when the process before this one died; empty once {@link recover} closed them. */
  readonly openIntents: readonly OpenIntent[];
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #options: AuditOptions;
  readonly #ids = new EntryIds();
  readonly #encoder = new EntryEncoder();
  readonly #open = new Set<number>();
  /** What the file holds, and where its last line ends. */
  #written: Position;
  /** The last line that is known to be on stable storage. */
  #durable: Position;
  /** The last line that was queued. */
  #head: Position;
  #sinceCheckpoint = 0;
  #pending: Pending[] = [];
  #flushScheduled = false;
  /** More entries come in this turn: no flush yet. */
  #gathering = false;
  /** Entries that a running sync will make durable. */
  #syncing = 0;
  /** How many entries waited at once lately, pending or syncing. */
  #crowd = 0;
  #lastTime = Number.NaN;
  #lastTimeText = '';
  /**
   * Handles that no `fdatasync` is running on. Each sync that runs at the same time has a handle of its own: the kernel
   * tells a write error once to every open file, so that none of them can take another's error for success.
   */
  readonly #freeHandles: FileHandle[];
  readonly #handles: readonly FileHandle[];
  #idle: (() => void)[] = [];
  #stopped: CofferError | undefined;

  private constructor(
    handles: readonly FileHandle[],
    path: string,
    options: AuditOptions,
    position: Position,
    openIntents: readonly OpenIntent[],
  ) {
    this.#handles = handles;
    this.#freeHandles = [...handles];
    this.#file = handles[0] as FileHandle;
    this.#path = path;
    this.#options = options;
    this.#written = position;
    this.#durable = position;
    this.#head = position;
    this.openIntents = openIntents;
    for (const { seq } of openIntents) this.#open.add(seq);
  }

  /**
   * Opens the log in `folder`, or starts one (mode 0600). A last line that a crash tore is set aside in a file of its
   * own, and an entry says so.
   *
   * @throws CofferError `audit_broken`; `audit_rolled_back`, `store_rolled_back` unless that was accepted
   */
  static async open(folder: string, options: AuditOptions): Promise<AuditLog> {
    await privateFolder(folder);
    const path = join(folder, 'audit.log');
    const handles = [await open(path, 'a+', 0o600)];
    const [file] = handles as [FileHandle];
    try {
      while (handles.length < SYNCS_AT_ONCE) handles.push(await open(path, 'a'));
      const { witness, acceptRollback } = options;
      const isOurs = (checkpoint: SignedCheckpoint) =>
        signCheckpoint(options, checkpoint) === checkpoint.signature;
      const tail = await readTail(file, { path, anchor: witness.anchor, isOurs });
      const rollbacks = findRollbacks(path, tail, witness);
      for (const { error } of rollbacks) if (!acceptRollback) throw error;
      const position = {
        seq: tail.seq,
        hash: tail.seq === 0 ? GENESIS : sha256(tail.lastLine),
        length: tail.length,
      };
      const log = new AuditLog(handles, path, options, position, tail.open);
      if (tail.torn.length > 0) await log.#setAside(folder, tail.torn);
      for (const rollback of rollbacks) await log.#accept(rollback);
      if (acceptRollback && rollbacks.length === 0) {
        options.onNotice(
          'Nothing was put back to an earlier state: --accept-rollback was not needed; leave it out.',
        );
      }
      await syncFolder(folder);
      await log.checkpoint();
      return log;
    } catch (error) {
      for (const handle of handles) await handle.close();
      throw error;
    }
  }

  /** The newest line that is on stable storage. */
  get durable(): { readonly seq: number; readonly hash: string } {
    return this.#durable;
  }

  /**
   * @returns the entry's `seq`, once it is durable
   * @throws CofferError `storage_full`, `stopped`, `io`
   */
  append(subject: AuditSubject, verdict: AuditDecision): Promise<number> {
    return this.#append(this.#encoder.encode(subject, verdict), verdict.phase === 'intent', verdict.intent);
  }

  /**
   * Appends several entries behind one another; one `fdatasync` serves them all.
   *
   * @throws CofferError as {@link append}; some of them may be in the log then
   */
  async appendAll(
    entries: readonly { readonly asked: AuditSubject; readonly decision: AuditDecision }[],
  ): Promise<void> {
    let appended: Promise<number>[];
    this.#gathering = true;
    try {
      appended = entries.map(({ asked, decision }) => this.append(asked, decision));
    } finally {
      this.#gathering = false;
    }
    if (this.#pending.length > 0) this.#scheduleFlush();
    await Promise.all(appended);
  }

  /** Closes an intent that the process before this one left open. */
  async recover(intent: OpenIntent, error: string | undefined): Promise<void> {
    const { seq, action, operation, principal, secret, secretVersion, target } = intent;
    const rest = {
      principal,
      action,
      authorized: true,
      secret,
      secretVersion,
      phase: 'outcome',
      operation,
      intent: seq,
      recovered: true,
      error,
      revision: error === undefined ? this.#options.revision() : undefined,
      target,
    };
    await this.#append(JSON.stringify(rest).slice(1), false, seq);
  }

  /** Signs all that was written until now. */
  async checkpoint(): Promise<void> {
    await this.#append(CHECKPOINT);
  }

  /** Waits for what is pending, signs the end and closes the file. */
  async close(): Promise<void> {
    if (!this.#stopped) {
      await this.checkpoint().catch(() => undefined);
      this.#stopped = new CofferError('stopped', 'the audit log is closed');
    }
    if (!this.#quiet) await new Promise<void>((resolve) => this.#idle.push(resolve));
    for (const handle of this.#handles) await handle.close();
  }

  #append(rest: string | typeof CHECKPOINT, opens = false, closes?: number): Promise<number> {
    if (this.#stopped) return Promise.reject(this.#stopped);
    if (this.#sinceCheckpoint >= CHECKPOINT_ENTRIES) {
      this.#queue({ rest: this.#checkpointFields(), resolve: ignore, reject: ignore });
    }
    return new Promise((resolve, reject) => {
      this.#queue({
        rest: rest === CHECKPOINT ? this.#checkpointFields() : rest,
        opens,
        closes,
        resolve,
        reject,
      });
      this.#scheduleFlush();
    });
  }

  /** Chains the line to the one before. Whether an intent is open is told from here on: the file's order decides. */
  #queue({ rest, opens, closes, resolve, reject }: Queued): void {
    const seq = this.#head.seq + 1;
    const line = `{"id":${this.#ids.next()},"time":"${this.#time()}","seq":${seq},"prev":"${this.#head.hash}",${rest}`;
    this.#head = { seq, hash: sha256(line), length: 0 };
    this.#sinceCheckpoint++;
    if (opens) this.#open.add(seq);
    if (closes !== undefined) this.#open.delete(closes);
    this.#pending.push({ line, hash: this.#head.hash, seq, closes, resolve, reject });
    this.#crowd = Math.max(this.#pending.length + this.#syncing, this.#crowd * FORGET);
  }

  /** RFC 3339 in UTC. Within a millisecond the text is the same. */
  #time(): string {
    const now = this.#options.now();
    const time = now.getTime();
    if (time !== this.#lastTime) {
      this.#lastTime = time;
      this.#lastTimeText = now.toISOString();
    }
    return this.#lastTimeText;
  }

  #checkpointFields(): string {
    const { signer, storeId } = this.#options;
    const seq = this.#head.seq + 1;
    const openSince = Math.min(seq, ...this.#open);
    const generation = this.#options.generation();
    const revision = this.#options.revision();
    const fields = { seq, prev: this.#head.hash, openSince, generation, revision };
    const signature = signCheckpoint(this.#options, fields);
    const rest = JSON.stringify({
      principal: SERVER,
      action: 'checkpoint',
      authorized: true,
      store: storeId,
      key: signer.publicKey,
      openSince,
      generation,
      revision,
      signature,
    });
    this.#sinceCheckpoint = 0;
    return rest.slice(1);
  }

  /**
   * A turn of the event loop gathers the entries of all requests that have arrived; the first of many need not wait for
   * the last, and while their entries are synced the process goes on with the others.
   */
  #scheduleFlush(): void {
    if (this.#gathering) return;
    if (this.#pending.length * FLUSH_PART >= this.#crowd && this.#freeHandles.length > 0) {
      this.#flush();
    } else if (!this.#flushScheduled) {
      this.#flushScheduled = true;
      setImmediate(() => {
        this.#flushScheduled = false;
        this.#flush();
      });
    }
  }

  #flush(): void {
    if (this.#pending.length === 0) return;
    const handle = this.#freeHandles.pop();
    // A sync that ends takes up what waits.
    if (!handle) return;
    const batch = this.#pending;
    this.#pending = [];
    const bytes = Buffer.from(`${batch.map(({ line }) => line).join('\n')}\n`);
    try {
      writeAll(this.#file.fd, bytes);
    } catch (error) {
      this.#freeHandles.push(handle);
      this.#writeFailed(error as NodeJS.ErrnoException, batch);
      return;
    }
    const { seq, hash } = batch.at(-1) as Pending;
    const written = { seq, hash, length: this.#written.length + bytes.length };
    this.#written = written;
    this.#syncing += batch.length;
    fdatasync(handle.fd, (error) => {
      this.#syncing -= batch.length;
      this.#freeHandles.push(handle);
      if (error || this.#stopped?.code === 'io') {
        this.#stop(error, batch);
        return;
      }
      // A sync covers all that was written before it began, and a later one may have been quicker.
      if (written.seq > this.#durable.seq) this.#durable = written;
      for (const { resolve, seq } of batch) resolve(seq);
      this.#next();
    });
  }

  get #quiet(): boolean {
    return this.#pending.length === 0 && this.#freeHandles.length === this.#handles.length;
  }

  #next(): void {
    if (this.#pending.length > 0) this.#scheduleFlush();
    else if (this.#quiet) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Takes back what was written of the batch, so that the log ends with a whole line. */
  #writeFailed(error: NodeJS.ErrnoException, batch: Pending[]): void {
    if (error.code !== 'ENOSPC' && error.code !== 'EDQUOT') {
      this.#stop(error, batch);
      return;
    }
    try {
      ftruncateSync(this.#file.fd, this.#written.length);
    } catch (failure) {
      this.#stop(failure as Error, batch);
      return;
    }
    const refused = [...batch, ...this.#pending];
    this.#pending = [];
    this.#head = this.#written;
    const full = new CofferError(
      'storage_full',
      `the disk of the audit log ${this.#path} is full, and nothing is done that cannot be logged: make room, then try again`,
      { cause: error },
    );
    for (const { seq, closes, reject } of refused) {
      this.#open.delete(seq);
      if (closes !== undefined) this.#open.add(closes);
      reject(full);
    }
    this.#next();
  }

  /** `error` is null for entries whose own sync went well after another one's had failed: they are refused too. */
  #stop(error: Error | null, batch: Pending[]): void {
    if (this.#stopped?.code !== 'io') {
      this.#stopped = new CofferError(
        'io',
        `the audit log ${this.#path} could not be written durably (${error?.message}): the server stops, since nothing may ` +
          'be revealed or changed that is not logged; check the disk, then start it again',
        { cause: error },
      );
      this.#options.onFatal(this.#stopped);
    }
    for (const { reject } of [...batch, ...this.#pending.splice(0)]) reject(this.#stopped);
    this.#next();
  }

  async #accept({ error, target }: Rollback): Promise<void> {
    const rest = {
      principal: SERVER,
      action: 'accept-rollback',
      authorized: true,
      reason: error.code,
      target,
    };
    await this.#append(JSON.stringify(rest).slice(1));
    this.#options.onNotice(`Going on as --accept-rollback says: ${target}.`);
  }

  async #setAside(folder: string, torn: Buffer): Promise<void> {
    const stamp = this.#options.now().toISOString().replaceAll(':', '');
    const aside = join(folder, `torn-${stamp}-${this.#written.seq + 1}`);
    await writeFile(aside, torn, { mode: 0o600, flag: 'wx', flush: true });
    await this.#file.truncate(this.#written.length);
    await this.#file.datasync();
    const rest = {
      principal: SERVER,
      action: 'set-aside-torn-line',
      authorized: true,
      bytes: torn.length,
      sha256: sha256(torn),
    };
    await this.#append(JSON.stringify(rest).slice(1));
    this.#options.onNotice(
      `The last line of the audit log was torn by a crash; nothing depended on it, and its ${torn.length} bytes are kept in ${aside}.`,
    );
  }
}

/** A place in the log: its last line and, where it is written, the file's length. */
interface Position {
  readonly seq: number;
  readonly hash: string;
  readonly length: number;
}

interface Queued {
  readonly rest: string;
  /** The entry is an intent. */
  readonly opens?: boolean;
  /** `seq` of the intent that the entry closes. */
  readonly closes?: number | undefined;
  readonly resolve: (seq: number) => void;
  readonly reject: (error: Error) => void;
}

interface Pending {
  readonly line: string;
  readonly hash: string;
  readonly seq: number;
  readonly closes?: number | undefined;
  readonly resolve: (seq: number) => void;
  readonly reject: (error: Error) => void;
}

/** Base64. A signature of Ed25519 is the same each time, so that to make it again is to check it. */
const signCheckpoint = ({ signer, storeId }: AuditOptions, checkpoint: Checkpoint): string =>
  Buffer.from(signer.sign(checkpointMessage(storeId, checkpoint))).toString('base64');

const ignore = () => undefined;

function writeAll(fd: number, bytes: Buffer): void {
  for (let offset = 0; offset < bytes.length; ) {
    offset += writeSync(fd, bytes, offset);
  }
}
