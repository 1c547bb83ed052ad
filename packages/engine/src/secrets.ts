import sodium from 'sodium-native';
import type { AnswerRoom } from './answer-room.js';
import type { AuditSubject } from './audit/entry.js';
import { asBuffer } from './bytes.js';
import type { Caller } from './caller.js';
import type { SealedValue } from './catalog.js';
import { wipe } from './crypto/secure-memory.js';
import { CofferError } from './errors.js';
import { accessDenied } from './gate.js';
import { firstHead, type Head, tombstoneOf } from './head.js';
import type { Entry } from './heads.js';
import { checkValue, checkVersion, MAX_VERSION } from './names.js';
import { addNumber, hasNumber } from './number-set.js';
import type { Change } from './operations.js';
import { isConflict } from './overtaken.js';
import type { SecretInfo, SecretValue, ValueOptions } from './secret.js';
import { type Next, type Plan, SecretChanges } from './secret-changes.js';
import { refusalOf, type SecretsContext } from './secrets-context.js';

/** setec's verbs with exactly its meaning, but where the comments say otherwise. */
export class Secrets {
  readonly #context: SecretsContext;
  readonly #changes: SecretChanges;

  constructor(context: SecretsContext) {
    this.#context = context;
    this.#changes = new SecretChanges(context);
  }

  async list(caller: Caller): Promise<SecretInfo[]> {
    const { catalog, gate } = this.#context;
    await gate.allow({ caller, action: 'info' });
    const policy = this.#context.policy();
    return catalog.heads
      .names()
      .filter((name) => policy.allows(caller, 'info', name))
      .map((name) => infoOf(catalog.heads.live(name) as Entry));
  }

  async info(caller: Caller, name: string): Promise<SecretInfo> {
    const asked = { caller, action: 'info', secret: name } as const;
    await refusalOf(this.#context, asked, 'info');
    const entry = this.#context.catalog.heads.live(name);
    if (!entry) return this.#context.gate.fail(asked, notFound());
    await this.#context.gate.allow(asked);
    return infoOf(entry);
  }

  /** Throws where it could reject, and makes as few promises as it can: this is what most requests are. */
  get(caller: Caller, name: string, version = 0, room?: AnswerRoom): Promise<SecretValue> {
    const stated = version === 0 ? undefined : version;
    if (stated !== undefined) checkVersion(stated);
    const asked = { caller, action: 'get', secret: name, secretVersion: stated } as const;
    return (
      refusalOf(this.#context, asked, 'get') ??
      this.#reveal(asked, this.#context.catalog.heads.live(name), stated, room)
    );
  }

  async getIfChanged(
    caller: Caller,
    name: string,
    known: number,
    room?: AnswerRoom,
  ): Promise<SecretValue | undefined> {
    const asked = { caller, action: 'get', secret: name } as const;
    await refusalOf(this.#context, asked, 'get');
    const entry = this.#context.catalog.heads.live(name);
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
    return this.#changes.make({ caller, action: 'put', name, value, binary, change }, (entry, next) => {
      if (!entry) return this.#first(name, binary, next);
      const { active, highest } = entry.head;
      if (this.#isHighest(entry, value, binary)) return { result: highest };
      return this.#add(entry.head, { version: numberAfter(highest), active, binary }, next);
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
    return this.#changes.make(asked, (entry, next) => {
      if (!entry) return this.#first(name, binary, next);
      // The first version is active by itself; only from the second on does it take another one out of use.
      if (!this.#context.policy().allows(caller, 'activate', name)) throw accessDenied();
      const { active, highest } = entry.head;
      if (this.#isHighest(entry, value, binary)) {
        if (active === highest) return { result: highest };
        return next({ ...entry.head, active: highest }, { result: highest, urgent: true });
      }
      const version = numberAfter(highest);
      return this.#add(entry.head, { version, active: version, binary }, next);
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
    await this.#changes.make(
      { caller, action: 'create-version', name, version, value, change },
      (entry, next) => {
        const head = entry?.head ?? firstHead(name);
        if (head.versions.has(version) || hasNumber(head.deleted, version)) {
          throw new CofferError('version_taken', 'version already set');
        }
        return this.#add(head, { version, active: version, binary: false }, next);
      },
    );
  }

  async activate(caller: Caller, name: string, version: number, change?: Change): Promise<void> {
    checkVersion(version);
    await this.#changes.make({ caller, action: 'activate', name, version, change }, (entry, next) => {
      if (!entry?.head.versions.has(version)) throw notFound();
      if (entry.head.active === version) return { result: version };
      // Nobody's crowd of changes may hold up who takes what has leaked out of use.
      return next({ ...entry.head, active: version }, { result: version, urgent: true });
    });
  }

  /** The active version stays: deleting it is an `active_version` error. */
  async deleteVersion(caller: Caller, name: string, version: number, change?: Change): Promise<void> {
    checkVersion(version);
    await this.#changes.make({ caller, action: 'delete', name, version, change }, (entry, next) => {
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
    await this.#changes.make({ caller, action: 'delete', name, change }, (entry, next) => {
      if (!entry) return { result: 0 };
      return next(tombstoneOf(entry.head, this.#context.now()), {
        result: 0,
        dropped: [...entry.head.versions.values()],
        urgent: true,
      });
    });
  }

  /** Runs the task when nobody else is changing the secret, nor begins to. */
  alone<T>(name: string, task: () => Promise<T>): Promise<T> {
    return this.#changes.alone(name, task);
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
      if (isConflict(error)) return this.#reveal(asked, catalog.heads.live(entry.head.name), stated, room);
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

  /** Plans a head with one version more. */
  #add(head: Head, { version, active, binary }: NewVersion, next: Next): Plan {
    const added = {
      recordId: this.#context.catalog.newRecordId(),
      generation: 0,
      createdAt: this.#context.now(),
      binary,
    };
    const versions = [...head.versions, [version, added] as const].sort(([a], [b]) => a - b);
    const highest = Math.max(head.highest, version);
    return next({ ...head, versions: new Map(versions), active, highest }, { version, result: version });
  }

  #first(name: string, binary: boolean, next: Next): Plan {
    return this.#add(firstHead(name), { version: 1, active: 1, binary }, next);
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
}

interface NewVersion {
  readonly version: number;
  /** Which one is, with it. */
  readonly active: number;
  readonly binary: boolean;
}

/** @throws CofferError `versions_exhausted` */
function numberAfter(highest: number): number {
  if (highest < MAX_VERSION) return highest + 1;
  throw new CofferError(
    'versions_exhausted',
    'this secret has used up its version numbers: delete it, or use another name',
  );
}

export const infoOf = ({ head }: Entry): SecretInfo => ({
  name: head.name,
  versions: [...head.versions.keys()],
  activeVersion: head.active,
});

export const notFound = () => new CofferError('not_found', 'not found');
