import type { StreamInfo } from '@nats-io/jetstream';
import { CofferError } from '../../errors.js';
import type { MemberName, MemberStatus } from '../shared.js';
import { managerOf } from './manager.js';
import { lastOfMember, memberMessage, sealedMember, unsealedNote } from './member-message.js';
import type { RawMessage } from './messages.js';
import { noAnswer } from './no-answer.js';
import type { MemberNote, Meta } from './notes.js';
import { OwnNote, type OwnNoteOptions, type Reading } from './own-note.js';
import { putMessage } from './put.js';
import { Roll } from './roll.js';

/** Between two notes that an instance writes of itself. */
const NOTE_MS = 10_000;
/** Who was not heard of in so many times that time is away. */
const AWAY = 3.5;

export interface MembersOptions extends Omit<OwnNoteOptions, 'noteMs'> {
  /** Up to where this instance's replica has the stream. */
  readonly position: () => number;
  /**
   * Who of these answers at this moment, whatever it has said of itself.
   *
   * @throws CofferError `unavailable` as long as nobody can be asked
   */
  readonly answering: (instances: readonly string[]) => Promise<readonly string[]>;
  readonly noteMs?: number | undefined;
}

/** A reading that begins now. */
export const readingOf = ({ state }: StreamInfo, { epoch }: Meta): Reading => ({
  upTo: state.last_seq,
  epoch,
});

/**
 * All instances that have a replica, as they say of themselves, and how far each is. What was removed leaves a mark that stays until
 * every one of them has it; so one that is away for good has to be forgotten by a person. They are kept in the replica: where the stream
 * has lost what one said, or somebody wrote over it, it is written there again, and is known of to who heals.
 */
export class Members {
  /** What this instance says of itself. */
  readonly own: OwnNote;
  readonly #options: MembersOptions;
  readonly #noteMs: number;
  readonly #roll: Roll;

  constructor(options: MembersOptions) {
    this.#options = options;
    this.#noteMs = options.noteMs ?? NOTE_MS;
    this.own = new OwnNote({ ...options, noteMs: this.#noteMs });
    this.#roll = new Roll(options.replica, AWAY * this.#noteMs);
  }

  /** Before a reading, see {@link OwnNote.join}: all that the stream tells is about to be {@link heard} again. */
  async join(reading?: Reading): Promise<void> {
    this.#roll.begin();
    await this.own.join(reading);
  }

  /**
   * Says in place of those of whom the stream does not tell what is known that they are members, or were forgotten. To be called when
   * all was {@link heard} that it tells.
   *
   * @throws Error where JetStream does not answer
   */
  async keep(): Promise<void> {
    const { layout, seal, link } = this.#options;
    for (const { instance, said, at } of this.#roll.lacking()) {
      // Of no epoch: it holds back what it may not have, and does not say that others forgot something too early.
      const lost = { epoch: 0, confirmed: 0, awaited: 0, since: undefined };
      const kept = typeof said === 'number' ? said : { ...said, ...lost };
      const sealed = seal.sealIfKnown(memberMessage(layout, instance, kept));
      if (sealed && link.connection) await putMessage(link.connection, sealed, at);
    }
  }

  /** What came of a member through the feed. */
  heard(instance: string, message: RawMessage): void {
    const said = sealedMember(this.#options.seal, message);
    if (!said) this.#roll.takeUnsealed(instance, message.sequence, unsealedNote(message));
    else if (this.#roll.take(instance, said) && instance !== this.#options.replica.instance) {
      this.own.asked(said.note?.awaited ?? 0);
    }
  }

  /** This instance was forgotten, and has heard of it: what it has is to be compared with all of the stream. */
  get isForgotten(): boolean {
    const { instance, life } = this.#options.replica;
    const own = this.#roll.get(instance);
    return own !== undefined && !own.note && own.life >= life;
  }

  /** How many are there, this one among them. */
  get alive(): number {
    return this.list().filter(({ alive }) => alive).length;
  }

  /**
   * Up to where every member, this one too, has said that it has the stream on its disk: what was removed by then may be forgotten.
   * Taken from what the stream tells alone, so that who reads it finds what another one found. It may fall when somebody knows of a
   * member that all others had lost sight of, or a new instance begins to read.
   */
  get level(): number {
    return this.#lowest([...this.#notes(), ...this.#roll.unsealed()]);
  }

  /** The same of those alone that speak of this epoch: it never falls, and what was removed above it nobody may have forgotten. */
  get epochLevel(): number {
    return this.#lowest(this.#notes().filter(({ epoch }) => epoch === this.#epoch));
  }

  /** True if all up to that sequence is in every replica; otherwise the others are asked to say soon how far they are. */
  confirmedByAll(revision: number): boolean {
    const { replica, position } = this.#options;
    if (position() < revision) return false;
    const others = [...this.#roll.notes()].filter(([instance]) => instance !== replica.instance);
    const notes = [...others.map(([, note]) => note), ...this.#roll.unsealed()];
    const isThere = notes.every((note) => this.#confirmedBy(note) >= revision);
    if (!isThere) this.own.waitFor(revision);
    return isThere;
  }

  list(): MemberStatus[] {
    const { replica, name, version, position } = this.#options;
    const { instance: own } = replica;
    const { lacksRootKey } = this.own;
    const others = [...this.#roll.notes()].filter(([instance]) => instance !== own);
    const here = { alive: true, ended: false, lacksRootKey };
    return [
      { instance: own, name, version, confirmed: position(), seenAt: new Date(), ...here },
      ...others.map(([instance, { name, version, confirmed, at, ended = false, lacksRootKey = false }]) => {
        const alive = this.#roll.isAlive(instance);
        return { instance, name, version, confirmed, seenAt: at, alive, ended, lacksRootKey };
      }),
    ];
  }

  /**
   * Waits no more for an instance that will not come back. If it does, it compares all that it has with the stream first.
   *
   * @param named its id or its name; where several have the name, the one that is away
   * @throws CofferError `not_found`, `conflict` for one that is alive, or where several are away, `unavailable`
   */
  async forget(named: string): Promise<MemberName> {
    const { link, layout, seal, answering } = this.#options;
    // Cut off, this instance hears of nobody, and cannot tell who is alive.
    const { connection } = link;
    if (!connection) throw new CofferError('unavailable', link.problem);
    const away = this.list().filter(({ alive }) => !alive);
    const asked = away.filter(({ instance, name }) => instance === named || name === named);
    const there = asked.length > 0 ? await answering(asked.map(({ instance }) => instance)) : [];
    const { instance, name } = this.#toForget(named, there);
    const known = this.#roll.get(instance);
    try {
      const manager = await managerOf(connection);
      const last = await lastOfMember(manager, layout, seal, instance);
      const isNews = known && known.sequence > 0 && last?.sequence !== known.sequence;
      if (last?.said?.note && isNews) throw this.#isAlive(named, 0);
      const life = Math.max(known?.life ?? 0, last?.said?.life ?? 0);
      const mark = seal.seal(memberMessage(layout, instance, life));
      const sequence = await putMessage(connection, mark, last?.sequence ?? 0);
      if (sequence === undefined) throw this.#isAlive(named, 0);
      this.#roll.take(instance, { sequence, life, note: undefined });
      return { instance, name };
    } catch (cause) {
      throw noAnswer(cause, 'JetStream', 'ask again');
    }
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
    const { instance: own } = this.#options.replica;
    if (found.every(({ instance }) => instance === own)) {
      const who = named === own ? own : `${named} (${own})`;
      throw new CofferError(
        'conflict',
        `${who} is the instance that is asked: stop it, and ask another one to forget it`,
      );
    }
    const answers = found.some(({ instance }) => there.includes(instance));
    const heardAt = Math.max(...found.map(({ instance }) => this.#roll.get(instance)?.heardAt ?? 0));
    throw this.#isAlive(named, answers ? 0 : Math.round((performance.now() - heardAt) / 1000));
  }

  /** @param before so many seconds ago it was heard of */
  #isAlive(named: string, before: number): CofferError {
    const seconds = Math.ceil((AWAY * this.#noteMs) / 1000);
    const when = before > 0 ? `was alive ${before} s ago` : 'is alive';
    return new CofferError(
      'conflict',
      `member ${named} ${when}: stop it first, and forget it when it was not heard of for ${seconds} seconds`,
    );
  }

  get #epoch(): number {
    return this.#options.replica.origin?.epoch ?? 0;
  }

  #notes(): MemberNote[] {
    return [...this.#roll.notes()].map(([, note]) => note);
  }

  #lowest(notes: readonly MemberNote[]): number {
    if (!this.#roll.get(this.#options.replica.instance)?.note) return 0;
    const all = notes.map((note) => this.#confirmedBy(note));
    return all.reduce((lowest, confirmed) => Math.min(lowest, confirmed), Number.POSITIVE_INFINITY);
  }

  #confirmedBy({ epoch, confirmed }: MemberNote): number {
    return epoch === this.#epoch ? confirmed : 0;
  }
}
