import type { MemberMessage } from './member-message.js';
import type { MemberNote } from './notes.js';
import type { KnownMember, ReplicaLike } from './replica-contract.js';

/** What is kept in the replica of when a member was heard of is as old at the most. */
const KEPT_MS = 60 * 60_000;
/** Of those that have not sealed what they say as many are told apart. */
const MOST_UNSEALED = 1_000;
/** Those beyond, as one. */
const REST = '';

/** A member, as it was heard of last. */
export interface OnRoll {
  readonly life: number;
  /** Undefined: it was forgotten in that life. */
  readonly note: MemberNote | undefined;
  /** Of the message; 0 of one that only the replica knows. */
  readonly sequence: number;
  /** By this process's clock; -∞ of one that only the replica knows. */
  readonly heardAt: number;
  /** It has spoken since this process began to listen: what was there before may be of any time. */
  readonly spoke: boolean;
}

/** A member of which the stream does not say what is known. */
export interface Lacking {
  readonly instance: string;
  /** A note, or the life that it was forgotten in. */
  readonly said: MemberNote | number;
  /** The sequence of what the stream has instead; 0: nothing. */
  readonly at: number;
}

/**
 * Who has a replica, and who was forgotten: as they say in sealed notes, and the replica remembers. What is not sealed, and what is of
 * a life that was over, changes nothing of a member, so that nobody is waited for no more who was not forgotten by a person, and nobody
 * is a member again by what he said before.
 *
 * An instance that reads the store for the first time cannot seal yet. It is no member; for as long as it is heard of, what it has not
 * read stays.
 */
export class Roll {
  readonly #replica: ReplicaLike;
  readonly #awayMs: number;
  readonly #members = new Map<string, OnRoll>();
  readonly #unsealed = new Map<string, { readonly note: MemberNote; readonly heardAt: number }>();
  /** Of whom the stream has told what is known, since {@link begin}; and where it has something else. */
  readonly #told = new Set<string>();
  readonly #overwritten = new Map<string, number>();
  /** What the replica has. */
  readonly #kept = new Map<string, KnownMember>();

  /** @param awayMs who was not heard of for so long is away */
  constructor(replica: ReplicaLike, awayMs: number) {
    this.#replica = replica;
    this.#awayMs = awayMs;
    for (const member of replica.members()) {
      const { instance, isForgotten, ...kept } = member;
      this.#kept.set(instance, member);
      const note = isForgotten ? undefined : { ...kept, confirmed: 0, awaited: 0 };
      const heardAt = Number.NEGATIVE_INFINITY;
      this.#members.set(instance, { life: kept.life, note, sequence: 0, heardAt, spoke: false });
    }
  }

  /** All that the stream tells is about to be heard again. */
  begin(): void {
    this.#told.clear();
    this.#overwritten.clear();
    this.#unsealed.clear();
  }

  get(instance: string): OnRoll | undefined {
    return this.#members.get(instance);
  }

  /** Of all members; an instance that was forgotten is none. */
  *notes(): Iterable<readonly [instance: string, note: MemberNote]> {
    for (const [instance, { note }] of this.#members) if (note) yield [instance, note];
  }

  /** Of those that were heard of just now, and have not sealed what they say. */
  *unsealed(): Iterable<MemberNote> {
    const now = performance.now();
    for (const { note, heardAt } of this.#unsealed.values()) if (now - heardAt < this.#awayMs) yield note;
  }

  isAlive(instance: string): boolean {
    const { note, heardAt, spoke } = this.#members.get(instance) ?? UNKNOWN;
    if (!note || note.ended || performance.now() - heardAt >= this.#awayMs) return false;
    // What is read at a start may be old; so the clocks are asked too, which may differ by a little.
    return spoke || Date.now() - note.at.getTime() < 2 * this.#awayMs;
  }

  /** @returns false for what is of a life that was over: it says nothing */
  take(instance: string, { sequence, life, note }: MemberMessage): boolean {
    const known = this.#members.get(instance);
    const lived = instance === this.#replica.instance ? this.#replica.life : known?.life;
    const isOver = known?.life === life && !known.note && note !== undefined;
    if (isOver || life < (lived ?? 0)) {
      this.#overwritten.set(instance, sequence);
      return false;
    }
    this.#told.add(instance);
    this.#overwritten.delete(instance);
    this.#unsealed.delete(instance);
    const isNews = !known || sequence !== known.sequence;
    this.#members.set(instance, {
      life,
      note: note && { ...note, confirmed: confirmedBy(note, known?.note) },
      sequence,
      heardAt: isNews ? performance.now() : known.heardAt,
      spoke: isNews ? known !== undefined && known.sequence > 0 : known.spoke,
    });
    if (instance !== this.#replica.instance) this.#remember(instance, life, note);
    return true;
  }

  /** What somebody says, or removes, who has not sealed it. @param note undefined for what is none */
  takeUnsealed(instance: string, sequence: number, note: MemberNote | undefined): void {
    if (this.#members.has(instance)) this.#overwritten.set(instance, sequence);
    else if (instance === this.#replica.instance) return;
    else if (!note) this.#unsealed.delete(instance);
    else {
      const isRoom = this.#unsealed.has(instance) || this.#unsealed.size < MOST_UNSEALED;
      const said = { note: isRoom ? note : { ...note, confirmed: 0 }, heardAt: performance.now() };
      this.#unsealed.set(isRoom ? instance : REST, said);
    }
  }

  /** Of whom the stream does not tell what is known, when all was heard that it tells. */
  lacking(): Lacking[] {
    return [...this.#members].flatMap(([instance, { life, note }]) => {
      const isThere = this.#told.has(instance) && !this.#overwritten.has(instance);
      if (isThere || instance === this.#replica.instance) return [];
      return [{ instance, said: note ?? life, at: this.#overwritten.get(instance) ?? 0 }];
    });
  }

  /** What the disk refuses is tried again with the next note. */
  #remember(instance: string, life: number, note: MemberNote | undefined): void {
    const kept = this.#kept.get(instance);
    const isForgotten = note === undefined;
    const { name, version, epoch, at } = note ?? kept ?? NOBODY;
    const member: KnownMember = { instance, life, isForgotten, name, version, epoch, at };
    const isSame =
      kept?.life === life &&
      kept.isForgotten === isForgotten &&
      kept.name === name &&
      kept.version === version &&
      kept.epoch === epoch;
    if (isSame && at.getTime() - kept.at.getTime() < KEPT_MS) return;
    this.#replica.keepMember(member).then(
      () => this.#kept.set(instance, member),
      () => {},
    );
  }
}

const UNKNOWN: OnRoll = { life: 0, note: undefined, sequence: 0, heardAt: 0, spoke: false };

const NOBODY = { name: '', version: '', epoch: 0, at: new Date(0) };

/** In one life and one epoch it does not fall: what says less was said before. */
function confirmedBy({ life, epoch, confirmed }: MemberNote, known: MemberNote | undefined): number {
  return known?.life === life && known.epoch === epoch ? Math.max(confirmed, known.confirmed) : confirmed;
}
