import { CofferError } from './errors.js';

/** A change as its caller labels it. */
export interface Change {
  /**
   * The caller's operation id: 1–128 printable ASCII characters, unique to the change. A second request with the same
   * id answers as the first did and changes nothing, as long as the id is among the last {@link REMEMBERED} that callers
   * gave for that secret.
   */
  readonly operation?: string | undefined;
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
}

/** How many operation ids given by callers a head remembers. */
export const REMEMBERED = 16;

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
 * The operation with this id by this caller, if the head remembers it.
 *
 * @throws CofferError `operation_reused` if it was something else
 */
export function findOperation(
  operations: readonly Operation[],
  sought: { id: string; by: string; request: string },
): Operation | undefined {
  const found = operations.find(({ id, by }) => id === sought.id && by === sought.by);
  if (found && found.request !== sought.request) {
    throw new CofferError(
      'operation_reused',
      'this operation id was already used for another change: make a new one',
    );
  }
  return found;
}

/** The operations that a head keeps beside a new one: those under way, and the newest that callers named. */
export function keepOperations(
  operations: readonly Operation[],
  underWay: ReadonlySet<string>,
  added: Operation,
): Operation[] {
  const room = added.given ? REMEMBERED - 1 : REMEMBERED;
  const given = operations.filter((operation) => operation.given).slice(-room);
  const kept = operations.filter((operation) => underWay.has(operation.id) || given.includes(operation));
  return [...kept, added];
}

/** An operation as a head's JSON holds it. */
export type OperationJson = [id: string, by: string, request: string, result: number, given: 0 | 1];

export const encodeOperation = ({ id, by, request, result, given }: Operation): OperationJson => [
  id,
  by,
  request,
  result,
  given ? 1 : 0,
];

export const decodeOperation = ([id, by, request, result, given]: OperationJson): Operation => ({
  id,
  by,
  request,
  result,
  given: given === 1,
});
