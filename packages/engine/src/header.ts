import { type DataKey, KeyRing } from './crypto/key-ring.js';
import {
  createRootKey,
  type FoundRootKey,
  findRootKey,
  idOf,
  isRootKeyParameters,
  type RootKey,
  type RootKeyParameters,
} from './crypto/root-key.js';
import type { RootKeyContext, RootKeySpec } from './crypto/root-key-spec.js';
import { wipe } from './crypto/secure-memory.js';
import { CofferError } from './errors.js';
import { HEADER_KEY } from './keys.js';
import { Locks } from './locks.js';
import { isRecent, type Operations } from './operations.js';
import { decodeOperations, encodeOperations, type OperationJson } from './operations-json.js';
import type { Storage } from './storage/storage.js';

/** The layout of all records of the engine's, see `upgrade.ts`. A store with a higher number is refused. */
export const STORE_FORMAT = 4;
const DOMAIN = Buffer.from('coffer-key-ring-v1\0');

/**
 * The only record in clear: what must be known before any key is. All of its other fields are bound to the wrapped ring, so
 * that a development store cannot be made to look like another.
 */
export interface Header {
  readonly format: number;
  /** Grows with every change of the header. */
  readonly generation: number;
  readonly development: boolean;
  readonly rootKey: RootKeyParameters;
  /** The last changes of keys, as heads remember theirs; left out where there are none. */
  readonly operations?: readonly OperationJson[];
  /** Those of them that are forgotten and still count once; since format 3, and left out where there are none. */
  readonly spent?: string;
  /** The key ring under the root key, base64. */
  readonly ring: string;
}

/** What of a header is to be another; the rest stays. */
export interface HeaderChange {
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
  readonly #locks = new Locks();
  #rootKey: RootKey;
  #header: Omit<Header, 'ring'>;
  #revision: number;

  private constructor(
    storage: Storage,
    keys: { ring: KeyRing; rootKey: RootKey },
    header: Omit<Header, 'ring'>,
    revision: number,
  ) {
    this.#storage = storage;
    this.ring = keys.ring;
    this.#rootKey = keys.rootKey;
    this.#header = header;
    this.#revision = revision;
  }

  /**
   * Opens the header of a store; of an empty store makes one, which the first {@link commit} writes.
   *
   * @throws CofferError `newer_format`, `development_store`, `tampered`, `no_root_key`, `wrong_root_key`, `insecure_root_key`
   */
  static async open(storage: Storage, spec: RootKeySpec, context: RootKeyContext): Promise<StoreHeader> {
    const stored = storage.get(HEADER_KEY);
    if (stored) {
      const { ring: _, ...header } = parseHeader(stored.bytes);
      const keys = await unwrap(storage.incarnation, stored.bytes, spec, context);
      await keys.finish?.();
      return new StoreHeader(storage, keys, header, stored.revision);
    }
    for (const _record of storage.scan(Buffer.alloc(0))) {
      throw new CofferError(
        'tampered',
        "the store's header is gone while its records are there: restore it from a backup",
      );
    }
    const rootKey = await createRootKey(spec, context);
    const ring = KeyRing.create(context.now?.() ?? new Date());
    const { development } = context;
    const header = { format: STORE_FORMAT, generation: 0, development, rootKey: rootKey.parameters };
    return new StoreHeader(storage, { ring, rootKey }, header, 0);
  }

  /** The store is empty, and its header not yet written. */
  get isNew(): boolean {
    return this.#revision === 0;
  }

  get rootKey(): RootKey {
    return this.#rootKey;
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

  /** Tells whether a principal's operation came true, for the recovery after a crash. */
  remembers(operation: string, principal: string): boolean {
    return isRecent(this.operations, operation, principal);
  }

  /** Runs the task when nobody else is changing keys, nor begins to. */
  alone<T>(task: () => Promise<T>): Promise<T> {
    return this.#locks.run('header', task);
  }

  /**
   * Wraps the ring and makes the header durable; only then are the keys in memory those of the change. What the ring or
   * the root key loses is wiped. Call it {@link alone}.
   *
   * @throws CofferError `tampered` if the header on the disk is not the one that is known; as {@link Storage.commit}
   */
  async commit(change: HeaderChange): Promise<void> {
    const { dataKeys, rootKey = this.#rootKey, operations = this.operations } = change;
    const { format = this.#header.format } = change;
    const { generation, development } = this.#header;
    // A header that somebody changed under us is nothing to go on from.
    const stored = this.#storage.get(HEADER_KEY)?.bytes;
    if (!this.isNew && (!stored || headerGeneration(stored) !== generation)) throw damaged();
    const { recent, spent } = encodeOperations(operations);
    const header = {
      format,
      generation: generation + 1,
      development,
      rootKey: rootKey.parameters,
      ...(recent.length > 0 && { operations: recent }),
      ...(spent !== undefined && { spent }),
    };
    const ring = this.ring.toBytes(dataKeys);
    const wrapped = await wrapSurely(
      rootKey,
      ring,
      associatedData(this.#storage.incarnation, header),
    ).finally(() => wipe(ring));
    const bytes = Buffer.from(JSON.stringify({ ...header, ring: wrapped.toString('base64') }));
    this.#revision = await this.#storage.commit({
      head: { key: HEADER_KEY, bytes },
      expectedRevision: this.#revision,
      // Changing a key may be what a danger calls for, and it takes little.
      urgent: !this.isNew,
    });
    this.#header = header;
    if (dataKeys) this.ring.replaceDataKeys(dataKeys);
    if (rootKey !== this.#rootKey) this.#rootKey.wipe();
    this.#rootKey = rootKey;
  }

  wipe(): void {
    this.ring.wipe();
    this.#rootKey.wipe();
  }
}

/** What is wrapped must open again before it takes the place of what does: everything hangs on it. */
async function wrapSurely(rootKey: RootKey, ring: Buffer, associatedData: Buffer): Promise<Buffer> {
  const wrapped = await rootKey.wrap(ring, associatedData);
  const opened = await rootKey.unwrap(wrapped, associatedData);
  const same = opened?.equals(ring);
  if (opened) wipe(opened);
  if (same) return wrapped;
  throw new CofferError(
    'io',
    'the key ring does not open under the root key that sealed it; nothing was changed',
  );
}

async function unwrap(
  storeId: Uint8Array,
  record: Uint8Array,
  spec: RootKeySpec,
  context: RootKeyContext,
): Promise<{ ring: KeyRing; rootKey: RootKey; finish: FoundRootKey['finish'] }> {
  const header = parseHeader(record);
  if (header.development !== context.development) {
    throw new CofferError(
      'development_store',
      header.development
        ? `${context.stateDir} holds a development store, whose root key was never kept apart: give this server another ` +
            '--state-dir, and put the secrets anew'
        : `${context.stateDir} holds a production store: a development server, where everybody has every right, does not open it`,
    );
  }
  const { rootKey, finish, hint } = await findRootKey(spec, header.rootKey, context);
  const ring = await ringOf(storeId, header, rootKey);
  if (!ring) {
    rootKey.wipe();
    throw wrongRootKey(header.rootKey, rootKey.id, hint);
  }
  return { ring, rootKey, finish };
}

/**
 * The ring of a store that is only looked at: nothing that a crash left open is finished.
 *
 * @throws CofferError as {@link StoreHeader.open}
 */
export async function lookAtRing(
  storeId: Uint8Array,
  record: Uint8Array,
  spec: RootKeySpec,
  context: RootKeyContext,
): Promise<KeyRing> {
  const { ring, rootKey } = await unwrap(storeId, record, spec, context);
  rootKey.wipe();
  return ring;
}

/** The ring in a header, of a store or of a backup; undefined if another root key wrapped it, or if it was changed since. */
export async function ringOf(
  storeId: Uint8Array,
  header: Header,
  rootKey: RootKey,
): Promise<KeyRing | undefined> {
  const bytes = await rootKey.unwrap(Buffer.from(header.ring, 'base64'), associatedData(storeId, header));
  const ring = bytes && KeyRing.fromBytes(bytes);
  if (bytes) wipe(bytes);
  return ring;
}

function wrongRootKey(wanted: RootKeyParameters, found: string | undefined, hint?: string): CofferError {
  const record = `record ${HEADER_KEY.toString('hex')}`;
  const id = idOf(wanted);
  const known = id !== undefined && found !== undefined && id !== found;
  if (!known) {
    return new CofferError(
      'wrong_root_key',
      `the root key does not open this store (${record}): it is another store's key or passphrase, or the record was damaged`,
    );
  }
  return new CofferError(
    'wrong_root_key',
    `the root key does not open this store (${record}): it is ${found}, and since ${wanted.since} the store's is ` +
      `${id}; ${hint ? `that one is kept in ${hint}` : `find the ${wanted.kind === 'file' ? 'file with that key' : 'xkey seed of that key'}`}, ` +
      'and name it with --root-key, or as rootKey in the configuration',
  );
}

/** @throws CofferError `newer_format`, `tampered` */
export function parseHeader(bytes: Uint8Array): Header {
  let header: Header;
  try {
    header = JSON.parse(Buffer.from(bytes).toString()) as Header;
  } catch (cause) {
    throw damaged(cause);
  }
  if (typeof header !== 'object' || header === null || !Number.isInteger(header.format)) throw damaged();
  if (header.format > STORE_FORMAT) {
    throw new CofferError(
      'newer_format',
      `the store has format ${header.format} and this coffer reads up to ${STORE_FORMAT}: start it with a newer coffer`,
    );
  }
  const whole =
    Number.isSafeInteger(header.generation) &&
    typeof header.development === 'boolean' &&
    isRootKeyParameters(header.rootKey) &&
    (header.operations === undefined || Array.isArray(header.operations)) &&
    (header.spent === undefined || typeof header.spent === 'string') &&
    typeof header.ring === 'string';
  if (!whole) throw damaged();
  return header;
}

/** The generation that a header states, for the digest over heads. */
export const headerGeneration = (bytes: Uint8Array): number => parseHeader(bytes).generation;

const damaged = (cause?: unknown) =>
  new CofferError(
    'tampered',
    `the store's header (record ${HEADER_KEY.toString('hex')}) is damaged: restore the store from a backup`,
    { cause },
  );

/** In the first stores there were no operations, and then none that are spent; without any the data is as it was there. */
function associatedData(
  storeId: Uint8Array,
  { format, generation, development, rootKey, operations, spent }: Omit<Header, 'ring'>,
): Buffer {
  const memory = spent === undefined ? [operations] : [operations ?? [], spent];
  const fields = [format, generation, development, rootKey, ...memory.filter((part) => part !== undefined)];
  return Buffer.concat([DOMAIN, storeId, Buffer.from(JSON.stringify(fields))]);
}
