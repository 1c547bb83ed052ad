import { setTimeout as wait } from 'node:timers/promises';
import type { CofferError } from '../../errors.js';
import { DISK_BOUNDS, Timings } from '../../timings.js';
import { type Answer, publishBatch, untilLost } from './batch-publisher.js';
import type { BucketRoom } from './bucket-room.js';
import { doubtful, overtaken, timed, unavailable } from './commit-errors.js';
import { type Group, type Member, sameBytes, type Waiting } from './commit-group.js';
import type { CommitterOptions } from './committer.js';
import { type Fate, fateOf, isShown } from './fate.js';
import { fingerprint } from './messages.js';

/** How long a batch's answer is waited for before it is sent again. */
const ANSWER_MS = 2_000;
/** How long it is tried to find out whether a commit came true. */
const DOUBT_MS = 8_000;
/** Batches of which only the end is there, for so long: it is not that another server leads since, but that none can be begun. */
const INCOMPLETE_MS = 1_000;
/** How long a commit that is stored may take to arrive in the replica. */
const ARRIVAL_MS = 10_000;
/** Between attempts when the stream is busy with another batch that looks at the same record; up to as much again by chance. */
const BUSY_MS = 1;
const DOUBTFUL_MS = 50;

export interface GroupSenderOptions
  extends Pick<CommitterOptions, 'layout' | 'replica' | 'link' | 'feed' | 'fence'> {
  readonly room: BucketRoom;
  /** Why nothing may be sent now. */
  readonly problem: () => CofferError | undefined;
  /** The revision of the ring's record in the replica. */
  readonly ring: () => number;
  /** Of these nothing is stored, and it is not because of them: they come next. @param singly one after the other, each alone */
  readonly again: (members: readonly Member[], singly?: boolean) => void;
  /** What is still under way when {@link GroupSender.send} has ended. */
  readonly track: (arrival: Promise<void>) => void;
}

/**
 * Sends a group of changes as one batch, again and again until it is known what became of it, and tells each of them.
 *
 * Whether a batch without an answer came true the heads tell afterwards, with its first message, the instance's mark, by which they are
 * told from what others made alike: no later batch of ours has a mark there, so it is found behind whatever refuses the second attempt.
 * See `fate.ts`.
 */
export class GroupSender {
  readonly #options: GroupSenderOptions;
  readonly commits = new Timings(DISK_BOUNDS);
  /** Since when the stream has taken the ends of batches for all that there is of them. */
  #incompleteSince: number | undefined;
  conflicts = 0;
  inDoubt = 0;

  constructor(options: GroupSenderOptions) {
    this.#options = options;
  }

  /**
   * Until it is known what became of it, but for the arrival of what is stored: that is not waited for.
   *
   * @throws CofferError `unavailable`: nothing of it is stored
   */
  async send(group: Group): Promise<void> {
    const { link, layout } = this.#options;
    const begun = performance.now();
    const deadline = begun + DOUBT_MS;
    let inDoubt = false;
    for (let attempt = 0; ; attempt++) {
      const connection = link.connection;
      // Another id each time: the server has kept the first messages of a batch whose last one did not come.
      const answer: Answer = connection
        ? await untilLost(
            link,
            publishBatch(connection, layout.stream, `${group.commit}.${attempt}`, group.messages, ANSWER_MS),
          )
        : { is: 'refused', reason: link.problem };
      if (answer.is === 'stored') {
        this.commits.since(begun);
        this.#options.room.took(group.bytes);
        return this.#arrived(group, answer.sequence);
      }
      inDoubt ||= answer.is === 'silence';
      if (answer.is !== 'incomplete') this.#incompleteSince = undefined;
      else if (this.#isStubborn() && !inDoubt)
        return this.#refused(group, { is: 'refused', reason: KEEPS_NONE });
      if (answer.is === 'conflict') {
        const settled = await this.#afterConflict(group, answer.sequence, inDoubt);
        if (settled) return;
      } else if (!inDoubt && (answer.is === 'refused' || answer.is === 'full')) {
        return this.#refused(group, answer);
      }
      const problem = inDoubt ? undefined : this.#options.problem();
      if (problem) return rejectAll(group.members, problem);
      const left = deadline - performance.now();
      if (left <= 0) return this.#giveUp(group, inDoubt);
      const pause = answer.is === 'busy' ? BUSY_MS * (1 + attempt + Math.random()) : DOUBTFUL_MS;
      await wait(Math.min(pause, DOUBTFUL_MS, left));
    }
  }

  /** It is in the stream. The next batch need not wait until the replica has it. */
  #arrived(group: Group, last: number): void {
    const { feed, replica } = this.#options;
    const first = last - group.messages.length + 1;
    const arrival = timed(feed.passed(last), ARRIVAL_MS).then(
      () => {
        for (const { waiting, head } of group.members) {
          const { key, bytes } = waiting.change.head;
          const place = first + head;
          const isThere = isShown(replica.entry(key), {
            fingerprint: fingerprint(bytes ?? new Uint8Array()),
            place,
            isMarked: this.#markOf(group) === first,
            isSealed: !sameBytes(key, this.#options.fence),
          });
          if (isThere) waiting.resolve(place);
          else waiting.reject(this.#doubt('the stream has acknowledged it, and does not show it'));
        }
      },
      (error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        const doubt = this.#doubt(`it is stored, but has not arrived here yet (${reason})`);
        rejectAll(group.members, doubt);
      },
    );
    this.#options.track(arrival);
  }

  /**
   * Some record is not as the group said. When the replica has what the server named, those are told whom it concerns, and the others
   * wait for their next turn.
   *
   * @param inDoubt an earlier attempt had no answer
   * @returns false to try again
   */
  async #afterConflict(group: Group, sequence: number, inDoubt: boolean): Promise<boolean> {
    const { replica } = this.#options;
    const heads = () =>
      group.members.map(({ waiting }) => replica.entry(waiting.change.head.key)?.revision ?? 0);
    let upTo: number;
    do {
      // A head is seen a moment before the mark that came with it.
      upTo = Math.max(sequence, ...heads());
      if (!(await this.#isRead(upTo, inDoubt))) return false;
    } while (Math.max(...heads()) > upTo);
    const ringChanged = this.#options.ring() !== group.fence;
    const others: Member[] = [];
    for (const member of group.members) {
      const fate = this.#fate(group, member, inDoubt);
      if (fate.is !== 'unchanged') this.#tell(member, fate);
      else if (ringChanged) this.conflict(member.waiting);
      else others.push(member);
    }
    if (others.length < group.members.length) {
      this.#options.again(others);
      return true;
    }
    return this.#afterRegression(group, sequence, inDoubt);
  }

  /**
   * Whether the replica has what the server named. Where an earlier attempt may be stored nothing must lack before it either: a head that
   * was replaced since looks as it did before.
   *
   * @throws CofferError `unavailable` if it has not, and nothing is stored
   */
  async #isRead(sequence: number, inDoubt: boolean): Promise<boolean> {
    const { feed, replica } = this.#options;
    const here = inDoubt ? feed.untilSettled(Math.max(sequence, replica.position)) : feed.passed(sequence);
    try {
      await timed(here, ARRIVAL_MS);
      return true;
    } catch (error) {
      if (inDoubt) return false;
      throw unavailable(error instanceof Error ? error.message : String(error));
    }
  }

  /**
   * What became of a change, by what the replica has. Without a doubt nothing of its batch is stored, by the word of who answered; what
   * is there may say that it is all the same.
   */
  #fate(group: Group, { waiting, expected, head }: Member, inDoubt: boolean): Fate {
    const { replica, fence } = this.#options;
    const { key, bytes } = waiting.change.head;
    const entry = replica.entry(key);
    const mark = this.#markOf(group);
    const fate = fateOf(entry, {
      expected,
      fingerprint: fingerprint(bytes ?? new Uint8Array()),
      place: mark === undefined ? undefined : mark + head,
      isSealed: !sameBytes(key, fence),
    });
    // Others may have made the same, as all removals are; of a batch that is stored the mark is there, too.
    return inDoubt || fate.is !== 'unknown' || mark !== undefined ? fate : { is: 'overtaken' };
  }

  /** Where its mark is, if it is the newest of this instance that is applied. */
  #markOf({ commit }: Group): number | undefined {
    const { mark } = this.#options.feed;
    return mark?.commit === commit ? mark.revision : undefined;
  }

  #tell({ waiting }: Member, fate: Fate): void {
    if (fate.is === 'stored') waiting.resolve(fate.revision);
    else if (fate.is === 'overtaken') this.conflict(waiting);
    else waiting.reject(this.#doubt('NATS has not answered, and what is there does not tell'));
  }

  /** The server has less than the replica: a tombstone was swept, a server that leads no more has answered, or records are lost. */
  async #afterRegression(group: Group, sequence: number, inDoubt: boolean): Promise<boolean> {
    const { feed, replica } = this.#options;
    const tombstones = group.members
      .map(({ waiting }) => waiting.change.head.key)
      .filter((key) => feed.isForgettable(replica.entry(key)));
    if (sequence === 0 && tombstones.length > 0 && !inDoubt) {
      const isAlone = group.members.length === 1;
      if (isAlone) await replica.forget(tombstones);
      this.#options.again(group.members, !isAlone);
      return true;
    }
    feed.look();
    return false;
  }

  /** Of this answer the commits that come next need not wait for it again. */
  #isStubborn(): boolean {
    this.#incompleteSince ??= performance.now();
    return performance.now() - this.#incompleteSince > INCOMPLETE_MS;
  }

  #refused(group: Group, answer: Answer & { is: 'refused' | 'full' }): void {
    if (answer.is === 'refused') {
      this.#options.feed.look();
      rejectAll(group.members, unavailable(answer.reason));
    } else if (group.members.length === 1) {
      rejectAll(group.members, this.#options.room.refusedBy(answer.of));
    } else {
      // What does not fit must not take along what does, a deletion least of all.
      this.#options.again(group.members, true);
    }
  }

  #giveUp(group: Group, inDoubt: boolean): void {
    const isHere = inDoubt || this.#markOf(group) !== undefined;
    if (isHere) for (const member of group.members) this.#tell(member, this.#fate(group, member, isHere));
    else rejectAll(group.members, unavailable('others write without a pause, or the stream lacks records'));
  }

  /** Another was faster, as is known. */
  conflict({ reject }: Waiting): void {
    this.conflicts++;
    reject(overtaken());
  }

  #doubt(reason: string): CofferError {
    this.inDoubt++;
    return doubtful(reason);
  }
}

/** nats-server (2.15 too) answers the same to a batch that it cannot begin as to one whose beginning was lost. */
const KEEPS_NONE =
  'the server that leads the stream begins no batches, as when its disk is full: make room there, and start it again';

export const rejectAll = (members: readonly Member[], error: Error): void => {
  for (const { waiting } of members) waiting.reject(error);
};
