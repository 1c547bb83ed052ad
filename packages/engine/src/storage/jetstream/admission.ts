import { CofferError } from '../../errors.js';
import type { Admission, IncomingHead, StorageAlarm } from '../shared.js';
import type { StoredRecord } from '../storage.js';
import { type Stray, straysOf } from './beside.js';
import type { Whole } from './intake.js';
import { token } from './layout.js';
import { contradicts, isOfLostStream, isOutlived } from './lineage.js';
import type { ReplicaEntry, ReplicaLike, ReplicaWrite } from './replica-contract.js';

/** What was found is no accident of the network: all writing has to stop until a person has looked. */
export class Regression extends Error {
  readonly kind: StorageAlarm['kind'];
  /** Of the stream, where this instance's replica is still of an earlier one. */
  readonly epoch: number | undefined;

  constructor(kind: StorageAlarm['kind'], message: string, epoch?: number) {
    super(message);
    this.name = 'Regression';
    this.kind = kind;
    this.epoch = epoch;
  }
}

/** What does not open, or is no record of ours, is as bad as what is not there. */
export function regressionOf(error: unknown): Regression | undefined {
  if (error instanceof Regression) return error;
  if (error instanceof CofferError && error.code === 'tampered') {
    return new Regression('damaged', error.message);
  }
  return undefined;
}

/**
 * Turns what came into what the replica is to write, after the engine's word on each head.
 *
 * @param signal ends what `admission` waits for
 * @param strict false where the stream was healed: it decides then, whatever the replica had
 * @param judge of records that the heads do not vouch for which are here, and of which the stream must be asked
 * @returns of each record its last state
 * @throws Regression for a head that cannot follow on the one that is here; what `admission` does
 */
export async function admitted(
  messages: readonly Whole[],
  replica: ReplicaLike,
  admission: Admission | undefined,
  strict: boolean,
  signal: AbortSignal,
  judge?: (strays: readonly Stray[]) => Promise<void>,
): Promise<ReplicaWrite[]> {
  const writes = new Map<string, ReplicaWrite & { readonly known: ReplicaEntry }>();
  const heads: IncomingHead[] = [];
  for (const message of messages) {
    if (message.kind !== 'record') continue;
    const { key, bytes, sequence: revision, isHead, lineage, beside, print } = message;
    const id = token(key);
    const earlier = writes.get(id);
    const here = earlier?.known ?? replica.entry(key);
    // Only what says that it is a head is looked at as one.
    if (here?.isHead && !isHead) {
      throw new Regression(
        'damaged',
        `the record at sequence ${revision} says that it is no head, and was one`,
      );
    }
    const known = strict ? here : undefined;
    if (known && known.revision > revision) continue;
    if (known?.revision === revision) {
      if (known.fingerprint === print) continue;
      throw new Regression('fork', `two records are at sequence ${revision} of the stream`);
    }
    if (known && contradicts(known, message)) {
      throw new Regression(
        'fork',
        `the record at sequence ${revision} does not follow on the one at ${known.revision} that this instance has`,
      );
    }
    const said = { revision, after: message.after };
    if (strict && !here && isOutlived(replica, said)) {
      throw new Regression(
        'fork',
        `the record at sequence ${revision} was written before all had read ${replica.outlived}: it is an old one, which was removed since`,
      );
    }
    // What a new replica is filled with may have been written where nobody knew yet that the stream was put back.
    if (strict && admission && isOfLostStream(replica, said)) {
      throw new Regression(
        'fork',
        `the record at sequence ${revision} was written by who had read up to ${message.after}: it is of a stream that was put back since`,
      );
    }
    if (isHead && admission) {
      const before = strict ? beforeOf(earlier, () => replica.get(key)) : undefined;
      heads.push({ key, before, after: bytes, revision });
    }
    const entry = { revision, removed: bytes === undefined, isHead, fingerprint: print, lineage, beside };
    writes.delete(id); // so that they stay in the order of the stream
    writes.set(id, {
      key,
      bytes,
      revision,
      isHead,
      lineage,
      chunks: message.chunks,
      known: { ...entry, chunks: message.chunks },
    });
  }
  if (heads.length > 0) await admission?.admit(heads, signal);
  const strays = judge ? straysOf(writes, strict ? replica : undefined) : [];
  if (strays.length > 0) await judge?.(strays);
  return [...writes.values()].map(({ known: _, ...write }) => write);
}

function beforeOf(
  earlier: ReplicaWrite | undefined,
  stored: () => StoredRecord | undefined,
): StoredRecord | undefined {
  if (!earlier) return stored();
  return earlier.bytes === undefined ? undefined : { bytes: earlier.bytes, revision: earlier.revision };
}
