import type { IncomingMessage } from 'node:http';
import type { Caller, Engine, Principal } from '@coffer/engine';

/** Finds out who speaks, from the request's head alone: nobody unknown gets a body read. */
export interface Authenticator {
  /** Undefined: nothing, or nothing valid, proves who the caller is. */
  authenticate(request: IncomingMessage): Caller | undefined | Promise<Caller | undefined>;
}

/** Development: every caller is the one principal that may do everything, whatever it sends. */
export class DevelopmentAuthenticator implements Authenticator {
  readonly #principals = [{ id: 'dev', kind: 'dev' }] as const;

  authenticate(request: IncomingMessage): Caller {
    return { principals: this.#principals, address: addressOf(request) };
  }
}

/** `Authorization: Bearer TOKEN`, or the token as the password of HTTP Basic, whatever the user's name. */
export class TokenAuthenticator implements Authenticator {
  readonly #engine: Pick<Engine, 'authenticateToken'>;

  constructor(engine: Pick<Engine, 'authenticateToken'>) {
    this.#engine = engine;
  }

  authenticate(request: IncomingMessage): Caller | undefined {
    const token = tokenOf(request.headers.authorization);
    const principal: Principal | undefined =
      token === undefined ? undefined : this.#engine.authenticateToken(token);
    return principal && { principals: [principal], address: addressOf(request) };
  }
}

/** The admin socket: who can open it may do everything, and may try out a token instead. */
export class SocketAuthenticator implements Authenticator {
  readonly #principals = [{ id: 'socket', kind: 'socket' }] as const;
  readonly #tokens: Authenticator;

  constructor(tokens: Authenticator) {
    this.#tokens = tokens;
  }

  authenticate(request: IncomingMessage): Caller | undefined | Promise<Caller | undefined> {
    if (request.headers.authorization !== undefined) return this.#tokens.authenticate(request);
    return { principals: this.#principals, address: addressOf(request) };
  }
}

function tokenOf(header: string | undefined): string | undefined {
  const [, scheme, credentials] = /^(bearer|basic) +(\S+)$/i.exec(header ?? '') ?? [];
  if (scheme === undefined || credentials === undefined) return undefined;
  if (scheme.toLowerCase() === 'bearer') return credentials;
  const pair = Buffer.from(credentials, 'base64').toString();
  const colon = pair.indexOf(':');
  return colon === -1 ? undefined : pair.slice(colon + 1);
}

/** A Unix socket's peer has no address; an IPv4 peer of a dual-stack socket is written the short way. */
export function addressOf(request: IncomingMessage): string {
  return request.socket.remoteAddress?.replace(/^::ffff:(?=[0-9.]+$)/, '') ?? 'unix';
}
