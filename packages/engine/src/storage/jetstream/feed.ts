import type { CofferError } from '../../errors.js';
import type { Admission } from '../shared.js';
import { AlarmBell } from './alarm.js';
import type { Beats } from './beats.js';
import { Comeback } from './comeback.js';
import { unavailable } from './commit-errors.js';
import { Continuity } from './continuity.js';
import { EpochSeal } from './epoch.js';
import { Following } from './following.js';
import { HealAsk } from './heal-ask.js';
import { HealPeer } from './heal-peer.js';
import type { RecordSense } from './heal-plan.js';
import { PeerSeal } from './heal-talk.js';
import type { Layout } from './layout.js';
import { Leases } from './leases.js';
import type { Link } from './link.js';
import { Lookout } from './lookout.js';
import { Members } from './members.js';
import { MessageSeal } from './message-seal.js';
import { type HeadsListener, type PlacedMark, Progress } from './progress.js';
import type { ReplicaLike } from './replica-contract.js';
import { Scrubber } from './scrubber.js';
import { SignsOfLife } from './signs.js';

export interface FeedOptions {
  readonly layout: Layout;
  /** The record of the key ring, which is there before there is a key to seal with. */
  readonly fence?: Uint8Array | undefined;
  readonly replica: ReplicaLike;
  readonly link: Link;
  readonly beats: Beats;
  /** Of this instance, for people. */
  readonly name: string;
  /** Of coffer. */
  readonly version: string;
  readonly sense: RecordSense;
  /** Between two notes of how far it is, in milliseconds. */
  readonly noteMs?: number | undefined;
  /** How long a head that was removed is remembered, in milliseconds: see {@link Sweeper}. */
  readonly rememberedMs?: number | undefined;
  /** See {@link Sweeper}. */
  readonly underWayMs?: number | undefined;
  /** Told, for people, of what this instance did by itself. */
  readonly onNotice?: ((sentence: string) => void) | undefined;
}

/**
 * Takes the stream over into the replica, lets the engine look at each head before, and tells in the same turn who waits for it; with all
 * that an instance says to the others and hears of them. How it goes on where the stream cannot be read, or not be believed, is in
 * `following.ts`.
 *
 * Life: {@link fill} for a new replica, {@link start} … {@link close}.
 */
export class Feed {
  readonly alarm: AlarmBell;
  readonly members: Members;
  /** This instance heals the store. */
  healing = false;
  readonly leases: Leases;
  /** Of what lies in the bucket. */
  readonly messageSeal: MessageSeal;
  readonly #options: FeedOptions;
  readonly #peer: HealPeer;
  readonly #seal: EpochSeal;
  readonly #progress: Progress;
  readonly #lookout: Lookout;
  readonly #following: Following;
  readonly #signs = new SignsOfLife();
  #admission: Admission | undefined;

  constructor(options: FeedOptions) {
    const { layout, fence, replica, link, beats, sense, onNotice = () => {} } = options;
    const { instance } = replica;
    const { stream } = layout;
    this.#options = options;
    this.#seal = new EpochSeal(stream);
    const seal = new MessageSeal({ stream, exempt: fence && layout.record(fence) });
    this.messageSeal = seal;
    const progress = new Progress({ replica, seal, refusal: () => this.#following.refusal });
    this.#progress = progress;
    const position = () => progress.position;
    const continuity = new Continuity({
      layout,
      replica,
      seal: this.#seal,
      messageSeal: seal,
      hasLapsed: () => this.members.own.hasLapsed,
    });
    this.#lookout = new Lookout(continuity, progress);
    const alarm = new AlarmBell(layout, replica, this.#seal);
    const members = new Members({
      ...options,
      seal,
      position,
      answering: (instances) => this.#answering(instances),
      lacksRootKey: async () => (await this.#admission?.lacksRootKey?.()) ?? false,
    });
    const leases = new Leases({ layout, link, instance, age: () => beats.age() });
    const comeback = new Comeback({
      ...options,
      seal,
      alarm,
      members,
      epochs: this.#seal,
      lookout: this.#lookout,
      signs: this.#signs,
      onNotice,
    });
    const passed = (sequence: number, signal: AbortSignal) => this.passed(sequence, signal);
    const settled = (sequence: number, signal: AbortSignal) => this.untilSettled(sequence, signal);
    const scrubber = new Scrubber({ ...options, continuity, members, leases, position, passed, settled });
    this.alarm = alarm;
    this.members = members;
    this.leases = leases;
    this.#following = new Following({
      ...options,
      seal: this.#seal,
      messageSeal: seal,
      lookout: this.#lookout,
      progress,
      alarm,
      members,
      leases,
      comeback,
      scrubber,
      signs: this.#signs,
      onNotice,
    });
    const paused = () => alarm.stopsReading && !this.#following.isReading && !comeback.isTaking;
    this.#peer = new HealPeer({ layout, link, replica, sense, paused, healing: () => this.healing });
  }

  /** Up to where the stream is applied: durable and visible. */
  get position(): number {
    return this.#progress.position;
  }

  /** Up to where nothing lacks, see {@link ReplicaLike.settled}, and is visible. */
  get settled(): number {
    return this.#progress.settled;
  }

  /** The newest of this instance that is applied. */
  get mark(): PlacedMark | undefined {
    return this.#progress.mark;
  }

  /** Why changes must be refused now; undefined when the stream is read and takes messages. */
  get problem(): CofferError | undefined {
    return this.#following.problem;
  }

  /** That is all that the {@link problem} is: in a moment the stream is read. */
  get isBeginning(): boolean {
    return this.#following.isBeginning;
  }

  /** For how many milliseconds nothing was heard of the stream. */
  get quiet(): number {
    return Math.min(this.#options.beats.age(), this.#signs.age());
  }

  /** What the stream's leader said last. */
  get state(): Lookout['state'] {
    return this.#lookout.state;
  }

  /**
   * Resolves when what the stream has up to that sequence is applied. What was replaced further on may lack.
   *
   * @param signal ends the wait
   * @throws CofferError `stopped` when it was closed, `store_alarm` when the stream cannot be believed any more; the signal's reason
   */
  passed(sequence: number, signal?: AbortSignal): Promise<void> {
    return this.#progress.passed(sequence, signal);
  }

  /** As {@link passed}, and nothing lacks. */
  untilSettled(sequence: number, signal?: AbortSignal): Promise<void> {
    return this.#progress.untilSettled(sequence, signal);
  }

  /** How many wait in {@link passed} and {@link untilSettled}. */
  get waiting(): number {
    return this.#progress.waiting;
  }

  /** Told of heads in the turn in which they become visible, or that all may have changed. @returns a function that ends it */
  onHeads(listener: HeadsListener): () => void {
    return this.#progress.onHeads(listener);
  }

  /**
   * Reads all that is in the stream at this moment into a new replica, before anybody can say whether it is good.
   *
   * @throws CofferError `unavailable`, `store_alarm`, `tampered`, `storage_full`; of an alarm it says what to do, and where
   */
  fill(): Promise<void> {
    return this.#following.fill();
  }

  /** Follows from now on. Once. */
  start(admission: Admission): void {
    for (const seal of [this.#seal, this.messageSeal]) {
      seal.begin((message) => admission.authenticate(message));
    }
    this.#admission = admission;
    this.#following.start(admission);
    this.#peer.start((message) => admission.authenticate(message));
  }

  /** Looks at the stream now. What it finds is in {@link problem}. */
  look(): Promise<void> {
    return this.#following.look();
  }

  /**
   * Compares all records with the stream's, and sweeps. What it finds is in {@link alarm}; what this instance had missed it reads again.
   *
   * @returns how many were compared; undefined if the stream is not followed now, or the comparison was broken off
   */
  scrub(): Promise<number | undefined> {
    return this.#following.scrub();
  }

  async close(): Promise<void> {
    await this.leases.close();
    this.#peer.close();
    await this.#following.close();
  }

  /** Who of these instances answers. @throws CofferError `unavailable` */
  async #answering(instances: readonly string[]): Promise<string[]> {
    const { layout, link } = this.#options;
    if (!link.connection) throw unavailable(link.problem);
    const seal = new PeerSeal(layout.stream, (message) => this.#admission?.authenticate(message));
    const peers = await new HealAsk(link.connection, layout, seal).peers(instances);
    return peers.map(({ instance }) => instance);
  }
}
