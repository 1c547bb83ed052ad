import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { CofferError } from '../errors.js';
import { privateFolder, syncFolder } from '../files.js';
import type { Anchor } from '../integrity.js';
import type { TimingsSnapshot } from '../timings.js';
import { type AuditDecision, type AuditSubject, EntryEncoder, EntryIds } from './entry.js';
import { GENESIS, sha256 } from './hash.js';
import { LineHead } from './line-head.js';
import type { LogFile } from './log-file.js';
import { checkpointLine, ownLine, retirementLine, signCheckpoint } from './own-lines.js';
import { expiredSegments } from './retention.js';
import { findRollbacks, type Rollback, type StoreWitness } from './rollback.js';
import { closedSegments, openCurrent, removeSegment } from './segments.js';
import type { Signer } from './signer.js';
import { type OpenIntent, readTail, type Tail } from './tail.js';
import { LogWriter, type Queued, type SegmentLimits } from './writer.js';

/** A checkpoint at least every so many entries. */
const CHECKPOINT_ENTRIES = 10_000;

const DAY = 24 * 60 * 60 * 1_000;
/** A file of the log is closed at this size … */
export const SEGMENT_BYTES = 64 * 1024 * 1024;
/** … or when its first line is so old. */
export const SEGMENT_DAYS = 30;

export interface AuditOptions {
  /** The store's id in hex; checkpoints are bound to it. */
  readonly storeId: string;
  readonly signer: Signer;
  /**
   * Of a store that several instances share: which one's log this is. Each of its lines says so. A log that names one already
   * goes on as that one's, whoever has it now: with a new replica, or moved back into a folder of its own.
   */
  readonly instance?: string | undefined;
  /** Up to which line the copies of such a log are acknowledged, for checkpoints. */
  readonly delivered?: (() => number | undefined) | undefined;
  /** The store's manifest generation, for checkpoints. */
  generation(): number;
  /** The store's sequence, for checkpoints and outcomes. */
  revision(): number;
  /** What the store said when it was opened; the log must fit it. */
  readonly witness: StoreWitness;
  /** Goes on, with an entry that says so, where log or store were put back to an earlier state. */
  readonly acceptRollback: boolean;
  /** A file of the log is closed when it has this many bytes; default 64 MiB. */
  readonly segmentBytes?: number | undefined;
  /** … or when its first line is this many days old; default 30. */
  readonly segmentDays?: number | undefined;
  readonly now: () => Date;
  /** Called once when an entry could not be made durable. */
  onFatal(error: CofferError): void;
  onNotice(sentence: string): void;
}

/**
 * The append-only log, one JSON object a line, each carrying the hash of the one before, in files one after the other:
 * `audit-<seq of its first line>.log` those that are closed, `audit.log` the one that is written to.
 *
 * `append` resolves when its entry is on stable storage; {@link LogWriter} says how.
 */
export class AuditLog {
  /** Changes that were about to be made when the process before this one died; empty once {@link recover} closed them. */
  readonly openIntents: readonly OpenIntent[];
  readonly folder: string;
  /** The instance that its lines name, if they name one. */
  readonly instance: string | undefined;
  /** When the newest line was written that was there when the log was opened; undefined in an empty log. */
  readonly lastTimeBefore: Date | undefined;
  /** Up to which line copies were acknowledged, by the last checkpoint that was there. */
  readonly deliveredBefore: number;
  readonly #options: AuditOptions;
  readonly #writer: LogWriter;
  readonly #ids = new EntryIds();
  readonly #encoder = new EntryEncoder();
  /** What stands in each line behind `prev`. */
  readonly #owner: string;
  readonly #open = new Set<number>();
  /** The last line that was queued. */
  #head: Anchor;
  #sinceCheckpoint = 0;
  /** More entries come in this turn: no flush yet. */
  #gathering = false;
  #lastTime = Number.NaN;
  #lastTimeText = '';
  #stopped: CofferError | undefined;
  #hasAccepted = false;

  private constructor(
    folder: string,
    file: LogFile,
    first: LineHead | undefined,
    tail: Tail,
    options: AuditOptions,
  ) {
    this.folder = folder;
    this.#options = options;
    this.instance = tail.instance ?? options.instance;
    this.#owner = this.instance === undefined ? '' : `"instance":"${this.instance}",`;
    this.#head = { seq: tail.seq, hash: tail.seq === 0 ? GENESIS : sha256(tail.lastLine) };
    this.#writer = new LogWriter(file, first, this.#head, {
      folder,
      limits: segmentLimits(options),
      seal: () => this.#queue({ rest: this.#checkpointFields() }),
      onRefused: (refused) => this.#takeBack(refused),
      onFatal: (error) => {
        this.#stopped = error;
        options.onFatal(error);
      },
    });
    this.lastTimeBefore = timeOf(tail.lastLine);
    this.deliveredBefore = tail.delivered;
    this.openIntents = tail.open;
    for (const { seq } of tail.open) this.#open.add(seq);
  }

  /**
   * Opens the log in `folder`, or starts one (mode 0600). A last line that a crash tore is set aside in a file of its
   * own, and an entry says so.
   *
   * @throws CofferError `audit_broken`; `audit_rolled_back`, `store_rolled_back` unless that was accepted
   */
  static async open(folder: string, options: AuditOptions): Promise<AuditLog> {
    await privateFolder(folder);
    const file = await openCurrent(folder);
    try {
      const { witness, acceptRollback } = options;
      const tail = await readTail(file.handle, await closedSegments(folder), {
        path: file.path,
        anchor: witness.anchor,
        isOurs: (checkpoint) => signCheckpoint(options, checkpoint) === checkpoint.signature,
      });
      const rollbacks = findRollbacks(file.path, tail, witness);
      for (const { error } of rollbacks) if (!acceptRollback) throw error;
      if (tail.torn.length > 0) await setAside(folder, file, tail, options);
      const log = new AuditLog(folder, file, await LineHead.ofFile(file.handle), tail, options);
      if (tail.torn.length > 0) await log.#tellTorn(tail.torn);
      for (const rollback of rollbacks) await log.#accept(rollback);
      log.#hasAccepted = rollbacks.length > 0;
      await syncFolder(folder);
      await log.checkpoint();
      return log;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** That it or the store was put back to an earlier state was found at the opening, and accepted. */
  get hasAccepted(): boolean {
    return this.#hasAccepted;
  }

  /** The newest line that is on stable storage. */
  get durable(): Anchor {
    return this.#writer.durable;
  }

  /** How long it took to make lines durable. */
  get syncs(): TimingsSnapshot {
    return this.#writer.syncs.snapshot();
  }

  /** `seq` of the oldest line that is there. */
  async first(): Promise<number> {
    const [oldest] = await closedSegments(this.folder);
    return oldest?.first ?? this.#writer.first;
  }

  /** Whether {@link durable} will not move any more. */
  get ended(): boolean {
    return this.#stopped !== undefined;
  }

  /** Resolves when {@link durable} has moved on, or never will. */
  moved(): Promise<void> {
    return this.ended ? Promise.resolve() : this.#writer.moved();
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
    if (this.#writer.pending > 0) this.#writer.schedule();
    await Promise.all(appended);
  }

  /** Appends what the server has to say on its own. */
  async note(action: string, fields: object, authorized = true): Promise<void> {
    await this.#append(ownLine(action, fields, authorized));
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
    await this.#append(() => this.#checkpointFields());
  }

  /**
   * Removes closed files whose last line is from before `then`. A signed entry that says so is durable before each goes, so
   * that a crash in between leaves a log that begins where an entry says.
   *
   * @param anchored `seq` up to which the store's anchor has moved: what is behind it stays
   * @returns how many files went
   */
  async retire(then: Date, anchored: number): Promise<number> {
    const keep = Math.min(anchored, ...this.#open);
    const segments = await closedSegments(this.folder);
    let removed = 0;
    for await (const { segment, last } of expiredSegments(segments, then)) {
      if (last.seq >= keep) break;
      await this.#append(() => {
        const { seq, hash } = this.#head;
        const { instance } = this;
        const retirement = { seq: seq + 1, prev: hash, upTo: last.seq, upToHash: last.hash, instance };
        return retirementLine(this.#options, retirement);
      });
      await removeSegment(this.folder, segment);
      removed++;
    }
    return removed;
  }

  /** Waits for what is pending, signs the end and closes the file. */
  async close(): Promise<void> {
    if (!this.#stopped) {
      await this.checkpoint().catch(() => undefined);
      this.#stopped = new CofferError('stopped', 'the audit log is closed');
    }
    await this.#writer.close();
  }

  /** @param rest the entry's fields, or what makes them when its place in the chain is known */
  #append(rest: string | (() => string), opens = false, closes?: number): Promise<number> {
    if (this.#stopped) return Promise.reject(this.#stopped);
    if (this.#sinceCheckpoint >= CHECKPOINT_ENTRIES) this.#queue({ rest: this.#checkpointFields() });
    return new Promise((resolve, reject) => {
      const fields = typeof rest === 'string' ? rest : rest();
      this.#queue({ rest: fields, opens, closes, resolve, reject });
      if (!this.#gathering) this.#writer.schedule();
    });
  }

  /** Chains the line to the one before. Whether an intent is open is told from here on: the file's order decides. */
  #queue({ rest, opens = false, closes, resolve = ignore, reject = ignore }: Entry): void {
    const seq = this.#head.seq + 1;
    const line = `{"id":${this.#ids.next()},"time":"${this.#time()}","seq":${seq},"prev":"${this.#head.hash}",${this.#owner}${rest}`;
    this.#head = { seq, hash: sha256(line) };
    this.#sinceCheckpoint++;
    if (opens) this.#open.add(seq);
    if (closes !== undefined) this.#open.delete(closes);
    this.#writer.add({ line, hash: this.#head.hash, seq, time: this.#lastTime, closes, resolve, reject });
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
    const seq = this.#head.seq + 1;
    const { instance } = this;
    const { delivered } = this.#options;
    this.#sinceCheckpoint = 0;
    return checkpointLine(this.#options, {
      seq,
      prev: this.#head.hash,
      openSince: Math.min(seq, ...this.#open),
      generation: this.#options.generation(),
      revision: this.#options.revision(),
      ...(instance !== undefined && { instance, delivered: delivered?.() ?? this.deliveredBefore }),
    });
  }

  /** The disk had no room for these: the chain goes on from what it has. */
  #takeBack(refused: readonly Queued[]): void {
    this.#head = this.#writer.written;
    for (const { seq, closes } of refused) {
      this.#open.delete(seq);
      if (closes !== undefined) this.#open.add(closes);
    }
  }

  async #accept({ error, target }: Rollback): Promise<void> {
    await this.note('accept-rollback', { reason: error.code, target });
    this.#options.onNotice(`Going on as --accept-rollback says: ${target}.`);
  }

  async #tellTorn(torn: Buffer): Promise<void> {
    await this.note('set-aside-torn-line', { bytes: torn.length, sha256: sha256(torn) });
  }
}

interface Entry {
  readonly rest: string;
  /** The entry is an intent. */
  readonly opens?: boolean;
  /** `seq` of the intent that the entry closes. */
  readonly closes?: number | undefined;
  readonly resolve?: (seq: number) => void;
  readonly reject?: (error: Error) => void;
}

const segmentLimits = ({
  segmentBytes = SEGMENT_BYTES,
  segmentDays = SEGMENT_DAYS,
}: AuditOptions): SegmentLimits => ({
  bytes: segmentBytes,
  milliseconds: segmentDays * DAY,
});

/** Moves what a crash tore off to a file of its own. */
async function setAside(
  folder: string,
  file: LogFile,
  { torn, length, seq }: Tail,
  { now, onNotice }: AuditOptions,
): Promise<void> {
  const stamp = now().toISOString().replaceAll(':', '');
  const aside = join(folder, `torn-${stamp}-${seq + 1}`);
  await writeFile(aside, torn, { mode: 0o600, flag: 'wx', flush: true });
  await file.cut(length);
  onNotice(
    `The last line of the audit log was torn by a crash; nothing depended on it, and its ${torn.length} bytes are kept in ${aside}.`,
  );
}

const ignore = () => undefined;

function timeOf(line: Buffer): Date | undefined {
  if (line.length === 0) return undefined;
  const time = new Date((JSON.parse(line.toString()) as { time: string }).time);
  return Number.isNaN(time.getTime()) ? undefined : time;
}
