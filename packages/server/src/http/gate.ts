import type { IncomingMessage } from 'node:http';
import { Refusal } from '../refusal.js';
import type { Authenticator, KnownCaller } from './authenticate.js';
import { checkBoundProof, requireBoundProof } from './proof-of-request.js';

/**
 * The checks before a body is read, in setec's order: method, content type, the header that browsers cannot send,
 * the caller. A proof that is bound to a request has still to be held against the body.
 */
export function admitPost(
  request: IncomingMessage,
  authenticator: Authenticator,
): KnownCaller | Promise<KnownCaller> {
  if (request.method !== 'POST') throw new Refusal('invalid_method', 'only POST requests allowed');
  if (request.headers['content-type'] !== 'application/json') {
    throw new Refusal('bad_request', 'request body must be json');
  }
  return admit(request, authenticator);
}

/** The same for a request that changes something: of a proof it takes one that is bound to it. */
export function admitChange(
  request: IncomingMessage,
  authenticator: Authenticator,
): KnownCaller | Promise<KnownCaller> {
  return then(admitPost(request, authenticator), requireBoundProof);
}

export function admitGet(
  request: IncomingMessage,
  authenticator: Authenticator,
): KnownCaller | Promise<KnownCaller> {
  if (request.method !== 'GET') throw new Refusal('invalid_method', 'only GET requests allowed');
  return then(admit(request, authenticator), (caller) => checkBoundProof(request, caller));
}

/** A GET of a caller that is known, without the header: what it gets no page of a browser's can read. */
export function admitMonitor(
  request: IncomingMessage,
  authenticator: Authenticator,
): KnownCaller | Promise<KnownCaller> {
  if (request.method !== 'GET') throw new Refusal('invalid_method', 'only GET requests allowed');
  return then(identify(request, authenticator), (caller) => checkBoundProof(request, caller));
}

/** Mostly without a promise: a bearer token is known at once, and this is on the way of every request. */
function admit(request: IncomingMessage, authenticator: Authenticator): KnownCaller | Promise<KnownCaller> {
  // No script in a browser can set a header that begins with Sec-: this keeps forged requests of web pages out.
  if (request.headers['sec-x-tailscale-no-browsers'] !== 'setec') {
    throw new Refusal('access_denied', 'the header "Sec-X-Tailscale-No-Browsers: setec" is missing');
  }
  return identify(request, authenticator);
}

function identify(
  request: IncomingMessage,
  authenticator: Authenticator,
): KnownCaller | Promise<KnownCaller> {
  const caller = authenticator.authenticate(request);
  return caller instanceof Promise ? caller.then(known) : known(caller);
}

function known(caller: KnownCaller | undefined): KnownCaller {
  if (caller !== undefined) return caller;
  throw unknownCaller();
}

export const unknownCaller = (): Refusal =>
  new Refusal(
    'unauthenticated',
    'unable to identify caller: send a live token as "Authorization: Bearer TOKEN" or as the password of HTTP Basic',
  );

function then(
  caller: KnownCaller | Promise<KnownCaller>,
  check: (caller: KnownCaller) => void,
): KnownCaller | Promise<KnownCaller> {
  if (caller instanceof Promise) return caller.then((known) => then(known, check));
  check(caller);
  return caller;
}
