import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { counted } from '../../counted.js';
import { Regression } from './admission.js';
import type { Holding } from './heal-futures.js';
import { generationOf, planHeal, type RecordSense, STREAM } from './heal-plan.js';
import { type Layout, token } from './layout.js';
import type { MemberMessage } from './member-message.js';
import type { MessageSeal } from './message-seal.js';
import { put } from './put.js';
import type { ReplicaLike } from './replica-contract.js';
import type { SignsOfLife } from './signs.js';
import { commonOf } from './standing.js';
import { bytesInStream, keptAs, readImage } from './stream-image.js';

export interface SurveyOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly replica: ReplicaLike;
  readonly sense: RecordSense;
  readonly signs: SignsOfLife;
  /** What this instance said of itself, as the stream has it. */
  readonly said: MemberMessage | undefined;
  /** When the stream was made that is there. */
  readonly created: string;
}

/**
 * Looks what only this instance has, before it makes itself equal to a stream that was healed while it was away: by the very plan
 * that a heal would make of the stream and this replica. What it finds the next heal brings back, or sets aside, and then it finds
 * nothing any more.
 *
 * @throws Regression if there is something
 */
export async function survey(options: SurveyOptions): Promise<void> {
  const { connection, manager, layout, seal, replica, sense, signs, said, created } = options;
  // What is not there is held against the stream: not on the word of a server that is cut off from the others.
  const upTo = await put(connection, layout.beat(replica.instance), new Uint8Array());
  const onRead = () => signs.heard();
  const image = await readImage({ connection, manager, layout, seal, sense, upTo, onRead });
  const isSame = replica.origin?.created === created;
  const common = isSame ? commonOf(said) : 0;
  const stream: Holding = { who: STREAM, entries: image.whole, era: Date.parse(created) };
  const own: Holding = {
    who: replica.instance,
    entries: new Map([...replica.entries()].map(([key, entry]) => [token(key), entry])),
    era: Date.parse(replica.origin?.created ?? created),
    common,
  };
  const generation = async (who: string, key: string): Promise<number> => {
    const id = Buffer.from(key, 'base64url');
    const known = who === STREAM ? image.generations.get(key) : undefined;
    if (known !== undefined) return known;
    const bytes = who === STREAM ? await bytesInStream(manager, layout, id) : replica.get(id)?.bytes;
    return bytes ? generationOf(sense, id, bytes) : 0;
  };
  const { mendings, lost } = await planHeal({
    stream,
    replicas: [own],
    groupOf: (key) => sense.groupOf(Buffer.from(key, 'base64url')),
    isLaterLife: sense.isLaterLife,
    generation,
  });
  const missing = mendings.filter(({ key, entry: { removed, revision } }) => {
    // Nothing is left of a removal that all had, and of all in a stream that was made anew.
    return !removed || image.all.get(key)?.removed === false || (isSame && revision > common);
  });
  const forked = lost.filter(
    ([head]) => head?.from === replica.instance && !image.kept.has(keptAs(head.key, head.entry.fingerprint)),
  );
  const found = missing.length + forked.length;
  if (found === 0) return;
  throw new Regression(
    missing.length > 0 ? 'missing' : 'fork',
    `instance ${replica.instance} was away while the store was healed, and has ${counted(found, 'record')} that the store has not: heal at another instance, while that one runs`,
  );
}
