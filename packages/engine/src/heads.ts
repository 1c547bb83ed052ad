import type { Head } from './head.js';
import { compareNames } from './names.js';
import { holdsUnexpired } from './operations.js';

/** A secret as the index knows it. Never changed: a new state is a new entry. */
export interface Entry {
  readonly key: Buffer;
  readonly generation: number;
  readonly revision: number;
  readonly head: Head;
}

/** The heads of all secrets that a catalog has in memory, by name. */
export class Heads {
  readonly #entries = new Map<string, Entry>();
  /** Names of those that exist, while nothing of that has changed. */
  #sorted: string[] | undefined;
  #forgotten = 0;
  /** Told of each secret that is another one now to its readers, in the turn in which they see it. */
  onChange: (name: string) => void = () => undefined;

  /** The secret's entry, a tombstone's too. */
  get(name: string): Entry | undefined {
    return this.#entries.get(name);
  }

  /** The entry of a secret that exists. */
  live(name: string): Entry | undefined {
    const entry = this.#entries.get(name);
    return entry?.head.deletedAt ? undefined : entry;
  }

  /** How many secrets exist, and versions of all of them together. */
  count(): { readonly secrets: number; readonly versions: number } {
    let secrets = 0;
    let versions = 0;
    for (const { head } of this.#entries.values()) {
      if (head.deletedAt) continue;
      secrets++;
      versions += head.versions.size;
    }
    return { secrets, versions };
  }

  /** Names of all secrets that exist, in byte order. */
  names(): readonly string[] {
    this.#sorted ??= [...this.#entries.values()]
      .filter(({ head }) => !head.deletedAt)
      .map(({ head }) => head.name)
      .sort(compareNames);
    return this.#sorted;
  }

  /** Secrets that were deleted before `then`, and know of no operation that still counts once. */
  tombstonesBefore(then: Date, now: Date): Entry[] {
    return [...this.#entries.values()].filter(
      ({ head: { deletedAt, operations } }) =>
        deletedAt && deletedAt < then && !holdsUnexpired(operations, now),
    );
  }

  /** Names of all secrets, tombstones too, in no order; what is made or deleted while one goes through them does no harm. */
  allNames(): Iterable<string> {
    return this.#entries.keys();
  }

  /** Tombstones too, in no order. */
  entries(): Iterable<Entry> {
    return this.#entries.values();
  }

  /** Takes an entry in without a word to anybody. */
  put(entry: Entry): void {
    this.#entries.set(entry.head.name, entry);
  }

  /** The highest generation of those that are forgotten since this instance began: others may remember them. */
  get forgotten(): number {
    return this.#forgotten;
  }

  /** @param revision of the tombstone: what is newer is another life */
  forget(name: string, revision = Number.POSITIVE_INFINITY): void {
    const known = this.#entries.get(name);
    if (!known || known.revision > revision) return;
    this.#forgotten = Math.max(this.#forgotten, known.generation);
    this.#entries.delete(name);
    this.#sorted = undefined;
  }

  /** In a shared store others may have gone on before our own commit heard that it was made. */
  made(entry: Entry): void {
    const before = this.#entries.get(entry.head.name);
    if (!before || before.revision <= entry.revision) this.set(entry);
  }

  /** What the store has is so, though its revision be lower: a heal writes behind the end of a stream that was set back. */
  set(entry: Entry): void {
    const { name } = entry.head;
    const before = this.#entries.get(name);
    if (!before || before.head.deletedAt || entry.head.deletedAt) this.#sorted = undefined;
    this.#entries.set(name, entry);
    if (entry.generation !== before?.generation && !looksAlike(before?.head, entry.head)) this.onChange(name);
  }
}

/** True if no reader can tell one from the other. */
function looksAlike(before: Head | undefined, after: Head): boolean {
  const were = before?.versions ?? NONE;
  if ((before?.active ?? 0) !== after.active || were.size !== after.versions.size) return false;
  for (const [number, { recordId }] of after.versions) {
    const was = were.get(number);
    if (!was || Buffer.compare(was.recordId, recordId) !== 0) return false;
  }
  return true;
}

const NONE: Head['versions'] = new Map();
