import { createHash } from 'node:crypto';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import { lastNote } from './continuity.js';
import { generationOf, isContradicted, type RecordSense } from './heal-plan.js';
import { readLast } from './last.js';
import { HEADER, type Layout, token } from './layout.js';
import { type MemberMessage, sealedMember } from './member-message.js';
import { isPrintOf, type MessageSeal } from './message-seal.js';
import { chunksOf, entryOf, fingerprint, type RawMessage } from './messages.js';
import type { ReplicaEntry } from './replica-contract.js';

export interface ImageOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly sense: RecordSense;
  /** See {@link readLast}. */
  readonly upTo?: number | undefined;
  /** Called again and again while it is read. */
  readonly onRead?: (() => void) | undefined;
}

/** What is in the stream, as its messages say. Keys are in base64url. */
export interface StreamImage {
  /** All records; of what no instance writes no more than that it is there. */
  readonly all: Map<string, ReplicaEntry>;
  /** Those of them that have all their parts, and the bytes that they say. Nobody's word counts that it is removed what no store is without. */
  readonly whole: Map<string, ReplicaEntry>;
  /** Up to where there are parts of a record, whatever it says itself. */
  readonly parts: Map<string, number>;
  /** Of heads that are in one part. */
  readonly generations: Map<string, number>;
  /** What was set aside: keys and fingerprints, as {@link keptAs}. */
  readonly kept: Set<string>;
  /** What instances say of themselves. */
  readonly members: Map<string, MemberMessage>;
}

export const emptyImage = (): StreamImage => ({
  all: new Map(),
  whole: new Map(),
  parts: new Map(),
  generations: new Map(),
  kept: new Set(),
  members: new Map(),
});

/** The name of a record that was set aside. */
export const keptAs = (key: string, print: string): string => `${key}.${print}`;

/** Reads all of the stream, to compare it with what instances have. Errors as those of a reading. */
export async function readImage(options: ImageOptions): Promise<StreamImage> {
  const { connection, manager, layout, seal, sense, upTo, onRead } = options;
  const image = emptyImage();
  const { all, generations, kept, members } = image;
  const found = new Map<string, number>();
  const damaged = new Set<string>();
  const addRecord = (key: Uint8Array, { subject, sequence, headers, data }: RawMessage) => {
    const id = token(key);
    const entry = seal.isGood(subject, headers) ? entryOr(sequence, headers) : nothing(sequence);
    all.set(id, entry);
    const isSound = entry.chunks > 0 || fingerprint(data) === entry.fingerprint;
    // Of what no store is without nobody's word counts that it is removed.
    const isRefused = isContradicted(sense, key, entry) || (entry.removed && sense.isLasting?.(key));
    if (!isSound || isRefused) damaged.add(id);
    else if (entry.isHead && entry.chunks === 0 && !entry.removed) {
      generations.set(id, generationOf(sense, key, data));
    }
  };
  const { stream } = layout;
  for await (const drops of readLast({ connection, manager, stream, filters: [layout.all], upTo })) {
    onRead?.();
    for (const drop of drops) {
      const { subject, headers } = drop;
      const removed = Boolean(headers?.get(HEADER.operation));
      const place = layout.parse(subject);
      if (place?.kind === 'record') addRecord(place.key, drop);
      else if (place?.kind === 'chunk' && !removed) {
        const id = token(place.key);
        found.set(id, (found.get(id) ?? 0) + 1);
        image.parts.set(id, Math.max(image.parts.get(id) ?? 0, place.index + 1));
      } else if (place?.kind === 'member') {
        const said = sealedMember(seal, drop);
        if (said) members.set(place.instance, said);
      } else if (!place && !removed) {
        const fork = layout.parseFork(subject);
        const isOurs = fork?.part === 0 && seal.isGood(subject, headers) && isPrintOf(drop);
        if (isOurs) kept.add(keptAs(token(fork.key), fork.fingerprint));
      }
    }
  }
  for (const [id, entry] of all) {
    if (!damaged.has(id) && (found.get(id) ?? 0) >= entry.chunks) image.whole.set(id, entry);
  }
  return image;
}

function entryOr(sequence: number, headers: RawMessage['headers']): ReplicaEntry {
  try {
    return entryOf(sequence, headers);
  } catch {
    return nothing(sequence);
  }
}

/** Of what no instance wrote. */
export const nothing = (revision: number): ReplicaEntry => ({
  revision,
  removed: false,
  isHead: false,
  fingerprint: '',
  lineage: [],
  chunks: 0,
});

/**
 * A record's bytes, put together, as the stream's leader has them; whether they are what they should be, the caller knows.
 *
 * @throws CofferError `unavailable` if it is not there any more
 */
export async function bytesInStream(
  manager: JetStreamManager,
  layout: Layout,
  key: Uint8Array,
): Promise<Uint8Array> {
  const { stream } = layout;
  const found = await manager.streams.getMessage(stream, { last_by_subj: layout.record(key) });
  if (!found) throw new CofferError('unavailable', 'a record of the stream is gone: heal again');
  const chunks = chunksOf(found.header) ?? 0;
  if (chunks === 0) return found.data;
  const parts: Uint8Array[] = [];
  for (let index = 0; index < chunks; index++) {
    const part = await lastNote(manager, stream, layout.chunk(key, index));
    parts.push(part?.data ?? new Uint8Array());
  }
  return Buffer.concat(parts);
}

/** Whether the message of a record in parts says that it is composed of these bytes. */
export async function saysParts(
  manager: JetStreamManager,
  layout: Layout,
  key: Uint8Array,
  bytes: Uint8Array,
): Promise<boolean> {
  const found = await manager.streams.getMessage(layout.stream, { last_by_subj: layout.record(key) });
  return found !== null && createHash('sha256').update(bytes).digest().equals(found.data);
}
