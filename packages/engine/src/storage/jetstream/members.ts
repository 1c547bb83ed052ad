import type { StreamInfo } from '@nats-io/jetstream';
import { CofferError } from '../../errors.js';
import type { MemberStatus } from '../shared.js';
import type { Layout } from './layout.js';
import type { Link } from './link.js';
import { encodeMember, type MemberNote, type Meta, parseMember } from './notes.js';
import { put } from './put.js';
import type { KnownMember, ReplicaLike } from './replica-contract.js';

/** Between two notes that an instance writes of itself. */
const NOTE_MS = 10_000;
/** The same, while others wait to hear what it has, as of what was removed. */
const SOON_MS = 1_000;
/** What is kept in the replica of when a member was heard of is as old at the most. */
const KEPT_MS = 60 * 60_000;
/** Who was not heard of in so many times that time is away. */
const AWAY = 3.5;

export interface MembersOptions {
  readonly layout: Layout;
  readonly link: Link;
  readonly replica: ReplicaLike;
  /** Of this instance, for people. */
  readonly name: string;
  readonly version: string;
  /** Up to where this instance's replica has the stream. */
  readonly position: () => number;
  /**
   * Who of these answers at this moment, whatever it has said of itself: one that an alarm stops tells nothing.
   *
   * @throws CofferError `unavailable` as long as nobody can be asked
   */
  readonly answering: (instances: readonly string[]) => Promise<readonly string[]>;
  readonly noteMs?: number | undefined;
}

/** A reading of all of the stream: how long the stream was when it began, and of which epoch. */
export interface Reading {
  readonly upTo: number;
  readonly epoch: number;
}

/** One that begins now. */
export const readingOf = ({ state }: StreamInfo, { epoch }: Meta): Reading => ({
  upTo: state.last_seq,
  epoch,
});

/**
 * All instances that have a replica, as they say of themselves, and how far each is. What was removed leaves a mark that stays until
 * every one of them has it; so one that is away for good has to be forgotten by a person. They are kept in the replica: where the stream
 * has lost what one said, it is written there again, and is known of to who heals.
 *
 * Life: {@link join}, `start` … `stop`, again and again.
 */
export class Members {
  readonly #options: MembersOptions;
  readonly #others = new Map<string, { readonly note: MemberNote; readonly heardAt: number }>();
  #timer: NodeJS.Timeout | undefined;
  readonly #noteMs: number;
  /** Of whom the stream has told since {@link join}. */
  readonly #heard = new Set<string>();
  /** What the replica has. */
  readonly #kept = new Map<string, KnownMember>();
  #soon = false;
  /** Of whoever was started last: what an earlier one still has under way is not said any more. */
  #life: object | undefined;
  #reading: Reading | undefined;
  /** What this instance waits for, what others wait for to hear of this one, and what this one said last that it has. */
  #awaited = 0;
  #asked = 0;
  #told = 0;

  constructor(options: MembersOptions) {
    this.#options = options;
    this.#noteMs = options.noteMs ?? NOTE_MS;
    for (const member of options.replica.members()) {
      const { instance, ...kept } = member;
      this.#kept.set(instance, member);
      const note = { ...kept, confirmed: 0, awaited: 0 };
      this.#others.set(instance, { note, heardAt: Number.NEGATIVE_INFINITY });
    }
  }

  /**
   * Says that this instance is there, before it reads: from then on nothing that it may have read is forgotten before it says that
   * it knows of its removal.
   *
   * @param reading for who is about to read all of the stream and to compare with it what is here. What was removed before it was so
   *   long is not met any more, so that is confirmed; and as long as the note is ahead of the replica, the comparison is still to do
   * @throws Error where JetStream does not answer
   */
  async join(reading?: Reading): Promise<void> {
    const { link } = this.#options;
    this.#reading = reading;
    this.#heard.clear();
    const note = await this.#note();
    if (link.connection) await put(link.connection, this.#subject, note);
  }

  /**
   * Says in place of those of whom the stream tells nothing any more, not even that they were forgotten, that they are members. To be
   * called when all was {@link heard} that it tells.
   *
   * @throws Error where JetStream does not answer
   */
  async keep(): Promise<void> {
    const { link, layout, replica } = this.#options;
    for (const [instance, { note }] of this.#others) {
      if (instance === replica.instance || this.#heard.has(instance) || !link.connection) continue;
      await put(
        link.connection,
        layout.member(instance),
        encodeMember({ ...note, confirmed: 0, awaited: 0 }),
        0,
      );
    }
  }

  /**
   * Takes back that this instance is a member: nobody waits for it. What it has read is to be read anew, should it {@link join} again.
   *
   * @throws Error where JetStream does not answer
   */
  async leave(): Promise<void> {
    const { connection, problem } = this.#options.link;
    if (!connection) throw new Error(problem);
    await put(connection, this.#subject, undefined);
  }

  /** From now on this instance says every few seconds how far it is. */
  start(): void {
    this.stop();
    const life = {};
    this.#life = life;
    const next = () => {
      const soon = this.#soon || this.#told < this.#asked;
      this.#timer = setTimeout(tell, soon ? Math.min(SOON_MS, this.#noteMs) : this.#noteMs).unref();
    };
    const tell = async () => {
      this.#soon = false;
      try {
        const note = await this.#note();
        if (this.#life === life) this.#options.link.connection?.publish(this.#subject, note);
      } catch {
        // A disk that takes nothing, or a connection that ends: nothing is said.
      }
      if (this.#life === life) next();
    };
    next();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#life = undefined;
  }

  /** A heal may have made the stream anew, or it goes on from before what was waited for: nobody waits for that. */
  begin(): void {
    this.#awaited = 0;
    this.#asked = 0;
    this.#told = 0;
  }

  /** Others wait to hear what is here, as of something that was removed. */
  tellSoon(): void {
    if (this.#soon || !this.#timer) return;
    this.#soon = true;
    this.stop();
    this.start();
  }

  /**
   * What came of a member through the feed. @param bytes undefined: it was forgotten
   *
   * @throws CofferError `tampered`
   */
  heard(instance: string, bytes: Uint8Array | undefined): void {
    const { replica } = this.#options;
    this.#heard.add(instance);
    if (bytes === undefined) {
      this.#others.delete(instance);
      if (this.#kept.delete(instance)) replica.forgetMember(instance).catch(() => {});
      return;
    }
    const note = parseMember(bytes);
    this.#others.set(instance, { note, heardAt: performance.now() });
    if (instance === replica.instance) return;
    this.#remember({ ...note, instance });
    this.#asked = Math.max(this.#asked, note.awaited);
    if (this.#told < note.awaited) this.tellSoon();
  }

  /** What the disk refuses is tried again with the next note. */
  #remember(member: KnownMember): void {
    const kept = this.#kept.get(member.instance);
    const { name, version, epoch } = member;
    const isSame = kept?.name === name && kept.version === version && kept.epoch === epoch;
    if (isSame && member.at.getTime() - kept.at.getTime() < KEPT_MS) return;
    this.#options.replica.keepMember(member).then(
      () => this.#kept.set(member.instance, member),
      () => {},
    );
  }

  /** How many are there, this one among them. */
  get alive(): number {
    return this.list().filter(({ alive }) => alive).length;
  }

  /**
   * Up to where every member, this one too, has said that it has the stream on its disk: what was removed by then may be forgotten.
   * Taken from what the stream tells alone, so that who reads it finds what another one found. It may fall when somebody knows of a
   * member that all others had lost sight of.
   */
  get level(): number {
    return this.#lowest(() => true);
  }

  /** The same of those alone that speak of this epoch: it never falls, and what was removed above it nobody may have forgotten. */
  get epochLevel(): number {
    return this.#lowest(({ epoch }) => epoch === this.#epoch);
  }

  /** True if all up to that sequence is in every replica; otherwise the others are asked to say soon how far they are. */
  confirmedByAll(revision: number): boolean {
    const { replica, position } = this.#options;
    if (position() < revision) return false;
    const isThere = [...this.#others].every(
      ([instance, { note }]) => instance === replica.instance || this.#confirmedBy(note) >= revision,
    );
    if (!isThere && revision > this.#awaited) {
      this.#awaited = revision;
      this.tellSoon();
    }
    return isThere;
  }

  list(): MemberStatus[] {
    const { replica, name, version, position } = this.#options;
    const { instance: own } = replica;
    const now = performance.now();
    const awayMs = AWAY * this.#noteMs;
    const others = [...this.#others].filter(([instance]) => instance !== own);
    return [
      { instance: own, name, version, confirmed: position(), seenAt: new Date(), alive: true },
      ...others.map(([instance, { note, heardAt }]) => ({
        instance,
        name: note.name,
        version: note.version,
        confirmed: note.confirmed,
        seenAt: note.at,
        // What is read at a start may be old; so the clocks are asked too, which may differ by a little.
        alive: now - heardAt < awayMs && Date.now() - note.at.getTime() < 2 * awayMs,
      })),
    ];
  }

  /**
   * Waits no more for an instance that will not come back. If it does, it compares all that it has with the stream first.
   *
   * @param named its id or its name; where several have the name, the one that is away
   * @throws CofferError `not_found`, `conflict` for one that is alive, or where several are away, `unavailable`
   */
  async forget(named: string): Promise<void> {
    const { link, layout, answering } = this.#options;
    // Cut off, this instance hears of nobody, and cannot tell who is alive.
    if (!link.connection) throw new CofferError('unavailable', link.problem);
    const away = this.list().filter(({ alive }) => !alive);
    const asked = away.filter(({ instance, name }) => instance === named || name === named);
    const there = asked.length > 0 ? await answering(asked.map(({ instance }) => instance)) : [];
    const { instance } = this.#toForget(named, there);
    try {
      await put(link.connection, layout.member(instance), undefined);
    } catch (cause) {
      throw new CofferError('unavailable', `JetStream does not answer: ask again`, { cause });
    }
    this.heard(instance, undefined);
  }

  /** @param there who has answered, and so is alive */
  #toForget(named: string, there: readonly string[]): MemberStatus {
    const all = this.list().map((one) => ({ ...one, alive: one.alive || there.includes(one.instance) }));
    const found = all.filter(({ instance }) => instance === named);
    if (found.length === 0) found.push(...all.filter(({ name }) => name === named));
    const [member, ...others] = found.filter(({ alive }) => !alive);
    if (member && others.length === 0) return member;
    if (member) {
      const ids = [member, ...others].map(({ instance }) => instance).join(', ');
      throw new CofferError('conflict', `several members are named ${named}, and away: say which of ${ids}`);
    }
    if (found.length === 0)
      throw new CofferError('not_found', `there is no member ${named}: see coffer storage status`);
    const seconds = Math.ceil((AWAY * this.#noteMs) / 1000);
    throw new CofferError(
      'conflict',
      `member ${named} is alive: stop it first, and forget it when it was not heard of for ${seconds} seconds`,
    );
  }

  get #subject(): string {
    return this.#options.layout.member(this.#options.replica.instance);
  }

  get #epoch(): number {
    return this.#options.replica.origin?.epoch ?? 0;
  }

  #lowest(counts: (note: MemberNote) => boolean): number {
    if (!this.#others.has(this.#options.replica.instance)) return 0;
    const notes = [...this.#others.values()].map(({ note }) => note).filter(counts);
    return notes.reduce(
      (lowest, note) => Math.min(lowest, this.#confirmedBy(note)),
      Number.POSITIVE_INFINITY,
    );
  }

  #confirmedBy({ epoch, confirmed }: MemberNote): number {
    return epoch === this.#epoch ? confirmed : 0;
  }

  async #note(): Promise<Uint8Array> {
    const { name, version, replica } = this.#options;
    const { upTo = 0, epoch = this.#epoch } = this.#reading ?? {};
    const durable = await replica.flush();
    // Where a replica of an earlier epoch is has nothing to do with how long the stream of a later one is.
    this.#told = epoch === this.#epoch ? Math.max(upTo, durable) : upTo;
    return encodeMember({
      name,
      version,
      epoch,
      confirmed: this.#told,
      awaited: this.#awaited,
      at: new Date(),
    });
  }
}
