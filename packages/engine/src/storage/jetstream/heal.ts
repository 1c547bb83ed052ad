import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import type { Admission, ForkJoin, HealReport, MemberStatus, StorageAlarm } from '../shared.js';
import { type AlarmBell, NOBODY } from './alarm.js';
import { findStream } from './bucket.js';
import { lastNote } from './continuity.js';
import { EpochSeal } from './epoch.js';
import { findForeign, purgeForeign } from './foreign.js';
import { requireCompared, requireThere } from './heal-absent.js';
import { HealAsk } from './heal-ask.js';
import { leaveOutDamaged, requireGivenUp, stillDamaged } from './heal-damaged.js';
import { eraOf, Holders } from './heal-holders.js';
import { joinFutures } from './heal-join.js';
import { takeOutlived } from './heal-outlived.js';
import { type HealPlan, planHeal, type RecordSense, STREAM } from './heal-plan.js';
import { behindStrays, takeStrays } from './heal-strays.js';
import { PeerSeal, type PeerState } from './heal-talk.js';
import { HealWriter } from './heal-writer.js';
import type { Layout } from './layout.js';
import { managerOf } from './manager.js';
import type { MessageSeal } from './message-seal.js';
import { lineageBehind } from './messages.js';
import { encodeAlarm, parseAlarm, parseAnyMeta, parsedNote, requireFormat } from './notes.js';
import { put } from './put.js';
import type { ReplicaLike } from './replica-contract.js';
import { emptyImage, keptAs, readImage } from './stream-image.js';

const ANSWER_MS = 5_000;
/** How often a heal is announced, where others write the alarm at the same time. */
const ANNOUNCEMENTS = 20;

export interface HealOptions {
  readonly connection: NatsConnection;
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly replica: ReplicaLike;
  readonly alarm: AlarmBell;
  readonly sense: RecordSense;
  /** Looks at heads before they are brought back. */
  readonly admission: Admission;
  readonly members: () => readonly MemberStatus[];
  /** Members that need not answer, by id or name. */
  readonly without?: readonly string[] | undefined;
  /** Makes the stream if it is not there. */
  readonly makeStream: () => Promise<void>;
  readonly join?: ForkJoin | undefined;
  readonly giveUpDamaged?: boolean | undefined;
  readonly dryRun: boolean;
}

/**
 * Brings back into the stream what it lacks of what the instances have, and lifts the alarm with the beginning of a new epoch, in which
 * every instance compares all that it has with the stream.
 *
 * While it works, nobody takes anything over; broken off it can be begun again. What it writes it writes by compare-and-set: whatever
 * changes meanwhile ends it.
 */
export class Heal {
  readonly #options: HealOptions;
  readonly #layout: Layout;
  readonly #connection: NatsConnection;
  readonly #ask: HealAsk;
  readonly #holders: Holders;
  readonly #seal: EpochSeal;

  constructor(options: HealOptions) {
    const { connection, layout, admission } = options;
    this.#options = options;
    this.#layout = layout;
    this.#connection = connection;
    const authenticate = (message: Uint8Array) => admission.authenticate(message);
    this.#ask = new HealAsk(connection, layout, new PeerSeal(layout.stream, authenticate));
    this.#holders = new Holders({ ...options, ask: this.#ask });
    this.#seal = new EpochSeal(layout.stream, authenticate);
  }

  /** @throws CofferError `unavailable`, `conflict`, `unfit_store`, `tampered` */
  async run(): Promise<HealReport> {
    const { dryRun, connection, layout, seal, replica, sense, alarm, members, admission } = this.#options;
    const manager = await managerOf(this.#connection, ANSWER_MS);
    const found = alarm.raised;
    const saysGone = found?.kind === 'gone';
    // Whoever may write to the bucket can say so.
    let isThere = !saysGone || (await findStream(manager, layout.stream)) !== undefined;
    let epoch = isThere ? await this.#requireOwn(manager) : 0;
    let upTo: number | undefined;
    if (!dryRun) {
      const { without = [] } = this.#options;
      // One that was forgotten may answer, and is no member.
      const known = [...members().map(({ instance }) => instance), ...without];
      this.#requireThere(await this.#holders.peers(false, known));
      if (saysGone) {
        await this.#options.makeStream();
        isThere = true;
        epoch = await this.#requireOwn(manager);
      }
      upTo = await this.#announce(manager);
    }
    const peers = await this.#holders.peers(!dryRun);
    let refusal: CofferError | undefined;
    const require = (check: () => void) => {
      try {
        check();
      } catch (error) {
        if (!dryRun || !(error instanceof CofferError)) throw error;
        refusal ??= error;
      }
    };
    // One may have gone since.
    require(() => this.#requireThere(peers));
    const isMember = (one: string) => members().some(({ instance }) => instance === one);
    const foreign = isThere ? await findForeign({ connection, manager, layout, seal, isMember }) : [];
    if (!dryRun) await purgeForeign({ connection, manager, layout }, foreign);
    const image = { connection, manager, layout, seal, sense, upTo };
    const stream = isThere ? await readImage(image) : emptyImage();
    const created = isThere ? (await manager.streams.info(layout.stream)).created : undefined;
    // Those that go on meanwhile must not be behind what they have said since they were asked.
    const asked = peers.map(({ instance }) => instance);
    const holders = dryRun ? await this.#holders.peers(false, asked) : peers;
    const { replicas, leftOut } = await this.#holders.replicas(holders, stream, created, epoch);
    const compared = replicas.map(({ who }) => who);
    require(() => this.#requireCompared(compared, leftOut));
    const strays = takeStrays(stream.whole, replicas);
    const putThere = [...takeOutlived(stream.whole, replicas), ...strays];
    const { join, giveUpDamaged } = this.#options;
    const bytes = (who: string, key: string) => this.#holders.bytes(manager, who, key);
    const closed = await leaveOutDamaged({ manager, layout, join, bytes }, stream.whole, replicas);
    const plan = await planHeal({
      stream: { who: STREAM, entries: stream.whole, era: eraOf(created) },
      replicas,
      groupOf: (key) => sense.groupOf(Buffer.from(key, 'base64url')),
      isLaterLife: sense.isLaterLife,
      generation: (who, key) => this.#holders.generation(manager, stream, replicas, who, key),
    });
    const mended = new Set(plan.mendings.map(({ key }) => key));
    const damaged = stillDamaged(stream, [...plan.mendings, ...putThere], sense);
    const joinings = await joinFutures({ plan, stream: stream.whole, replica, join, bytes });
    const taken = joinings.flatMap(({ joined }) => joined.taken);
    const secrets = await this.#secretsOf(manager, plan);
    const lost = [...plan.lost.flat(), ...joinings.flatMap((one) => one.lost)];
    const aside = [...lost, ...closed, ...(giveUpDamaged ? damaged : [])];
    require(() => requireGivenUp(damaged, { join, giveUpDamaged }));
    if (!dryRun) {
      if (taken.length > 0) await join?.announce(taken);
      const { instance, origin } = replica;
      const writer = new HealWriter({
        connection,
        manager,
        layout,
        seal,
        parts: stream.parts,
        announced: upTo ?? 0,
        outlived: Math.max(0, ...replicas.map(({ standpoint }) => standpoint?.outlived ?? 0)),
        instance,
        admission,
        bytes,
      });
      // It may be under a root key that no instance has that is here.
      await writer.keep(aside);
      const gone = putThere.filter(({ key, entry }) => !mended.has(key) && !entry.removed);
      const givenUp = [...damaged, ...gone].map((one) => ({
        ...one,
        entry: { ...one.entry, removed: true },
        lineage: lineageBehind(one.entry),
      }));
      await writer.bringBack([...behindStrays(plan.mendings, strays), ...givenUp], stream.all);
      for (const joining of joinings) await writer.writeJoined(joining, stream.all);
      const incarnation = origin?.incarnation ?? new Uint8Array();
      const next = Math.max(epoch, origin?.epoch ?? 0) + 1;
      const begunAt = (begins: number) => this.#seal.begun(incarnation, next, begins);
      await writer.beginEpoch(begunAt, stream.all);
    }
    return {
      dryRun,
      alarm: found,
      refusal,
      compared,
      absent: members().flatMap(({ instance }) => (compared.includes(instance) ? [] : [instance])),
      restored: plan.mendings.filter(({ entry }) => !entry.removed).length,
      removed: plan.mendings.filter(({ entry }) => entry.removed).length,
      forks: plan.forks.map(({ key, winner, loser, lost }) => ({
        key: hex(key),
        keptAs: lost[0] ? `f.${lost[0].key}.${lost[0].entry.fingerprint}` : '',
        winner,
        other: loser,
        secret: secrets.get(key),
      })),
      taken,
      foreign: foreign.filter(({ isBeginners }) => !isBeginners).length + putThere.length,
      setAside: new Set(aside.map(({ key, entry }) => keptAs(key, entry.fingerprint))).size,
      damaged: damaged.map(({ key, entry }) => ({ key: hex(key), keptAs: `f.${key}.${entry.fingerprint}` })),
    };
  }

  /** @returns the stream's epoch; 0 if it says none, or what no heal has begun */
  async #requireOwn(manager: JetStreamManager): Promise<number> {
    const { replica } = this.#options;
    const note = await lastNote(manager, this.#layout.stream, this.#layout.meta);
    const meta = parsedNote(note?.data, parseAnyMeta);
    if (!meta) return 0;
    const { incarnation, epoch } = meta;
    if (replica.origin && Buffer.from(replica.origin.incarnation).equals(incarnation)) {
      if (!this.#seal.isGood(meta)) return 0;
      requireFormat(meta.format);
      if (epoch > replica.origin.epoch) await this.#requireNobodyAhead(epoch);
      return epoch;
    }
    throw new CofferError(
      'unfit_store',
      `the bucket belongs to another store now, which an instance made that was started while the bucket was gone; nothing was written. ` +
        `What that store has, if it is needed, moves away with “coffer storage migrate --to embedded” there. Then, or if it is not, ` +
        `remove its stream (nats stream rm ${this.#layout.stream}), and heal again`,
    );
  }

  /**
   * Has all of them stop. One heal at a time: another's note counts as long as that one answers.
   *
   * @returns where it is announced in the stream
   */
  async #announce(manager: JetStreamManager): Promise<number> {
    const { replica, alarm } = this.#options;
    const subject = this.#layout.alarm;
    for (let attempt = 1; attempt <= ANNOUNCEMENTS; attempt++) {
      const note = await lastNote(manager, this.#layout.stream, subject);
      const healer = parsedNote(note?.data, parseAlarm)?.healer;
      if (healer && healer !== replica.instance) {
        const peers = await this.#ask.peers();
        if (peers.some(({ instance, healing }) => healing && instance === healer)) throw busy();
      }
      const announced = { ...(alarm.raised ?? precaution()), healer: replica.instance };
      const taken = await put(this.#connection, subject, encodeAlarm(announced), note?.sequence ?? 0);
      if (taken !== undefined) {
        await alarm.heard(announced);
        return taken;
      }
      // Each instance that waits writes its alarm into a stream that was just made anew.
    }
    throw busy();
  }

  /**
   * An instance that was away does not heal the store while there is one that was not. Where nobody could take over what the last heal
   * made, those that are all of before it heal it again.
   */
  async #requireNobodyAhead(epoch: number): Promise<void> {
    if (!this.#options.alarm.isOwn) {
      const why = 'the store was just healed, and this instance follows: look again in a moment';
      throw new CofferError('conflict', why);
    }
    const peers = (await this.#ask.peers()).filter((peer) => this.#holders.isOurs(peer));
    const ahead = peers.filter((peer) => peer.epoch >= epoch);
    if (ahead.length === 0) return this.#requireThere(peers);
    const where = ahead.map(({ instance }) => instance).join(', ');
    throw new CofferError(
      'conflict',
      `this instance was away while the store was healed: run “coffer storage heal” at another instance (${where}), while this one runs too`,
    );
  }

  #requireThere(peers: readonly PeerState[]): void {
    const { members, replica, without = [], giveUpDamaged = false } = this.#options;
    const there = [replica.instance, ...peers.map(({ instance }) => instance)];
    requireThere({ members: members(), there, without, giveUpDamaged });
  }

  #requireCompared(compared: readonly string[], leftOut: readonly string[]): void {
    const { members, without = [], giveUpDamaged = false } = this.#options;
    requireCompared({ members: members(), compared, leftOut, without, giveUpDamaged });
  }

  /** The names of those that have forked, as far as the engine knows. */
  async #secretsOf(manager: JetStreamManager, { forks }: HealPlan): Promise<Map<string, string>> {
    const names = new Map<string, string>();
    for (const { key, lost } of forks) {
      const head = lost.find((one) => one.key === key);
      const bytes = head && (await this.#holders.bytes(manager, head.from, key).catch(() => undefined));
      const name = bytes && this.#options.join?.nameOf(Buffer.from(key, 'base64url'), bytes);
      if (name !== undefined) names.set(key, name);
    }
    return names;
  }
}

const hex = (key: string) => Buffer.from(key, 'base64url').toString('hex');

/** Where nothing was wrong. */
const precaution = (): StorageAlarm => ({
  kind: 'missing',
  message: 'the store is being healed, or that was broken off: heal it again if it lasts',
  instance: NOBODY,
  at: new Date(),
});

const busy = () => new CofferError('conflict', 'another instance heals the store: wait until it is done');
