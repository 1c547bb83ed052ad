import type { AnswerRoom } from './answer-room.js';
import type { Caller } from './caller.js';
import type { Catalog, SealedValue } from './catalog.js';
import { wipe } from './crypto/secure-memory.js';
import { CofferError } from './errors.js';
import { ALLOWED, codeOf, DENIED, type Decided } from './gate.js';
import { checkName, checkVersion } from './names.js';
import { isConflict } from './overtaken.js';
import type { SecretsContext } from './secrets-context.js';

/** How many values one {@link getMany} asks for at most. */
export const MANY_REQUESTS = 256;
/** How large the values of one answer are together, where nobody says otherwise. */
export const MANY_BYTES = 8 * 1024 * 1024;

/** One value of many that are asked for. */
export interface ManyRequest {
  readonly name: string;
  /** 0 or absent: the active one. */
  readonly version?: number | undefined;
  /** The version that the caller has, where it asks for the active one: it need not come again. */
  readonly known?: number | undefined;
}

/** What became of one request. The bytes of a value belong to the receiver, who wipes them after use. */
export type ManyAnswer =
  | {
      readonly name: string;
      readonly version: number;
      readonly value: Uint8Array;
      /** As {@link SecretValue} has it. */
      readonly binary: boolean;
    }
  | { readonly name: string; readonly version: number; readonly unchanged: true }
  /** `too_large`: the values before it fill the answer: ask again. Those behind the first such one were not looked at. */
  | { readonly name: string; readonly error: 'access_denied' | 'not_found' | 'tampered' | 'too_large' };

export interface ManyOptions {
  /** How large the values are together, in bytes; a single value comes however large it is. Default {@link MANY_BYTES}. */
  readonly maxBytes?: number | undefined;
  readonly room?: AnswerRoom | undefined;
}

/**
 * Reads many values for one answer, which is in the order of the requests. Each is authorised and audited by itself, just as
 * `get` and `getIfChanged` do it, and none fails for another's sake; all entries share one sync.
 *
 * @throws CofferError `invalid_argument` for no request or more than {@link MANY_REQUESTS}; `invalid_name`,
 *   `name_too_long`, `invalid_version` for any of them, before anything is done
 */
export async function getMany(
  context: SecretsContext,
  caller: Caller,
  requests: readonly ManyRequest[],
  { maxBytes = MANY_BYTES, room }: ManyOptions,
): Promise<ManyAnswer[]> {
  check(requests, context);
  // From here to the log all happens in one turn: one state of grants and secrets, and no value that waits for another.
  const found = findAll(context, caller, requests, maxBytes);
  const opened: Opened[] = [];
  try {
    room?.reserve(found.reduce((sum, { sealed }) => sum + (sealed?.size ?? 0), 0));
    for (const one of found) opened.push(open(context.catalog, one));
  } catch (error) {
    wipeAll(opened);
    await context.gate.decided(found.flatMap((one) => undelivered(one, error)));
    throw error;
  }
  try {
    await context.gate.decided(opened.flatMap(({ decided }) => decided ?? []));
  } catch (error) {
    wipeAll(opened);
    throw error;
  }
  return opened.map(({ answer }) => answer);
}

function wipeAll(opened: readonly Opened[]): void {
  for (const { answer } of opened) if ('value' in answer) wipe(answer.value);
}

/** No answer leaves, but what was refused was refused, and what was allowed came to no good end. */
function undelivered(found: Found, error: unknown): Decided[] {
  if (!found.sealed) return found.decided ? [found.decided] : [];
  // What is no error of ours is the room's, which says that there is none.
  const code = error instanceof CofferError ? error.code : 'busy';
  return [{ asked: found.asked, decision: { authorized: true, error: code } }];
}

/** An answer, and what the log is to hold of it. */
interface Opened {
  readonly answer: ManyAnswer;
  readonly decided?: Decided;
}

/** The same before the value is opened, where there is one. */
type Found = (Opened & { readonly sealed?: undefined }) | (Asked & { readonly sealed: SealedValue });

interface Asked {
  readonly name: string;
  readonly asked: Decided['asked'];
}

function check(requests: readonly ManyRequest[], { limits }: SecretsContext): void {
  if (requests.length === 0 || requests.length > MANY_REQUESTS) {
    throw new CofferError('invalid_argument', `ask for 1 to ${MANY_REQUESTS} secrets at once`);
  }
  for (const { name, version, known } of requests) {
    checkName(name, limits);
    if (version) checkVersion(version);
    if (version && known !== undefined) {
      throw new CofferError('invalid_argument', 'what is known counts for the active version only');
    }
  }
}

function findAll(
  { catalog, policy }: SecretsContext,
  caller: Caller,
  requests: readonly ManyRequest[],
  maxBytes: number,
): Found[] {
  const grants = policy();
  let taken = 0;
  let full = false;
  return requests.map(({ name, version, known }): Found => {
    const asked = { caller, action: 'get', secret: name, secretVersion: version || undefined } as const;
    if (!grants.allows(caller, 'get', name)) {
      return { answer: { name, error: 'access_denied' }, decided: { asked, decision: DENIED } };
    }
    const active = catalog.heads.live(name)?.head.active;
    // Neither reveals anything: like setec's conditional get, no entry.
    if (active !== undefined && known === active)
      return { answer: { name, version: active, unchanged: true } };
    if (full) return { answer: { name, error: 'too_large' } };
    let sealed: SealedValue | undefined;
    try {
      sealed = sealedNow(catalog, name, version || undefined);
    } catch (error) {
      return failed(name, asked, error);
    }
    if (!sealed) return failed(name, asked, new CofferError('not_found', 'not found'));
    full = taken > 0 && taken + sealed.size > maxBytes;
    // That it does not fit tells that it is there, and how large at least.
    if (full) {
      const decision = { authorized: true, error: 'too_large' };
      return { answer: { name, error: 'too_large' }, decided: { asked, decision } };
    }
    taken += sealed.size;
    return { name, asked, sealed };
  });
}

/** Undefined if there is none. */
function sealedNow(catalog: Catalog, name: string, stated: number | undefined): SealedValue | undefined {
  for (;;) {
    const entry = catalog.heads.live(name);
    const version = stated ?? entry?.head.active ?? 0;
    if (!entry?.head.versions.has(version)) return undefined;
    try {
      return catalog.sealedValue(entry, version);
    } catch (error) {
      // The catalog has the newer state now.
      if (!isConflict(error)) throw error;
    }
  }
}

function open(catalog: Catalog, found: Found): Opened {
  if (!found.sealed) return found;
  const { name, asked, sealed } = found;
  try {
    const value = catalog.openValue(sealed);
    return {
      answer: { name, version: sealed.binding.version, value, binary: sealed.binary },
      decided: { asked, decision: ALLOWED },
    };
  } catch (error) {
    return failed(name, asked, error);
  }
}

/** What is neither the caller's mistake nor the record's fails the whole. */
function failed(name: string, asked: Decided['asked'], error: unknown): Opened {
  const code = codeOf(error);
  if (code !== 'not_found' && code !== 'tampered') throw error;
  return { answer: { name, error: code }, decided: { asked, decision: { authorized: true, error: code } } };
}
