import type { RootKeyContext, RootKeySpec } from '../crypto/root-key-spec.js';
import { CofferError } from '../errors.js';
import { headerGeneration } from '../header/format.js';
import { type OpenedKeys, unwrap } from '../header/wrapping.js';
import { HEADER_KEY } from '../keys.js';
import type { Storage } from '../storage/storage.js';

/** A header in a replica that the root key does not open, and by what it was tried. */
export interface ClosedReplica {
  readonly storage: Storage;
  readonly header: Uint8Array;
  readonly spec: RootKeySpec;
  readonly context: RootKeyContext;
}

/**
 * The keys of a replica that was away while the root key was changed at another instance: by the header that the bucket has since,
 * which has all of the ring that any member may still need.
 *
 * @param error why the header in the replica does not open
 * @throws CofferError the error, with what to do where the bucket could not be asked
 */
export async function keysByBucket(
  error: unknown,
  { storage, header, spec, context }: ClosedReplica,
): Promise<OpenedKeys> {
  const { shared, incarnation } = storage;
  const isReplica = shared !== undefined && !shared.isNewReplica;
  if (!isReplica || !(error instanceof CofferError) || error.code !== 'wrong_root_key') throw error;
  const newest = await shared.newest(HEADER_KEY).catch((cause: Error) => {
    throw new CofferError(
      'wrong_root_key',
      `${error.message}. If this root key is the store's by now, since it was changed at another instance while this one was away: ` +
        `start this one when the bucket can be read, which says so (${cause.message})`,
      { cause: error },
    );
  });
  if (!newest || generationOf(newest) <= headerGeneration(header)) throw error;
  const keys = await unwrap(incarnation, newest, spec, context).catch(() => undefined);
  if (!keys) throw error;
  context.onNotice(
    'The root key of this store was changed at another instance while this one was away: this one goes on with the new one.',
  );
  return keys;
}

/** What is no header is older than any. */
function generationOf(header: Uint8Array): number {
  try {
    return headerGeneration(header);
  } catch {
    return -1;
  }
}
