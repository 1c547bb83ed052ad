import type { Caller, Engine } from '@coffer/engine';
import type { ComponentChain, Verifier } from '@coffer/identity';
import type { Entity, Host, Requester } from '@coffer/wasmcloud';
import { DEFAULT_CLOCK_SKEW_SECONDS } from '../config/trust.js';
import { principalsOfEntity } from './principals.js';

export interface CallersParts {
  readonly engine: Pick<Engine, 'tokenRevoked' | 'keyRevoked'>;
  /** Undefined: nobody is trusted. */
  readonly verifier: Pick<Verifier, 'isLive'> | undefined;
  /** Entities are believed on their own word, too. */
  readonly selfIssued: boolean;
  readonly clockSkewSeconds?: number | undefined;
}

/** Whether a token counts no more: it, its key or who signed it was revoked. */
export const isRevoked = (
  engine: CallersParts['engine'],
  { jti, key, issuer }: { readonly jti: string; readonly key: string; readonly issuer: string },
): boolean => engine.tokenRevoked(jti) || engine.keyRevoked(key) || engine.keyRevoked(issuer);

/** Says who they are to the engine for whom hosts ask. */
export class Callers {
  readonly #parts: CallersParts;
  /** The same objects for the same chain: the audit log remembers how they are written. */
  readonly #known = new WeakMap<ComponentChain, Caller['principals']>();

  constructor(parts: CallersParts) {
    this.#parts = parts;
  }

  of(requester: Requester): Caller {
    const { entity, host, application } = requester;
    const { verifier } = this.#parts;
    return {
      principals: this.#principalsOf(entity),
      address: 'nats',
      conditions: {
        host: host.key,
        ...(application.name !== undefined && { application: application.name }),
      },
      session: {
        expiresAt: this.#endOf(requester),
        isLive: () =>
          (entity.chain === undefined ? !this.#isRevoked(entity) : verifier?.isLive(entity.chain) === true) &&
          (verifier === undefined ? !this.#isRevoked(host) : verifier.isLive(host.chain)),
      },
    };
  }

  /** Of tokens that no verifier of ours watches over. */
  #endOf({ entity, host }: Requester): Date | undefined {
    const { verifier, clockSkewSeconds = DEFAULT_CLOCK_SKEW_SECONDS } = this.#parts;
    const unwatched = [...(entity.chain ? [] : [entity]), ...(verifier ? [] : [host])];
    const ends = unwatched.flatMap(({ token }) => token.claims.exp ?? []);
    return ends.length === 0 ? undefined : new Date((Math.min(...ends) + clockSkewSeconds) * 1000);
  }

  #principalsOf(entity: Entity): Caller['principals'] {
    const { chain } = entity;
    const before = chain && this.#known.get(chain);
    if (before) return before;
    const principals = principalsOfEntity(entity, this.#parts.selfIssued);
    if (chain) this.#known.set(chain, principals);
    return principals;
  }

  #isRevoked({ key, token }: Entity | Host): boolean {
    const { jti, iss: issuer } = token.claims;
    return isRevoked(this.#parts.engine, { jti, key, issuer });
  }
}
