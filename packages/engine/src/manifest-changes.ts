import type { AuditSubject } from './audit/entry.js';
import { CofferError } from './errors.js';
import { accessDenied, type Gate } from './gate.js';
import { Locks } from './locks.js';
import type { Manifest, ManifestChange } from './manifest.js';
import { type Change, repetitionOf } from './operations.js';
import { untilNotOvertaken } from './overtaken.js';
import { administersAll, type Rights } from './rights.js';

/** What a change of the manifest is to write; what it remembers is not its affair. */
export type PlannedChange = Omit<ManifestChange, 'operations' | 'base'>;

/** What stands on the manifest and on who administers everything. */
export interface ManifestContext extends Rights {
  readonly manifest: Manifest;
  readonly changes: ManifestChanges;
  readonly gate: Gate;
  readonly now: () => Date;
}

/** What is to be done: without a change, nothing. */
interface Decision {
  readonly change?: ManifestChange;
  /** The answer, once the change is made. */
  readonly refusal?: CofferError | undefined;
}

/** Changes of the manifest, audited, one after the other, since all of it hangs on one head. */
export class ManifestChanges {
  readonly #manifest: Manifest;
  readonly #gate: Gate;
  readonly #rights: Rights;
  readonly #lock = new Locks();

  constructor(manifest: Manifest, gate: Gate, rights: Rights) {
    this.#manifest = manifest;
    this.#gate = gate;
    this.#rights = rights;
  }

  /** As {@link make}, for who administers everything: whoever lost that, or has ended, while the change waited may not make it. */
  makeForAdministrator(
    asked: AuditSubject,
    change: Change | undefined,
    request: string,
    plan: () => PlannedChange | undefined,
  ): Promise<void> {
    return this.make(asked, change, request, () => {
      if (!administersAll(this.#rights, asked.caller)) throw accessDenied();
      return plan();
    });
  }

  /**
   * Makes a change, or nothing if `plan` says so or if it was made before; that is logged once.
   *
   * @param request what is asked, so that an operation id that is used for something else is noticed
   * @param plan decides on the newest state, on the caller's right too: who lost it while waiting cannot give it back to
   *   itself
   */
  async make(
    asked: AuditSubject,
    change: Change | undefined,
    request: string,
    plan: () => PlannedChange | undefined,
  ): Promise<void> {
    const { operation, ...counting } = this.#gate.operationOf(change);
    const { given } = counting;
    const by = asked.caller.principals[0].id;
    const labelled = { ...asked, operation };
    const added = { id: operation, by, request, result: 0, ...counting };
    const decide = (): Decision => {
      const { operations, revision: base } = this.#manifest;
      const repetition = given ? repetitionOf(operations, added) : undefined;
      if (repetition) {
        const { refusal, prolonged } = repetition;
        if (prolonged) return { change: { base, operations: prolonged }, refusal };
        if (refusal) throw refusal;
        return {};
      }
      // What changes nothing now might later: if its caller may ask again, that is remembered. And that it changes nothing is certain
      // where others write only when it was committed.
      const planned = plan() ?? (given || this.#gate.isShared ? {} : undefined);
      if (!planned) return {};
      this.#manifest.requireFits(planned);
      // Those who administer a part cannot use up the room that who administers everything needs.
      const kept = this.#gate.remember(operations, added, administersAll(this.#rights, asked.caller));
      return { change: { ...planned, base, operations: kept } };
    };
    const done = await this.alone(async () => {
      let first: Decision;
      try {
        first = decide();
      } catch (error) {
        if (error instanceof CofferError && error.code === 'access_denied') return this.#gate.deny(labelled);
        return this.#gate.fail(labelled, error);
      }
      if (!first.change) {
        await this.#gate.allow(labelled);
        return undefined;
      }
      return this.#gate.change(labelled, () => this.#commit(first, decide));
    });
    await done?.settle();
  }

  /** Commits, and decides anew when another instance was faster. */
  async #commit(first: Decision, decide: () => Decision): Promise<void> {
    const commit = async ({ change, refusal }: Decision) => {
      if (change) await this.#manifest.commit(change);
      return refusal;
    };
    const refusal = await untilNotOvertaken(first, commit, decide);
    if (refusal) throw refusal;
  }

  /** Runs the task when nobody else is changing the manifest, nor begins to. */
  alone<T>(task: () => Promise<T>): Promise<T> {
    return this.#lock.run('manifest', task);
  }
}
