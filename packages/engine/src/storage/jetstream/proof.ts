import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { inTurns } from './in-turns.js';
import { readLast } from './last.js';
import { type Layout, token } from './layout.js';
import type { MessageSeal } from './message-seal.js';
import { entryOf, unsealed } from './messages.js';
import type { ReplicaEntry, ReplicaLike } from './replica-contract.js';

export interface ProofOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly replica: ReplicaLike;
}

/**
 * Looks whether instances wrote what a new replica was filled with: the key to tell by came with it. Reads headers only, since the
 * bytes were held against them. What was replaced since is as good as what replaced it says that it was.
 *
 * @returns false where the replica has something that the stream does not vouch for any more: it has to be read anew
 * @throws CofferError `tampered` for a record that nobody sealed; errors as those of a reading
 */
export async function isProven(options: ProofOptions): Promise<boolean> {
  const { connection, manager, layout, seal, replica } = options;
  const { position } = replica;
  const proven = new Set<string>();
  const seen = new Set<string>();
  const all = { connection, manager, stream: layout.stream, filters: [layout.all], headersOnly: true };
  for await (const drops of readLast(all)) {
    for (const { subject, sequence, headers } of drops) {
      const place = layout.parse(subject);
      if (place?.kind !== 'record') continue;
      if (!seal.isGood(subject, headers)) throw unsealed(sequence);
      const id = token(place.key);
      seen.add(id);
      const here = replica.entry(place.key);
      const said = entryOf(sequence, headers);
      if (!here && sequence <= position) return false;
      if (here && (sequence <= position ? isSame(said, here) : isNamed(said, here))) proven.add(id);
    }
  }
  const swept: Uint8Array[] = [];
  for await (const turn of inTurns(replica)) {
    for (const [key, { removed }] of turn) {
      const id = token(key);
      if (proven.has(id)) continue;
      if (!removed || seen.has(id)) return false;
      swept.push(key);
    }
  }
  if (swept.length > 0) await replica.forget(swept);
  return true;
}

const isSame = (said: ReplicaEntry, here: ReplicaEntry): boolean =>
  said.revision === here.revision &&
  said.fingerprint === here.fingerprint &&
  said.removed === here.removed &&
  said.isHead === here.isHead &&
  said.chunks === here.chunks &&
  JSON.stringify(said.lineage) === JSON.stringify(here.lineage);

const isNamed = ({ isHead, lineage }: ReplicaEntry, here: ReplicaEntry): boolean =>
  isHead === here.isHead &&
  lineage.some(({ revision, fingerprint }) => revision === here.revision && fingerprint === here.fingerprint);
