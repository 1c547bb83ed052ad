import { IdentityError } from '../errors.js';
import { PROOF_SECONDS_MAX } from './format.js';
import type { Proof, ProvenRequest } from './parse.js';

/** What a server holds a proof against. */
export interface ProofExpectations {
  /** Its own URLs, each as `audienceOf` writes it; never what the request says of them. */
  readonly audiences: readonly string[];
  readonly now: Date;
  /** By how much the clocks of both sides may differ. */
  readonly skewSeconds: number;
}

/**
 * Checks that a proof is made for this server and for this moment.
 *
 * @throws IdentityError `proof_audience`, `proof_expired`, `proof_too_long_lived`
 */
export function checkProof(proof: Proof, { audiences, now, skewSeconds }: ProofExpectations): void {
  if (!audiences.includes(proof.audience)) {
    throw new IdentityError(
      'proof_audience',
      `this proof is for ${proof.audience}, which is none of this server's URLs: name its publicUrl as the audience`,
    );
  }
  const left = proof.expiresAt - now.getTime() / 1000;
  // Written so that a time that is no number is refused, too.
  if (!(left > -skewSeconds)) {
    throw new IdentityError(
      'proof_expired',
      `this proof ended ${Math.ceil(-left)} s ago: make one for every request, and see that the clocks agree`,
    );
  }
  if (!(left <= PROOF_SECONDS_MAX + skewSeconds)) {
    throw new IdentityError(
      'proof_too_long_lived',
      `this proof ends in ${Math.ceil(left)} s: it may last ${PROOF_SECONDS_MAX} s at most; see that the clocks agree`,
    );
  }
}

/**
 * Checks that a proof is bound to this very request. It never answers with false.
 *
 * @throws IdentityError `proof_request`; for a proof that is bound to none, too
 */
export function matchesRequest(
  proof: Pick<Proof, 'request'>,
  { method, path, bodyHash }: ProvenRequest,
): true {
  const bound = proof.request;
  if (bound === undefined) {
    throw new IdentityError(
      'proof_request',
      'this proof is bound to no request, which is enough to read: a change needs one of its method, path and body',
    );
  }
  const differs = [
    bound.method !== method && 'method',
    bound.path !== path && 'path',
    !Buffer.from(bound.bodyHash).equals(bodyHash) && 'body',
  ].filter((part) => part !== false);
  if (differs.length > 0) {
    throw new IdentityError(
      'proof_request',
      `this proof is for a request with another ${differs.join(' and ')}: make one for every request`,
    );
  }
  return true;
}
