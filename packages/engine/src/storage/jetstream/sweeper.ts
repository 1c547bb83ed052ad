import type { JetStreamManager } from '@nats-io/jetstream';
import { BACKGROUND } from '../shared.js';
import { each } from './each.js';
import type { Layout } from './layout.js';
import type { Leases } from './leases.js';
import type { Members } from './members.js';
import type { ReplicaLike } from './replica-contract.js';
import type { Removal, Scrubbed } from './scrub.js';

const DAY_MS = 24 * 60 * 60 * 1_000;
/** For so long a stream that is put back to what it was must not have what was removed back: a heal then still knows of it. */
const REMEMBERED_MS = 30 * DAY_MS;
/** What is beside a head is removed with it, or soon after. */
const BESIDE_MS = DAY_MS;
/**
 * Longer than what somebody has written may be on its way after he gave it up: in the buffers of a connection that is cut, or of a
 * server that stood still.
 */
const UNDER_WAY_MS = 10 * 60 * 1_000;
/** How many records a replica forgets in one transaction. */
const AT_ONCE = 1_000;

export interface SweeperOptions {
  readonly layout: Layout;
  readonly replica: ReplicaLike;
  readonly members: Members;
  readonly leases: Leases;
  /** How long a head that was removed is remembered, in milliseconds. */
  readonly rememberedMs?: number | undefined;
  /** How long what all have read waits until a replica believes that nothing is on its way that was written before. */
  readonly underWayMs?: number | undefined;
}

/**
 * Forgets what was removed, when every member has said that it has it so: the stream by the one instance that does the work of the
 * background, each replica by itself when the stream has.
 *
 * A head that was removed is remembered for 30 days longer: it is what tells a heal that the same head in a stream that was put back
 * is the older one. What was beside a head needs no such time, since its head says what belongs to it; it goes before its head.
 */
export class Sweeper {
  readonly #options: SweeperOptions;
  /** What all had read, and when that was seen: the newest last. */
  #seen: { readonly epoch: number | undefined; readonly level: number; readonly at: number }[] = [];

  constructor(options: SweeperOptions) {
    this.#options = options;
  }

  /** What may be forgotten at this moment. Nothing where another instance does it. */
  ripe(): (removal: Removal) => boolean {
    const { members, leases, rememberedMs = REMEMBERED_MS } = this.#options;
    const level = leases.holds(BACKGROUND) ? members.level : 0;
    const remembered = Date.now() - rememberedMs;
    return ({ sequence, isHead, at }) => sequence <= level && (!isHead || at <= remembered);
  }

  /**
   * Has the stream forget what is ripe; twice is harmless, and so is to end in between.
   *
   * @param goesOn asked before each
   * @throws what nats.js does where nobody answers; Error when it ended
   */
  async sweep(
    manager: JetStreamManager,
    { ripe, oldestLeft }: Pick<Scrubbed, 'ripe' | 'oldestLeft'>,
    goesOn: () => boolean,
  ): Promise<void> {
    const { layout, leases } = this.#options;
    const purge = async ({ subject, sequence }: Removal) => {
      if (!goesOn() || !leases.holds(BACKGROUND)) throw new Error('the sweep was ended');
      // What took its place in the meantime is behind it.
      await manager.streams.purge(layout.stream, { filter: subject, seq: sequence + 1 });
    };
    const beside = ripe.filter(({ isHead }) => !isHead);
    const heads = ripe.filter(({ isHead, at }) => isHead && at + BESIDE_MS < oldestLeft);
    await each(beside, purge);
    await each(heads, purge);
  }

  /** Says to the replica what all have read so long ago that nothing is on its way that was written before. @returns up to where */
  async outlive(): Promise<number> {
    const { replica, members, underWayMs = UNDER_WAY_MS } = this.#options;
    const { level } = members;
    const epoch = replica.origin?.epoch;
    const now = performance.now();
    // Where a member turned up that had read less, what was seen before counts no more.
    const seen = this.#seen.filter((one) => one.epoch === epoch && one.level <= level);
    seen.push({ epoch, level, at: now });
    const aged = seen.findLast(({ at }) => now - at >= underWayMs);
    this.#seen = aged ? seen.slice(seen.indexOf(aged)) : seen;
    if (aged && epoch !== undefined) await replica.outlive(aged.level, epoch);
    return aged?.level ?? 0;
  }

  /**
   * Has the replica forget what the stream has forgotten: late, so that until then a message of it that comes again is known.
   *
   * @param upTo as {@link outlive} says
   * @returns what the stream should still have: a member that speaks of this epoch has not said that it knows of the removal. What only
   *   one of an earlier epoch may lack is kept here, and means nothing: who swept it may not have known of that one
   */
  async forget(removed: Scrubbed['forgotten'], upTo: number): Promise<Uint8Array[]> {
    const { replica, members } = this.#options;
    const { epochLevel } = members;
    const known = removed.filter(({ revision }) => revision <= upTo).map(({ key }) => key);
    for (let at = 0; at < known.length; at += AT_ONCE) await replica.forget(known.slice(at, at + AT_ONCE));
    return removed.filter(({ revision }) => revision > epochLevel).map(({ key }) => key);
  }
}
