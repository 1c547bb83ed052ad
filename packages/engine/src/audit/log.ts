import { hash } from 'node:crypto';
import { fdatasync, ftruncateSync, writeSync } from 'node:fs';
import { type FileHandle, mkdir, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { CofferError } from '../errors.js';
import { syncFolder } from '../files.js';
import { type AuditEntry, EntryIds, encodeEntry } from './entry.js';
import { checkpointMessage, type Signer } from './signer.js';
import { type OpenIntent, readTail } from './tail.js';

/** A checkpoint at least every so many entries. */
const CHECKPOINT_ENTRIES = 10_000;

/** Appended in place of an entry's fields. */
const CHECKPOINT = Symbol('checkpoint');

export const GENESIS = '0'.repeat(64);

export interface AuditOptions {
  /** The store's id in hex; checkpoints are bound to it. */
  readonly storeId: string;
  readonly signer: Signer;
  /** The store's manifest generation, for checkpoints. */
  generation(): number;
  readonly now: () => Date;
  /** Called once when an entry could not be made durable. */
  onFatal(error: CofferError): void;
  onNotice(sentence: string): void;
}

/**
 * The append-only log `audit.log`, one JSON object a line, each carrying the hash of the one before.
 *
 * `append` resolves when its entry is on stable storage. One `fdatasync` serves all entries that wait at that moment. A
 * full disk refuses the entries (`storage_full`) and the log goes on when there is room; a failed `fdatasync` is never
 * retried, since the kernel may have dropped the pages that it could not write: the log stops.
 */
export class AuditLog {
  /** Changes that were about to be made when the process before this one died; empty once {@link recover} closed them. */
  readonly openIntents: readonly OpenIntent[];
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #options: AuditOptions;
  readonly #ids = new EntryIds();
  readonly #open = new Set<number>();
  #durable: Position;
  #head: Position;
  #sinceCheckpoint = 0;
  #pending: Pending[] = [];
  #flushing = false;
  #idle: (() => void)[] = [];
  #stopped: CofferError | undefined;

  private constructor(
    file: FileHandle,
    path: string,
    options: AuditOptions,
    position: Position,
    openIntents: readonly OpenIntent[],
  ) {
    this.#file = file;
    this.#path = path;
    this.#options = options;
    this.#durable = position;
    this.#head = position;
    this.openIntents = openIntents;
    for (const { seq } of openIntents) this.#open.add(seq);
  }

  /**
   * Opens the log in `folder`, or starts one (mode 0600). A last line that a crash tore is set aside in a file of its
   * own, and an entry says so.
   *
   * @throws CofferError `audit_broken`
   */
  static async open(folder: string, options: AuditOptions): Promise<AuditLog> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = join(folder, 'audit.log');
    const file = await open(path, 'a+', 0o600);
    try {
      const tail = await readTail(file, path);
      const position = {
        seq: tail.seq,
        hash: tail.seq === 0 ? GENESIS : sha256(tail.lastLine),
        length: tail.length,
      };
      const log = new AuditLog(file, path, options, position, tail.open);
      if (tail.torn.length > 0) await log.#setAside(folder, tail.torn);
      await syncFolder(folder);
      await log.checkpoint();
      return log;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /**
   * @returns the entry's `seq`, once it is durable
   * @throws CofferError `storage_full`, `stopped`, `io`
   */
  append(entry: AuditEntry): Promise<number> {
    return this.#append(encodeEntry(entry), entry.phase === 'intent', entry.intent);
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
    if (this.#flushing) await new Promise<void>((resolve) => this.#idle.push(resolve));
    await this.#file.close();
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
      if (!this.#flushing) this.#startFlush();
    });
  }

  /** Chains the line to the one before. Whether an intent is open is told from here on: the file's order decides. */
  #queue({ rest, opens, closes, resolve, reject }: Queued): void {
    const seq = this.#head.seq + 1;
    const time = this.#options.now().toISOString();
    const line = `{"id":${this.#ids.next()},"time":"${time}","seq":${seq},"prev":"${this.#head.hash}",${rest}`;
    this.#head = { seq, hash: sha256(line), length: 0 };
    this.#sinceCheckpoint++;
    if (opens) this.#open.add(seq);
    if (closes !== undefined) this.#open.delete(closes);
    this.#pending.push({ line, hash: this.#head.hash, seq, closes, resolve, reject });
  }

  #checkpointFields(): string {
    const { signer, storeId, generation } = this.#options;
    const seq = this.#head.seq + 1;
    const openSince = Math.min(seq, ...this.#open);
    const fields = { seq, prev: this.#head.hash, openSince, generation: generation() };
    const signature = Buffer.from(signer.sign(checkpointMessage(storeId, fields))).toString('base64');
    const rest = JSON.stringify({
      principal: { id: 'server', kind: 'server', user: 'server' },
      action: 'checkpoint',
      authorized: true,
      store: storeId,
      key: signer.publicKey,
      openSince,
      generation: fields.generation,
      signature,
    });
    this.#sinceCheckpoint = 0;
    return rest.slice(1);
  }

  #startFlush(): void {
    this.#flushing = true;
    // A turn of the event loop gathers the entries of all requests that have arrived.
    setImmediate(() => this.#flush());
  }

  #flush(): void {
    const batch = this.#pending;
    this.#pending = [];
    const bytes = Buffer.from(`${batch.map(({ line }) => line).join('\n')}\n`);
    try {
      writeAll(this.#file.fd, bytes);
    } catch (error) {
      this.#writeFailed(error as NodeJS.ErrnoException, batch);
      return;
    }
    fdatasync(this.#file.fd, (error) => {
      if (error) return this.#stop(error, batch);
      const last = batch.at(-1) as Pending;
      this.#durable = {
        seq: last.seq,
        hash: last.hash,
        length: this.#durable.length + bytes.length,
      };
      for (const { resolve, seq } of batch) resolve(seq);
      this.#next();
    });
  }

  #next(): void {
    if (this.#pending.length > 0) {
      this.#startFlush();
      return;
    }
    this.#flushing = false;
    for (const resolve of this.#idle.splice(0)) resolve();
  }

  /** Takes back what was written of the batch, so that the log ends with its last durable line. */
  #writeFailed(error: NodeJS.ErrnoException, batch: Pending[]): void {
    if (error.code !== 'ENOSPC' && error.code !== 'EDQUOT') {
      this.#stop(error, batch);
      return;
    }
    try {
      ftruncateSync(this.#file.fd, this.#durable.length);
    } catch (failure) {
      this.#stop(failure as Error, batch);
      return;
    }
    const refused = [...batch, ...this.#pending];
    this.#pending = [];
    this.#head = this.#durable;
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

  #stop(error: Error, batch: Pending[]): void {
    this.#stopped = new CofferError(
      'io',
      `the audit log ${this.#path} could not be written durably (${error.message}): the server stops, since nothing may ` +
        'be revealed or changed that is not logged; check the disk, then start it again',
      { cause: error },
    );
    this.#options.onFatal(this.#stopped);
    for (const { reject } of [...batch, ...this.#pending]) reject(this.#stopped);
    this.#pending = [];
    this.#next();
  }

  async #setAside(folder: string, torn: Buffer): Promise<void> {
    const stamp = this.#options.now().toISOString().replaceAll(':', '');
    const aside = join(folder, `torn-${stamp}-${this.#durable.seq + 1}`);
    await writeFile(aside, torn, { mode: 0o600, flag: 'wx', flush: true });
    await this.#file.truncate(this.#durable.length);
    await this.#file.datasync();
    const rest = {
      principal: { id: 'server', kind: 'server', user: 'server' },
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

/** A place in the log: its last line and, where it is durable, the file's length. */
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

export const sha256 = (line: string | Uint8Array): string => hash('sha256', line);

const ignore = () => undefined;

function writeAll(fd: number, bytes: Buffer): void {
  for (let offset = 0; offset < bytes.length; ) {
    offset += writeSync(fd, bytes, offset);
  }
}
