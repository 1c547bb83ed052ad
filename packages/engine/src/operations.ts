import { hash } from 'node:crypto';

import { CofferError } from './errors.js';

/** A change as its caller labels it. */
export interface Change {
  /**
   * The caller's operation id: 1–128 printable ASCII characters, unique to the change. A second request with the same
   * id answers as the first did and changes nothing, as long as the id is among the last {@link REMEMBERED} that the
   * caller gave for that secret, and all others together gave no more than so many since: one alone never makes another's
   * forgotten.
   */
  readonly operation?: string | undefined;
  /**
   * The id counts once until then at least, at most a day from now, however many others there are: when what was answered is
   * forgotten, it is refused (`operation_reused`), and when the time is over, too (`busy`). For what proves its caller and could
   * be sent again by who overheard it.
   */
  readonly until?: Date | undefined;
}

/** A change that a head remembers: for retries, and to tell after a crash whether an intent came true. */
export interface Operation {
  readonly id: string;
  /** Principal id of who made it; another caller's id never matches. */
  readonly by: string;
  /** Keyed hash of what was asked, so that an id used for something else is noticed. */
  readonly request: string;
  /** The version number that was answered, where one was. */
  readonly result: number;
  /** The caller gave the id: it may come again. Otherwise it is forgotten once its outcome is durable. */
  readonly given: boolean;
  /** It counts once until then, in seconds since 1970. */
  readonly until?: number;
}

/** Of an operation that still counts once: that it was, and nothing of what it did. */
export interface SpentOperation {
  /** Of id and principal, see {@link spentKey}. */
  readonly key: string;
  /** Of the principal, see {@link principalKey}. */
  readonly by: string;
  /** In seconds since 1970. */
  readonly until: number;
}

/** What a head remembers of the changes that were made to it. */
export interface Operations {
  /** The newest, the last one last. */
  readonly recent: readonly Operation[];
  readonly spent: readonly SpentOperation[];
}

export const NO_OPERATIONS: Operations = { recent: [], spent: [] };

/** How many operation ids given by one caller a head remembers. */
export const REMEMBERED = 16;
const REMEMBERED_OF_ALL = 2 * REMEMBERED;

/**
 * How many operations that nobody named a head of a shared store remembers: another instance may have died before their outcome
 * was in its log.
 */
export const REMEMBERED_UNNAMED = 8;

/** How many more of one caller's, and of all, still count once. What is privileged may go as far again. */
const SPENT = { ofOne: 128, ofAll: 1_024 };

/** Proofs live for minutes; a day bounds what a mistaken clock can make a head keep. */
const UNTIL_MAX = 24 * 60 * 60;

/** @throws CofferError `invalid_argument` */
export function checkOperationId(id: string): void {
  if (!/^[\x21-\x7e]{1,128}$/.test(id)) {
    throw new CofferError(
      'invalid_argument',
      'an operation id is 1 to 128 printable ASCII characters without spaces',
    );
  }
}

/**
 * Until when a change's id counts once, in whole seconds since 1970; undefined if it only is remembered as any.
 *
 * @throws CofferError `invalid_argument`
 */
export function untilOf({ operation, until }: Change, now: Date): number | undefined {
  if (until === undefined) return undefined;
  const seconds = Math.ceil(until.getTime() / 1000);
  // Written so that an invalid date is refused, too.
  if (operation === undefined || !(seconds <= secondsOf(now) + UNTIL_MAX)) {
    throw new CofferError('invalid_argument', 'an operation id that counts once does so for a day at most');
  }
  return seconds;
}

/** An operation that was made already. */
export interface Repetition {
  /** What it answered then. */
  readonly result: number;
  /** In place of the answer, `operation_reused`: it was something else, or only that it was made is remembered. */
  readonly refusal?: CofferError;
  /** To be remembered from now on, where the repetition counts once for longer than the first did. */
  readonly prolonged?: Operations;
}

/**
 * The operation with this id by this caller, if the head remembers it. Who could repeat the repetition must not find it
 * forgotten: `prolonged` is to be durable before any answer or refusal.
 */
export function repetitionOf(
  { recent, spent }: Operations,
  sought: Pick<Operation, 'id' | 'by' | 'request' | 'until'>,
): Repetition | undefined {
  const { id, by, until = 0 } = sought;
  const isSought = (operation: Operation) => operation.id === id && operation.by === by;
  const found = recent.find(isSought);
  if (found) {
    const { result } = found;
    const answer =
      found.request === sought.request ? { result } : { result, refusal: reused(ANOTHER_CHANGE) };
    if (until <= (found.until ?? 0)) return answer;
    const prolonged = recent.map((operation) => (isSought(operation) ? { ...operation, until } : operation));
    return { ...answer, prolonged: { recent: prolonged, spent } };
  }
  if (spent.length === 0) return undefined;
  const key = spentKey(sought);
  const known = spent.find((operation) => operation.key === key);
  if (!known) return undefined;
  const refusal = reused(FORGOTTEN);
  if (until <= known.until) return { result: 0, refusal };
  const prolonged = spent.map((operation) => (operation.key === key ? { ...operation, until } : operation));
  return { result: 0, refusal, prolonged: { recent, spent: prolonged } };
}

const ANOTHER_CHANGE = 'this operation id was already used for another change: make a new one';
const FORGOTTEN =
  'this operation was made already, and what it answered is forgotten: look at what there is before you make another';
const reused = (sentence: string) => new CofferError('operation_reused', sentence);

/** True if it was made by this principal and what it did is remembered, as it is while its outcome may not be durable. */
export const isRecent = ({ recent }: Operations, operation: string, principal: string): boolean =>
  recent.some(({ id, by }) => id === operation && by === principal);

/** False if it is certain that no operation of another instance's was forgotten; for heads of a shared store. */
export const mayHaveForgotten = ({ recent }: Operations): boolean =>
  recent.filter(({ given }) => given).length >= REMEMBERED ||
  recent.filter(({ given }) => !given).length >= REMEMBERED_UNNAMED;

/** True if an operation still counts once. */
export const holdsUnexpired = ({ recent, spent }: Operations, now: Date): boolean =>
  [...recent, ...spent].some((operation) => isUnexpired(operation, now));

/**
 * The operations that a head keeps with a new one: those under way, the newest that callers named, and of older ones that
 * they are spent.
 *
 * @param privileged others, who are not, cannot use up the room that the change needs: its caller administers what is changed,
 *   or it takes something away that may have leaked
 * @throws CofferError `busy` if more still count once, of this caller's or of all, than a head can know, or if the time of
 *   this one is over
 */
export function keepOperations(
  { recent, spent }: Operations,
  added: Operation,
  { isUnderWay, now, privileged = false, unnamed = 0 }: KeepContext,
): Operations {
  // It may have been made and forgotten since its proof was looked at: a body can be sent slowly.
  if (added.until !== undefined && !isAhead(added.until, now)) {
    throw new CofferError(
      'busy',
      'what proves this change has expired on its way: send it again with a new proof',
    );
  }
  const newest = newestGiven([...recent, added]);
  const newestUnnamed = new Set(unnamed > 0 ? recent.filter(({ given }) => !given).slice(-unnamed) : []);
  const isKept = (operation: Operation) =>
    operation === added ||
    newest.has(operation) ||
    newestUnnamed.has(operation) ||
    isUnderWay(operation.id, operation.by);
  const kept = [...recent, added].filter(isKept);
  const forgotten = recent.flatMap((operation) =>
    operation.until === undefined || isKept(operation) ? [] : [spentOf(operation, operation.until)],
  );
  const stillSpent = [...spent, ...forgotten].filter(({ until }) => isAhead(until, now));
  const times = privileged ? 2 : 1;
  if (
    added.given &&
    unexpiredOf(added.by, { recent: kept, spent: stillSpent }, now) > times * SPENT.ofOne + REMEMBERED
  ) {
    throw new CofferError(
      'busy',
      'you made so many changes here in the last minute that no more of yours can be told apart: try again in a minute',
    );
  }
  if (forgotten.length > 0 && stillSpent.length > times * SPENT.ofAll) {
    throw new CofferError(
      'busy',
      'so many changes were made here in the last minute that no more can be told apart: try again in a minute',
    );
  }
  return { recent: kept, spent: stillSpent };
}

export interface KeepContext {
  /** Tells whether the intent of a principal's operation may be in the log without an outcome. */
  isUnderWay(operation: string, principal: string): boolean;
  readonly now: Date;
  readonly privileged?: boolean | undefined;
  /** How many are kept that no caller named; none if not given, but those under way. */
  readonly unnamed?: number;
}

/** Those that callers named and are remembered: nobody has more than its share of them. */
function newestGiven(operations: readonly Operation[]): ReadonlySet<Operation> {
  const newest = new Set<Operation>();
  const shares = new Map<string, number>();
  for (const operation of operations.filter(({ given }) => given).reverse()) {
    if (newest.size === REMEMBERED_OF_ALL) break;
    const share = shares.get(operation.by) ?? 0;
    if (share === REMEMBERED) continue;
    shares.set(operation.by, share + 1);
    newest.add(operation);
  }
  return newest;
}

/** How many of a principal's still count once. */
function unexpiredOf(principal: string, { recent, spent }: Operations, now: Date): number {
  const by = principalKey(principal);
  const known = recent.filter((operation) => operation.by === principal && isUnexpired(operation, now));
  return (
    known.length + spent.filter((operation) => operation.by === by && isUnexpired(operation, now)).length
  );
}

/** Of the hashes by which spent operations are known. */
export const KEY_BYTES = 8;

const spentOf = (operation: Operation, until: number): SpentOperation => ({
  key: spentKey(operation),
  by: principalKey(operation.by),
  until,
});

/**
 * The first 8 bytes of SHA-256 over principal ‖ 0 ‖ id, base64: among a thousand, another one's is met by chance once in
 * 10^16 changes, and is refused then.
 */
const spentKey = ({ id, by }: Pick<Operation, 'id' | 'by'>): string => shortHash(`${by}\0${id}`);

/**
 * The first 8 bytes of SHA-256 over the principal's id, base64. With fewer, who may make user keys could search for one that
 * shares another's room.
 */
const principalKey = (principal: string): string => shortHash(principal);

const shortHash = (text: string): string => hash('sha256', text, 'buffer').toString('base64', 0, KEY_BYTES);

const isUnexpired = ({ until }: { readonly until?: number }, now: Date): boolean =>
  until !== undefined && isAhead(until, now);

/** The second in which it ends is still in. */
const isAhead = (until: number, now: Date): boolean => until >= secondsOf(now);

const secondsOf = (time: Date): number => Math.floor(time.getTime() / 1000);
