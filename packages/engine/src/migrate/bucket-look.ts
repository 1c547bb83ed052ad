import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { saysMoved } from '../header/moved.js';
import { HEADER_KEY } from '../keys.js';
import { findStream } from '../storage/jetstream/bucket.js';
import { lastNote } from '../storage/jetstream/continuity.js';
import { Layout } from '../storage/jetstream/layout.js';
import { managerOf } from '../storage/jetstream/manager.js';
import { noAnswerOf } from '../storage/jetstream/no-answer.js';
import { parseMember, parseMeta, unlessStrange } from '../storage/jetstream/notes.js';
import type { MigrateOptions } from './options.js';

/** What a bucket holds, as the leader of its stream says. */
export interface FoundStore {
  readonly incarnation: Uint8Array;
  /** True if the bucket has the header of a store that was not moved away. */
  readonly isServed: boolean;
  /** By their ids, without those that were forgotten. */
  members(): Promise<ReadonlyMap<string, FoundMember>>;
}

/** With the place of what it said last. */
export interface FoundMember {
  readonly name: string;
  readonly sequence: number;
  /** By the server's clock. */
  readonly at: Date;
}

/**
 * Looks what is in the bucket, before anything is taken over from it: who looks is no member, and writes nothing.
 *
 * @param use is given undefined where there is no bucket, or an empty one
 * @throws CofferError `unavailable` where nobody answers, `tampered`, `newer_format`; what `use` does
 */
export async function lookAtBucket<T>(
  { jetstream }: MigrateOptions,
  use: (found: FoundStore | undefined) => Promise<T>,
): Promise<T> {
  const layout = new Layout(jetstream.bucket);
  let connection: NatsConnection | undefined;
  try {
    connection = await jetstream.connect();
    const manager = await managerOf(connection);
    return await use(await found(manager, layout));
  } catch (cause) {
    throw noAnswerOf(jetstream.bucket, cause);
  } finally {
    await connection?.close();
  }
}

async function found(manager: JetStreamManager, layout: Layout): Promise<FoundStore | undefined> {
  const { stream } = layout;
  const isThere = (await findStream(manager, stream)) !== undefined;
  const meta = isThere ? await lastNote(manager, stream, layout.meta) : undefined;
  if (!meta?.data) return undefined;
  const header = await lastNote(manager, stream, layout.record(HEADER_KEY));
  return {
    incarnation: parseMeta(meta.data).incarnation,
    isServed: header?.data !== undefined && !saysMoved(header.data),
    members: () => membersOf(manager, layout),
  };
}

async function membersOf(manager: JetStreamManager, layout: Layout): Promise<Map<string, FoundMember>> {
  const { stream } = layout;
  const { state } = await manager.streams.info(stream, { subjects_filter: layout.member('*') });
  const members = new Map<string, FoundMember>();
  for (const subject of Object.keys(state.subjects ?? {})) {
    const place = layout.parse(subject);
    const note = place?.kind === 'member' ? await lastNote(manager, stream, subject) : undefined;
    const { data } = note ?? {};
    const said = data && unlessStrange(() => parseMember(data));
    if (place?.kind !== 'member' || !note || !said) continue;
    members.set(place.instance, { name: said.name, sequence: note.sequence, at: note.at });
  }
  return members;
}
