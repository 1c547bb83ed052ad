import type { IncomingMessage } from 'node:http';
import { type Caller, CofferError, type Engine, type Principal } from '@coffer/engine';
import { isProof, type ProvenRequest } from '@coffer/identity';
import type { Logger } from 'pino';
import { Refusal } from '../refusal.js';
import { credentialOf } from './credential.js';
import { framesOf } from './refuse.js';

/** A caller, and the proof that it came with, if it was one. */
export interface KnownCaller extends Caller {
  readonly proof?: ShownProof;
}

/** What a proof says beyond who its caller is. */
export interface ShownProof {
  /** Of a change the operation id. */
  readonly id: string;
  /** The proof counts for nothing any more from here on. */
  readonly until: Date;
  /** The one request that it counts for; undefined: any that changes nothing. */
  readonly request?: ProvenRequest;
}

/** Finds out who speaks, from the request's head alone: nobody unknown gets a body read. */
export interface Authenticator {
  /**
   * Undefined: nothing, or nothing valid, proves who the caller is.
   *
   * @throws Refusal where there is more to say
   */
  authenticate(request: IncomingMessage): KnownCaller | undefined | Promise<KnownCaller | undefined>;
}

/** Finds out whose proof this is. */
export interface ProofReader {
  /** @throws Refusal */
  read(proof: string, address: string): KnownCaller | Promise<KnownCaller>;
}

/** Development: every caller is the one principal that may do everything, whatever it sends. */
export class DevelopmentAuthenticator implements Authenticator {
  readonly #principals = [{ id: 'dev', kind: 'dev' }] as const;

  authenticate(request: IncomingMessage): Caller {
    return { principals: this.#principals, address: addressOf(request) };
  }
}

const TELL_AGAIN_MS = 60_000;

/** `Authorization: Bearer …` with a token or a proof, or either as the password of HTTP Basic, whatever the user's name. */
export class CredentialAuthenticator implements Authenticator {
  readonly #engine: Pick<Engine, 'authenticateToken'>;
  readonly #proofs: ProofReader | undefined;
  readonly #log: Logger;
  #toldAt = Number.NEGATIVE_INFINITY;

  /** @param proofs undefined: no identities are trusted */
  constructor(engine: Pick<Engine, 'authenticateToken'>, proofs: ProofReader | undefined, log: Logger) {
    this.#engine = engine;
    this.#proofs = proofs;
    this.#log = log;
  }

  authenticate(request: IncomingMessage): KnownCaller | undefined | Promise<KnownCaller> {
    const credential = credentialOf(request.headers.authorization);
    if (credential === undefined) return undefined;
    if (isProof(credential)) return this.#proven(credential, request);
    const principal: Principal | undefined = this.#engine.authenticateToken(credential);
    return principal && { principals: [principal], address: addressOf(request) };
  }

  #proven(proof: string, request: IncomingMessage): KnownCaller | Promise<KnownCaller> {
    if (this.#proofs === undefined) {
      throw new Refusal(
        'unauthenticated',
        'this server trusts no identities, so that no proof counts here: come with a token, or have trust configured',
      );
    }
    try {
      const caller = this.#proofs.read(proof, addressOf(request));
      return caller instanceof Promise ? caller.catch((error) => this.#refuse(error)) : caller;
    } catch (error) {
      return this.#refuse(error);
    }
  }

  /** Who found a way to make the reading of proofs fail is a stranger like others, and fills no log with it. */
  #refuse(error: unknown): never {
    if (error instanceof Refusal || error instanceof CofferError) throw error;
    const now = performance.now();
    if (now - this.#toldAt > TELL_AGAIN_MS) {
      this.#toldAt = now;
      this.#log.error({ at: framesOf(error) }, 'a proof could not be read, for a reason that is ours');
    }
    throw new Refusal('unauthenticated', 'this proof cannot be read');
  }
}

/** The admin socket: who can open it may do everything, and may try out a token or a proof instead. */
export class SocketAuthenticator implements Authenticator {
  readonly #principals = [{ id: 'socket', kind: 'socket' }] as const;
  readonly #credentials: Authenticator;

  constructor(credentials: Authenticator) {
    this.#credentials = credentials;
  }

  authenticate(request: IncomingMessage): KnownCaller | undefined | Promise<KnownCaller | undefined> {
    if (request.headers.authorization !== undefined) return this.#credentials.authenticate(request);
    return { principals: this.#principals, address: addressOf(request) };
  }
}

/** A Unix socket's peer has no address; an IPv4 peer of a dual-stack socket is written the short way. */
export function addressOf(request: IncomingMessage): string {
  return request.socket.remoteAddress?.replace(/^::ffff:(?=[0-9.]+$)/, '') ?? 'unix';
}
