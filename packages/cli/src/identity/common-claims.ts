import {
  generateKey,
  type KeyKind,
  type KeyNote,
  kindOfPublicKey,
  resolveKey,
  type Workplace,
} from '@coffer/identity';
import { holdsSeed } from '@coffer/identity/masked';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';
import { parseTime, shownTime, withItems, withoutItems } from './flags.js';
import type { Report } from './workplace.js';

/** What operators, accounts and users have in common. */

export interface TimeOptions {
  readonly start?: string;
  readonly expiry?: string;
}

export interface CommonOptions extends TimeOptions {
  readonly tag?: readonly string[];
  readonly rmTag?: readonly string[];
}

interface CommonClaims {
  readonly nbf?: number | undefined;
  readonly exp?: number | undefined;
  readonly nats?: { readonly tags?: readonly string[] | null | undefined } | undefined;
}

/** When a token is valid. */
export function times(options: TimeOptions, now: Date): { nbf?: number; exp?: number } {
  const { start, expiry } = options;
  const nbf = start === undefined ? undefined : parseTime('--start', start, now);
  const exp = expiry === undefined ? undefined : parseTime('--expiry', expiry, now);
  if (exp !== undefined && exp !== 0 && exp * 1000 < now.getTime()) {
    throw new Failure(`--expiry ${expiry} is in the past: such a token would be refused from the start`);
  }
  return { ...(nbf === undefined ? {} : { nbf }), ...(exp === undefined ? {} : { exp }) };
}

export function changeCommon<T extends CommonClaims>(
  claims: T,
  options: CommonOptions,
  report: Report,
  now: Date,
): T {
  const { nbf, exp } = times(options, now);
  if (nbf !== undefined) report.ok(`changed jwt start to ${shownTime(nbf) || 'any time'}`);
  if (exp !== undefined) report.ok(`changed jwt expiry to ${shownTime(exp) || 'never'}`);
  const add = (options.tag ?? []).map(normalTag);
  const remove = (options.rmTag ?? []).map(normalTag);
  for (const tag of add) report.ok(`added tag ${quote(tag)}`);
  for (const tag of remove) report.ok(`removed tag ${quote(tag)}`);
  const tags = withoutItems(withItems(claims.nats?.tags, add), remove);
  return {
    ...claims,
    ...(nbf === undefined ? {} : { nbf }),
    ...(exp === undefined ? {} : { exp }),
    nats: { ...claims.nats, tags: add.length + remove.length > 0 ? tags.sort() : tags },
  } as T;
}

export function normalTag(tag: string): string {
  if (holdsSeed(tag)) throw new Failure('a tag is not secret, and this one has a seed in it: choose another');
  return tag.trim().toLowerCase();
}

/**
 * The public keys that a flag names: public keys, `generate` for a new one, files with seeds, or seeds.
 *
 * @param note what the ledger says of them
 */
export function keysNamed(
  place: Workplace,
  kind: KeyKind,
  { flag, references }: { readonly flag: string; readonly references: readonly string[] },
  note: Omit<KeyNote, 'key'>,
  report: Report,
): string[] {
  return references.map((reference) => {
    if (reference === 'generate') return newKey(place, kind, note, report);
    const key = publicKeyNamed(place, kind, flag, reference);
    place.ledger.note({ key, ...note });
    return key;
  });
}

/** Makes a key and keeps it, unless the token that is to name it is not written. */
export function newKey(place: Workplace, kind: KeyKind, note: Omit<KeyNote, 'key'>, report: Report): string {
  const { key } = generateKey(place, kind, note);
  report.onFailure(() => place.keys.remove(key));
  return key;
}

function publicKeyNamed(place: Workplace, kind: KeyKind, flag: string, reference: string): string {
  const found = kindOfPublicKey(reference);
  if (found === undefined) {
    using pair = resolveKey(reference, place.keys, { flag });
    return requireKind(pair.publicKey, pair.kind, kind);
  }
  return requireKind(reference, found, kind);
}

function requireKind(key: string, found: KeyKind, wanted: KeyKind): string {
  if (found === wanted) return key;
  const article = /^[ao]/.test(wanted) ? 'an' : 'a';
  throw new Failure(`${key} is not the key of ${article} ${wanted}`);
}
