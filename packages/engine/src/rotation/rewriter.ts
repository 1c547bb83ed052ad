import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { SERVER } from '../caller.js';
import type { Catalog } from '../catalog.js';
import { counted } from '../counted.js';
import { CofferError } from '../errors.js';
import type { Gate } from '../gate.js';
import type { StoreHeader } from '../header/store-header.js';
import type { Duty } from '../instances/duty.js';
import type { Manifest } from '../manifest.js';
import type { ManifestChanges } from '../manifest-changes.js';
import type { Secrets } from '../secrets.js';
import type { MemberStatus } from '../storage/shared.js';
import type { Storage } from '../storage/storage.js';
import { type Census, takeCensus } from './census.js';
import { Pace, TURN_MS } from './pace.js';
import type { Resealed, Room } from './reseal.js';
import { membersNamed } from './root-key-holders.js';

/** What one turn may look at; its commits share a transaction. */
const TURN_BYTES = 256 * 1024;
const TURN_SECRETS = 128;
/** First and longest wait before another try where there is no room, in milliseconds. */
const RETRY = 1_000;
const RETRY_MAX = 30_000;
/** What hinders it for a while, by the error's code; of a shared store also what is not known to have come true: the next round counts. */
const PASSING = ['storage_full', 'unavailable', 'in_doubt', 'store_alarm', 'stale', 'busy'];
/** Wait before another look where only damaged records are left. */
const RETRY_DAMAGED = 60_000;
/** Between two looks whether all instances have it, and how long that may take before a person should know. */
const CONFIRM = 200;
const CONFIRM_PATIENCE = 10_000;
/** How old a count may be that says how far another instance has come, in milliseconds. */
const COUNT_LIFE = 2_000;

/**
 * `members`: another instance has not yet what took the place of the records under the old key; `audit`: nothing holds yet what
 * opens the copies of audit logs that are under it.
 */
export type RotationProblem = 'storage_full' | 'tampered' | 'members' | 'audit';

/** How far the re-encryption under the newest data key has come. */
export interface RotationProgress {
  /** Records in the store. */
  readonly total: number;
  /** Those not yet under the newest data key; of the last count, less what was done since. */
  readonly remaining: number;
  /** Why it does not go on at the moment, for a person. */
  readonly problem?: { readonly code: RotationProblem; readonly message: string };
}

export interface RewriterParts {
  readonly storage: Storage;
  readonly header: StoreHeader;
  readonly catalog: Catalog;
  readonly manifest: Manifest;
  readonly secrets: Secrets;
  readonly changes: ManifestChanges;
  readonly gate: Gate;
  /** Whether this instance does it, of those that share the store. */
  readonly duty: Duty;
  /** Before a data key is destroyed: what else is under it keeps what it needs of it. */
  readonly keepKeys?: (() => Promise<void>) | undefined;
  onNotice(sentence: string): void;
}

/**
 * Brings all records under the newest data key, in the background, and destroys the keys that no record is under any more.
 *
 * It keeps no note of how far it is: a ring with several data keys says that there is something to do, and a record says
 * which key it is under. So it goes on after a crash where it was.
 */
export class Rewriter {
  readonly #parts: RewriterParts;
  readonly #pace = new Pace();
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #asked = false;
  #wake = new AbortController();
  #progress: RotationProgress | undefined;
  #countedAt = Number.NEGATIVE_INFINITY;
  /** Records brought under the newest key, and whether another writer overtook us, since the round began. */
  #done = 0;
  #overtaken = false;
  /** Rounds in a row that brought nothing further. */
  #fruitless = 0;

  constructor(parts: RewriterParts) {
    this.#parts = parts;
  }

  /** Undefined if all records are under one key. */
  get progress(): RotationProgress | undefined {
    if (this.#parts.header.ring.dataKeys.length === 1) return undefined;
    return this.#progress ?? { total: 0, remaining: 0 };
  }

  /** Counts the records under each key, exactly, for a person who waits for it. */
  census(): Promise<Census> {
    return this.#takeCensus(new Pace(1));
  }

  /**
   * As {@link progress}; where another instance does it, by a count that is a few seconds old at the most, with what can be told from
   * here of why it does not go on.
   */
  async look(): Promise<RotationProgress | undefined> {
    const { duty, storage } = this.#parts;
    if (!this.progress || duty.isOurs) return this.progress;
    if (performance.now() - this.#countedAt >= COUNT_LIFE) await this.census();
    const { progress } = this;
    const { health } = storage.shared ?? {};
    if (!progress || !health) return progress;
    const full = health.room?.problem;
    if (full) return { ...progress, problem: { code: 'storage_full', message: waitsForRoom(full) } };
    const members = storage.shared?.members.filter(({ alive, lacksRootKey }) => !alive || lacksRootKey) ?? [];
    if (progress.remaining > 0 || members.length === 0) return progress;
    return { ...progress, problem: { code: 'members', message: waitsFor(members) } };
  }

  /** Begins, or looks again at once at what hindered it. */
  start(): void {
    this.#wake.abort();
    this.#asked = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  /** Resolves when nothing of it is under way any more. It goes on at the next open. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#wake.abort();
    await this.#running;
  }

  get #goesOn(): boolean {
    return this.#parts.duty.isOurs && !this.#stopping.signal.aborted;
  }

  async #run(): Promise<void> {
    while (this.#asked) {
      this.#asked = false;
      await this.#bringAllOver().catch((error: unknown) => this.#giveUp(error));
      this.#progress = undefined;
    }
  }

  async #bringAllOver(): Promise<void> {
    let wait = RETRY;
    while (this.#goesOn && this.#parts.header.ring.dataKeys.length > 1) {
      try {
        await this.#round();
        wait = RETRY;
      } catch (error) {
        if (!PASSING.some((code) => isCode(error, code))) throw error;
        if (isCode(error, 'storage_full')) this.#hinder('storage_full', waitsForRoom(error));
        await this.#sleep(wait);
        wait = Math.min(2 * wait, RETRY_MAX);
      }
    }
  }

  /** Counts, destroys the keys that have nothing left, and takes the rest further. */
  async #round(): Promise<void> {
    const { storage, header } = this.#parts;
    const retiring = header.ring.dataKeys.slice(0, -1);
    // Behind all that was sealed under these keys and not yet committed. The summary is under the newest one then.
    await storage.refreshSummary();
    const { counts, examples } = await this.#takeCensus(this.#pace);
    const unused = retiring.filter(({ id }) => !counts.has(id));
    if (unused.length > 0 && !(await this.#allHaveIt())) return;
    await this.#all(unused.map(({ id }) => this.#destroy(id)));
    if (header.ring.dataKeys.length === 1) return;
    this.#done = 0;
    this.#overtaken = false;
    await this.#walk();
    const onward = this.#done > 0 || this.#overtaken || unused.length > 0;
    this.#fruitless = onward ? 0 : this.#fruitless + 1;
    // Once may be chance: what was counted was deleted before we came to it.
    const left = retiring.find(({ id }) => counts.has(id));
    if (this.#fruitless < 2 || !left) return;
    const example = Buffer.from(examples.get(left.id) ?? []).toString('hex');
    this.#hinder(
      'tampered',
      `${counted(counts.get(left.id) ?? 0, 'record')} under the data key ${left.id}, as ${example}, cannot be re-encrypted, being ` +
        'not what this store wrote, or of nothing in it: the key is kept. A "get" of each version finds ' +
        'a damaged value; delete it, or restore a backup',
    );
    await this.#sleep(RETRY_DAMAGED);
  }

  /** Goes through all records once. */
  async #walk(): Promise<void> {
    const { catalog, manifest, secrets, changes } = this.#parts;
    await this.#inParts((room, after: Uint8Array | undefined) =>
      changes.alone(() => manifest.reseal(room, after)),
    );
    const names = catalog.heads.allNames()[Symbol.iterator]();
    let next = names.next();
    while (!next.done) {
      const start = performance.now();
      const room = { bytes: TURN_BYTES };
      const turn: Promise<void>[] = [];
      const large: { name: string; after: number }[] = [];
      do {
        const name = next.value;
        const resealed = secrets.alone(name, () => catalog.reseal(name, room));
        const counted = resealed.then((result) => {
          this.#count(result.records);
          if (result.goOnAfter !== undefined) large.push({ name, after: result.goOnAfter });
        });
        turn.push(counted);
        next = names.next();
      } while (!next.done && room.bytes > 0 && turn.length < TURN_SECRETS && since(start) < TURN_MS);
      await this.#all(turn);
      await this.#pace.rest(since(start), this.#stopping.signal);
      for (const { name, after } of large) {
        const step = (room: Room, behind = after) =>
          secrets.alone(name, () => catalog.reseal(name, room, behind));
        await this.#inParts(step);
      }
    }
  }

  async #inParts<Place>(
    step: (room: Room, after: Place | undefined) => Promise<Resealed<Place>>,
  ): Promise<void> {
    let after: Place | undefined;
    do {
      const start = performance.now();
      const resealed = step({ bytes: TURN_BYTES }, after).then(({ records, goOnAfter }) => {
        this.#count(records);
        after = goOnAfter;
      });
      await this.#all([resealed]);
      await this.#pace.rest(since(start), this.#stopping.signal);
    } while (after !== undefined);
  }

  /** Waits for the end of all before it throws one's error. */
  async #all(turn: readonly Promise<void>[]): Promise<void> {
    for (const one of await Promise.allSettled(turn)) {
      if (one.status === 'fulfilled') continue;
      if (!isCode(one.reason, 'conflict')) throw one.reason;
      this.#overtaken = true;
    }
  }

  /**
   * Of a shared store, waits until every instance has what this one has counted: its replica may be all that is left of a store,
   * and has to open then.
   *
   * @returns false if it is another one's duty now
   */
  async #allHaveIt(): Promise<boolean> {
    const { shared } = this.#parts.storage;
    if (!shared) return true;
    const counted = shared.health.replicaSequence;
    for (let waited = 0; !shared.confirmedByAll(counted); waited += CONFIRM) {
      if (waited > 0 && waited % CONFIRM_PATIENCE === 0) {
        this.#hinder('members', waitsFor(shared.members.filter(({ confirmed }) => confirmed < counted)));
      }
      await this.#sleep(CONFIRM);
      if (!this.#goesOn) return false;
    }
    return true;
  }

  /** @throws CofferError `unavailable` while what else is under it could not be opened without it */
  async #keepKeys(id: number): Promise<void> {
    try {
      await this.#parts.keepKeys?.();
    } catch (cause) {
      if (!(cause instanceof CofferError)) throw cause;
      const message =
        `all records are under the new data key, and the data key ${id} is kept, since copies of audit logs are under it too and ` +
        `what opens them cannot be stored beside them (${cause.message})`;
      this.#hinder('audit', message);
      throw new CofferError('unavailable', message, { cause });
    }
  }

  async #destroy(id: number): Promise<void> {
    const { header, gate, onNotice } = this.#parts;
    await this.#keepKeys(id);
    const operation = randomUUID();
    const asked = { caller: SERVER, action: 'destroy-data-key', target: String(id), operation } as const;
    const made = await header.alone(async () => {
      // Another instance may have been faster.
      if (!header.ring.dataKey(id)) return undefined;
      return gate.change(asked, () => {
        const added = { id: operation, by: SERVER.principals[0].id, request: '', result: id, given: false };
        return header.commit({
          dataKeys: header.ring.dataKeys.filter((key) => key.id !== id),
          operations: gate.remember(header.operations, added),
        });
      });
    });
    if (!made) return;
    await made.settle();
    onNotice(`No record is under the data key ${id} any more; it is destroyed.`);
  }

  async #takeCensus(pace: Pace): Promise<Census> {
    const { storage, header } = this.#parts;
    const census = await takeCensus(storage, pace, this.#stopping.signal);
    if (header.ring.dataKeys.length > 1) this.#note(census);
    return census;
  }

  #note({ counts, total }: Census): void {
    const { ring } = this.#parts.header;
    const { problem } = this.#progress ?? {};
    this.#countedAt = performance.now();
    const remaining = total - (counts.get(ring.newest.id) ?? 0);
    this.#progress = { total, remaining, ...(problem && { problem }) };
  }

  #count(records: number): void {
    if (records === 0) return;
    this.#done += records;
    const { total, remaining } = this.#progress ?? { total: 0, remaining: 0 };
    this.#progress = { total, remaining: Math.max(0, remaining - records) };
  }

  /** Says it once. */
  #hinder(code: RotationProblem, message: string): void {
    const { total, remaining, problem } = this.#progress ?? { total: 0, remaining: 0 };
    this.#progress = { total, remaining, problem: { code, message } };
    if (problem?.code !== code) this.#parts.onNotice(`${message[0]?.toUpperCase()}${message.slice(1)}.`);
  }

  async #sleep(milliseconds: number): Promise<void> {
    this.#wake = new AbortController();
    if (this.#stopping.signal.aborted) return;
    await delay(milliseconds, undefined, { signal: this.#wake.signal }).catch(() => undefined);
  }

  #giveUp(error: unknown): void {
    // Of a disk that failed the server has told already.
    if (isCode(error, 'stopped') || isCode(error, 'io')) return;
    this.#parts.onNotice(
      `The re-encryption under the new data key has stopped (${(error as Error).message}); it goes on at the next start.`,
    );
  }
}

/** On which disk, or in which bucket, the error says. */
const waitsForRoom = (error: unknown): string =>
  `the re-encryption under the new data key waits for room: ${(error as Error).message}`;

/** Who is there is not to be forgotten: it has a reason to come no further. */
function waitsFor(members: readonly MemberStatus[]): string {
  const away = members.filter(({ alive }) => !alive);
  const lacking = members.filter(({ alive, lacksRootKey }) => alive && lacksRootKey);
  const late = members.filter(({ alive, lacksRootKey }) => alive && !lacksRootKey);
  const todo = [
    away.length > 0 &&
      `start ${membersNamed(away)}, or forget ${away.length === 1 ? 'it' : 'those'} that will not come back ("coffer storage forget")`,
    lacking.length > 0 && `give the new root key to ${membersNamed(lacking)}`,
    late.length > 0 &&
      `${membersNamed(late)}, which ${late.length === 1 ? 'is' : 'are'} there, will have them so, or say in /readyz and the log why not`,
  ].filter((one) => one !== false);
  return (
    'all records are under the new data key, and the old one is kept until every instance has them so, since its replica may be ' +
    `needed: ${todo.join('; ') || 'see "coffer storage status"'}`
  );
}

const since = (start: number): number => performance.now() - start;

const isCode = (error: unknown, code: string): boolean => error instanceof CofferError && error.code === code;
