import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { inTurns } from './in-turns.js';
import { readLast } from './last.js';
import { HEADER, type Layout, token } from './layout.js';
import { fingerprintSaid, HEAD, isRemoved } from './messages.js';
import type { ReplicaEntry, ReplicaLike } from './replica-contract.js';
import type { Drop } from './tap.js';

export interface ScrubOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly replica: ReplicaLike;
  /** Up to where the stream is applied. */
  readonly position: number;
  /** Resolves when all is applied that the stream has by then. */
  readonly caughtUp: () => Promise<void>;
  /** Whether what was removed may be forgotten. */
  readonly isRipe: (removal: Removal) => boolean;
}

/** A message of the stream that only says that something was removed. */
export interface Removal {
  readonly subject: string;
  readonly sequence: number;
  /** When it was, in milliseconds since 1970, by the server's clock. */
  readonly at: number;
  readonly isHead: boolean;
}

/** Own beats come by the same connection, and are not to wait: some 12,000 records in a second. */
const BYTES_PER_SECOND = 4 * 1024 * 1024;

/** So many removals are swept in one go. */
export const MOST_SWEPT = 10_000;

export interface Scrubbed {
  /** Keys whose record the stream has not as it is here, or not with all its parts: the stream's leader is to be asked. */
  readonly suspects: readonly Uint8Array[];
  /** The lowest sequence of a record that the stream has and this instance should have, and has not; undefined: none. */
  readonly missed: number | undefined;
  /** How many records were compared. */
  readonly compared: number;
  /** Removals that may be forgotten, {@link MOST_SWEPT} at the most, and when the oldest of the others was that is no head's. */
  readonly ripe: readonly Removal[];
  readonly oldestLeft: number;
  /** Records that were removed here at a revision, and of which the stream has nothing at all. */
  readonly forgotten: readonly { readonly key: Uint8Array; readonly revision: number }[];
}

/**
 * Compares all records of the stream with those that are here, by sequence and fingerprint: the messages' headers only. A reading
 * that follows the stream sees what is added; that something in the middle has gone, with a block of a disk, it does not.
 */
export async function scrub(options: ScrubOptions): Promise<Scrubbed> {
  const { connection, manager, layout, replica, position, caughtUp, isRipe } = options;
  const found = new Set<string>();
  const parts = new Map<string, number>();
  const suspects = new Map<string, Uint8Array>();
  let missed: number | undefined;
  const ripe: Removal[] = [];
  let oldestLeft = Number.POSITIVE_INFINITY;
  const take = ({ subject, sequence, at, headers }: Drop): void => {
    const removal = { subject, sequence, at, isHead: headers?.get(HEADER.kind) === HEAD[1] };
    if (ripe.length < MOST_SWEPT && isRipe(removal)) ripe.push(removal);
    else if (!removal.isHead) oldestLeft = Math.min(oldestLeft, at);
  };
  const read = (drop: Drop): void => {
    const place = layout.parse(drop.subject);
    if (place?.kind !== 'chunk' && place?.kind !== 'record') return;
    const removed = isRemoved(drop.headers);
    if (removed) take(drop);
    if (place.kind === 'chunk') {
      const id = token(place.key);
      if (!removed) parts.set(id, (parts.get(id) ?? 0) + 1);
      return;
    }
    const id = token(place.key);
    found.add(id);
    const entry = replica.entry(place.key);
    if (drop.sequence > position) return;
    if (!entry || entry.revision < drop.sequence) missed = Math.min(missed ?? drop.sequence, drop.sequence);
    // What is newer here came while the stream was read.
    else if (entry.revision > position) return;
    else if (entry.revision > drop.sequence) suspects.set(id, place.key);
    else if (entry.fingerprint !== fingerprintSaid(drop.headers)) suspects.set(id, place.key);
  };
  const filters = [layout.all];
  for await (const drops of readLast({
    connection,
    manager,
    stream: layout.stream,
    filters,
    headersOnly: true,
    asItWas: true,
    bytesPerSecond: BYTES_PER_SECOND,
  })) {
    for (const drop of drops) read(drop);
  }
  // Of what was written meanwhile the reading has nothing to say, and not even that it was there.
  await caughtUp();
  const forgotten: { key: Uint8Array; revision: number }[] = [];
  const compare = (key: Uint8Array, { revision, removed, chunks }: ReplicaEntry): void => {
    if (revision > position) return;
    const id = token(key);
    const isThere = found.has(id);
    if (removed && !isThere) forgotten.push({ key: Buffer.from(key), revision });
    if (removed) return;
    if (!isThere || (parts.get(id) ?? 0) < chunks) suspects.set(id, Buffer.from(key));
  };
  for await (const turn of inTurns(replica)) {
    for (const [key, entry] of turn) compare(key, entry);
  }
  return { suspects: [...suspects.values()], missed, compared: found.size, ripe, oldestLeft, forgotten };
}
