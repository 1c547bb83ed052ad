import { hash } from 'node:crypto';

import { CofferError } from './errors.js';

/** A change as its caller labels it. */
export interface Change {
  /**
   * The caller's operation id: 1–128 printable ASCII characters, unique to the change. A second request with the same
   * id answers as the first did and changes nothing, as long as the id is among the last {@link REMEMBERED} that callers
   * gave for that secret.
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

/** How many operation ids given by callers a head remembers. */
export const REMEMBERED = 16;

/** How many more a head knows to be spent. What is urgent may go as far again. */
const SPENT = 1_024;

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
  const prolonged = spent.map((operation) => (operation.key === key ? { key, until } : operation));
  return { result: 0, refusal, prolonged: { recent, spent: prolonged } };
}

const ANOTHER_CHANGE = 'this operation id was already used for another change: make a new one';
const FORGOTTEN =
  'this operation was made already, and what it answered is forgotten: look at what there is before you make another';
const reused = (sentence: string) => new CofferError('operation_reused', sentence);

/** True if it was made by this principal and what it did is remembered, as it is while its outcome may not be durable. */
export const isRecent = ({ recent }: Operations, operation: string, principal: string): boolean =>
  recent.some(({ id, by }) => id === operation && by === principal);

/** True if an operation still counts once. */
export const holdsUnexpired = ({ recent, spent }: Operations, now: Date): boolean =>
  [...recent, ...spent].some(({ until }) => until !== undefined && isAhead(until, now));

/**
 * The operations that a head keeps with a new one: those under way, the newest that callers named, and of older ones that
 * they are spent.
 *
 * @param urgent the change takes something away from somebody: others cannot use up the room that it needs
 * @throws CofferError `busy` if more still count once than a head can know, or if the time of this one is over
 */
export function keepOperations(
  { recent, spent }: Operations,
  added: Operation,
  { underWay, now, urgent = false }: KeepContext,
): Operations {
  // It may have been made and forgotten since its proof was looked at: a body can be sent slowly.
  if (added.until !== undefined && !isAhead(added.until, now)) {
    throw new CofferError(
      'busy',
      'what proves this change has expired on its way: send it again with a new proof',
    );
  }
  const room = added.given ? REMEMBERED - 1 : REMEMBERED;
  const given = recent.filter((operation) => operation.given).slice(-room);
  const isKept = (operation: Operation) => underWay.has(operation.id) || given.includes(operation);
  const forgotten = recent.flatMap((operation) =>
    operation.until === undefined || isKept(operation)
      ? []
      : [{ key: spentKey(operation), until: operation.until }],
  );
  const stillSpent = [...spent, ...forgotten].filter(({ until }) => isAhead(until, now));
  if (forgotten.length > 0 && stillSpent.length > (urgent ? 2 * SPENT : SPENT)) {
    throw new CofferError(
      'busy',
      'so many changes were made here in the last minute that no more can be told apart: try again in a minute',
    );
  }
  return { recent: [...recent.filter(isKept), added], spent: stillSpent };
}

export interface KeepContext {
  /** Operations whose intent may be in the log without an outcome. */
  readonly underWay: ReadonlySet<string>;
  readonly now: Date;
  readonly urgent?: boolean | undefined;
}

const KEY_BYTES = 8;
const SPENT_BYTES = KEY_BYTES + 4;

/**
 * The first 8 bytes of SHA-256 over principal ‖ 0 ‖ id, base64: among a thousand, another one's is met by chance once in
 * 10^16 changes, and is refused then.
 */
const spentKey = ({ id, by }: Pick<Operation, 'id' | 'by'>): string =>
  hash('sha256', `${by}\0${id}`, 'buffer').toString('base64', 0, KEY_BYTES);

/** The second in which it ends is still in. */
const isAhead = (until: number, now: Date): boolean => until >= secondsOf(now);

const secondsOf = (time: Date): number => Math.floor(time.getTime() / 1000);

/** Operations as a head's JSON holds them: what is spent is 12 bytes each, key (8) ‖ until (4, big-endian), in base64. */
export interface OperationsJson {
  readonly recent: readonly OperationJson[];
  /** Left out where there are none. */
  readonly spent?: string;
}

export type OperationJson = [
  id: string,
  by: string,
  request: string,
  result: number,
  given: 0 | 1,
  until?: number,
];

export function encodeOperations({ recent, spent }: Operations): OperationsJson {
  return { recent: recent.map(encodeOperation), ...(spent.length > 0 && { spent: encodeSpent(spent) }) };
}

export const decodeOperations = ({ recent, spent }: OperationsJson): Operations => ({
  recent: recent.map(decodeOperation),
  spent: spent === undefined ? [] : decodeSpent(spent),
});

const encodeOperation = ({ id, by, request, result, given, until }: Operation): OperationJson => [
  id,
  by,
  request,
  result,
  given ? 1 : 0,
  ...(until === undefined ? ([] as const) : ([until] as const)),
];

const decodeOperation = ([id, by, request, result, given, until]: OperationJson): Operation => ({
  id,
  by,
  request,
  result,
  given: given === 1,
  ...(until !== undefined && { until }),
});

function encodeSpent(spent: readonly SpentOperation[]): string {
  const bytes = Buffer.alloc(spent.length * SPENT_BYTES);
  spent.forEach(({ key, until }, index) => {
    bytes.write(key, index * SPENT_BYTES, 'base64');
    bytes.writeUInt32BE(until, index * SPENT_BYTES + KEY_BYTES);
  });
  return bytes.toString('base64');
}

function decodeSpent(text: string): SpentOperation[] {
  const bytes = Buffer.from(text, 'base64');
  return Array.from({ length: Math.floor(bytes.length / SPENT_BYTES) }, (_, index) => {
    const at = index * SPENT_BYTES;
    return {
      key: bytes.toString('base64', at, at + KEY_BYTES),
      until: bytes.readUInt32BE(at + KEY_BYTES),
    };
  });
}
