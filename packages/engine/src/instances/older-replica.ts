import { join } from 'node:path';

import { CofferError } from '../errors.js';
import { STORE_FOLDER } from '../options.js';
import type { Storage } from '../storage/storage.js';

/**
 * What to say where the header of a store does not open: a replica that was away while the root key was changed still wants the
 * former one, and reads the bucket only after it was opened by that.
 */
export function maybeOlderReplica(error: unknown, { shared }: Storage, stateDir: string): unknown {
  const isReplica = shared !== undefined && !shared.isNewReplica;
  if (!isReplica || !(error instanceof CofferError) || error.code !== 'wrong_root_key') return error;
  return new CofferError(
    'wrong_root_key',
    `${error.message}. If this root key is the store's by now, since it was changed at another instance while this one was away: ` +
      `remove the replica, which is the folder ${join(stateDir, STORE_FOLDER)} and nothing beside it, and start again. It is read ` +
      'anew from the bucket, and nothing is lost that the bucket has; as long as "coffer storage status" tells of an alarm at ' +
      'another instance, keep it for "coffer storage heal", and start with the former root key',
    { cause: error },
  );
}
