import { setTimeout as wait } from 'node:timers/promises';
import { CofferError } from '../../errors.js';
import { isConflict } from '../../overtaken.js';
import type { StorageChange } from '../storage.js';
import { type Answer, publishBatch, untilLost } from './batch-publisher.js';
import type { BucketRoom } from './bucket-room.js';
import { overtaken, unavailable } from './commit-errors.js';
import { changeEncoding, type EncodingParts, newCommit, underRing } from './commit-group.js';
import type { CommittedFeed } from './committer.js';
import { lastNote } from './continuity.js';
import { each } from './each.js';
import type { Link } from './link.js';
import { managerOf } from './manager.js';
import { markOf } from './mark.js';
import { type ChangeEncoding, encodeChange, fingerprint, type Outgoing } from './messages.js';

/** nats-server takes 1,000 messages in a batch. */
const MESSAGES = 900;

const ANSWER_MS = 3_000;
const TRY_MS = 10_000;
const PAUSE_MS = 20;

type Put = NonNullable<StorageChange['put']>[number];

/** A record at a revision. */
export interface Stand {
  readonly key: Uint8Array;
  readonly revision: number;
}

/**
 * A change that is longer than a batch, as what may go before it and after it without harm: a new side record means nothing until its
 * head says so, and one that is not removed yet means nothing any more.
 */
export interface Division {
  readonly before: readonly (readonly Put[])[];
  readonly change: StorageChange;
  readonly after: readonly Stand[];
}

/**
 * Undefined for a change that fits into one batch, as nearly all do.
 *
 * @throws CofferError `invalid_argument` for one that may not be divided, or replaces more records than a batch may hold
 */
export function divide(change: StorageChange, encoding: ChangeEncoding): Division | undefined {
  const { put = [], remove = [], head } = change;
  // A guess that is never too low, for what is nearly always small.
  if (put.length + remove.length < MESSAGES / 4 && bytesOf(put) < encoding.partBytes) return undefined;
  const { entry } = encoding;
  const lengthOf = (one: Omit<StorageChange, 'expectedRevision'>) =>
    encodeChange(one, encoding).messages.length;
  if (lengthOf(change) <= MESSAGES) return undefined;
  if (!change.divisible) throw tooMuch();

  const isThere = ({ key }: Put) => entry(key)?.removed === false;
  const replaced = put.filter(isThere);
  const size = (one: Put) => lengthOf({ head, put: [one] }) - lengthOf({ head });
  let room = MESSAGES - lengthOf({ head, put: replaced });
  if (room < 0) throw tooMuch();
  const kept: Uint8Array[] = [];
  const later: Stand[] = [];
  for (const key of remove) {
    const { revision = 0, chunks = 0 } = entry(key) ?? {};
    room -= 1 + chunks;
    if (room >= 0) kept.push(key);
    else if (revision > 0) later.push({ key, revision });
  }
  return {
    before: partsOf(
      put.filter((one) => !isThere(one)),
      size,
    ),
    change: { ...change, put: replaced, remove: kept },
    after: later,
  };
}

const tooMuch = () =>
  new CofferError(
    'invalid_argument',
    `a change of a store in NATS JetStream may write, replace and remove ${MESSAGES} messages at once, and this one has more: make ` +
      'it in parts; nothing was changed',
  );

const bytesOf = (put: readonly Put[]): number => put.reduce((sum, { bytes }) => sum + bytes.length, 0);

/** In parts that each fit into a batch. */
function partsOf<T>(all: readonly T[], size: (one: T) => number): T[][] {
  const parts: T[][] = [];
  let part: T[] = [];
  let filled = 0;
  for (const one of all) {
    const more = size(one);
    if (part.length > 0 && filled + more > MESSAGES) {
      parts.push(part);
      part = [];
      filled = 0;
    }
    part.push(one);
    filled += more;
  }
  return part.length > 0 ? [...parts, part] : parts;
}

export interface SideWriterOptions extends EncodingParts {
  readonly link: Link;
  readonly feed: CommittedFeed;
  readonly room: BucketRoom;
}

/** Writes what goes before and after a change that was divided. It shares the instance's mark: one batch at a time. */
export class SideWriter {
  readonly #options: SideWriterOptions;

  constructor(options: SideWriterOptions) {
    this.#options = options;
  }

  /**
   * New side records, under the ring of that revision.
   *
   * @returns where they are
   * @throws CofferError `conflict` if one is there meanwhile, `storage_full`, `unavailable`
   */
  async write(sides: readonly Put[], fence: Stand, partBytes: number): Promise<Stand[]> {
    try {
      return await this.#write(sides, fence, partBytes);
    } catch (error) {
      const forgotten = isConflict(error) ? await this.#forgottenOf(sides) : [];
      if (forgotten.length === 0) throw error;
      await this.#options.replica.forget(forgotten);
      return this.#write(sides, fence, partBytes);
    }
  }

  /** That these were removed is forgotten in the stream, and here not yet. */
  async #forgottenOf(sides: readonly Put[]): Promise<Uint8Array[]> {
    const { layout, replica, feed, link } = this.#options;
    const { connection } = link;
    const keys = sides.map(({ key }) => key).filter((key) => feed.isForgettable(replica.entry(key)));
    if (!connection || keys.length === 0) return [];
    const manager = await managerOf(connection);
    const forgotten: Uint8Array[] = [];
    await each(keys, async (key) => {
      if (!(await lastNote(manager, layout.stream, layout.record(key)))) forgotten.push(key);
    });
    return forgotten;
  }

  async #write(sides: readonly Put[], fence: Stand, partBytes: number): Promise<Stand[]> {
    const { layout, feed } = this.#options;
    const commit = newCommit();
    const messages: Outgoing[] = [];
    const heads: Outgoing[] = [];
    const places: number[] = [];
    for (const side of sides) {
      const encoded = encodeChange({ head: side }, changeEncoding(this.#options, partBytes), 'side');
      places.push(messages.length + encoded.head);
      messages.push(...encoded.messages);
      heads.push(...encoded.messages.slice(encoded.head, encoded.head + 1));
    }
    const mark = this.#mark(commit, heads, underRing(layout, fence.key, fence.revision));
    const standsFrom = (first: number) =>
      sides.map(({ key }, index) => ({ key, revision: first + mark.length + (places[index] ?? 0) }));
    let first: number;
    try {
      first = await this.#publish(commit, [...mark, ...messages]);
    } catch (error) {
      // An attempt that had no answer came true, if they are where the mark says; it says so of one that was refused, too, if somebody
      // has overheard it and put it there.
      const stands = feed.mark?.commit === commit ? standsFrom(feed.mark.revision) : [];
      if (isConflict(error) && stands.length > 0 && this.#areThere(sides, stands)) return stands;
      throw error;
    }
    const stands = standsFrom(first);
    if (this.#areThere(sides, stands)) return stands;
    throw unavailable('a part of the change was acknowledged, and the stream does not show it');
  }

  #areThere(sides: readonly Put[], stands: readonly Stand[]): boolean {
    const { replica } = this.#options;
    return sides.every(({ key, bytes }, index) => {
      const entry = replica.entry(key);
      return entry?.revision === stands[index]?.revision && entry?.fingerprint === fingerprint(bytes);
    });
  }

  /** Removes those that are still as they were. What cannot be removed now is left: nothing refers to it. */
  async remove(stands: readonly Stand[]): Promise<void> {
    const { replica } = this.#options;
    const size = ({ key }: Stand) => 1 + (replica.entry(key)?.chunks ?? 0);
    for (const part of partsOf(stands, size)) await this.#removePart(part);
  }

  async #removePart(stands: readonly Stand[]): Promise<void> {
    const { replica } = this.#options;
    const end = performance.now() + TRY_MS;
    while (performance.now() < end) {
      const left = stands.filter(({ key, revision }) => {
        const entry = replica.entry(key);
        return entry?.removed === false && entry.revision === revision;
      });
      if (left.length === 0) return;
      const messages = left.flatMap(({ key }) => {
        const head = { key, bytes: undefined };
        return encodeChange({ head }, changeEncoding(this.#options, 1), 'side').messages;
      });
      const commit = newCommit();
      const batch = [...this.#mark(commit, messages), ...messages];
      const done = await this.#publish(commit, batch).catch(() => undefined);
      if (done === undefined) await wait(PAUSE_MS);
    }
  }

  #mark(commit: string, heads: readonly Outgoing[], headers: Outgoing['headers'] = []): readonly Outgoing[] {
    const { layout, seal, replica } = this.#options;
    return markOf({ layout, seal, instance: replica.instance }, commit, heads, headers);
  }

  /** @returns the sequence of the first, when the replica has all. @throws CofferError `conflict`, when it has what speaks against it */
  async #publish(commit: string, messages: readonly Outgoing[]): Promise<number> {
    const { link, feed, layout } = this.#options;
    const end = performance.now() + TRY_MS;
    for (let attempt = 0; performance.now() < end; attempt++) {
      const { connection } = link;
      const answer: Answer = connection
        ? await untilLost(
            link,
            publishBatch(connection, layout.stream, `${commit}.${attempt}`, messages, ANSWER_MS),
          )
        : { is: 'silence' };
      if (answer.is === 'stored') {
        await feed.passed(answer.sequence);
        return answer.sequence - messages.length + 1;
      }
      if (answer.is === 'conflict') {
        await feed.passed(answer.sequence);
        throw overtaken();
      }
      if (answer.is === 'full') {
        throw this.#options.room.refusedBy(answer.of);
      }
      await wait(PAUSE_MS);
    }
    throw unavailable('it does not answer');
  }
}
