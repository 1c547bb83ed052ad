import { isRootKeyParameters, type RootKeyParameters } from '../crypto/root-key.js';
import { CofferError } from '../errors.js';
import { HEADER_KEY } from '../keys.js';
import type { OperationJson } from '../operations-json.js';

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
  /**
   * In a shared store {@link KeyRing.proof}, base64: who has the ring, and not the root key that wraps it now, sees that it is the
   * same. A reader need not know it.
   */
  readonly proof?: string;
  /** In a bucket from which the store was moved away: the proof of that, base64, see `moved.ts`. Not bound to the ring. */
  readonly moved?: string;
  /** The key ring under the root key, base64. */
  readonly ring: string;
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
    (header.moved === undefined || typeof header.moved === 'string') &&
    typeof header.ring === 'string';
  if (!whole) throw damaged();
  return header;
}

/** The generation that a header states, for the digest over heads. */
export const headerGeneration = (bytes: Uint8Array): number => parseHeader(bytes).generation;

export const damaged = (cause?: unknown) =>
  new CofferError(
    'tampered',
    `the store's header (record ${HEADER_KEY.toString('hex')}) is damaged: restore the store from a backup`,
    { cause },
  );

/** Of a shared store's: a move says that it is one. */
export const removed = () =>
  new CofferError(
    'tampered',
    "the store's header was removed from the bucket, and not by a move: who has done so is none of its instances",
  );

/** In the first stores there were no operations, and then none that are spent; without any the data is as it was there. */
export function associatedData(
  storeId: Uint8Array,
  { format, generation, development, rootKey, operations, spent }: Omit<Header, 'ring'>,
): Buffer {
  const memory = spent === undefined ? [operations] : [operations ?? [], spent];
  const fields = [format, generation, development, rootKey, ...memory.filter((part) => part !== undefined)];
  return Buffer.concat([DOMAIN, storeId, Buffer.from(JSON.stringify(fields))]);
}
