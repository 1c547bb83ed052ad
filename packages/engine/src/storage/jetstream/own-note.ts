import { setTimeout as wait } from 'node:timers/promises';
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import { lastNote } from './continuity.js';
import { UNPROVEN } from './epoch.js';
import type { Layout } from './layout.js';
import type { Link } from './link.js';
import { managerOf } from './manager.js';
import { type LastOfMember, lastOfMember, memberMessage } from './member-message.js';
import type { MessageSeal } from './message-seal.js';
import type { Outgoing } from './messages.js';
import { type MemberNote, parseAnyMeta, parsedNote } from './notes.js';
import { put, putMessage } from './put.js';
import type { ReplicaLike } from './replica-contract.js';

/** The same as between two notes, while others wait to hear what it has, as of what was removed. */
const SOON_MS = 1_000;
/** So long its last word may take. */
const FAREWELL_MS = 1_000;
/** Of a new instance that was silent for longer than so many times that time others may not have waited. */
const LAPSED = 2;
/** How often a note is written anew, where somebody else writes under the same subject. */
const ATTEMPTS = 3;

export interface OwnNoteOptions {
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly link: Link;
  readonly replica: ReplicaLike;
  /** Of this instance, for people. */
  readonly name: string;
  readonly version: string;
  /** As {@link Admission.lacksRootKey}. */
  readonly lacksRootKey: () => Promise<boolean>;
  /** Between two notes, in milliseconds. */
  readonly noteMs: number;
}

/** A reading of all of the stream: how long the stream was when it began, and of which epoch. */
export interface Reading {
  readonly upTo: number;
  readonly epoch: number;
}

/**
 * What this instance says of itself: that it is there, and up to where its replica has the stream on its disk. By compare-and-set, so
 * that it never writes over a person's word that it was forgotten; whatever somebody else wrote in its place it does.
 *
 * Life: {@link join}, `start` … `stop`, again and again; {@link standBy} while an alarm stops the reading; {@link farewell}.
 */
export class OwnNote {
  readonly #options: OwnNoteOptions;
  #timer: NodeJS.Timeout | undefined;
  #soon = false;
  /** Of whoever was started last: what an earlier one still has under way is not said any more. */
  #run: object | undefined;
  #reading: Reading | undefined;
  /** The sequence of the last note; undefined if it must be looked up. */
  #at: number | undefined;
  /** The note that is there says that it is sealed: as long as there is no key, it stays, and holds back what it did. */
  #mustSeal = false;
  #saidAt = Number.NEGATIVE_INFINITY;
  /** What this instance waits for, what others wait for to hear of this one, and what this one said last that it has. */
  #awaited = 0;
  #asked = 0;
  #told = 0;
  #ended: true | undefined;
  #lacksRootKey: true | undefined;
  /** Where the replica was when what is under way was written. */
  readonly #held = new Set<{ readonly at: number }>();

  constructor(options: OwnNoteOptions) {
    this.#options = options;
  }

  /**
   * Says that this instance is there, before it reads: from then on nothing that it may have read is forgotten before it says that
   * it knows of its removal.
   *
   * @param reading for who is about to read all of the stream and to compare with it what is here. What was removed before it was so
   *   long is not met any more, so that is confirmed; and as long as the note is ahead of the replica, the comparison is still to do.
   *   One that was forgotten begins a new life with it
   * @throws CofferError `unavailable` without a reading, if this instance was forgotten just now; Error where JetStream does not answer
   */
  async join(reading?: Reading): Promise<void> {
    const { connection } = this.#options.link;
    this.#reading = reading;
    this.#at = undefined;
    if (connection) await this.#say(connection, reading !== undefined);
  }

  /**
   * Takes back that this instance, which is new, is there: nobody waits for it. What it has read is to be read anew, should it
   * {@link join} again.
   *
   * @throws Error where JetStream does not answer
   */
  async leave(): Promise<void> {
    const { layout, replica, link } = this.#options;
    if (!link.connection) throw new Error(link.problem);
    await put(link.connection, layout.member(replica.instance), undefined);
  }

  /** From now on this instance says every few seconds how far it is. */
  start(): void {
    this.stop();
    const { noteMs, link } = this.#options;
    const run = {};
    this.#run = run;
    const next = () => {
      const soon = this.#soon || this.#told < this.#asked;
      this.#timer = setTimeout(tell, soon ? Math.min(SOON_MS, noteMs) : noteMs).unref();
    };
    const tell = async () => {
      this.#soon = false;
      try {
        if (link.connection) await this.#say(link.connection, false, () => this.#run === run);
      } catch {
        // A disk that takes nothing, or a connection that ends: nothing is said.
      }
      if (this.#run === run) next();
    };
    next();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#run = undefined;
  }

  /** Says that this instance ends, so that nobody takes it for alive until it was silent for long. Never rejects. */
  async farewell(): Promise<void> {
    const { connection } = this.#options.link;
    // One that does not follow at this moment has not said that it is there, or stands by.
    if (!connection || !this.#run) return;
    this.stop();
    this.#ended = true;
    const said = this.#say(connection, false).catch(() => {});
    await Promise.race([said, wait(FAREWELL_MS, undefined, { ref: false })]);
  }

  /** As it was said last. */
  get lacksRootKey(): boolean {
    return this.#lacksRootKey ?? false;
  }

  /** A heal may have made the stream anew, or it goes on from before what was waited for: nobody waits for that. */
  begin(): void {
    this.#awaited = 0;
    this.#asked = 0;
    this.#told = 0;
  }

  /**
   * What was written on what the replica has at this moment is under way: until it has ended, this instance does not say that it has
   * read further. So whoever has heard that all have meets nothing that was written before.
   *
   * @returns a function that ends it
   */
  hold(): () => void {
    const held = { at: this.#options.replica.position };
    this.#held.add(held);
    return () => void this.#held.delete(held);
  }

  /** Others wait to hear what is here, as of something that was removed. */
  tellSoon(): void {
    if (this.#soon || !this.#timer) return;
    this.#soon = true;
    this.stop();
    this.start();
  }

  /** Somebody waits to hear that this instance has what is up to a sequence. */
  asked(revision: number): void {
    this.#asked = Math.max(this.#asked, revision);
    if (this.#told < revision) this.tellSoon();
  }

  /** This instance waits to hear that the others have what is up to a sequence. */
  waitFor(revision: number): void {
    if (revision <= this.#awaited) return;
    this.#awaited = revision;
    this.tellSoon();
  }

  /**
   * This instance is new, and was silent since it has read the stream: others may have forgotten since what it does not know to be
   * removed.
   */
  get hasLapsed(): boolean {
    const { replica, noteMs } = this.#options;
    const isNew = replica.position > 0 && replica.origin?.epoch === UNPROVEN;
    return isNew && performance.now() - this.#saidAt > LAPSED * noteMs;
  }

  /**
   * While an alarm stops the reading: says every few seconds that this instance is there. A stream of another store is told nothing.
   *
   * @returns true if it was time to, and to hear of the others
   * @throws what nats.js does
   */
  async standBy(manager: JetStreamManager, connection: NatsConnection): Promise<boolean> {
    const { layout, replica, noteMs } = this.#options;
    if (performance.now() - this.#saidAt < noteMs) return false;
    const found = await lastNote(manager, layout.stream, layout.meta);
    const { incarnation } = parsedNote(found?.data, parseAnyMeta) ?? {};
    if (!incarnation || !replica.origin || !Buffer.from(replica.origin.incarnation).equals(incarnation)) {
      return false;
    }
    await this.stand(manager, connection);
    return true;
  }

  /**
   * Says that this instance is there, and of how far it is what it said before: what of that the stream still has nobody knows.
   *
   * @throws what nats.js does
   */
  async stand(manager: JetStreamManager, connection: NatsConnection): Promise<void> {
    const { layout, seal, replica, name, version } = this.#options;
    const { instance, life } = replica;
    this.#saidAt = performance.now();
    const last = await lastOfMember(manager, layout, seal, instance);
    // Of a later life this instance is an older copy: it says nothing before it has compared what it has.
    if (this.#isMark(last) || (last?.said?.life ?? 0) > life) return;
    const said = last?.said?.life === life ? last.said : undefined;
    const note: MemberNote = said?.note
      ? {
          ...said.note,
          since: said.note.since ?? said.sequence,
          awaited: 0,
          ended: undefined,
          at: new Date(),
        }
      : { name, version, life, epoch: 0, confirmed: 0, awaited: 0, at: new Date() };
    const sealed = seal.sealIfKnown(memberMessage(layout, instance, note));
    if (sealed) await putMessage(connection, sealed, last?.sequence ?? 0);
  }

  /** Whether it says that this instance was forgotten, in the life that it has. */
  #isMark(last: LastOfMember | undefined): boolean {
    return last?.said !== undefined && !last.said.note && last.said.life >= this.#options.replica.life;
  }

  /**
   * @param isAnew it begins a new life if it was forgotten
   * @param goesOn asked before it is said
   */
  async #say(connection: NatsConnection, isAnew: boolean, goesOn = () => true): Promise<void> {
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const at = this.#at ?? (await this.#look(connection, isAnew));
      const message = await this.#message();
      if (!message || !goesOn()) return;
      this.#at = await putMessage(connection, message, at);
      if (this.#at === undefined) continue;
      this.#saidAt = performance.now();
      return;
    }
    throw new Error('somebody else writes what this instance says of itself');
  }

  /** @returns the sequence of what is there */
  async #look(connection: NatsConnection, isAnew: boolean): Promise<number> {
    const { layout, seal, replica } = this.#options;
    const manager = await managerOf(connection);
    const last = await lastOfMember(manager, layout, seal, replica.instance);
    const { life = 0 } = last?.said ?? {};
    if (this.#isMark(last)) {
      if (!isAnew) throw new CofferError('unavailable', 'this instance was forgotten just now');
      await replica.beginLife(life + 1);
    } else if (life > replica.life) await replica.beginLife(life);
    this.#mustSeal = last?.saysSealed === true && replica.origin?.epoch !== UNPROVEN;
    return last?.sequence ?? 0;
  }

  async #message(): Promise<Outgoing | undefined> {
    const { layout, seal, name, version, replica } = this.#options;
    const { epoch: own = 0 } = replica.origin ?? {};
    const { upTo = 0, epoch = own } = this.#reading ?? {};
    const flushed = await replica.flush();
    const durable = Math.min(flushed, ...[...this.#held].map(({ at }) => at));
    // Where a replica of an earlier epoch is has nothing to do with how long the stream of a later one is.
    const confirmed = epoch === own ? Math.max(upTo, durable) : upTo;
    this.#told = confirmed;
    const { instance, life } = replica;
    const [awaited, ended] = [this.#awaited, this.#ended];
    // Not before it is known how far the replica is: of all that it has it is true.
    this.#lacksRootKey = (await this.#options.lacksRootKey()) || undefined;
    const lacksRootKey = this.#lacksRootKey;
    const note = { name, version, life, epoch, confirmed, awaited, ended, lacksRootKey, at: new Date() };
    const message = memberMessage(layout, instance, note);
    return seal.sealIfKnown(message) ?? (this.#mustSeal ? undefined : message);
  }
}
