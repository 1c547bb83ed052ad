import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { counted } from '../../counted.js';
import type { Admission } from '../shared.js';
import { admitted, Regression } from './admission.js';
import type { Stray } from './beside.js';
import { unavailable } from './commit-errors.js';
import { lastNote } from './continuity.js';
import { beginOf, type EpochSeal, UNPROVEN } from './epoch.js';
import { generationOf, type RecordSense } from './heal-plan.js';
import { Intake, type Whole } from './intake.js';
import { type Layout, token } from './layout.js';
import type { Lookout } from './lookout.js';
import type { MessageSeal } from './message-seal.js';
import { type Meta, parseAnyMeta, parsedNote } from './notes.js';
import { put } from './put.js';
import type { ReplicaLike, ReplicaWrite } from './replica-contract.js';
import type { SignsOfLife } from './signs.js';
import { requireCameTrue } from './stray.js';
import { Tap } from './tap.js';

export interface ReconciliationOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly replica: ReplicaLike;
  readonly admission: Admission;
  readonly sense: RecordSense;
  readonly epochs: EpochSeal;
  readonly lookout: Lookout;
  readonly signs: SignsOfLife;
  /** It was seen that this instance has nothing that the stream has not. */
  readonly surveyed: boolean;
}

/** A head that was applied. */
export type AppliedHead = Pick<ReplicaWrite, 'key' | 'revision'>;

export interface Reconciled {
  readonly position: number;
  readonly heads: readonly AppliedHead[];
}

/**
 * Makes a replica equal to a stream that was healed, or that went on without it: reads all of it, takes over what differs, and
 * removes what is not there. What the replica has goes on being read meanwhile. Where it is broken off it begins anew, since the
 * replica is of the earlier epoch until the end.
 */
export class Reconciliation {
  readonly #options: ReconciliationOptions;

  constructor(options: ReconciliationOptions) {
    this.#options = options;
  }

  /**
   * @returns up to where the stream is applied then, and which heads are others
   * @throws Regression for a head that is older in the stream than here; what `admission` does, and nats.js
   */
  async run(meta: Meta, signal: AbortSignal): Promise<Reconciled> {
    const { connection, manager, layout, seal, replica, admission, signs } = this.#options;
    const beat = layout.beat(replica.instance);
    // Something that will come last.
    const end = (await put(connection, beat, new Uint8Array())) ?? 0;
    const { created } = await manager.streams.info(layout.stream);
    const began = await beginOf(manager, layout, meta);
    const judge = this.#judgeOf(meta, began);
    const what = layout.whole(replica.instance);
    const { stream } = layout;
    const tap = await Tap.open({ connection, manager, stream, ...what, from: 1, atLeader: true });
    const stop = () => tap.break(signal.reason as Error);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const seen = new Set<string>();
    const heads: AppliedHead[] = [];
    let position = 0;
    try {
      const intake = new Intake(layout, seal);
      while (position < end) {
        intake.add(await tap.next());
        const { messages, upTo } = intake.take();
        if (upTo === undefined) continue;
        for (const message of messages) if (message.kind === 'record') seen.add(token(message.key));
        this.#requireNewer(messages);
        const writes = await signs.during(async () => {
          const taken = await admitted(messages, replica, admission, false, tap.ending, judge);
          // The position stays what it was until the end, so that it is seen where this was broken off.
          await replica.apply(taken, [], replica.position);
          return taken;
        });
        heads.push(...writes.filter(({ isHead }) => isHead).map(({ key, revision }) => ({ key, revision })));
        position = upTo;
      }
    } finally {
      signal.removeEventListener('abort', stop);
      tap.close();
    }
    signal.throwIfAborted();
    const origin = { incarnation: meta.incarnation, epoch: meta.epoch, created };
    // What was removed before the epoch began is forgotten as late as ever, so that a message of it that comes again is known.
    const remembered = replica.origin?.created === created ? began : 0;
    heads.push(...(await this.#remove(seen, remembered, signal)));
    await replica.bind(origin, position, began);
    return { position, heads };
  }

  /**
   * What came since a heal nobody may have looked at yet: all instances compare at that moment. What came before, it has made so. Where
   * this one alone comes back, or is new, the others have looked.
   */
  #judgeOf(meta: Meta, began: number): ((strays: readonly Stray[]) => Promise<void>) | undefined {
    const { connection, manager, layout, seal, replica, epochs, lookout } = this.#options;
    const { epoch = UNPROVEN } = replica.origin ?? {};
    if (epoch === UNPROVEN || epoch === meta.epoch) return undefined;
    const requireSame = async () => {
      const { data } = (await lastNote(manager, layout.stream, layout.meta)) ?? {};
      const said = parsedNote(data, parseAnyMeta);
      // What no heal has sealed says nothing.
      if (said && said.epoch > meta.epoch && epochs.isGood(said)) throw unavailable('it was healed again');
    };
    return async (strays) => {
      const since = strays.filter(({ revision }) => revision > began);
      if (since.length === 0) return;
      await requireCameTrue(since, {
        manager,
        layout,
        seal,
        confirmed: (look) => lookout.confirmed(connection, look, () => 0),
        requireSame,
        isInUse: (head) => replica.entry(head)?.removed === false,
      });
    };
  }

  /** Whatever a message says came before it: who can write to the bucket can put an old record there again. */
  #requireNewer(messages: readonly Whole[]): void {
    const { replica, sense, surveyed } = this.#options;
    if (replica.origin?.epoch === UNPROVEN) return;
    for (const message of messages) {
      if (message.kind !== 'record' || !message.isHead || !message.bytes) continue;
      const { key, bytes, sequence } = message;
      const own = replica.get(key)?.bytes;
      if (!own || generationOf(sense, key, bytes) >= generationOf(sense, key, own)) continue;
      const found = `the record at sequence ${sequence} of the stream is older than the one that this instance has`;
      if (surveyed) throw new Regression('fork', found);
      const what = 'and this instance was forgotten, or its folder put back';
      const then = `stop it, remove its replica (the folder “store”), and start it again; it is a new one then, so forget the old one (“coffer storage forget ${replica.instance}”)`;
      throw new Regression('fork', `${found}, ${what}: ${then}`);
    }
  }

  /** What is not in the stream at all, not even as removed: every member knew of its removal but this one. */
  async #remove(seen: ReadonlySet<string>, remembered: number, signal: AbortSignal): Promise<AppliedHead[]> {
    const { replica, admission, surveyed } = this.#options;
    const gone: ReplicaWrite[] = [];
    const keys: Uint8Array[] = [];
    for (const [key, { revision, isHead, removed }] of replica.entries()) {
      if (seen.has(token(key))) continue;
      if (revision > remembered) keys.push(Buffer.from(key));
      if (!removed) gone.push({ key: Buffer.from(key), bytes: undefined, revision, isHead, lineage: [] });
    }
    const heads = gone
      .filter(({ isHead }) => isHead)
      .map(({ key, revision }) => ({ key, before: undefined, after: undefined, revision }));
    if (surveyed && heads.length > 0) {
      throw new Regression(
        'missing',
        `${counted(heads.length, 'record')} ${heads.length === 1 ? 'has' : 'have'} gone from the stream just now`,
      );
    }
    if (heads.length > 0) await admission.admit(heads, signal);
    if (gone.length > 0) await replica.apply(gone, [], replica.position);
    if (keys.length > 0) await replica.forget(keys);
    return heads.map(({ key, revision }) => ({ key, revision }));
  }
}
