import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import { lastNote } from './continuity.js';
import type { RecordSense } from './heal-plan.js';
import { readLast } from './last.js';
import { HEADER, type Layout, token } from './layout.js';
import { entryOf, fingerprint } from './messages.js';
import type { ReplicaEntry } from './replica-contract.js';

export interface ImageOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly sense: Pick<RecordSense, 'isLasting'>;
}

/** What is in the stream, as its messages say. Keys are in base64url. */
export interface StreamImage {
  /** All records. */
  readonly all: Map<string, ReplicaEntry>;
  /** Those of them that have all their parts, and the bytes that they say. Nobody's word counts that it is removed what no store is without. */
  readonly whole: Map<string, ReplicaEntry>;
}

export const emptyImage = (): StreamImage => ({ all: new Map(), whole: new Map() });

/** Reads all of the stream, to compare it with what instances have. Errors as those of a reading. */
export async function readImage({ connection, manager, layout, sense }: ImageOptions): Promise<StreamImage> {
  const all = new Map<string, ReplicaEntry>();
  const parts = new Map<string, number>();
  const damaged = new Set<string>();
  const { stream } = layout;
  for await (const drops of readLast({ connection, manager, stream, filters: [layout.all] })) {
    for (const { subject, headers, sequence, data } of drops) {
      const place = layout.parse(subject);
      if (place?.kind === 'record') {
        const id = token(place.key);
        const entry = entryOf(sequence, headers);
        all.set(id, entry);
        if (entry.chunks === 0 && fingerprint(data) !== entry.fingerprint) damaged.add(id);
      } else if (place?.kind === 'chunk' && !headers?.get(HEADER.operation)) {
        const id = token(place.key);
        parts.set(id, (parts.get(id) ?? 0) + 1);
      }
    }
  }
  const isWhole = ([id, { chunks, removed }]: [string, ReplicaEntry]) =>
    !damaged.has(id) &&
    (parts.get(id) ?? 0) >= chunks &&
    !(removed && sense.isLasting?.(Buffer.from(id, 'base64url')));
  return { all, whole: new Map([...all].filter(isWhole)) };
}

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
  const chunks = Number(found.header?.get(HEADER.chunks) || 0);
  if (chunks === 0) return found.data;
  const parts: Uint8Array[] = [];
  for (let index = 0; index < chunks; index++) {
    const part = await lastNote(manager, stream, layout.chunk(key, index));
    parts.push(part?.data ?? new Uint8Array());
  }
  return Buffer.concat(parts);
}
