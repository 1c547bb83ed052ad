import { hash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Change } from '@coffer/engine';
import { IdentityError, matchesRequest } from '@coffer/identity';
import { Refusal } from '../refusal.js';
import type { KnownCaller } from './authenticate.js';
import { pathOf } from './target.js';

const NOTHING = new Uint8Array();

/**
 * Holds a caller's proof against a change that it asks for: only a proof of this one request is enough, so that who
 * overhears one can read with it for a minute, and no more.
 *
 * @throws Refusal `proof_request`
 */
export function requireBoundProof({ proof }: KnownCaller): void {
  if (proof === undefined || proof.request !== undefined) return;
  throw new Refusal(
    'proof_request',
    'this proof is bound to no request, which is enough to read: a change needs one of its method, path and body',
  );
}

/**
 * Holds a proof that is bound to one request against this one, whatever it asks for.
 *
 * @throws Refusal `proof_request`
 */
export function checkBoundProof(
  request: IncomingMessage,
  { proof }: KnownCaller,
  body: Uint8Array = NOTHING,
): void {
  if (proof?.request === undefined) return;
  const bodyHash = hash('sha256', body, 'buffer');
  const asked = { method: request.method ?? '', path: pathOf(request.url ?? ''), bodyHash };
  try {
    matchesRequest(proof, asked);
  } catch (error) {
    throw error instanceof IdentityError ? new Refusal('proof_request', error.message) : error;
  }
}

/** @throws Refusal `unauthenticated` for a proof that ended while its request came */
export function requireCurrentProof({ proof }: KnownCaller, now: Date): void {
  if (proof === undefined || now <= proof.until) return;
  throw new Refusal('unauthenticated', 'this proof ended while its request came: send it with a new one');
}

/**
 * What the caller says about its change: the operation id that makes a retry harmless. A change by a proof has the proof's,
 * and is remembered until the proof counts for nothing: who overhears it cannot make the change again.
 *
 * @throws Refusal `bad_request` if the header says another id than the proof
 */
export function changeOf(request: IncomingMessage, { proof }: KnownCaller): Change | undefined {
  const stated = request.headers['coffer-operation'];
  if (proof?.request === undefined) return stated === undefined ? undefined : { operation: String(stated) };
  if (stated !== undefined && stated !== proof.id) {
    throw new Refusal(
      'bad_request',
      'Coffer-Operation is not the id of your proof: make a proof with that id, or leave the header out',
    );
  }
  return { operation: proof.id, until: proof.until };
}
