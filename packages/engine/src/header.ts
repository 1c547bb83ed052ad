import { KeyRing } from './crypto/key-ring.js';
import {
  createRootKey,
  findRootKey,
  isRootKeyParameters,
  type RootKeyParameters,
} from './crypto/root-key.js';
import type { RootKeyContext, RootKeySpec } from './crypto/root-key-spec.js';
import { wipe } from './crypto/secure-memory.js';
import { CofferError } from './errors.js';
import { HEADER_KEY } from './keys.js';
import type { Storage } from './storage/storage.js';

/** The layout of all records of the engine's. A store with a higher number is refused. */
const STORE_FORMAT = 1;
const DOMAIN = Buffer.from('coffer-key-ring-v1\0');

/**
 * The only record in clear: what must be known before any key is. Its first four fields are bound to the wrapped ring, so
 * that a development store cannot be made to look like another.
 */
interface Header {
  readonly format: number;
  /** Grows with every change of the header. */
  readonly generation: number;
  readonly development: boolean;
  readonly rootKey: RootKeyParameters;
  /** The key ring under the root key, base64. */
  readonly ring: string;
}

/** The ring of the store's keys, from its header or, in an empty store, made for it; not yet written then. */
export async function openRing(
  storage: Storage,
  spec: RootKeySpec,
  context: RootKeyContext,
): Promise<{ ring: KeyRing; newHeader: Buffer | undefined }> {
  const stored = storage.get(HEADER_KEY);
  if (stored) {
    return { ring: await openHeader(storage.incarnation, stored.bytes, spec, context), newHeader: undefined };
  }
  for (const _record of storage.scan(Buffer.alloc(0))) {
    throw new CofferError(
      'tampered',
      "the store's header is gone while its records are there: restore it from a backup",
    );
  }
  const rootKey = await createRootKey(spec, context);
  try {
    const ring = KeyRing.create(new Date());
    const header = {
      format: STORE_FORMAT,
      generation: 1,
      development: context.development,
      rootKey: rootKey.parameters,
    };
    const bytes = ring.toBytes();
    const wrapped = await rootKey.wrap(bytes, associatedData(storage.incarnation, header));
    wipe(bytes);
    return { ring, newHeader: Buffer.from(JSON.stringify({ ...header, ring: wrapped.toString('base64') })) };
  } finally {
    rootKey.wipe();
  }
}

/**
 * The ring that a header record holds, of a store or of a backup.
 *
 * @throws CofferError `development_store`, `newer_format`, `tampered`, and for the root key `no_root_key`, `wrong_root_key`,
 *   `insecure_root_key`
 */
export async function openHeader(
  storeId: Uint8Array,
  record: Uint8Array,
  spec: RootKeySpec,
  context: RootKeyContext,
): Promise<KeyRing> {
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
  const rootKey = await findRootKey(spec, header.rootKey, context);
  const bytes = await rootKey
    .unwrap(Buffer.from(header.ring, 'base64'), associatedData(storeId, header))
    .finally(() => rootKey.wipe());
  const ring = bytes && KeyRing.fromBytes(bytes);
  if (bytes) wipe(bytes);
  if (!ring) {
    throw new CofferError(
      'wrong_root_key',
      `the root key does not open this store (record ${HEADER_KEY.toString('hex')}): it is another store's key or ` +
        'passphrase, or the record was damaged',
    );
  }
  return ring;
}

function parseHeader(bytes: Uint8Array): Header {
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

function associatedData(
  storeId: Uint8Array,
  { format, generation, development, rootKey }: Omit<Header, 'ring'>,
): Buffer {
  return Buffer.concat([
    DOMAIN,
    storeId,
    Buffer.from(JSON.stringify([format, generation, development, rootKey])),
  ]);
}
