import type { Principal } from '@coffer/engine';
import {
  ChainError,
  checkProof,
  IdentityError,
  type Proof,
  parseProof,
  type UserChain,
  type Verifier,
  verifyProofSignature,
} from '@coffer/identity';
import type { Logger } from 'pino';
import type { KnownCaller, ProofReader, ShownProof } from '../http/authenticate.js';
import { Refusal } from '../refusal.js';
import { type ConnectionType, endOfHours, whyNot } from './conditions.js';
import { principalsOf } from './principals.js';
import { VerifiedProofs } from './verified-proofs.js';

/** What became of a proof, for the metrics. */
export type ProofResult =
  | 'verified'
  | 'malformed'
  | 'audience'
  | 'time'
  | 'chain'
  | 'revoked'
  | 'signature'
  | 'conditions'
  | 'request'
  | 'resolver';

export interface ProofOptions {
  readonly verifier: Pick<Verifier, 'verify' | 'isLive'>;
  /** Whom a proof is to name: the server's own URLs, or what stands for it elsewhere. */
  readonly audiences: () => readonly string[];
  /** How the proofs come. Default `HTTP`. */
  readonly connectionType?: ConnectionType;
  /** To count in, together with others. */
  readonly results?: Record<ProofResult, number>;
  readonly clockSkewSeconds: number;
  readonly log?: Pick<Logger, 'debug'>;
  readonly now?: () => Date;
}

type Principals = readonly [Principal, ...Principal[]];

/**
 * Reads proofs of users: whether one is for this server and this moment, whether the user's token descends from who is
 * trusted, whether the user's key signed the proof, and whether the user may come in this way. What costs little comes first.
 */
export class Proofs implements ProofReader {
  readonly results: Record<ProofResult, number>;
  readonly #options: ProofOptions;
  readonly #now: () => Date;
  readonly #verified = new VerifiedProofs();
  readonly #principals = new WeakMap<UserChain, Principals>();

  constructor(options: ProofOptions) {
    this.#options = options;
    this.results = options.results ?? noResults();
    this.#now = options.now ?? (() => new Date());
  }

  read(text: string, address: string): KnownCaller | Promise<KnownCaller> {
    const key = this.#verified.key(text);
    const known = this.#verified.recall(key);
    const proof = known ?? this.#checked(() => parseProof(text));
    this.#checkForUsAndNow(proof);
    const complete = (chain: UserChain) => {
      if (known === undefined) this.#checkSignature(proof, chain, key);
      return this.#admit(proof, chain, address);
    };
    const chain = this.#options.verifier.verify(proof.jwt, ['user']);
    if (!(chain instanceof Promise)) return complete(chain);
    return chain.then(complete, (error: unknown) => this.#refuseChain(proof, error));
  }

  /** A proof was bound to another request than the one that it came with, or to none where it had to be. */
  refusedRequest(): void {
    this.results.request++;
  }

  #checkForUsAndNow(proof: Proof): void {
    const { clockSkewSeconds: skewSeconds } = this.#options;
    const audiences = this.#options.audiences();
    if (!audiences.includes(proof.audience)) {
      // No secret: /openapi.json tells it to everybody.
      const us = audiences.join(' or ');
      throw this.#refusal(
        'audience',
        `this proof is for ${proof.audience}, and this server is ${us}: name that as the audience`,
      );
    }
    this.#checked(() => checkProof(proof, { audiences, now: this.#now(), skewSeconds }));
  }

  #checkSignature(proof: Proof, { subject }: UserChain, key: string): void {
    this.#checked(() => verifyProofSignature(proof, subject));
    // One that is bound to a request comes once.
    if (proof.request === undefined) this.#verified.remember(key, proof);
  }

  #admit({ id, expiresAt, request }: Proof, chain: UserChain, address: string): KnownCaller {
    const now = this.#now();
    const reason = whyNot(chain.user, address, now, this.#options.connectionType);
    if (reason !== undefined) throw this.#refusal('conditions', reason);
    this.results.verified++;
    // From here on no clock that may differ from ours takes the proof for good.
    const until = new Date((expiresAt + this.#options.clockSkewSeconds) * 1000);
    const proof: ShownProof = { id, until, ...(request && { request }) };
    return { principals: this.#principalsOf(chain), address, session: this.#sessionOf(chain, now), proof };
  }

  /** What began with a proof goes on after its minute, as long as the user is one. */
  #sessionOf(chain: UserChain, now: Date): NonNullable<KnownCaller['session']> {
    const { verifier } = this.#options;
    const { user } = chain;
    const ends = [
      chain.expiresAt === undefined ? undefined : chain.expiresAt * 1000,
      endOfHours(user, now)?.getTime(),
    ].filter((end) => end !== undefined);
    return {
      ...(ends.length > 0 && { expiresAt: new Date(Math.min(...ends)) }),
      isLive: () => verifier.isLive(chain),
    };
  }

  /** The same objects for the same chain: the audit log remembers how they are written. */
  #principalsOf(chain: UserChain): Principals {
    const known = this.#principals.get(chain) ?? principalsOf(chain);
    this.#principals.set(chain, known);
    return known;
  }

  /**
   * Why the chain fails is told to who holds the user's key, as far as it is about the user. Anybody can have a user's key and
   * name an account in its token: that account's name and state are not for them to know.
   */
  #refuseChain(proof: Proof, error: unknown): never {
    if (!(error instanceof ChainError)) return this.#checked(() => rethrow(error));
    if (OUR_OWN.has(error.code)) {
      this.results.resolver++;
      this.#options.log?.debug({ code: error.code, reason: error.message }, 'an identity cannot be verified');
      const details = { unknownCaller: true, retryAfter: RETRY_SECONDS };
      throw new Refusal('busy', 'the server cannot verify your account just now: try again soon', details);
    }
    this.#checked(() => verifyProofSignature(proof, subjectOf(proof.jwt)));
    const result = REVOKED.has(error.code) ? 'revoked' : 'chain';
    const isOwn = error.link.startsWith('user ') && error.code !== 'unknown_issuer';
    if (isOwn) throw this.#refusal(result, error.message);
    this.#options.log?.debug({ code: error.code, reason: error.message }, 'an identity is not trusted');
    throw this.#refusal(result, NOT_TRUSTED);
  }

  /** Turns what is wrong with a proof into an answer. */
  #checked<T>(check: () => T): T {
    try {
      return check();
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      throw this.#refusal(RESULTS[error.code] ?? 'malformed', error.message);
    }
  }

  #refusal(result: ProofResult, message: string): Refusal {
    this.results[result]++;
    return new Refusal('unauthenticated', message);
  }
}

const noResults = (): Record<ProofResult, number> => ({
  verified: 0,
  malformed: 0,
  audience: 0,
  time: 0,
  chain: 0,
  revoked: 0,
  signature: 0,
  conditions: 0,
  request: 0,
  resolver: 0,
});

/** Of a token that its issuer has signed. To read all of it again would double what a stranger costs. */
const subjectOf = (jwt: string): string =>
  JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()).sub;

function rethrow(error: unknown): never {
  throw error;
}

const RETRY_SECONDS = 1;

const NOT_TRUSTED =
  'your identity is not trusted here: nobody whom this server trusts vouches for the account that your token names, or for ' +
  'the key that signed it; the server’s log says which, at level debug';

/** The chain may be good: what it takes to say so could not be had. */
const OUR_OWN: ReadonlySet<string> = new Set<ChainError['code']>(['resolver_failed', 'memory_failed']);

const REVOKED: ReadonlySet<string> = new Set<ChainError['code']>(['revoked', 'token_revoked', 'key_revoked']);

const RESULTS: Readonly<Record<string, ProofResult>> = {
  proof_expired: 'time',
  proof_too_long_lived: 'time',
  proof_signature: 'signature',
  bad_signature: 'signature',
};
