import type { AuditAction } from './audit/entry.js';
import type { Caller } from './caller.js';
import type { HeadChange } from './catalog.js';
import { wipe } from './crypto/secure-memory.js';
import { CofferError } from './errors.js';
import { accessDenied } from './gate.js';
import type { Action } from './grant.js';
import { firstHead, type Head, type VersionEntry } from './head.js';
import type { Entry } from './heads.js';
import { Locks } from './locks.js';
import { checkWritableName } from './names.js';
import { type Change, NO_OPERATIONS, type Operations, type Repetition, repetitionOf } from './operations.js';
import { untilNotOvertaken } from './overtaken.js';
import { refusalOf, type SecretsContext } from './secrets-context.js';

/** Who wants what of which secret. */
export interface Ask {
  readonly caller: Caller;
  readonly action: AuditAction;
  /** That the caller needs whatever there is; if not given, the action's own. */
  readonly right?: Action;
  readonly name: string;
  readonly version?: number;
  readonly value?: Uint8Array;
  readonly binary?: boolean;
  readonly change: Change | undefined;
}

/** What is to be done: without `commit`, nothing. */
export interface Plan {
  readonly result: number;
  readonly commit?: () => Promise<unknown>;
}

/** Plans a next head, with all that goes with it. */
export type Next = (
  head: Omit<Head, 'operations'> & { readonly operations?: Operations },
  change: {
    readonly version?: number;
    readonly result: number;
    readonly dropped?: readonly VersionEntry[];
    /** Something is taken away from somebody. */
    readonly urgent?: boolean;
  },
) => Plan;

/**
 * The way of a change of a secret, whatever it is: authorised, one after the other, decided on the newest state, made once for one
 * operation id, and decided anew where another instance was faster.
 */
export class SecretChanges {
  readonly #context: SecretsContext;
  readonly #locks = new Locks();

  constructor(context: SecretsContext) {
    this.#context = context;
  }

  /**
   * Authorises, then lets `plan` decide on the newest state, under the secret's lock. A plan without a next head changes
   * nothing and is logged once.
   */
  async make(ask: Ask, plan: (entry: Entry | undefined, next: Next) => Plan): Promise<number> {
    const { caller, action, right = action as Action, name, version, value, change } = ask;
    checkWritableName(name, this.#context.limits);
    const { operation, ...counting } = this.#context.gate.operationOf(change);
    const { given } = counting;
    const asked = { caller, action, secret: name, secretVersion: version, operation };
    await refusalOf(this.#context, asked, right);
    const by = caller.principals[0].id;
    const request = given ? this.#requestDigest(ask) : '';
    const made = await this.#locks.run(name, async () => {
      const { catalog, gate } = this.#context;
      const decide = (): Plan => {
        // A permission that was taken away, or a caller that has ended, while the change waited for its turn is gone at once.
        const { knows, policy } = this.#context;
        if (!knows(caller) || !policy().allows(caller, right, name)) throw accessDenied();
        const before = catalog.heads.get(name);
        const { operations: known = NO_OPERATIONS } = before?.head ?? {};
        const added = { id: operation, by, request, ...counting };
        const repetition = given ? repetitionOf(known, added) : undefined;
        if (repetition) return this.#repeated(before, repetition);
        const next: Next = (head, { version: number, result, dropped, urgent }) => {
          const privileged = urgent || this.#context.policy().allows(caller, 'admin', name);
          const operations = gate.remember(known, { ...added, result }, privileged);
          return this.#planned(before, { ...head, operations }, result, number, value, dropped);
        };
        const planned = plan(catalog.heads.live(name), next);
        // What changes nothing now might later: if its caller may ask again, that is remembered. And that it changes nothing is
        // certain where others write only when it was committed.
        if (planned.commit || !(given || gate.isShared)) return planned;
        const unchanged = before?.head ?? { ...firstHead(name), deletedAt: this.#context.now() };
        return next(unchanged, { result: planned.result });
      };
      let planned: Plan;
      try {
        planned = decide();
      } catch (error) {
        if (isDenial(error)) return gate.deny(asked);
        return gate.fail(asked, error);
      }
      if (!planned.commit) {
        await gate.allow(asked);
        return { result: planned.result, settle: async () => undefined };
      }
      return gate.change(asked, () => this.#commit(planned, decide));
    });
    await made.settle();
    return made.result;
  }

  /** Answers as before, or refuses; nothing but the memory of the operation may change. */
  #repeated(before: Entry | undefined, { result, refusal, prolonged }: Repetition): Plan {
    if (!before || !prolonged) {
      if (refusal) throw refusal;
      return { result };
    }
    const planned = this.#planned(before, { ...before.head, operations: prolonged }, result);
    if (!refusal) return planned;
    const commit = async () => {
      await planned.commit?.();
      throw refusal;
    };
    return { result, commit };
  }

  /** Commits, and plans anew when another instance was faster. */
  async #commit(first: Plan, decide: () => Plan): Promise<number> {
    const commit = async (planned: Plan) => {
      await planned.commit?.();
      return planned.result;
    };
    return untilNotOvertaken(first, commit, decide);
  }

  #planned(
    before: Entry | undefined,
    head: Head,
    result: number,
    version?: number,
    value?: Uint8Array,
    dropped: readonly VersionEntry[] = [],
  ): Plan {
    const { catalog, now } = this.#context;
    const generation = catalog.nextGeneration(head.name, now());
    const change: HeadChange = {
      // Only here is the generation known that the new version's record is bound to.
      head: version === undefined ? head : { ...head, versions: boundTo(head.versions, version, generation) },
      ...(version !== undefined &&
        value !== undefined && {
          newValue: { version, recordId: (head.versions.get(version) as VersionEntry).recordId, value },
        }),
      dropped: dropped.map(({ recordId }) => recordId),
    };
    return { result, commit: () => catalog.commit(before, generation, change) };
  }

  /** Runs the task when nobody else is changing the secret, nor begins to. */
  alone<T>(name: string, task: () => Promise<T>): Promise<T> {
    return this.#locks.run(name, task);
  }

  #requestDigest({ action, name, version, value, binary }: Ask): string {
    const asked = [action, name, version ?? 0, ...(binary ? ['binary'] : [])];
    const head = Buffer.from(`${JSON.stringify(asked)}\0`);
    const message = Buffer.concat([head, value ?? Buffer.alloc(0)]);
    const digest = this.#context.ring.authenticate(message).subarray(0, 16).toString('base64');
    wipe(message);
    return digest;
  }
}

function boundTo(versions: Head['versions'], version: number, generation: number): Head['versions'] {
  const bound = new Map(versions);
  bound.set(version, { ...(versions.get(version) as VersionEntry), generation });
  return bound;
}

const isDenial = (error: unknown): boolean => error instanceof CofferError && error.code === 'access_denied';
