import { hash } from 'node:crypto';

import { type Caller, SERVER } from './caller.js';
import { CofferError } from './errors.js';
import { Locks } from './locks.js';
import type { ManifestNews } from './manifest.js';
import type { ManifestContext } from './manifest-changes.js';
import type { Change } from './operations.js';
import { type IssuedRecord, type Revocation, revokedName } from './policy-record.js';
import {
  checkRevocationId,
  isPublicKey,
  issuedTarget,
  newRevocationId,
  parseRevocation,
  type RevocationRequest,
  revokedTarget,
} from './revocation.js';
import { administersAll } from './rights.js';

/** In seconds. A token from the future would make all honest ones seem older, with no way back. */
const CLOCKS_APART = 24 * 60 * 60;

/** What a newer state of the store is known to have revoked and seen. */
export interface ToTakeOver {
  readonly revocations: readonly Revocation[];
  readonly issued: readonly IssuedRecord[];
}

/** What of it was not here. */
export interface TakenOver {
  readonly identitiesRevoked: readonly Revocation[];
  readonly issuedSince: readonly IssuedRecord[];
}

/** Which identities are believed no more, and how new the tokens are that were seen. For who administers everything. */
export class Revocations {
  readonly #context: ManifestContext;
  readonly #byName: Map<string, Revocation>;
  readonly #tokens = new Set<string>();
  readonly #keys = new Set<string>();
  readonly #issued: Map<string, number>;
  readonly #listeners = new Set<() => void>();
  readonly #remembering = new Locks();

  constructor(context: ManifestContext) {
    const { revocations, issued } = context.manifest;
    this.#context = context;
    this.#byName = new Map(revocations.map((revocation) => [revokedName(revocation), revocation]));
    for (const { kind, value } of revocations) this.#setOf(kind).add(value);
    this.#issued = new Map(issued.map(({ key, iat }) => [key, iat]));
    context.manifest.onChange((news) => this.#take(news));
  }

  tokenRevoked(jti: string): boolean {
    return this.#tokens.has(jti);
  }

  keyRevoked(key: string): boolean {
    return this.#keys.has(key);
  }

  /** In seconds since 1970; undefined if no token of that key was ever seen. */
  newestIssued(key: string): number | undefined {
    return this.#issued.get(key);
  }

  /**
   * Calls `listener` whenever something is revoked or a revocation is lifted, in the turn in which that becomes true.
   *
   * @returns a function that ends it
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Takes effect at once, and until it is lifted. What is revoked already stays as it is.
   *
   * @throws CofferError `access_denied`, `invalid_argument`
   */
  async revoke(caller: Caller, request: RevocationRequest, change?: Change): Promise<Revocation> {
    const revoked = parseRevocation(request);
    const name = revokedName(revoked);
    const asked = { caller, action: 'revoke', target: revokedTarget(revoked) } as const;
    if (!administersAll(this.#context, caller)) return this.#context.gate.deny(asked);
    const what = `revoke ${hash('sha256', asked.target)}`;
    await this.#context.changes.makeForAdministrator(asked, change, what, () => {
      if (this.#byName.has(name)) return undefined;
      const [{ id: revokedBy }] = caller.principals;
      const revocation = { id: newRevocationId(), ...revoked, revokedAt: this.#context.now(), revokedBy };
      return { write: [{ kind: 'revocation', revocation }], urgent: true };
    });
    const made = this.#byName.get(name);
    if (!made) throw new CofferError('not_found', 'the revocation was made, and lifted since');
    return made;
  }

  /** The oldest first. */
  async list(caller: Caller): Promise<Revocation[]> {
    const asked = { caller, action: 'list-revocations' } as const;
    if (!administersAll(this.#context, caller)) return this.#context.gate.deny(asked);
    await this.#context.gate.allow(asked);
    return [...this.#byName.values()].sort((a, b) => a.revokedAt.getTime() - b.revokedAt.getTime());
  }

  /**
   * What was revoked is believed again.
   *
   * @throws CofferError `access_denied`, `invalid_argument`, `not_found`
   */
  async lift(caller: Caller, id: string, change?: Change): Promise<void> {
    checkRevocationId(id);
    const find = () => [...this.#byName.values()].find((revocation) => revocation.id === id);
    const found = find();
    const asked = {
      caller,
      action: 'lift-revocation',
      target: found ? `${id} ${revokedName(found)}` : id,
    } as const;
    if (!administersAll(this.#context, caller)) return this.#context.gate.deny(asked);
    await this.#context.changes.makeForAdministrator(asked, change, `lift-revocation ${id}`, () => {
      const revocation = find();
      if (!revocation) throw new CofferError('not_found', `there is no revocation with the id ${id}`);
      return { remove: [{ kind: 'revocation', revocation }] };
    });
  }

  /**
   * Remembers that a token of this key was seen which was issued then, for good; resolves when that is durable. An older one
   * changes nothing.
   *
   * @param iat in seconds since 1970
   * @throws CofferError `invalid_argument` if that is no time, or more than a day ahead; as a change does
   */
  async rememberIssued(key: string, iat: number): Promise<void> {
    if (!isPublicKey(key) || !this.#isPast(iat)) {
      throw new CofferError(
        'invalid_argument',
        'the token was issued at no time, or in the future: set the clocks right, and issue it anew',
      );
    }
    const isKnown = () => (this.#issued.get(key) ?? -1) >= iat;
    if (isKnown()) return;
    // Many that come with the same new token are one entry in the log.
    await this.#remembering.run(key, async () => {
      if (isKnown()) return;
      const asked = { caller: SERVER, action: 'issued', target: issuedTarget({ key, iat }) } as const;
      await this.#context.changes.makeForAdministrator(asked, undefined, 'issued', () => ({
        write: [{ kind: 'issued', issued: { key, iat } }],
        urgent: true,
      }));
    });
  }

  /** Takes over what a newer state of the store had revoked and seen, by the server itself: after a restore. */
  async takeOver({ revocations, issued }: ToTakeOver): Promise<TakenOver> {
    const missing = revocations.filter((revocation) => !this.#byName.has(revokedName(revocation)));
    for (const revocation of missing) {
      const asked = { caller: SERVER, action: 'revoke', target: revokedTarget(revocation) } as const;
      await this.#context.changes.makeForAdministrator(asked, undefined, 'revoke', () => ({
        write: [{ kind: 'revocation', revocation }],
        urgent: true,
      }));
    }
    const newest = new Map(this.#issued);
    for (const { key, iat } of issued) {
      if (this.#isPast(iat)) newest.set(key, Math.max(iat, newest.get(key) ?? 0));
    }
    const newer = Array.from(newest, ([key, iat]) => ({ key, iat })).filter(
      ({ key, iat }) => iat !== this.#issued.get(key),
    );
    for (const { key, iat } of newer) await this.rememberIssued(key, iat);
    return { identitiesRevoked: missing, issuedSince: newer };
  }

  #take({ write, remove }: ManifestNews): void {
    let revocationsChanged = false;
    for (const record of remove) {
      if (record.kind !== 'revocation') continue;
      const { kind, value } = record.revocation;
      this.#byName.delete(revokedName(record.revocation));
      this.#setOf(kind).delete(value);
      revocationsChanged = true;
    }
    for (const record of write) {
      if (record.kind === 'issued') this.#issued.set(record.issued.key, record.issued.iat);
      if (record.kind !== 'revocation') continue;
      const { kind, value } = record.revocation;
      this.#byName.set(revokedName(record.revocation), record.revocation);
      this.#setOf(kind).add(value);
      revocationsChanged = true;
    }
    if (revocationsChanged) for (const listener of this.#listeners) listener();
  }

  #isPast(iat: number): boolean {
    return (
      Number.isSafeInteger(iat) && iat >= 0 && iat <= this.#context.now().getTime() / 1000 + CLOCKS_APART
    );
  }

  #setOf(kind: Revocation['kind']): Set<string> {
    return kind === 'token' ? this.#tokens : this.#keys;
  }
}
