import { setTimeout as wait } from 'node:timers/promises';
import { CofferError } from '../errors.js';
import { parseHeader } from '../header/format.js';
import { isMoved, markMoved, movedIn, saysMoved, withoutMark } from '../header/moved.js';
import { HEADER_KEY } from '../keys.js';
import { setMoved } from '../storage/file-kind.js';
import { HEADER, Layout } from '../storage/jetstream/layout.js';
import { managerOf } from '../storage/jetstream/manager.js';
import { headsPrint, sealedMark } from '../storage/jetstream/mark.js';
import { isPrintOf, MessageSeal } from '../storage/jetstream/message-seal.js';
import { Replica } from '../storage/jetstream/replica.js';
import type { JetStreamStorage } from '../storage/jetstream/storage.js';
import { LmdbStorage } from '../storage/lmdb.js';
import type { StoredRecord } from '../storage/storage.js';
import { type FoundMember, type FoundStore, lookAtBucket } from './bucket-look.js';
import { caughtUp, openBucketStore, patiently } from './bucket-store.js';
import type { Records } from './compare.js';
import { type Copied, isSame, requireSame } from './copy.js';
import { buildEmbedded } from './embedded.js';
import { MoveFolders } from './folders.js';
import { localOptions, type Migrated, type MigrateOptions, noteInLog } from './options.js';
import { openKeys, proven, type StoreKeys, takingAll, wipeKeys } from './prove.js';

/** An instance says every ten seconds that it is there. */
const OTHERS_MS = 12_000;
/** Who has said nothing for so long is not there any more. */
const RECENT_MS = 35_000;
const LOOK_MS = 500;

/**
 * Moves a store out of JetStream into the state folder of one of its instances, or of a new one; all others are stopped. The
 * bucket's header says then that the store is elsewhere, and all records stay there. An interrupted move goes on when it is called
 * again.
 *
 * Where a move into JetStream was not completed, it is taken back.
 *
 * With `force`, JetStream is not asked: the store is what this instance's replica has, and the bucket stays as it is. So is
 * recovered, too, what was moved to a place that is lost.
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
  // The bucket tells whether the copy was complete, if it can be asked.
  if (store === undefined && moving === 'embedded' && options.force) {
    await folders.complete();
    await noteInLog(options, `from ${where}`);
    return { kept: undefined };
  }
  if (options.force) await requireUnserved(folders, options);
  const copied = options.force ? await fromReplica(folders, options) : await fromBucket(folders, options);
  const now = options.now?.() ?? new Date();
  const keptLog = await folders.keepLog(now);
  const kept = await folders.swap(now);
  await noteInLog(options, options.force ? `from a replica of ${where}, by force` : `from ${where}`);
  return { copied, kept, keptLog };
}

/**
 * What is taken by force is a second store where the first one lives on: so nobody else may be heard of in the bucket, if that can be
 * looked at.
 *
 * @throws CofferError `conflict`
 */
async function requireUnserved(folders: MoveFolders, options: MigrateOptions): Promise<void> {
  const replica = await Replica.open(folders.store, localOptions(options));
  const { instance, origin } = replica;
  await replica.close();
  const { jetstream, onNotice } = options;
  await lookAtBucket(options, async (found) => {
    if (!origin || !found?.isServed || !Buffer.from(origin.incarnation).equals(found.incarnation)) return;
    const before = await found.members();
    const others = [...before].filter(([id]) => id !== instance);
    if (others.length === 0) return;
    const names = others.map(([, { name }]) => name).join(', ');
    onNotice?.(`The bucket ${jetstream.bucket} is there: listening whether others serve it (${names}).`);
    const heard = await heardOf(found, before, instance, options);
    if (heard !== undefined) throw served(heard, options);
  }).catch((error: unknown) => {
    // A bucket that is lost, or damaged, is what force is for.
    if (error instanceof CofferError && error.code === 'conflict') throw error;
  });
}

/**
 * Listens for as long as one that lives needs to speak. Whatever is said counts: also that somebody has ended, which may be of before, and
 * put there again.
 *
 * @returns the names of others that said something since; undefined if nobody did
 */
async function heardOf(
  found: FoundStore,
  before: ReadonlyMap<string, FoundMember>,
  own: string,
  { othersMs = OTHERS_MS }: MigrateOptions,
): Promise<string | undefined> {
  for (const end = performance.now() + othersMs; performance.now() < end; ) {
    await wait(Math.min(LOOK_MS, othersMs));
    const heard = [...(await found.members())].filter(
      ([id, { sequence }]) => id !== own && before.get(id)?.sequence !== sequence,
    );
    if (heard.length > 0) return heard.map(([, { name }]) => name).join(', ');
  }
  return undefined;
}

const served = (names: string, { jetstream }: MigrateOptions) =>
  new CofferError(
    'conflict',
    `the bucket ${jetstream.bucket} is there, and other instances serve the store from it: ${names}. By force there would be two of ` +
      'it, since --force is for a bucket that is lost. Stop them, and move the store without --force; nothing was changed',
  );

/** A move into JetStream that did not come true, or of which nobody wants to know any more. */
async function takenBack(folders: MoveFolders, options: MigrateOptions): Promise<Migrated> {
  if (!options.force) await requireIncomplete(folders, options);
  await setMoved(folders.store, false);
  await folders.removeMoving();
  await noteInLog(options, `not to the JetStream bucket ${options.jetstream.bucket}: taken back`);
  return { kept: undefined };
}

/** @throws CofferError `invalid_argument` if the bucket is this store, or another one */
async function requireIncomplete(folders: MoveFolders, options: MigrateOptions): Promise<void> {
  const { keys, incarnation } = await openSource(folders, options);
  let target: JetStreamStorage | undefined;
  try {
    await lookAtBucket(options, async (found) => {
      if (found && !Buffer.from(incarnation).equals(found.incarnation)) throw otherStore(options);
    });
    target = await openBucketStore(folders.moving, options);
    target.shared.follow(takingAll(() => keys));
    await caughtUp(target);
    if (!target.get(HEADER_KEY) || wasMoved(target, keys, options)) return;
    throw new CofferError(
      'invalid_argument',
      `the move of ${options.stateDir} came true, and only its end is missing: repeat it with --to jetstream; then the ` +
        'store can be moved back',
    );
  } finally {
    await target?.close();
    wipeKeys(keys);
  }
}

/** The embedded store that was to be moved. */
async function openSource(
  folders: MoveFolders,
  options: MigrateOptions,
): Promise<{ keys: StoreKeys; incarnation: Uint8Array }> {
  const source = await LmdbStorage.open(folders.store, localOptions(options), 'moved');
  try {
    const header = source.get(HEADER_KEY);
    if (!header) throw noStore(options);
    const { incarnation } = source;
    return { keys: await openKeys(header.bytes, incarnation, options), incarnation };
  } finally {
    await source.close();
  }
}

async function fromBucket(folders: MoveFolders, options: MigrateOptions): Promise<Copied> {
  const storage = await openBucketStore(folders.store, options);
  let keys: StoreKeys | undefined;
  try {
    const header = storage.get(HEADER_KEY);
    if (!header) throw noStore(options);
    keys = await openKeys(header.bytes, storage.incarnation, options).catch(async (error: unknown) => {
      await storage.shared.withdraw().catch(() => {});
      throw error;
    });
    storage.summarise(await proven(storage, storage.summary, keys, { isOnItsWay: true }));
    await storage.refreshSummary();
    // What comes is proven when all of it is there: some may be under a data key that is still to come.
    storage.shared.follow(takingAll(() => keys));
    await caughtUp(storage);
    if (wasMoved(storage, keys, options)) return await frozenBefore(storage, keys, folders, options);
    await requireAlone(storage, options);
    return await copyAndFreeze(storage, folders, keys, options);
  } finally {
    // What is written until it is closed is sealed.
    await storage.close();
    wipeKeys(keys);
  }
}

/**
 * When all is copied, the header says so: what is committed from then on, by whomever, is refused.
 *
 * @param former the keys of the header that the replica had; by now there may be another
 */
async function copyAndFreeze(
  storage: JetStreamStorage,
  folders: MoveFolders,
  former: StoreKeys,
  options: MigrateOptions,
): Promise<Copied> {
  await folders.removeMoving();
  const { incarnation } = storage;
  const sequence = Math.max(storage.sequence, storage.shared.health.replicaSequence);
  const records = storage.snapshot();
  const header = storage.get(HEADER_KEY);
  let keys: StoreKeys | undefined;
  try {
    if (!header) throw changedMeanwhile();
    keys = await openKeys(header.bytes, incarnation, options);
    const { initial: digest } = await proven(records, records.summary, keys, { sealedBy: former });
    const content = { records, incarnation, sequence, digest, keys };
    const copied = await buildEmbedded(folders.moving, content, options);
    const { bucket } = options.jetstream;
    const moved = markMoved(header.bytes, { ring: keys.ring, storeId: incarnation, bucket });
    const revision = await patiently(() => writeHeader(storage, moved, header.revision));
    if (!(await isSame(records, storage, HEADER_KEY))) {
      await stayThere(storage, { bytes: header.bytes, revision }, keys);
      throw changedMeanwhile();
    }
    return copied;
  } finally {
    records.close();
    wipeKeys(keys);
  }
}

const writeHeader = (storage: JetStreamStorage, bytes: Uint8Array, expectedRevision: number) =>
  storage.commit({ head: { key: HEADER_KEY, bytes }, expectedRevision });

/** The bucket is the store again: what said otherwise counts no more. */
async function stayThere(storage: JetStreamStorage, header: StoredRecord, keys: StoreKeys): Promise<void> {
  const bytes = await movedIn(header.bytes, undefined, { ...keys, storeId: storage.incarnation });
  await patiently(() => writeHeader(storage, bytes, header.revision));
}

/** @throws CofferError `tampered` if the header says so without the proof */
function wasMoved(
  storage: Pick<JetStreamStorage, 'get' | 'incarnation'>,
  { ring }: StoreKeys,
  { jetstream: { bucket } }: MigrateOptions,
): boolean {
  const header = storage.get(HEADER_KEY);
  return (
    header !== undefined && isMoved(parseHeader(header.bytes), { ring, storeId: storage.incarnation, bucket })
  );
}

/** Whether it was this instance that moved the store away, with the last of its commits; otherwise another one has the store. */
async function hasMoved(
  { shared }: JetStreamStorage,
  { ring }: StoreKeys,
  { jetstream }: MigrateOptions,
): Promise<boolean> {
  const layout = new Layout(jetstream.bucket);
  const connection = await jetstream.connect();
  try {
    const { streams } = await managerOf(connection);
    const last = (subject: string) => streams.getMessage(layout.stream, { last_by_subj: subject });
    const mark = await last(layout.mark(shared.instance));
    const header = await last(layout.record(HEADER_KEY));
    if (!mark || !header || header.seq !== mark.seq + 1) return false;
    const { stream } = layout;
    const seal = new MessageSeal({ stream, authenticate: (message) => ring.authenticate(message) });
    const { subject, header: headers, data, seq: sequence } = mark;
    // Somebody who is no instance could put the mark of another commit there, and a header behind it.
    const said = sealedMark(seal, { subject, headers, data, sequence });
    return (
      isPrintOf({ headers: header.header, data: header.data }) &&
      said?.heads === headsPrint([header.header.get(HEADER.print)])
    );
  } finally {
    await connection.close();
  }
}

/** An attempt before this one has moved the store away: its copy is whole. */
async function frozenBefore(
  storage: JetStreamStorage,
  keys: StoreKeys,
  folders: MoveFolders,
  options: MigrateOptions,
): Promise<Copied> {
  const header = storage.get(HEADER_KEY);
  const { moving } = await folders.kinds();
  if (moving !== 'embedded' || !header) throw elsewhere(options);
  return withCopy(folders, storage, options, async (copy) => {
    if (!(await isSame(copy, storage, HEADER_KEY)) && (await hasMoved(storage, keys, options))) {
      await stayThere(storage, header, keys);
      throw changedMeanwhile();
    }
    return requireSame(copy, storage, HEADER_KEY);
  });
}

/** What an attempt before this one has copied of a store. */
async function withCopy<T>(
  folders: MoveFolders,
  { incarnation }: { readonly incarnation: Uint8Array },
  options: MigrateOptions,
  use: (copy: LmdbStorage) => Promise<T>,
): Promise<T> {
  const copy = await LmdbStorage.open(folders.moving, localOptions(options));
  try {
    const isOurs = Buffer.from(copy.incarnation).equals(incarnation);
    if (!isOurs || !copy.get(HEADER_KEY)) throw noStore(options);
    return await use(copy);
  } finally {
    await copy.close();
  }
}

async function fromReplica(folders: MoveFolders, options: MigrateOptions): Promise<Copied> {
  const replica = await Replica.open(folders.store, localOptions(options));
  let keys: StoreKeys | undefined;
  try {
    const { origin } = replica;
    const header = replica.get(HEADER_KEY);
    if (!origin || !header) throw noStore(options);
    const { incarnation } = origin;
    const { moving } = await folders.kinds();
    if (saysMoved(header.bytes) && moving === 'embedded') {
      return await withCopy(folders, origin, options, (copy) => requireSame(copy, replica, HEADER_KEY));
    }
    keys = await openKeys(header.bytes, incarnation, options);
    const records = replica.snapshot();
    const { initial: digest } = await proven(records, records.summary, keys);
    const sequence = Math.max(replica.sequence, replica.position);
    await folders.removeMoving();
    const content = { records: unmoved(records), incarnation, sequence, digest, keys };
    return await buildEmbedded(folders.moving, content, options);
  } finally {
    await replica.close();
    wipeKeys(keys);
  }
}

/**
 * Who was heard of a moment ago may have been stopped since: then nothing more is heard of him. One that is paused comes too late
 * with what it commits, for the header is another.
 *
 * @throws CofferError `conflict`
 */
async function requireAlone({ shared }: JetStreamStorage, options: MigrateOptions): Promise<void> {
  const { instance } = shared;
  await lookAtBucket(options, async (found) => {
    const before = await found?.members();
    if (!found || !before) return;
    // By the server's clock, which has taken a moment ago that this one is there.
    const now = Math.max(...[...before.values()].map(({ at }) => at.getTime()));
    const recent = [...before].filter(([id, { at }]) => id !== instance && now - at.getTime() < RECENT_MS);
    if (recent.length === 0) return;
    const names = recent.map(([, { name }]) => name).join(', ');
    options.onNotice?.(
      `Other instances were there a moment ago (${names}): listening whether they still are.`,
    );
    const heard = await heardOf(found, before, instance, options);
    if (heard === undefined) return;
    throw new CofferError(
      'conflict',
      `other instances serve this store: ${heard}. Stop them, then try again`,
    );
  });
}

/** The records of a store as they were before it was moved away. */
const unmoved = (records: Records): Records => ({
  *scan(prefix, after) {
    for (const [key, record] of records.scan(prefix, after)) {
      yield [key, HEADER_KEY.equals(key) ? { ...record, bytes: withoutMark(record.bytes) } : record];
    }
  },
});

const changedMeanwhile = () =>
  new CofferError(
    'conflict',
    'the store was changed while it was copied: stop all of its instances, then try again; it is where it was',
  );

const elsewhere = ({ stateDir, jetstream }: MigrateOptions) =>
  new CofferError(
    'invalid_argument',
    `the store of the bucket ${jetstream.bucket} was moved away already, and not to ${stateDir}. If the place where it is served is ` +
      'lost, the same with --force brings back what the bucket has, as it was then',
  );

const otherStore = ({ stateDir, jetstream }: MigrateOptions) =>
  new CofferError(
    'invalid_argument',
    `the bucket ${jetstream.bucket} holds another store than that of ${stateDir}: name the bucket into which it was being moved. If ` +
      'that one is lost, or was never made, the same with --force takes the move back; nothing was changed',
  );

const noStore = ({ stateDir, jetstream }: MigrateOptions) =>
  new CofferError(
    'invalid_argument',
    `neither ${stateDir} nor the bucket ${jetstream.bucket} holds a store that could be moved`,
  );
