import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import type { StorageAlarm } from '../shared.js';
import type { Regression } from './admission.js';
import { lastNote } from './continuity.js';
import { type EpochSeal, forged, UNPROVEN } from './epoch.js';
import type { Layout } from './layout.js';
import {
  type AlarmNote,
  encodeAlarm,
  type Meta,
  parseAlarm,
  parseAnyMeta,
  parsedNote,
  requireFormat,
} from './notes.js';
import { put } from './put.js';
import type { ReplicaLike } from './replica-contract.js';

/** Who has raised the alarm where nothing was wrong, and a person has begun a heal. */
export const NOBODY = '0'.repeat(16);

/** With a sentence that fits a change, and a reading of what is here, which grows old where the store is read no further. */
export const alarmed = ({ message }: Pick<StorageAlarm, 'message'>): CofferError =>
  new CofferError('store_alarm', message, {
    forCaller:
      'the store has raised an alarm: until an administrator has looked (“coffer storage status”) and healed it, nothing is changed, ' +
      'and nothing is answered that is older than it may be',
  });

/**
 * The alarm: kept in the replica, so that a restart does not silence it, and in the stream, so that all hear it. Whoever knows of it
 * refuses changes. Only a heal ends it, which moves the store into a new epoch.
 */
export class AlarmBell {
  readonly #layout: Layout;
  readonly #replica: ReplicaLike;
  readonly #seal: EpochSeal;
  readonly #listeners = new Set<() => void>();
  /** Of the heal that is at work, or was broken off. */
  #healer: string | undefined;
  /** Of the stream, when this instance raised it while its replica was of an earlier one. */
  #epoch = 0;

  constructor(layout: Layout, replica: ReplicaLike, seal: EpochSeal) {
    this.#layout = layout;
    this.#replica = replica;
    this.#seal = seal;
  }

  /** As it was raised. */
  get raised(): StorageAlarm | undefined {
    return this.#replica.alarm;
  }

  /** As a person should know of it at this moment. */
  get current(): StorageAlarm | undefined {
    const alarm = this.raised;
    const healer = this.#healer;
    if (!alarm || healer === undefined) return alarm;
    const says = `instance ${healer} heals the store, or its heal was broken off: if this lasts for more than a minute, run “coffer storage heal” again, at any instance`;
    if (alarm.instance === NOBODY) return { ...alarm, instance: healer, message: says, healer };
    return { ...alarm, message: `${alarm.message}; ${says}`, healer };
  }

  /** True if this instance found it. */
  get isOwn(): boolean {
    return this.raised?.instance === this.#replica.instance;
  }

  /**
   * True if nothing may be taken over: what this instance has and the stream lacks is needed to heal, or a heal is at work.
   */
  get stopsReading(): boolean {
    return this.isOwn || this.#healer !== undefined;
  }

  /** What a change is refused with; undefined as long as there is none. */
  get problem(): CofferError | undefined {
    const alarm = this.current;
    return alarm && alarmed(alarm);
  }

  /** Called when {@link current} changes. @returns a function that ends it */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** This instance has found what must not be. An own finding counts for more than one that was heard of. */
  async raise({ kind, message, epoch }: Regression): Promise<void> {
    if (this.isOwn && epoch === undefined) return;
    this.#epoch = epoch ?? 0;
    await this.#set({
      kind,
      message: `${message}; nobody writes until “coffer storage heal” has compared all instances with the stream`,
      instance: this.#replica.instance,
      at: new Date(),
    });
  }

  /**
   * In an instance that begins: a replica that was never read whole, and looked at, has nothing that the stream could lack. What it
   * found, or was told, may have been healed since, and is found again where it was not.
   */
  async begin(): Promise<void> {
    const { epoch = UNPROVEN } = this.#replica.origin ?? {};
    if (epoch === UNPROVEN) await this.clear();
  }

  /** Another instance has; or a heal is at work. */
  async heard({ healer, ...alarm }: AlarmNote): Promise<void> {
    const isNews = this.#healer !== healer;
    this.#healer = healer;
    if (!this.current) await this.#set(alarm);
    else if (isNews) this.#tell();
  }

  /**
   * Sees that the stream has the alarm, as long as it was not healed.
   *
   * A stream that was not there, or was another one, is looked at again first: the instance may have been led to other servers for a
   * moment, and then the true stream need not hear of it.
   *
   * @param isWhole whether the stream is ours and has what this instance had
   * @returns the birth of the epoch that a heal has begun, once it has ended
   * @throws what nats.js does where nobody answers, or the stream is not there
   */
  async standBy(
    manager: JetStreamManager,
    connection: NatsConnection,
    isWhole: () => Promise<boolean>,
  ): Promise<Meta | undefined> {
    const { stream } = this.#layout;
    // In this order: where a heal has lifted the alarm by then, its epoch is there.
    const note = await lastNote(manager, stream, this.#layout.alarm);
    const meta = await lastNote(manager, stream, this.#layout.meta);
    // One that is being filled has nothing that the others could miss: it tells them nothing.
    if (!this.#seal.isBegun && !note?.data) {
      await this.clear();
      return undefined;
    }
    const { origin } = this.#replica;
    const born = parsedNote(meta?.data, parseAnyMeta);
    if (born && !note?.data) {
      const isOurs = origin && Buffer.from(origin.incarnation).equals(born.incarnation);
      if (isOurs && born.epoch > Math.max(origin.epoch, this.#epoch)) {
        const isGood = this.#seal.isGood(born);
        if (isGood) requireFormat(born.format);
        if (isGood) return born;
        // Whoever lifted the alarm has not healed the store.
        if (isGood === false) await this.raise(forged(born));
      }
      // Another store's instances have nothing to do with it.
      if (origin && !isOurs) return undefined;
    }
    if (!this.current) return undefined;
    const mayPass = this.isOwn && (this.current.kind === 'gone' || this.current.kind === 'recreated');
    if (mayPass && !note?.data && (await isWhole())) {
      await this.clear();
      return undefined;
    }
    const said = parsedNote(note?.data, parseAlarm);
    if (said) await this.heard(said);
    else {
      const own = encodeAlarm({ ...(this.raised ?? this.current), healer: undefined });
      await put(connection, this.#layout.alarm, own, note?.sequence ?? 0);
    }
    return undefined;
  }

  /** The store is healed, and the replica as the stream. */
  async clear(): Promise<void> {
    this.#healer = undefined;
    this.#epoch = 0;
    if (this.current) await this.#set(undefined);
  }

  async #set(alarm: StorageAlarm | undefined): Promise<void> {
    await this.#replica.setAlarm(alarm);
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}
