import type { IncomingMessage } from 'node:http';
import type { Caller, Change } from '@coffer/engine';
import { Refusal } from '../refusal.js';
import type { Authenticator } from './authenticate.js';

/**
 * The checks before a body is read, in setec's order: method, content type, the header that browsers cannot send,
 * the caller.
 */
export function admitPost(request: IncomingMessage, authenticator: Authenticator): Caller | Promise<Caller> {
  if (request.method !== 'POST') throw new Refusal('invalid_method', 'only POST requests allowed');
  if (request.headers['content-type'] !== 'application/json') {
    throw new Refusal('bad_request', 'request body must be json');
  }
  return admit(request, authenticator);
}

export function admitGet(request: IncomingMessage, authenticator: Authenticator): Caller | Promise<Caller> {
  if (request.method !== 'GET') throw new Refusal('invalid_method', 'only GET requests allowed');
  return admit(request, authenticator);
}

/** A GET of a caller that is known, without the header: what it gets no page of a browser's can read. */
export function admitMonitor(
  request: IncomingMessage,
  authenticator: Authenticator,
): Caller | Promise<Caller> {
  if (request.method !== 'GET') throw new Refusal('invalid_method', 'only GET requests allowed');
  return identify(request, authenticator);
}

/** Mostly without a promise: a bearer token is known at once, and this is on the way of every request. */
function admit(request: IncomingMessage, authenticator: Authenticator): Caller | Promise<Caller> {
  // No script in a browser can set a header that begins with Sec-: this keeps forged requests of web pages out.
  if (request.headers['sec-x-tailscale-no-browsers'] !== 'setec') {
    throw new Refusal('access_denied', 'the header "Sec-X-Tailscale-No-Browsers: setec" is missing');
  }
  return identify(request, authenticator);
}

function identify(request: IncomingMessage, authenticator: Authenticator): Caller | Promise<Caller> {
  const caller = authenticator.authenticate(request);
  return caller instanceof Promise ? caller.then(known) : known(caller);
}

function known(caller: Caller | undefined): Caller {
  if (caller !== undefined) return caller;
  throw new Refusal(
    'unauthenticated',
    'unable to identify caller: send a live token as "Authorization: Bearer TOKEN" or as the password of HTTP Basic',
  );
}

/** What the caller says about its change: the operation id that makes a retry harmless. */
export function changeOf(request: IncomingMessage): Change | undefined {
  const operation = request.headers['coffer-operation'];
  if (operation === undefined) return undefined;
  return { operation: String(operation) };
}
