import { kindOfPublicKey } from '@coffer/identity';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';

/** So many letters are enough to tell keys apart, and too many for a name. */
const ENOUGH = 4;

/** A public key as it stands in a table, in full or shortened. */
export const shownKey = (key: string, long = false): string =>
  long ? key : `${key.slice(0, 4)}…${key.slice(-4)}`;

/**
 * The key that a person means: one in full, or the only one of `known` that begins so, or that is shortened so, as tables show
 * it (`ABPL…PVXP`).
 */
export function keyMeant(text: string, known: Iterable<string>): string {
  if (kindOfPublicKey(text) !== undefined) return text;
  const [, start = '', end = ''] = /^([A-Z2-7]+)(?:(?:…|\.\.\.)([A-Z2-7]*))?$/.exec(text) ?? [];
  const found =
    start.length < ENOUGH
      ? []
      : [...new Set(known)].filter((key) => key.startsWith(start) && key.endsWith(end));
  const [only, ...more] = found;
  if (only !== undefined && more.length === 0) return only;
  throw new Failure(
    only === undefined
      ? `${quote(text)} is no public key, nor the beginning of one that is known here: "coffer identity list keys --all" and ` +
          '"coffer identity graph --long-ids" show them'
      : `${quote(text)} is the beginning of several keys: say which, of ${found.join(', ')}`,
  );
}
