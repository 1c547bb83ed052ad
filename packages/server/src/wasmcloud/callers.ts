import type { Caller, Engine } from '@coffer/engine';
import type { ComponentChain, Verifier } from '@coffer/identity';
import type { Entity, Requester } from '@coffer/wasmcloud';
import { principalsOfEntity } from './principals.js';

export interface CallersParts {
  readonly engine: Pick<Engine, 'tokenRevoked' | 'keyRevoked'>;
  /** Undefined: nobody is trusted. */
  readonly verifier: Pick<Verifier, 'isLive'> | undefined;
  /** Entities are believed on their own word, too. */
  readonly selfIssued: boolean;
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

  of({ entity, host, application }: Requester): Caller {
    const { verifier } = this.#parts;
    return {
      principals: this.#principalsOf(entity),
      address: 'nats',
      conditions: {
        host: host.key,
        ...(application.name !== undefined && { application: application.name }),
      },
      session: {
        isLive: () =>
          entity.chain === undefined ? !this.#isRevoked(entity) : verifier?.isLive(entity.chain) === true,
      },
    };
  }

  #principalsOf(entity: Entity): Caller['principals'] {
    const { chain } = entity;
    const before = chain && this.#known.get(chain);
    if (before) return before;
    const principals = principalsOfEntity(entity, this.#parts.selfIssued);
    if (chain) this.#known.set(chain, principals);
    return principals;
  }

  #isRevoked({ jti, key, token }: Entity): boolean {
    return isRevoked(this.#parts.engine, { jti, key, issuer: token.claims.iss });
  }
}
