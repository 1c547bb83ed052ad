import { hash } from 'node:crypto';
import { type Caller, type Change, type Engine, NATS_PERMISSION } from '@coffer/engine';
import { IdentityError, matchesRequest } from '@coffer/identity';
import { type Asker, SecretsError } from '@coffer/wasmcloud';
import type { KnownCaller } from '../http/authenticate.js';
import { Refusal } from '../refusal.js';
import type { Proofs } from '../trust/proofs.js';
import { translated } from './refuse.js';
import { NotBelieved, type RequestInfoGround } from './request-info.js';
import type { Requesters } from './requesters.js';

/** As long as any proof counts, so many are remembered. */
const REMEMBERED = 10_000;

const READING = 'to read takes a signed request: "coffer wasmcloud" signs with --creds';

const UNSIGNED: Caller = { principals: [NATS_PERMISSION], address: 'nats' };

export interface AskersParts {
  readonly engine: Pick<Engine, 'refusedStranger'>;
  /** Undefined: no identities are trusted. */
  readonly proofs: Pick<Proofs, 'read' | 'refusedRequest'> | undefined;
  /** Undefined as `proofs`. */
  readonly requesters: Pick<Requesters, 'callerOf'> | undefined;
  readonly nats: () => RequestInfoGround;
  /** Why an unsigned change counts for nothing; undefined: it counts, and who may publish it, NATS decides. */
  readonly refusesUnsigned: () => string | undefined;
  /** Lets a caller pass as often as it may. @throws Refusal */
  readonly admit: (caller: Caller) => void;
}

/** A caller, and its change as its proof labels it. */
export interface KnownAsker {
  readonly caller: Caller;
  readonly change: Change | undefined;
}

/**
 * Finds out who sends an administrative request over NATS: by a proof, by what nats-server says of who came through a service
 * import, or as whomever NATS lets publish it. Whoever shows something that does not hold is refused, and is never taken for
 * somebody who showed nothing.
 */
export class Askers {
  readonly #parts: AskersParts;
  readonly #shown = new Map<string, number>();
  readonly #now: () => Date;

  constructor(parts: AskersParts, now: () => Date = () => new Date()) {
    this.#parts = parts;
    this.#now = now;
  }

  /** Who asks for a change. @throws SecretsError `Other`, which says why it is nobody, or that it asks too often */
  async changing(asker: Asker): Promise<KnownAsker> {
    const known = await this.#known(asker, this.#parts.refusesUnsigned);
    await this.#admit(known.caller);
    return known;
  }

  /** Who wants to read. What NATS lets through is not enough. @throws SecretsError as {@link changing} */
  async reading(asker: Asker): Promise<Caller> {
    const { caller, change } = await this.#known(asker, () => READING);
    // First: what is overheard and sent again does not count as its signer's.
    if (asker.proof !== undefined) this.#once(asker.proof, change?.until);
    await this.#admit(caller);
    return caller;
  }

  async #known(asker: Asker, refusesUnsigned: () => string | undefined): Promise<KnownAsker> {
    const { proof, requestInfo } = asker;
    if (proof !== undefined) return await this.#proven(asker, proof);
    if (requestInfo !== undefined) return { caller: await this.#imported(asker), change: undefined };
    const reason = refusesUnsigned();
    if (reason !== undefined) throw this.#stranger(reason);
    return { caller: UNSIGNED, change: undefined };
  }

  #admit(caller: Caller): Promise<void> {
    return translated(async () => this.#parts.admit(caller));
  }

  async #proven({ subject, payload }: Asker, proof: string): Promise<KnownAsker> {
    const { proofs } = this.#parts;
    if (proofs === undefined) {
      throw this.#stranger(
        'this server trusts no identities, so that no proof counts here: have trust configured',
      );
    }
    const known = await this.#read(proofs, proof);
    const shown = known.proof as NonNullable<KnownCaller['proof']>;
    try {
      const asked = { method: 'NATS', path: `/${subject}`, bodyHash: hash('sha256', payload, 'buffer') };
      matchesRequest(shown, asked);
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      proofs.refusedRequest();
      throw this.#stranger(error.message);
    }
    const { principals, address, session } = known;
    const caller = { principals, address, ...(session && { session }) };
    return { caller, change: { operation: shown.id, until: shown.until } };
  }

  async #read(proofs: Pick<Proofs, 'read'>, proof: string): Promise<KnownCaller> {
    try {
      return await proofs.read(proof, 'nats');
    } catch (error) {
      if (error instanceof Refusal) throw this.#stranger(error.message);
      throw error;
    }
  }

  async #imported(asker: Asker): Promise<Caller> {
    const { requesters, nats } = this.#parts;
    if (requesters === undefined) {
      throw this.#stranger(
        'this server trusts no identities, so that a requester shared by a service import counts for nobody: have trust configured',
      );
    }
    try {
      return await requesters.callerOf(asker, nats());
    } catch (error) {
      if (error instanceof NotBelieved) throw this.#stranger(error.message);
      throw error;
    }
  }

  /** A change counts once by its id; what only reads would be answered to whoever overheard it, in its own name. */
  #once(proof: string, until: Date | undefined): void {
    const key = hash('sha256', proof, 'base64');
    const now = this.#now().getTime();
    if (this.#shown.size >= REMEMBERED) {
      for (const [old, end] of this.#shown) if (end < now) this.#shown.delete(old);
    }
    if (this.#shown.size >= REMEMBERED) throw new SecretsError('Other', 'busy');
    if (this.#shown.has(key)) throw this.#stranger('this proof was shown before: make one for every request');
    this.#shown.set(key, until?.getTime() ?? 0);
  }

  #stranger(reason: string): SecretsError {
    this.#parts.engine.refusedStranger('nats');
    return new SecretsError('Other', reason);
  }
}
