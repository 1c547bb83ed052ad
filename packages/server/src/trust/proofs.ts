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
import { chainRefusal, isOurOwn, isRevoked } from './chain-refusal.js';
import { type ConnectionType, whyNot } from './conditions.js';
import { Users } from './users.js';
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

/**
 * Reads proofs of users: whether one is for this server and this moment, whether the user's token descends from who is
 * trusted, whether the user's key signed the proof, and whether the user may come in this way. What costs little comes first.
 */
export class Proofs implements ProofReader {
  readonly results: Record<ProofResult, number>;
  readonly #options: ProofOptions;
  readonly #now: () => Date;
  readonly #verified = new VerifiedProofs();
  readonly #users: Users;

  constructor(options: ProofOptions) {
    this.#options = options;
    this.#users = new Users(options.verifier);
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
    return { ...this.#users.callerOf(chain, address, now), proof };
  }

  #refuseChain(proof: Proof, error: unknown): never {
    if (!(error instanceof ChainError)) return this.#checked(() => rethrow(error));
    // Who does not hold the user's key is told that alone.
    if (!isOurOwn(error)) this.#checked(() => verifyProofSignature(proof, subjectOf(proof.jwt)));
    this.results[isOurOwn(error) ? 'resolver' : isRevoked(error) ? 'revoked' : 'chain']++;
    throw chainRefusal(error, this.#options.log);
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

const RESULTS: Readonly<Record<string, ProofResult>> = {
  proof_expired: 'time',
  proof_too_long_lived: 'time',
  proof_signature: 'signature',
  bad_signature: 'signature',
};
