import { randomUUID } from 'node:crypto';

import type { AuditDecision, AuditSubject } from './audit/entry.js';
import type { AuditLog } from './audit/log.js';
import { CofferError } from './errors.js';
import {
  type Change,
  checkOperationId,
  keepOperations,
  type Operation,
  type Operations,
  REMEMBERED_UNNAMED,
  untilOf,
} from './operations.js';
import type { Freshness } from './storage/shared.js';
import type { Storage } from './storage/storage.js';

export const ALLOWED: AuditDecision = { authorized: true };
export const DENIED: AuditDecision = { authorized: false };
const INTENT: AuditDecision = { authorized: true, phase: 'intent' };

/** A decision on what was asked, for the log. */
export interface Decided {
  readonly asked: AuditSubject;
  readonly decision: AuditDecision;
}

/** What a change did, and who closes its audit. */
export interface Made<T> {
  readonly result: T;
  /** Resolves when the outcome is durable; only then may the change be acknowledged. */
  settle(): Promise<void>;
}

/** What there is to heed where others change the store, too. */
export interface SharedGate {
  /**
   * No answer leaves whose state was too old. It is asked in the turn in which a decision comes to the gate, so decide in the turn
   * in which the state is read, or before.
   */
  readonly freshness: Freshness;
  /**
   * It is not known whether a change came true.
   *
   * @param close is to be called when it is known, with the code of what became of it if it did not; not before is its operation
   *   forgotten
   */
  inDoubt(
    asked: AuditSubject & { operation: string },
    close: (error: string | undefined) => Promise<void>,
  ): void;
}

/** The one way past which something is revealed or changed: every decision is in the audit log before it has an effect. */
export class Gate {
  readonly #audit: AuditLog;
  readonly #storage: Pick<Storage, 'sequence'> | undefined;
  readonly #shared: SharedGate | undefined;
  readonly #now: () => Date;
  readonly #underWay = new UnderWay();

  /**
   * @param storage undefined where the store's sequence is no other store's: then outcomes do not name it
   * @param shared of a store that others change, too
   */
  constructor(
    audit: AuditLog,
    storage: Pick<Storage, 'sequence'> | undefined,
    now: () => Date,
    shared?: SharedGate,
  ) {
    this.#audit = audit;
    this.#storage = storage;
    this.#now = now;
    this.#shared = shared;
  }

  /** True where others change the store, too: what is here may be older than what they were told. */
  get isShared(): boolean {
    return this.#shared !== undefined;
  }

  /** @throws CofferError `access_denied`, once the refusal is logged; `stale` */
  async deny(asked: AuditSubject): Promise<never> {
    await this.#fresh(this.#audit.append(asked, DENIED));
    throw accessDenied();
  }

  /**
   * Logs an access that was allowed; what it reveals may leave only after this.
   *
   * @throws CofferError `stale`
   */
  allow(asked: AuditSubject): Promise<unknown> {
    return this.#fresh(this.#audit.append(asked, ALLOWED));
  }

  /**
   * As {@link allow}, of what is no secret and is to be had however old the state is: how the store does.
   *
   * @returns the entry's `seq`, for {@link ended}
   */
  allowStale(asked: AuditSubject): Promise<number> {
    return this.#audit.append(asked, ALLOWED);
  }

  /** Logs what was decided at one moment together: one sync serves all. */
  async decided(decisions: readonly Decided[]): Promise<void> {
    await this.#fresh(this.#audit.appendAll(decisions));
  }

  /**
   * For what reveals nothing that the log should know of.
   *
   * @throws CofferError `stale`
   */
  requireFresh(): void {
    const freshness = this.#shared?.freshness;
    freshness?.require(freshness.mark());
  }

  #fresh<T>(logged: Promise<T>): Promise<T> {
    const freshness = this.#shared?.freshness;
    if (!freshness) return logged;
    const mark = freshness.mark();
    return logged.then((result) => {
      freshness.require(mark);
      return result;
    });
  }

  /**
   * Logs the end of what was allowed before and took its time, with the code of its error if it came to no good one.
   *
   * @param begun the `seq` of the entry that allowed it
   */
  async ended(asked: AuditSubject, error: string | undefined, begun?: number): Promise<void> {
    const end = begun === undefined ? {} : ({ phase: 'outcome', intent: begun } as const);
    await this.#audit.append(asked, { authorized: true, error, ...end });
  }

  /** Logs an allowed request that failed, then throws its error. */
  async fail(asked: AuditSubject, error: unknown): Promise<never> {
    await this.#fresh(this.#audit.append(asked, { authorized: true, error: codeOf(error) }));
    throw error;
  }

  /** @throws CofferError `invalid_argument` for a bad id of the caller's */
  operationOf(change: Change | undefined): GivenOperation {
    if (change?.operation === undefined && change?.until === undefined) {
      return { operation: randomUUID(), given: false };
    }
    const until = untilOf(change, this.#now());
    const { operation = '' } = change;
    checkOperationId(operation);
    return { operation, given: true, ...(until !== undefined && { until }) };
  }

  /**
   * What a head remembers once a change of it is made.
   *
   * @param privileged as for {@link keepOperations}
   * @throws CofferError `busy`
   */
  remember(operations: Operations, added: Operation, privileged = false): Operations {
    const isUnderWay = (operation: string, principal: string) => this.#underWay.has(operation, principal);
    const unnamed = this.#shared ? REMEMBERED_UNNAMED : 0;
    return keepOperations(operations, added, { isUnderWay, now: this.#now(), privileged, unnamed });
  }

  /**
   * Makes a change between its intent and its outcome. The operation id is in the intent, and `make` puts it into the head
   * that it commits: after a crash the two tell whether the intent came true.
   */
  async change<T>(asked: AuditSubject & { operation: string }, make: () => Promise<T>): Promise<Made<T>> {
    const ended = this.#underWay.begin(asked.operation, asked.caller.principals[0].id);
    const append = async (entry: Pick<AuditDecision, 'intent' | 'error' | 'revision'>) => {
      await this.#audit.append(asked, { authorized: true, phase: 'outcome', ...entry });
      ended();
    };
    let intent: number;
    try {
      intent = await this.#audit.append(asked, INTENT);
    } catch (error) {
      ended();
      throw error;
    }
    try {
      const result = await make();
      // Not below the change's own revision, and durable by now: a store that has less was put back.
      const revision = this.#storage?.sequence;
      return { result, settle: () => append({ intent, revision }) };
    } catch (error) {
      if (this.#shared && codeOf(error) === 'in_doubt') {
        this.#shared.inDoubt(asked, async (outcome) => {
          await append({ intent, error: outcome });
        });
        throw error;
      }
      // If this cannot be logged either, the intent stays open, and the next start closes it.
      await append({ intent, error: codeOf(error) }).catch(() => undefined);
      throw error;
    }
  }
}

/** Operations whose intent may be in the log without an outcome, by principal and id: several may have the same at one time. */
class UnderWay {
  readonly #counts = new Map<string, number>();

  has(operation: string, principal: string): boolean {
    return this.#counts.has(keyOf(operation, principal));
  }

  /** @returns a function that says that one of them has ended */
  begin(operation: string, principal: string): () => void {
    const key = keyOf(operation, principal);
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + 1);
    return () => {
      const left = (this.#counts.get(key) ?? 0) - 1;
      if (left > 0) this.#counts.set(key, left);
      else this.#counts.delete(key);
    };
  }
}

/** No operation id has a space. */
const keyOf = (operation: string, principal: string): string => `${operation} ${principal}`;

/** The id under which a change is logged and remembered: its caller's, or one made for it. */
export interface GivenOperation {
  readonly operation: string;
  readonly given: boolean;
  /** In seconds since 1970. */
  readonly until?: number;
}

export const accessDenied = () => new CofferError('access_denied', 'access denied');

export const codeOf = (error: unknown): string => (error instanceof CofferError ? error.code : 'io');
