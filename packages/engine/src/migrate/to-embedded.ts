import { CofferError } from '../errors.js';
import { HEADER_KEY } from '../keys.js';
import { setMoved } from '../storage/file-kind.js';
import { Replica } from '../storage/jetstream/replica.js';
import type { JetStreamStorage } from '../storage/jetstream/storage.js';
import { LmdbStorage } from '../storage/lmdb.js';
import { caughtUp, openBucketStore } from './bucket-store.js';
import { type Copied, requireSame } from './copy.js';
import { buildEmbedded } from './embedded.js';
import { MoveFolders } from './folders.js';
import { localOptions, type Migrated, type MigrateOptions, noteInLog } from './options.js';
import { openHead, openKeys, proven, type StoreKeys } from './prove.js';

/**
 * Moves a store out of JetStream into the state folder of one of its instances, or of a new one; all others are stopped. The
 * bucket loses the header and is no store any more; its records stay there. An interrupted move goes on when it is called again.
 *
 * Where a move into JetStream was not completed, it is taken back.
 *
 * With `force`, JetStream is not asked: the store is what this instance's replica has, and the bucket stays as it is.
 *
 * @throws CofferError `invalid_argument` if there is nothing to move; `conflict` if other instances run; `store_locked`; as
 *   opening a store
 */
export async function migrateToEmbedded(options: MigrateOptions): Promise<Migrated> {
  const folders = new MoveFolders(options.stateDir);
  const { store, moving } = await folders.kinds();
  if (store === 'moved') return takenBack(folders, options);
  if (store === 'embedded') {
    throw new CofferError('invalid_argument', `the store of ${options.stateDir} is an embedded one already`);
  }
  const where = `the JetStream bucket ${options.jetstream.bucket}`;
  if (store === undefined && moving === 'embedded') {
    await folders.complete();
    await noteInLog(options, `from ${where}`);
    return { kept: undefined };
  }
  const copied = options.force ? await fromReplica(folders, options) : await fromBucket(folders, options);
  const now = options.now?.() ?? new Date();
  const keptLog = await folders.keepLog(now);
  const kept = await folders.swap(now);
  await noteInLog(options, options.force ? `from a replica of ${where}, by force` : `from ${where}`);
  return { copied, kept, keptLog };
}

/** A move into JetStream that did not come true, or of which nobody wants to know any more. */
async function takenBack(folders: MoveFolders, options: MigrateOptions): Promise<Migrated> {
  if (!options.force) {
    const target = await openBucketStore(folders.moving, options);
    try {
      target.shared.follow({ admit: () => undefined });
      await caughtUp(target);
      if (target.get(HEADER_KEY)) {
        throw new CofferError(
          'invalid_argument',
          `the move of ${options.stateDir} came true, and only its end is missing: repeat it with --to jetstream; then the ` +
            'store can be moved back',
        );
      }
    } finally {
      await target.close();
    }
  }
  await setMoved(folders.store, false);
  await folders.removeMoving();
  await noteInLog(options, `not to the JetStream bucket ${options.jetstream.bucket}: taken back`);
  return { kept: undefined };
}

async function fromBucket(folders: MoveFolders, options: MigrateOptions): Promise<Copied> {
  const storage = await openBucketStore(folders.store, options);
  try {
    const header = storage.get(HEADER_KEY);
    if (!header) {
      storage.shared.follow({ admit: () => undefined });
      return await frozenBefore(storage, folders, options);
    }
    const keys = await openKeys(header.bytes, storage.incarnation, options);
    try {
      storage.summarise(proven(storage, storage.summary, keys));
      await storage.refreshSummary();
      storage.shared.follow({
        admit: (heads) => {
          for (const { key, after } of heads) if (after) openHead(key, after, keys.sealer);
        },
      });
      await caughtUp(storage);
      if (!storage.get(HEADER_KEY)) return await frozenBefore(storage, folders, options);
      await requireAlone(storage);
      return await copyAndFreeze(storage, folders, keys, options);
    } finally {
      keys.ring.wipe();
    }
  } finally {
    await storage.close();
  }
}

/** The header goes when all is copied: what is committed from then on, by whomever, is refused. */
async function copyAndFreeze(
  storage: JetStreamStorage,
  folders: MoveFolders,
  keys: StoreKeys,
  options: MigrateOptions,
): Promise<Copied> {
  await folders.removeMoving();
  const sequence = Math.max(storage.sequence, storage.shared.health.replicaSequence);
  const snapshot = storage.snapshot();
  const header = storage.get(HEADER_KEY);
  try {
    if (!header) throw changedMeanwhile();
    const copied = await buildEmbedded(
      folders.moving,
      snapshot,
      storage.incarnation,
      sequence,
      keys,
      options,
    );
    await storage.commit({
      head: { key: HEADER_KEY, bytes: undefined },
      expectedRevision: header.revision,
    });
    try {
      requireSame(snapshot, storage, HEADER_KEY);
    } catch {
      await storage.commit({ head: { key: HEADER_KEY, bytes: header.bytes }, expectedRevision: 0 });
      throw changedMeanwhile();
    }
    return copied;
  } finally {
    snapshot.close();
  }
}

/** An attempt before this one has taken the header out of the bucket: its copy is whole. */
async function frozenBefore(
  storage: JetStreamStorage,
  folders: MoveFolders,
  options: MigrateOptions,
): Promise<Copied> {
  await caughtUp(storage);
  const { moving } = await folders.kinds();
  if (moving !== 'embedded' || storage.get(HEADER_KEY)) throw noStore(options);
  const copy = await LmdbStorage.open(folders.moving, localOptions(options));
  try {
    return requireSame(copy, storage, HEADER_KEY);
  } finally {
    await copy.close();
  }
}

async function fromReplica(folders: MoveFolders, options: MigrateOptions): Promise<Copied> {
  const replica = await Replica.open(folders.store, localOptions(options));
  try {
    const { origin } = replica;
    const header = replica.get(HEADER_KEY);
    if (!origin || !header) throw noStore(options);
    const keys = await openKeys(header.bytes, origin.incarnation, options);
    try {
      replica.summarise(proven(replica, replica.summary, keys));
      await replica.refreshSummary();
      await folders.removeMoving();
      const sequence = Math.max(replica.sequence, replica.position);
      const snapshot = replica.snapshot();
      return await buildEmbedded(folders.moving, snapshot, origin.incarnation, sequence, keys, options);
    } finally {
      keys.ring.wipe();
    }
  } finally {
    await replica.close();
  }
}

/** @throws CofferError `conflict` */
async function requireAlone({ shared }: JetStreamStorage): Promise<void> {
  const { members } = await shared.status();
  const others = members.filter(({ instance, alive }) => alive && instance !== shared.instance);
  if (others.length === 0) return;
  throw new CofferError(
    'conflict',
    `other instances serve this store: ${others.map(({ name }) => name).join(', ')}. Stop them, then try again`,
  );
}

const changedMeanwhile = () =>
  new CofferError(
    'conflict',
    'the store was changed while it was copied: stop all of its instances, then try again; it is where it was',
  );

const noStore = ({ stateDir, jetstream }: MigrateOptions) =>
  new CofferError(
    'invalid_argument',
    `neither ${stateDir} nor the bucket ${jetstream.bucket} holds a store that could be moved`,
  );
