import { setTimeout as delay } from 'node:timers/promises';

import { type DataKey, KeyRing } from '../crypto/key-ring.js';
import { createRootKey, type FoundRootKey, findRootKey, idOf, type RootKey } from '../crypto/root-key.js';
import type { RootKeyContext, RootKeySpec } from '../crypto/root-key-spec.js';
import { wipe } from '../crypto/secure-memory.js';
import { CofferError } from '../errors.js';
import { movedAway, requireStore, withoutHeader } from '../instances/moved-away.js';
import { keysByBucket } from '../instances/older-replica.js';
import { HEADER_KEY } from '../keys.js';
import { Locks } from '../locks.js';
import type { Operations } from '../operations.js';
import { decodeOperations, encodeOperations } from '../operations-json.js';
import { overtaken } from '../overtaken.js';
import type { IncomingHead } from '../storage/shared.js';
import type { Storage, StoredRecord } from '../storage/storage.js';
import {
  associatedData,
  damaged,
  type Header,
  headerGeneration,
  parseHeader,
  removed,
  STORE_FORMAT,
} from './format.js';
import { isMarkOf, isMoved, type MoveProver } from './moved.js';
import { encodeHeader, ringOf, unwrap } from './wrapping.js';

/** What of a header is to be another; the rest stays. */
export interface HeaderChange {
  /** The {@link StoreHeader.generation} on which this was decided, if that was in an earlier turn: at another one it is a conflict. */
  readonly base?: number;
  /** All that there are to be, the newest last. */
  readonly dataKeys?: readonly DataKey[];
  readonly rootKey?: RootKey;
  readonly operations?: Operations;
  readonly format?: number;
}

/**
 * The header of an open store, with the ring and the root key that wraps it. The root key stays at hand, so that the ring
 * can be wrapped anew whatever kind it is of.
 */
export class StoreHeader {
  readonly ring: KeyRing;
  readonly #storage: Storage;
  readonly #find: (header: Header) => Promise<FoundRootKey>;
  readonly #onNotice: (sentence: string) => void;
  readonly #locks = new Locks();
  readonly #listeners = new Set<() => void>();
  readonly #closing = new AbortController();
  #rootKey: RootKey;
  /** Another root key wraps the ring now, which this instance does not have. */
  #isForeign = false;
  /** Of changes under way. */
  readonly #offered = new Set<RootKey>();
  #header: Omit<Header, 'ring'>;
  #revision: number;
  /** Admitted, and not yet visible. */
  #coming: Coming | undefined;
  /** Another ring came, which does not open here. */
  #waiting: CofferError | undefined;
  /** Of which generation a person was told that it does not open. */
  #told = 0;

  private constructor(
    { storage, spec, context }: HeaderPlace,
    keys: { ring: KeyRing; rootKey: RootKey },
    header: Omit<Header, 'ring'>,
    revision: number,
  ) {
    this.#storage = storage;
    this.#find = ({ rootKey }) => findRootKey(spec, rootKey, context);
    this.#onNotice = context.onNotice;
    this.ring = keys.ring;
    this.#rootKey = keys.rootKey;
    this.#header = header;
    this.#revision = revision;
  }

  /**
   * Opens the header of a store; of an empty store makes one, which the first {@link commit} writes.
   *
   * @throws CofferError `newer_format`, `development_store`, `tampered`, `no_root_key`, `wrong_root_key`, `insecure_root_key`;
   *   `unfit_store` for a shared one that was moved away
   */
  static async open(storage: Storage, spec: RootKeySpec, context: RootKeyContext): Promise<StoreHeader> {
    const place = { storage, spec, context };
    const stored = storage.get(HEADER_KEY);
    if (stored) {
      const { ring: _, ...header } = parseHeader(stored.bytes);
      const keys = await unwrap(storage.incarnation, stored.bytes, spec, context).catch((error: unknown) => {
        // Who has not its keys cannot know whether it is so; nobody is served then in any case.
        if (header.moved !== undefined) throw movedAway(error);
        return keysByBucket(error, { storage, header: stored.bytes, spec, context });
      });
      try {
        if (isMoved(parseHeader(stored.bytes), proverOf(storage, keys.ring))) throw movedAway();
      } catch (error) {
        keys.ring.wipe();
        keys.rootKey.wipe();
        throw error;
      }
      await keys.finish?.();
      return new StoreHeader(place, keys, header, stored.revision);
    }
    for (const _record of storage.scan(Buffer.alloc(0))) {
      if (storage.shared) throw withoutHeader();
      throw new CofferError(
        'tampered',
        "the store's header is gone while its records are there: restore it from a backup",
      );
    }
    const rootKey = await createRootKey(spec, context);
    const ring = KeyRing.create(context.now?.() ?? new Date());
    const { development } = context;
    const header = { format: STORE_FORMAT, generation: 0, development, rootKey: rootKey.parameters };
    return new StoreHeader(place, { ring, rootKey }, header, 0);
  }

  /** The store is empty, and its header not yet written. */
  get isNew(): boolean {
    return this.#revision === 0;
  }

  /** False if the store has another one than was opened. */
  get isCurrent(): boolean {
    return this.#storage.get(HEADER_KEY)?.revision === this.#revision;
  }

  /** The last one that this instance had. */
  get rootKey(): RootKey {
    return this.#rootKey;
  }

  /** True if the store is under another one since, which was not given to this instance yet. */
  get lacksRootKey(): boolean {
    return this.#isForeign || this.#waiting !== undefined;
  }

  /**
   * Looks whether the root key was given to this instance that it lacks. A passphrase is costly to try, and may be asked of a person: that
   * is looked for with the next change of keys only.
   *
   * @returns false if it lacks one still, or will when what was {@link admit}ted is visible
   */
  async findRootKey(): Promise<boolean> {
    const stored = this.#storage.get(HEADER_KEY);
    const isCheap = idOf(this.#header.rootKey) !== undefined;
    if (this.#isForeign && isCheap && !this.#waiting && stored?.revision === this.#revision) {
      await this.#findFor(stored).catch(() => {});
    }
    const isComing = this.#coming !== undefined && this.#coming.rootKey === undefined;
    return !this.lacksRootKey && !isComing;
  }

  async #findFor({ bytes, revision }: StoredRecord): Promise<void> {
    const { ring, rootKey } = (await this.#open(parseHeader(bytes))) ?? {};
    ring?.wipe();
    if (!rootKey || rootKey === this.#rootKey) return;
    if (this.#revision !== revision || !this.#isForeign || this.#closing.signal.aborted)
      return rootKey.wipe();
    this.#rootKey.wipe();
    this.#rootKey = rootKey;
    this.#isForeign = false;
    this.#onNotice('The root key that another instance has put in force was given to this one, too.');
    for (const listener of this.#listeners) listener();
  }

  /** What {@link admit} waits for. */
  get problem(): CofferError | undefined {
    return this.#waiting;
  }

  /**
   * Calls `listener` when the keys are others, whoever changed them.
   *
   * @returns a function that ends it
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get generation(): number {
    return this.#header.generation;
  }

  get format(): number {
    return this.#header.format;
  }

  get operations(): Operations {
    const { operations = [], spent } = this.#header;
    return decodeOperations({ recent: operations, ...(spent !== undefined && { spent }) });
  }

  /** Runs the task when nobody else is changing keys, nor begins to. */
  alone<T>(task: () => Promise<T>): Promise<T> {
    return this.#locks.run('header', task);
  }

  /**
   * Wraps the ring and makes the header durable; only then are the keys in memory those of the change. What the ring or
   * the root key loses is wiped. Call it {@link alone}.
   *
   * @throws CofferError `tampered` if the header on the disk is not the one that is known; as {@link Storage.commit}, and
   *   `conflict` where another instance was faster or this one has not the root key any more
   */
  async commit(change: HeaderChange): Promise<void> {
    const { dataKeys, rootKey = this.#rootKey, operations = this.operations } = change;
    const { format = this.#header.format } = change;
    const { generation, development } = this.#header;
    const expectedRevision = this.#revision;
    if (change.base !== undefined && change.base !== generation) throw overtaken();
    this.#requireKnown();
    const { recent, spent } = encodeOperations(operations);
    const header = {
      format,
      generation: generation + 1,
      development,
      rootKey: rootKey.parameters,
      ...(recent.length > 0 && { operations: recent }),
      ...(spent !== undefined && { spent }),
    };
    const keys = { ring: this.ring, rootKey, storeId: this.#storage.incarnation, dataKeys };
    const bytes = await encodeHeader(header, keys, this.#storage.shared !== undefined);
    this.#offered.add(rootKey);
    const revision = await this.#storage
      .commit({
        head: { key: HEADER_KEY, bytes },
        expectedRevision,
        // Changing a key may be what a danger calls for, and it takes little.
        urgent: !this.isNew,
      })
      .catch((error: unknown) => {
        if (!mayBeTrue(error)) this.#offered.delete(rootKey);
        throw error;
      });
    this.#offered.delete(rootKey);
    if (this.#revision >= revision) {
      // It is a shared store's, and was taken over when it became visible, with a copy of what is new.
      for (const { id, key } of dataKeys ?? []) if (this.ring.dataKey(id)?.key !== key) wipe(key);
      return;
    }
    if (rootKey !== this.#rootKey) this.#rootKey.wipe();
    this.#become({ header, dataKeys: dataKeys ?? this.ring.dataKeys }, rootKey, revision);
  }

  /**
   * Looks at a header that somebody committed to a shared store, before it is visible, and learns its keys, since what comes behind
   * it is under them. Where the root key is another one that this instance has not, it goes on as long as the data keys are the
   * same, and otherwise waits until it is given the root key, which is a {@link problem} meanwhile.
   *
   * @param signal ends the wait
   * @throws the signal's reason; CofferError `tampered`, also for a removed one, which is never the store's own doing; `newer_format`, `stopped`
   */
  async admit({ before, after }: IncomingHead, signal?: AbortSignal): Promise<void> {
    if (!after) throw removed();
    const incoming = parseHeader(after);
    const { ring: _, ...header } = incoming;
    if (before && !follows(incoming, parseHeader(before.bytes))) throw damaged();
    if (header.development !== this.#header.development) throw damaged();
    // What authenticates it belongs to the store for its life, and so it is known before the ring in it is.
    isMoved(incoming, proverOf(this.#storage, this.ring));
    try {
      for (;;) {
        const keys = await this.#open(incoming);
        const dataKeys = keys && (keys.ring ? this.ring.learn(keys.ring) : this.ring.dataKeys);
        if (keys && !dataKeys) throw damaged();
        if (dataKeys) {
          this.#coming = { header, rootKey: keys.rootKey, dataKeys };
          return;
        }
        this.#waiting = closedRing();
        if (this.#told !== header.generation) this.#onNotice(this.#waiting.message);
        this.#told = header.generation;
        await this.#pause(signal);
      }
    } finally {
      this.#waiting = undefined;
    }
  }

  /** Before the root key is looked for again. */
  async #pause(signal: AbortSignal | undefined): Promise<void> {
    const closing = this.#closing.signal;
    const either = signal ? AbortSignal.any([closing, signal]) : closing;
    await delay(ROOT_KEY_RETRY, undefined, { signal: either }).catch((cause: unknown) => {
      if (!closing.aborted) throw signal?.reason;
      throw new CofferError('stopped', 'the server is shutting down', { cause });
    });
  }

  /** Whether a header could be this store's: its ring opens with a root key that is here, or is proven to be the one that is known. */
  async opens(bytes: Uint8Array): Promise<boolean> {
    try {
      const header = parseHeader(bytes);
      const storeId = this.#storage.incarnation;
      isMoved(header, proverOf(this.#storage, this.ring));
      const keys = await this.#open(header);
      if (!keys?.ring) return keys !== undefined;
      const { ring, rootKey } = keys;
      const isOurs = ring.authenticate(storeId).equals(this.ring.authenticate(storeId));
      ring.wipe();
      if (rootKey && rootKey !== this.#rootKey && !this.#offered.has(rootKey)) rootKey.wipe();
      return isOurs;
    } catch {
      return false;
    }
  }

  /** Takes over the header of a shared store as it is now: what {@link admit} let in last. */
  takeOver(): void {
    const stored = this.#storage.get(HEADER_KEY);
    const coming = this.#coming;
    if (!stored || !coming || stored.revision === this.#revision) return;
    this.#coming = undefined;
    const { rootKey = this.#rootKey } = coming;
    if (coming.rootKey === undefined && !this.#isForeign) {
      this.#onNotice(
        `${ROOT_KEY_GONE}. This one goes on with the keys it has, and does not start again without it.`,
      );
    }
    this.#isForeign = coming.rootKey === undefined;
    if (rootKey !== this.#rootKey) this.#rootKey.wipe();
    this.#become(coming, rootKey, stored.revision);
  }

  /** Whoever waits in {@link admit} for a root key is told to stop: the store is to be closed. */
  stopWaiting(): void {
    this.#closing.abort();
  }

  wipe(): void {
    this.stopWaiting();
    this.ring.wipe();
    this.#rootKey.wipe();
  }

  #become({ header, dataKeys }: Coming, rootKey: RootKey, revision: number): void {
    this.#header = header;
    this.#revision = revision;
    this.#rootKey = rootKey;
    this.ring.replaceDataKeys(dataKeys);
    for (const listener of this.#listeners) listener();
  }

  /** A header that somebody changed under us is nothing to go on from. */
  #requireKnown(): void {
    if (this.#isForeign) throw new CofferError('conflict', `${ROOT_KEY_GONE}: change keys there`);
    if (this.isNew) return;
    const stored = this.#storage.get(HEADER_KEY)?.bytes;
    if (!stored) throw damaged();
    requireStore(this.#storage);
    const generation = headerGeneration(stored);
    if (generation === this.#header.generation) return;
    if (!this.#storage.shared || generation < this.#header.generation) throw damaged();
    throw new CofferError('conflict', 'the keys are being changed at another instance: try again');
  }

  /** The ring, where it opens, with the root key that opens it; neither where it is proven to be the one that is known. */
  async #open(header: Header): Promise<{ ring?: KeyRing; rootKey?: RootKey } | undefined> {
    for (const rootKey of [this.#rootKey, ...this.#offered]) {
      const ring = await ringOf(this.#storage.incarnation, header, rootKey);
      if (ring) return { ring, rootKey };
    }
    const found = await this.#find(header).catch(() => undefined);
    const ring = found && (await ringOf(this.#storage.incarnation, header, found.rootKey));
    if (ring) return { ring, rootKey: found.rootKey };
    found?.rootKey.wipe();
    const known = this.ring.proof(associatedData(this.#storage.incarnation, header)).toString('base64');
    return header.proof === known ? {} : undefined;
  }
}

/** A header that is about to be the store's; without a root key where it is not known. */
interface Coming {
  readonly header: Omit<Header, 'ring'>;
  readonly rootKey?: RootKey | undefined;
  readonly dataKeys: readonly DataKey[];
}

/** Where a header lies, and where its root key is looked for. */
interface HeaderPlace {
  readonly storage: Storage;
  readonly spec: RootKeySpec;
  readonly context: RootKeyContext;
}

/**
 * Each change has a generation of its own, but for the move away from a bucket, which changes nothing else. Who moves the store back
 * raises the generation: otherwise the header that says that it was moved could be put there again.
 */
const follows = (next: Header, before: Header): boolean =>
  next.generation > before.generation || (next.generation === before.generation && isMarkOf(next, before));

const proverOf = ({ incarnation, shared }: Storage, ring: KeyRing): MoveProver => ({
  ring,
  storeId: incarnation,
  bucket: shared?.bucket ?? '',
});

/** How often a root key is looked for that was changed elsewhere, in milliseconds. */
const ROOT_KEY_RETRY = 2_000;
const ROOT_KEY_GONE =
  'The root key of this store was changed at another instance: give the new one to this one, as its rootKey says';
const closedRing = () =>
  new CofferError(
    'unavailable',
    `${ROOT_KEY_GONE}, and the data keys, too: nothing newer is read here until it is there. If nobody has changed it, somebody ` +
      'else writes to the bucket: run coffer storage heal',
    {
      forCaller:
        'this instance lacks the root key that another one has put in force, and reads nothing newer until it is given: ask another ' +
        'instance, and tell its operator',
    },
  );

/** A commit that failed so may have come true, or may do so yet. */
export const mayBeTrue = (error: unknown): boolean =>
  !(error instanceof CofferError) || error.code === 'io' || error.code === 'in_doubt';
