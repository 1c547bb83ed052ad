import {
  type ChainError,
  IdentityError,
  memoryResolver,
  parsePublicKey,
  Verifier,
  type WascapToken,
} from '@coffer/identity';
import { SecretsError } from '../protocol/errors.js';
import type { BackendTrust, Entity, Host } from './options.js';
import { refusal } from './refusal.js';
import { TokenMemory } from './token-memory.js';

const DEFAULT_SKEW_SECONDS = 5;

/** Says for whom a host asks: what the tokens of the entity and of the host prove. That their sender owns them, they do not. */
export class Lineage {
  readonly #trust: BackendTrust;
  readonly #verifier: Pick<Verifier, 'verify'>;
  readonly #own: Verifier | undefined;
  readonly #onSelfIssued: (entity: Entity) => void;
  readonly #tokens = new TokenMemory();

  /** @throws TypeError if nobody is trusted */
  constructor(trust: BackendTrust, onSelfIssued: (entity: Entity) => void = () => {}) {
    if (trust.verifier === undefined && !trust.selfIssued) {
      throw new TypeError(
        'nobody is trusted: give a verifier, or believe entities on their own word (selfIssued)',
      );
    }
    this.#trust = trust;
    this.#own = trust.verifier === undefined ? trustingNobody(trust) : undefined;
    this.#verifier = trust.verifier ?? (this.#own as Verifier);
    this.#onSelfIssued = onSelfIssued;
  }

  /** @throws SecretsError `InvalidEntityJWT`, whose cause is the reason for the log */
  async entity(jwt: string): Promise<Entity> {
    try {
      const chain = await this.#verifier.verify(jwt, ['component', 'provider']);
      const { kind, subject: key, jti, name, account } = chain;
      return { kind, key, jti, name, account: account.key, chain, token: this.#tokens.read(jwt) };
    } catch (error) {
      // Any other reason counts against what is believed on its own word, too.
      if (!this.#trust.selfIssued || !isStranger(error)) throw refusal('InvalidEntityJWT', error);
    }
    const entity = this.#selfIssued(jwt);
    this.#onSelfIssued(entity);
    return entity;
  }

  /** @throws SecretsError `InvalidHostJWT`, as {@link entity} */
  async host(jwt: string): Promise<Host> {
    try {
      const chain = await this.#verifier.verify(jwt, ['host']);
      return { key: chain.subject, name: chain.name, chain, token: this.#tokens.read(jwt) };
    } catch (error) {
      throw refusal('InvalidHostJWT', error);
    }
  }

  close(): void {
    this.#own?.close();
  }

  #selfIssued(jwt: string): Entity {
    const token = this.#read(jwt);
    const { kind, claims } = token;
    const fail = (sentence: string) => new SecretsError('InvalidEntityJWT', sentence);
    if (kind !== 'component' && kind !== 'provider') {
      throw fail('this is not the token of a component or a provider');
    }
    if (parsePublicKey(claims.iss).kind !== 'account') throw fail('only keys of accounts sign such tokens');
    const now = (this.#trust.now?.() ?? new Date()).getTime() / 1000;
    const skew = this.#trust.clockSkewSeconds ?? DEFAULT_SKEW_SECONDS;
    if (claims.exp && now > claims.exp + skew) throw fail('this token has expired: sign it anew');
    if (Math.max(claims.nbf ?? 0, claims.iat) > now + skew) {
      throw fail('this token is not valid yet, or one of the clocks is wrong');
    }
    const shown = { jti: claims.jti, key: claims.sub, issuer: claims.iss };
    if (this.#trust.revoked?.(shown)) throw fail('this token is revoked');
    return { kind, key: claims.sub, jti: claims.jti, name: claims.wascap?.name ?? '', token };
  }

  #read(jwt: string): WascapToken {
    try {
      return this.#tokens.read(jwt);
    } catch (error) {
      throw refusal('InvalidEntityJWT', error);
    }
  }
}

const isStranger = (error: unknown): boolean =>
  error instanceof IdentityError && (error.code as ChainError['code']) === 'unknown_issuer';

/** Checks what can be said of tokens without trusting anybody, hosts' among them. */
function trustingNobody({ revoked, hosts, clockSkewSeconds, now }: BackendTrust): Verifier {
  const nobody = { jti: '', key: '', issuer: '' };
  return new Verifier({
    operators: () => [],
    resolver: memoryResolver([]),
    hosts,
    clockSkewSeconds,
    now,
    revocations: {
      tokenRevoked: (jti) => revoked?.({ ...nobody, jti }) === true,
      keyRevoked: (key) => revoked?.({ ...nobody, key }) === true,
    },
  });
}
