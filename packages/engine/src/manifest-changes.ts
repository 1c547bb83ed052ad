import type { AuditSubject } from './audit/entry.js';
import type { Caller } from './caller.js';
import { CofferError } from './errors.js';
import type { Gate } from './gate.js';
import { Locks } from './locks.js';
import type { Manifest, ManifestChange } from './manifest.js';
import { type Change, isRecent, repetitionOf } from './operations.js';
import type { Policy } from './policy.js';

/** What a change of the manifest is to write; what it remembers is not its affair. */
export type PlannedChange = Omit<ManifestChange, 'operations'>;

/** What stands on the manifest and on who administers everything. */
export interface ManifestContext {
  readonly manifest: Manifest;
  readonly changes: ManifestChanges;
  readonly gate: Gate;
  readonly now: () => Date;
  policy(): Policy;
  /** False if a caller has ended who was let in. */
  knows(caller: Caller): boolean;
}

/** Changes of the manifest, audited, one after the other, since all of it hangs on one head. */
export class ManifestChanges {
  readonly #manifest: Manifest;
  readonly #gate: Gate;
  readonly #isPrivileged: (caller: Caller) => boolean;
  readonly #lock = new Locks();

  /** @param isPrivileged true for who administers everything: those who administer a part cannot use up the room that it needs */
  constructor(manifest: Manifest, gate: Gate, isPrivileged: (caller: Caller) => boolean) {
    this.#manifest = manifest;
    this.#gate = gate;
    this.#isPrivileged = isPrivileged;
  }

  /**
   * Makes a change, or nothing if `plan` says so or if it was made before; that is logged once.
   *
   * @param request what is asked, so that an operation id that is used for something else is noticed
   * @param plan decides on the newest state, on the caller's right too: who lost it while waiting cannot give it back to
   *   itself
   * @param made is told in the turn in which the change becomes true
   */
  async make(
    asked: AuditSubject,
    change: Change | undefined,
    request: string,
    plan: () => PlannedChange | undefined,
    made: (change: PlannedChange) => void,
  ): Promise<void> {
    const { operation, ...counting } = this.#gate.operationOf(change);
    const { given } = counting;
    const by = asked.caller.principals[0].id;
    const labelled = { ...asked, operation };
    const added = { id: operation, by, request, result: 0, ...counting };
    const done = await this.alone(async () => {
      const { operations } = this.#manifest;
      let planned: PlannedChange | undefined;
      let kept = operations;
      let refusal: CofferError | undefined;
      try {
        const repetition = given ? repetitionOf(operations, added) : undefined;
        if (repetition) {
          ({ refusal, prolonged: kept = operations } = repetition);
          if (kept !== operations) planned = {};
          else if (refusal) throw refusal;
        } else {
          // What changes nothing now might later: if its caller may ask again, that is remembered.
          planned = plan() ?? (given ? {} : undefined);
          if (planned) kept = this.#gate.remember(operations, added, this.#isPrivileged(asked.caller));
        }
      } catch (error) {
        if (error instanceof CofferError && error.code === 'access_denied') return this.#gate.deny(labelled);
        return this.#gate.fail(labelled, error);
      }
      if (!planned) {
        await this.#gate.allow(labelled);
        return undefined;
      }
      const next = planned;
      return this.#gate.change(labelled, async () => {
        await this.#manifest.commit({ ...next, operations: kept });
        if (refusal) throw refusal;
        made(next);
      });
    });
    await done?.settle();
  }

  /** Tells whether a principal's operation came true, for the recovery after a crash. */
  remembers(operation: string, principal: string): boolean {
    return isRecent(this.#manifest.operations, operation, principal);
  }

  /** Runs the task when nobody else is changing the manifest, nor begins to. */
  alone<T>(task: () => Promise<T>): Promise<T> {
    return this.#lock.run('manifest', task);
  }
}
