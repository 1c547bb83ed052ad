import { CofferError } from './errors.js';

/** A pattern taken apart once. Matching is a few searches for literals; no regular expression is involved. */
export class Pattern {
  readonly text: string;
  readonly #head: string;
  readonly #middle: readonly string[];
  /** Undefined if there is no `*`: then the head is all. */
  readonly #tail: string | undefined;

  constructor(pattern: string) {
    this.text = pattern;
    const [head = '', ...rest] = pattern.split(/\*+/);
    this.#head = head;
    this.#tail = rest.pop();
    this.#middle = rest;
  }

  matches(text: string): boolean {
    const head = this.#head;
    const tail = this.#tail;
    if (tail === undefined) return text === head;
    if (text.length < head.length + tail.length || !text.startsWith(head) || !text.endsWith(tail))
      return false;
    const end = text.length - tail.length;
    let at = head.length;
    for (const part of this.#middle) {
      const found = text.indexOf(part, at);
      if (found < 0 || found + part.length > end) return false;
      at = found + part.length;
    }
    return true;
  }

  /** True if this matches all that `pattern` can match: a `*` of it can only be covered by a `*`, so its text decides. */
  covers(pattern: string): boolean {
    return this.matches(pattern);
  }
}

/** True if `text` matches `pattern`. Who asks often keeps a {@link Pattern}. */
export const matches = (pattern: string, text: string): boolean => new Pattern(pattern).matches(text);

/** No name of a secret is longer by default, so neither need a pattern be. */
const PATTERN_BYTES = 1_024;
/** How long a list of a grant's may be. */
export const ENTRIES_PER_LIST = 1_000;

/**
 * A list of a grant's in its one canonical form: sorted, without repetitions.
 *
 * @throws CofferError `invalid_policy` if it is empty or has more than 1,000 entries, or an entry is empty or longer than
 *   1,024 bytes
 */
export function checkedList<T extends string>(what: string, items: readonly T[]): T[] {
  if (items.length === 0) {
    throw new CofferError('invalid_policy', `a grant needs at least one entry in "${what}"`);
  }
  if (items.length > ENTRIES_PER_LIST) {
    throw new CofferError('invalid_policy', `"${what}" has more than ${ENTRIES_PER_LIST} entries`);
  }
  for (const item of items) {
    if (item === '') throw new CofferError('invalid_policy', `"${what}" has an empty entry`);
    if (Buffer.byteLength(item) > PATTERN_BYTES) {
      throw new CofferError('invalid_policy', `"${what}" has an entry of more than ${PATTERN_BYTES} bytes`);
    }
  }
  return [...new Set(items)].sort();
}
