import { type DataKey, KeyRing } from '../crypto/key-ring.js';
import {
  type FoundRootKey,
  findRootKey,
  idOf,
  type RootKey,
  type RootKeyParameters,
} from '../crypto/root-key.js';
import type { RootKeyContext, RootKeySpec } from '../crypto/root-key-spec.js';
import { wipe } from '../crypto/secure-memory.js';
import { CofferError } from '../errors.js';
import { associatedData, type Header, parseHeader } from './format.js';

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

/** A ring, and the root key that opened it. */
export interface OpenedKeys {
  readonly ring: KeyRing;
  readonly rootKey: RootKey;
  readonly finish: FoundRootKey['finish'];
}

/** The ring in the header of a store, with the root key that wraps it. Errors as `StoreHeader.open`. */
export async function unwrap(
  storeId: Uint8Array,
  record: Uint8Array,
  spec: RootKeySpec,
  context: RootKeyContext,
): Promise<OpenedKeys> {
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

/** What a header is made of, beside what it says. */
export interface HeaderKeys {
  readonly ring: KeyRing;
  readonly rootKey: RootKey;
  readonly storeId: Uint8Array;
  /** Others than those of the ring, which are to be. */
  readonly dataKeys?: readonly DataKey[] | undefined;
}

/**
 * A header as bytes, with the ring wrapped for it.
 *
 * @param isShared whether it is to say what who has the ring, and not the root key, knows it by
 * @throws CofferError `io`
 */
export async function encodeHeader(
  header: Omit<Header, 'ring' | 'proof' | 'moved'>,
  { ring, rootKey, storeId, dataKeys }: HeaderKeys,
  isShared: boolean,
): Promise<Buffer> {
  const bound = associatedData(storeId, header);
  const bytes = ring.toBytes(dataKeys);
  const proof = isShared && ring.proof(bound, dataKeys).toString('base64');
  const wrapped = await wrapSurely(rootKey, bytes, bound).finally(() => wipe(bytes));
  return Buffer.from(
    JSON.stringify({ ...header, ...(proof && { proof }), ring: wrapped.toString('base64') }),
  );
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
  const id = idOf(wanted);
  const known = id !== undefined && found !== undefined && id !== found;
  if (!known) {
    return new CofferError(
      'wrong_root_key',
      `the root key does not open this store: it is another store's key or passphrase, or the store's header was damaged. Of a store ` +
        'that several instances share, the root key may have been changed at another one: give this one the new one',
    );
  }
  return new CofferError(
    'wrong_root_key',
    `the root key does not open this store: it is ${found}, and since ${wanted.since} the store's is ` +
      `${id}; ${hint ? `that one is kept in ${hint}` : `find the ${wanted.kind === 'file' ? 'file with that key' : 'xkey seed of that key'}`}, ` +
      'and name it with --root-key, or as rootKey in the configuration. Of a store that several instances share, it was changed ' +
      'at another one: give this one the same',
  );
}
