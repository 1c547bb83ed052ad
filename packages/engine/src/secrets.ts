import sodium from 'sodium-native';
import type { AnswerRoom } from './answer-room.js';
import type { AuditAction, AuditSubject } from './audit/entry.js';
import { asBuffer } from './bytes.js';
import type { Caller } from './caller.js';
import type { Catalog, Entry, HeadChange, SealedValue } from './catalog.js';
import type { KeyRing } from './crypto/key-ring.js';
import { wipe } from './crypto/secure-memory.js';
import { CofferError } from './errors.js';
import { accessDenied, type Gate } from './gate.js';
import type { Action } from './grant.js';
import type { Head, VersionEntry } from './head.js';
import { Locks } from './locks.js';
import { checkName, checkValue, checkVersion, checkWritableName, type Limits, MAX_VERSION } from './names.js';
import { addNumber, hasNumber } from './number-set.js';
import { type Change, NO_OPERATIONS, type Operations, type Repetition, repetitionOf } from './operations.js';
import { isConflict, untilNotOvertaken } from './overtaken.js';
import type { Policy } from './policy.js';
import type { SecretInfo, SecretValue, ValueOptions } from './secret.js';

export interface SecretsContext {
  readonly catalog: Catalog;
  readonly gate: Gate;
  readonly ring: KeyRing;
  readonly limits: Limits;
  readonly now: () => Date;
  policy(): Policy;
  /** False if a caller has ended who was let in. */
  knows(caller: Caller): boolean;
}

/** setec's verbs with exactly its meaning, but where the comments say otherwise. */
export class Secrets {
  readonly #context: SecretsContext;
  readonly #locks = new Locks();

  constructor(context: SecretsContext) {
    this.#context = context;
  }

  async list(caller: Caller): Promise<SecretInfo[]> {
    const { catalog, gate } = this.#context;
    await gate.allow({ caller, action: 'info' });
    const policy = this.#context.policy();
    return catalog
      .names()
      .filter((name) => policy.allows(caller, 'info', name))
      .map((name) => infoOf(catalog.live(name) as Entry));
  }

  async info(caller: Caller, name: string): Promise<SecretInfo> {
    const asked = { caller, action: 'info', secret: name } as const;
    await this.#refusal(asked, 'info');
    const entry = this.#context.catalog.live(name);
    if (!entry) return this.#context.gate.fail(asked, notFound());
    await this.#context.gate.allow(asked);
    return infoOf(entry);
  }

  /** Throws where it could reject, and makes as few promises as it can: this is what most requests are. */
  get(caller: Caller, name: string, version = 0, room?: AnswerRoom): Promise<SecretValue> {
    const stated = version === 0 ? undefined : version;
    if (stated !== undefined) checkVersion(stated);
    const asked = { caller, action: 'get', secret: name, secretVersion: stated } as const;
    return this.#refusal(asked, 'get') ?? this.#reveal(asked, this.#context.catalog.live(name), stated, room);
  }

  async getIfChanged(
    caller: Caller,
    name: string,
    known: number,
    room?: AnswerRoom,
  ): Promise<SecretValue | undefined> {
    const asked = { caller, action: 'get', secret: name } as const;
    await this.#refusal(asked, 'get');
    const entry = this.#context.catalog.live(name);
    // Nothing is revealed that the caller does not have: like setec, no entry.
    if (entry?.head.active === known) {
      this.#context.gate.requireFresh();
      return undefined;
    }
    return this.#reveal(asked, entry, undefined, room);
  }

  async put(
    caller: Caller,
    name: string,
    value: Uint8Array,
    change?: Change,
    { binary = false }: ValueOptions = {},
  ): Promise<number> {
    checkValue(value, this.#context.limits);
    return this.#change({ caller, action: 'put', name, value, binary, change }, (entry, next) => {
      if (!entry) return this.#first(name, binary, next);
      const { active, highest } = entry.head;
      if (this.#isHighest(entry, value, binary)) return { result: highest };
      const version = numberAfter(highest);
      return next(
        { ...entry.head, ...this.#withVersion(entry, version, active, binary) },
        { version, result: version },
      );
    });
  }

  /** As {@link put}, and what it answers is the active version then: one change. */
  async putAndActivate(
    caller: Caller,
    name: string,
    value: Uint8Array,
    change?: Change,
    { binary = false }: ValueOptions = {},
  ): Promise<number> {
    checkValue(value, this.#context.limits);
    const asked = { caller, action: 'put-and-activate', right: 'put', name, value, binary, change } as const;
    return this.#change(asked, (entry, next) => {
      if (!entry) return this.#first(name, binary, next);
      // The first version is active by itself; only from the second on does it take another one out of use.
      if (!this.#context.policy().allows(caller, 'activate', name)) throw accessDenied();
      const { active, highest } = entry.head;
      if (this.#isHighest(entry, value, binary)) {
        if (active === highest) return { result: highest };
        return next({ ...entry.head, active: highest }, { result: highest, urgent: true });
      }
      const version = numberAfter(highest);
      return next(
        { ...entry.head, ...this.#withVersion(entry, version, version, binary) },
        { version, result: version },
      );
    });
  }

  async createVersion(
    caller: Caller,
    name: string,
    version: number,
    value: Uint8Array,
    change?: Change,
  ): Promise<void> {
    checkVersion(version);
    checkValue(value, this.#context.limits);
    await this.#change({ caller, action: 'create-version', name, version, value, change }, (entry, next) => {
      const head = entry?.head ?? firstHead(name);
      if (head.versions.has(version) || hasNumber(head.deleted, version)) {
        throw new CofferError('version_taken', 'version already set');
      }
      return next(
        { ...head, ...this.#withVersion(entry, version, version, false) },
        { version, result: version },
      );
    });
  }

  async activate(caller: Caller, name: string, version: number, change?: Change): Promise<void> {
    checkVersion(version);
    await this.#change({ caller, action: 'activate', name, version, change }, (entry, next) => {
      if (!entry?.head.versions.has(version)) throw notFound();
      if (entry.head.active === version) return { result: version };
      // Nobody's crowd of changes may hold up who takes what has leaked out of use.
      return next({ ...entry.head, active: version }, { result: version, urgent: true });
    });
  }

  /** The active version stays: deleting it is an `active_version` error. */
  async deleteVersion(caller: Caller, name: string, version: number, change?: Change): Promise<void> {
    checkVersion(version);
    await this.#change({ caller, action: 'delete', name, version, change }, (entry, next) => {
      const gone = entry?.head.versions.get(version);
      if (!entry || !gone) throw notFound();
      if (entry.head.active === version) {
        throw new CofferError(
          'active_version',
          'the active version cannot be deleted: activate another one first',
        );
      }
      const versions = new Map(entry.head.versions);
      versions.delete(version);
      const deleted = addNumber(entry.head.deleted, version);
      return next({ ...entry.head, versions, deleted }, { result: version, dropped: [gone], urgent: true });
    });
  }

  /** Of an unknown name it is no error. */
  async delete(caller: Caller, name: string, change?: Change): Promise<void> {
    await this.#change({ caller, action: 'delete', name, change }, (entry, next) => {
      if (!entry) return { result: 0 };
      const tombstone = {
        ...firstHead(name),
        operations: entry.head.operations,
        deletedAt: this.#context.now(),
      };
      return next(tombstone, { result: 0, dropped: [...entry.head.versions.values()], urgent: true });
    });
  }

  /** What is remembered of the changes of a secret, for the recovery after a crash. */
  operationsOf(name: string): Operations {
    return this.#context.catalog.entry(name)?.head.operations ?? NO_OPERATIONS;
  }

  /** Runs the task when nobody else is changing the secret, nor begins to. */
  alone<T>(name: string, task: () => Promise<T>): Promise<T> {
    return this.#locks.run(name, task);
  }

  /** Undefined if the caller may; otherwise the refusal. */
  #refusal(asked: AuditSubject & { secret: string }, action: Action): Promise<never> | undefined {
    checkName(asked.secret, this.#context.limits);
    if (this.#context.policy().allows(asked.caller, action, asked.secret)) return undefined;
    return this.#context.gate.deny(asked);
  }

  #reveal(
    asked: AuditSubject,
    entry: Entry | undefined,
    stated: number | undefined,
    room: AnswerRoom | undefined,
  ): Promise<SecretValue> {
    const { catalog, gate } = this.#context;
    const version = stated ?? entry?.head.active ?? 0;
    if (!entry?.head.versions.has(version)) return gate.fail(asked, notFound());
    let sealed: SealedValue;
    let value: Buffer;
    try {
      sealed = catalog.sealedValue(entry, version);
    } catch (error) {
      if (isConflict(error)) return this.#reveal(asked, catalog.live(entry.head.name), stated, room);
      return gate.fail(asked, error);
    }
    room?.reserve(sealed.size);
    try {
      value = catalog.openValue(sealed);
    } catch (error) {
      return gate.fail(asked, error);
    }
    return gate.allow(asked).then(
      () => ({ value, version, binary: sealed.binary }),
      (error: unknown) => {
        wipe(value);
        throw error;
      },
    );
  }

  /**
   * Authorises, then lets `plan` decide on the newest state, under the secret's lock. A plan without a next head changes
   * nothing and is logged once.
   */
  async #change(ask: Ask, plan: (entry: Entry | undefined, next: Next) => Plan): Promise<number> {
    const { caller, action, right = action as Action, name, version, value, change } = ask;
    checkWritableName(name, this.#context.limits);
    const { operation, ...counting } = this.#context.gate.operationOf(change);
    const { given } = counting;
    const asked = { caller, action, secret: name, secretVersion: version, operation };
    await this.#refusal(asked, right);
    const by = caller.principals[0].id;
    const request = given ? this.#requestDigest(ask) : '';
    const made = await this.#locks.run(name, async () => {
      const { catalog, gate } = this.#context;
      const decide = (): Plan => {
        // A permission that was taken away, or a caller that has ended, while the change waited for its turn is gone at once.
        const { knows, policy } = this.#context;
        if (!knows(caller) || !policy().allows(caller, right, name)) throw accessDenied();
        const before = catalog.entry(name);
        const { operations: known = NO_OPERATIONS } = before?.head ?? {};
        const added = { id: operation, by, request, ...counting };
        const repetition = given ? repetitionOf(known, added) : undefined;
        if (repetition) return this.#repeated(before, repetition);
        const next: Next = (head, { version: number, result, dropped, urgent }) => {
          const privileged = urgent || this.#context.policy().allows(caller, 'admin', name);
          const operations = gate.remember(known, { ...added, result }, privileged);
          return this.#planned(before, { ...head, operations }, result, number, value, dropped);
        };
        const planned = plan(catalog.live(name), next);
        // What changes nothing now might later: if its caller may ask again, that is remembered.
        if (planned.commit || !given) return planned;
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

  #withVersion(
    entry: Entry | undefined,
    version: number,
    active: number,
    binary: boolean,
  ): Pick<Head, 'versions' | 'active' | 'highest'> {
    const added = {
      recordId: this.#context.catalog.newRecordId(),
      generation: 0,
      createdAt: this.#context.now(),
      binary,
    };
    const versions = [...(entry?.head.versions ?? []), [version, added] as const];
    return {
      versions: new Map(versions.sort(([a], [b]) => a - b)),
      active,
      highest: Math.max(entry?.head.highest ?? 0, version),
    };
  }

  #first(name: string, binary: boolean, next: Next): Plan {
    const head = { ...firstHead(name), ...this.#withVersion(undefined, 1, 1, binary) };
    return next(head, { version: 1, result: 1 });
  }

  /** True if the highest version has this value already, of this kind. */
  #isHighest(entry: Entry, value: Uint8Array, binary: boolean): boolean {
    const { highest, versions } = entry.head;
    return versions.get(highest)?.binary === binary && this.#hasValue(entry, highest, value);
  }

  #hasValue(entry: Entry, version: number, value: Uint8Array): boolean {
    const stored = this.#context.catalog.readValue(entry, version);
    try {
      return (
        stored.length === value.length &&
        (value.length === 0 || sodium.sodium_memcmp(stored, asBuffer(value)))
      );
    } finally {
      wipe(stored);
    }
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

interface Ask {
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
interface Plan {
  readonly result: number;
  readonly commit?: () => Promise<unknown>;
}

type Next = (
  head: Omit<Head, 'operations'> & { readonly operations?: Operations },
  change: {
    readonly version?: number;
    readonly result: number;
    readonly dropped?: readonly VersionEntry[];
    /** Something is taken away from somebody. */
    readonly urgent?: boolean;
  },
) => Plan;

const firstHead = (name: string): Head => ({
  name,
  active: 0,
  highest: 0,
  versions: new Map(),
  deleted: [],
  operations: NO_OPERATIONS,
});

/** @throws CofferError `versions_exhausted` */
function numberAfter(highest: number): number {
  if (highest < MAX_VERSION) return highest + 1;
  throw new CofferError(
    'versions_exhausted',
    'this secret has used up its version numbers: delete it, or use another name',
  );
}

function boundTo(versions: Head['versions'], version: number, generation: number): Head['versions'] {
  const bound = new Map(versions);
  bound.set(version, { ...(versions.get(version) as VersionEntry), generation });
  return bound;
}

export const infoOf = ({ head }: Entry): SecretInfo => ({
  name: head.name,
  versions: [...head.versions.keys()],
  activeVersion: head.active,
});

const isDenial = (error: unknown): boolean => error instanceof CofferError && error.code === 'access_denied';

export const notFound = () => new CofferError('not_found', 'not found');
