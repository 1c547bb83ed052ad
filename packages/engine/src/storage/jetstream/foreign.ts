import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { each } from './each.js';
import { readLast } from './last.js';
import { HEADER, isLiteral, type Layout } from './layout.js';
import { sealedMark } from './mark.js';
import { sealedMember, unsealedNote } from './member-message.js';
import type { MessageSeal } from './message-seal.js';
import { entryOf } from './messages.js';
import { parseLease, unlessStrange } from './notes.js';
import { put } from './put.js';
import type { Drop } from './tap.js';

export interface ForeignOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly isMember: (instance: string) => boolean;
}

/** The last message of a subject of the bucket, which no instance writes. */
export interface Foreign {
  readonly subject: string;
  readonly sequence: number;
  /** One who wants the lease counts on the record being there. */
  readonly isLease: boolean;
  /** A note as an instance writes that is no member yet: one that was refused at its first start leaves it, and is no stranger. */
  readonly isBeginners: boolean;
}

/**
 * What in the bucket is not coffer's: messages of other subjects, records and marks that no instance sealed, notes that do not parse, and
 * what no instance has sealed of a member; a new instance that reads the store for the first time says that it is there again.
 *
 * Subjects with a wildcard in them, which nats-server takes, stay: to purge one would purge all that it covers. Nobody reads them.
 */
export async function findForeign(options: ForeignOptions): Promise<Foreign[]> {
  const { connection, manager, layout, seal, isMember } = options;
  const found: Foreign[] = [];
  const add = ({ subject, sequence }: Drop, { isLease = false, isBeginners = false } = {}) =>
    found.push({ subject, sequence, isLease, isBeginners });
  const { stream } = layout;
  const all = { connection, manager, stream, filters: [layout.all], headersOnly: true };
  for await (const drops of readLast(all)) {
    for (const drop of drops) if (isLiteral(drop.subject) && !isPlaced(layout, seal, drop)) add(drop);
  }
  const filters = [...layout.notes, layout.marks];
  for await (const drops of readLast({ connection, manager, stream, filters })) {
    for (const drop of drops) {
      const place = layout.parse(drop.subject);
      if (place?.kind === 'member' && !sealedMember(seal, drop)) {
        add(drop, { isBeginners: !isMember(place.instance) && unsealedNote(drop) !== undefined });
      }
      if (place?.kind === 'mark' && !sealedMark(seal, drop)) add(drop);
      if (drop.headers?.get(HEADER.operation)) continue;
      if (place?.kind === 'lease' && !unlessStrange(() => parseLease(drop.data)))
        add(drop, { isLease: true });
    }
  }
  return found;
}

/** What came since under the same subjects stays. Errors as of JetStream, and of a user who may not purge. */
export async function purgeForeign(
  { connection, manager, layout }: Pick<ForeignOptions, 'connection' | 'manager' | 'layout'>,
  foreign: readonly Foreign[],
): Promise<void> {
  await each(foreign, async ({ subject, sequence, isLease }) => {
    if (isLease) await put(connection, subject, undefined, sequence);
    else await manager.streams.purge(layout.stream, { filter: subject, seq: sequence + 1 });
  });
}

function isPlaced(layout: Layout, seal: MessageSeal, { subject, headers, sequence }: Drop): boolean {
  const place = layout.parse(subject);
  if (place?.kind === 'record') {
    return (
      seal.isGood(subject, headers) === true && unlessStrange(() => entryOf(sequence, headers)) !== undefined
    );
  }
  if (place === undefined && seal.isGood(subject, headers) !== true) return false;
  return place !== undefined || layout.parseFork(subject) !== undefined;
}
