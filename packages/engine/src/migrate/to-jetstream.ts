import { CofferError } from '../errors.js';
import { parseHeader } from '../header/format.js';
import { isMoved, movedIn } from '../header/moved.js';
import { HEADER_KEY } from '../keys.js';
import { setMoved } from '../storage/file-kind.js';
import { Replica } from '../storage/jetstream/replica.js';
import { LmdbStorage } from '../storage/lmdb.js';
import type { Storage } from '../storage/storage.js';
import { lookAtBucket } from './bucket-look.js';
import { caughtUp, openBucketStore, patiently } from './bucket-store.js';
import { type Copied, copyRecords, isSame, requireSame } from './copy.js';
import { MoveFolders } from './folders.js';
import { localOptions, type Migrated, type MigrateOptions, noteInLog } from './options.js';
import { openKeys, proven, type StoreKeys, takingAll, wipeKeys } from './prove.js';

/**
 * Moves the embedded store of a state folder into a JetStream bucket, which is made, or is empty. The state folder then has this
 * instance's replica of it; the embedded store is kept beside, and opens no more.
 *
 * Until every record was read back the bucket has no header, or that of a store that was moved away, and is no store. Killed at any moment, it goes on when it is called
 * again; what fails before the header is there leaves the embedded store as it was, but for the generation of its header.
 *
 * @throws CofferError `invalid_argument` if there is no embedded store, or another one in the bucket; `store_locked` while a server
 *   runs; as opening a store, and as committing to it
 */
export async function migrateToJetStream(options: MigrateOptions): Promise<Migrated> {
  const folders = new MoveFolders(options.stateDir);
  const { store, moving } = await folders.kinds();
  if (store === undefined && moving === 'replica') return swapped(folders, options);
  // It is the store, which the bucket says was moved away before the copy takes its place.
  if (store !== 'embedded' && store !== 'moved' && moving === 'embedded') throw interruptedOut(options);
  if (store === undefined) throw noStore(options);
  if (store === 'replica') {
    await folders.removeMoving();
    throw new CofferError(
      'invalid_argument',
      `the store of ${options.stateDir} is in JetStream already: its folder holds a replica`,
    );
  }
  const isResumed = store === 'moved';
  if (!isResumed) {
    await noteInLog(options, `to the JetStream bucket ${options.jetstream.bucket}`);
    await folders.removeMoving();
    await setMoved(folders.store, true);
  }
  const source = await LmdbStorage.open(folders.store, localOptions(options), 'moved');
  let mayBeThere = isResumed;
  try {
    const header = source.get(HEADER_KEY);
    if (!header) throw noStore(options);
    const keys = await openKeys(header.bytes, source.incarnation, options);
    try {
      source.summarise(await proven(source, source.summary, keys));
      const copied = await copy(source, keys, folders, options, {
        isResumed,
        beforeHeader: () => {
          mayBeThere = true;
        },
      });
      await finishReplica(source, keys, folders, options, copied.livedOn);
      await source.close();
      return await swapped(folders, options, copied);
    } finally {
      wipeKeys(keys);
    }
  } catch (error) {
    await source.close();
    if (!mayBeThere) {
      await setMoved(folders.store, false);
      await folders.removeMoving();
    }
    throw error;
  }
}

interface Move extends Copied {
  /** It was complete before, and was changed since. */
  readonly livedOn: boolean;
}

/** All records, and when they are there the header. */
async function copy(
  source: Storage,
  keys: StoreKeys,
  folders: MoveFolders,
  options: MigrateOptions,
  { isResumed, beforeHeader }: { isResumed: boolean; beforeHeader: () => void },
): Promise<Move> {
  const { onProgress = () => undefined } = options;
  await requirePlace(source.incarnation, options, isResumed);
  await forgetSummary(folders.moving, options);
  const target = await openBucketStore(folders.moving, options, source.incarnation);
  try {
    // Nor may another store's epochs be judged by these keys: that would raise the alarm there.
    if (!Buffer.from(target.incarnation).equals(source.incarnation)) throw otherStore(options);
    target.shared.follow(takingAll(() => keys));
    await caughtUp(target);
    const found = target.get(HEADER_KEY);
    // It may have been there before.
    const wasMoved =
      found &&
      isMoved(parseHeader(found.bytes), {
        ring: keys.ring,
        storeId: source.incarnation,
        bucket: options.jetstream.bucket,
      });
    if (found && !wasMoved) {
      if (!isResumed) throw otherStore(options);
      if (!(await isSame(source, target))) return { records: 0, bytes: 0, livedOn: true };
    } else {
      const header = await raiseHeader(source, found?.bytes, keys);
      await patiently(() => copyRecords(source, target, (records) => onProgress({ step: 'copy', records })));
      await requireSame(source, target, HEADER_KEY);
      beforeHeader();
      const expectedRevision = found?.revision ?? 0;
      await patiently(() => target.commit({ head: { key: HEADER_KEY, bytes: header }, expectedRevision }));
    }
    return { ...(await requireSame(source, target)), livedOn: false };
  } finally {
    await target.close();
  }
}

/** @returns the header that the bucket is to have, which the embedded store has from then on as well */
async function raiseHeader(
  source: Storage,
  found: Uint8Array | undefined,
  keys: StoreKeys,
): Promise<Uint8Array> {
  const { bytes: own, revision } = source.get(HEADER_KEY) ?? { bytes: Buffer.alloc(0), revision: 0 };
  const bytes = await movedIn(own, found, { ...keys, storeId: source.incarnation });
  await source.commit({ head: { key: HEADER_KEY, bytes }, expectedRevision: revision });
  return bytes;
}

/**
 * Who opens a bucket becomes a member of the store in it, for whom all others wait: so it is looked first whether the bucket may be
 * opened at all.
 *
 * @throws CofferError `invalid_argument` if there is another store, or if this one is served there already
 */
async function requirePlace(
  incarnation: Uint8Array,
  options: MigrateOptions,
  isResumed: boolean,
): Promise<void> {
  await lookAtBucket(options, async (found) => {
    if (!found) return;
    const isSame = Buffer.from(incarnation).equals(found.incarnation);
    if (!isSame || (found.isServed && !isResumed)) throw otherStore(options);
  });
}

/** A replica that was finished takes nothing over from the stream without its keys: it is read anew. */
async function forgetSummary(folder: string, options: MigrateOptions): Promise<void> {
  const replica = await Replica.open(folder, localOptions(options));
  try {
    if (replica.summary) await replica.clear();
  } finally {
    await replica.close();
  }
}

/**
 * What the embedded store knew of its heads and of its audit log, the replica knows too, and it counts on where that stopped: a
 * log that tells of more would find the store put back.
 */
async function finishReplica(
  source: Storage,
  keys: StoreKeys,
  folders: MoveFolders,
  options: MigrateOptions,
  livedOn: boolean,
): Promise<void> {
  // Others have changed it since: this instance reads it anew.
  if (livedOn) await folders.removeMoving();
  const replica = await Replica.open(folders.moving, localOptions(options));
  try {
    await replica.advance(source.sequence);
    if (livedOn) return;
    replica.summarise(await proven(replica, source.summary, keys));
    await replica.refreshSummary();
  } finally {
    await replica.close();
  }
}

async function swapped(folders: MoveFolders, options: MigrateOptions, copied?: Move): Promise<Migrated> {
  const now = options.now?.() ?? new Date();
  const kept = copied ? await folders.swap(now) : await folders.complete().then(() => undefined);
  return {
    kept,
    ...(copied && !copied.livedOn && { copied: { records: copied.records, bytes: copied.bytes } }),
  };
}

const noStore = ({ stateDir }: MigrateOptions) =>
  new CofferError('invalid_argument', `there is no store in ${stateDir}: nothing to move`);

const interruptedOut = ({ stateDir }: MigrateOptions) =>
  new CofferError(
    'invalid_argument',
    `the move of ${stateDir} out of JetStream was interrupted: repeat it with --to embedded; then the store can be moved back. ` +
      'Nothing was changed',
  );

const otherStore = ({ jetstream }: MigrateOptions) =>
  new CofferError(
    'invalid_argument',
    `the bucket ${jetstream.bucket} holds a store already: name another bucket, which is made. If it is this store, which was moved ` +
      'there before, serve it from there; nothing was changed',
  );
