import type { JetStreamManager } from '@nats-io/jetstream';
import { counted } from '../../counted.js';
import { CofferError } from '../../errors.js';
import type { ForkJoin } from '../shared.js';
import { each } from './each.js';
import type { Holding } from './heal-futures.js';
import { type Mending, type RecordSense, STREAM } from './heal-plan.js';
import type { Layout } from './layout.js';
import { fingerprint } from './messages.js';
import type { ReplicaEntry } from './replica-contract.js';
import { type StreamImage, saysParts } from './stream-image.js';

export interface DamagedOptions {
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly join: ForkJoin | undefined;
  readonly bytes: (who: string, key: string) => Promise<Uint8Array>;
}

/**
 * What only the stream has must be what it says, and open; what is in parts must be what it says, whoever has it.
 *
 * @param whole what the stream has; changed
 * @returns what is sound, and does not open
 */
export async function leaveOutDamaged(
  { manager, layout, join, bytes: bytesOf }: DamagedOptions,
  whole: Map<string, ReplicaEntry>,
  replicas: readonly Holding[],
): Promise<Mending[]> {
  const closed: Mending[] = [];
  const unseen = [...whole].filter(([key, { removed, fingerprint, chunks }]) => {
    const isElsewhere = replicas.some(({ entries }) => entries.get(key)?.fingerprint === fingerprint);
    // Of one in parts the instances that have it do not see when a part is overwritten.
    return !removed && (chunks > 0 || !isElsewhere);
  });
  await each(unseen, async ([key, entry]) => {
    const id = Buffer.from(key, 'base64url');
    const bytes = await bytesOf(STREAM, key);
    const isComposed = entry.chunks === 0 || (await saysParts(manager, layout, id, bytes));
    const isSound = isComposed && fingerprint(bytes) === entry.fingerprint;
    const isClosed = isSound && (await join?.opens(id, bytes)) === false;
    if (isClosed) closed.push({ key, from: STREAM, entry });
    if (!isSound || isClosed) whole.delete(key);
  });
  return closed;
}

/** What is damaged in the stream and stays so, since nobody has it. */
export function stillDamaged(
  { all, whole }: StreamImage,
  mendings: readonly Mending[],
  sense: RecordSense,
): Mending[] {
  const mended = new Set(mendings.map(({ key }) => key));
  return [...all]
    .filter(([key, { removed, fingerprint }]) => {
      // What no instance writes is foreign, and not damaged.
      return !removed && fingerprint !== '' && !whole.has(key) && !mended.has(key);
    })
    .map(([key, entry]) => {
      const { isHead = () => entry.isHead } = sense;
      return { key, from: STREAM, entry: { ...entry, isHead: isHead(Buffer.from(key, 'base64url')) } };
    });
}

/** @throws CofferError `conflict` unless a person has said that it may go, and it may */
export function requireGivenUp(
  damaged: readonly Mending[],
  { join, giveUpDamaged = false }: { join?: ForkJoin | undefined; giveUpDamaged?: boolean | undefined },
): void {
  if (damaged.length === 0) return;
  if (!damaged.every(({ key }) => join?.mayGiveUp(Buffer.from(key, 'base64url')) ?? true)) {
    throw new CofferError(
      'conflict',
      'the stream has a damaged record that nobody has and that all depends on: start the instances that are away, or restore a backup',
    );
  }
  if (giveUpDamaged) return;
  throw new CofferError(
    'conflict',
    `${counted(damaged.length, 'record')} in the stream ${damaged.length === 1 ? 'is' : 'are'} damaged, and no instance that is here has ${damaged.length === 1 ? 'it' : 'them'}: start those that are away, or give up what is damaged with “coffer storage heal --give-up-damaged”; nothing was written`,
  );
}
