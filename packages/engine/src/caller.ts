/** How a principal proved who it is. Later doors add `component`, `oidc`, `cert`, …. */
export type PrincipalKind = 'dev' | 'socket' | 'token' | 'nats' | 'nats-tag' | 'server';

/** One proven identity. `id` is what grants name; `name` is for people's eyes and decides nothing. */
export interface Principal {
  /**
   * `dev`, `socket`, `token:<id>`, `nats:<account key>/<user key>`, `nats-tag:<account key>:<tag>`, …: made of keys or random
   * ids, or qualified by the key of who gives the name, so that nobody can take another's by choosing it.
   */
  readonly id: string;
  readonly kind: PrincipalKind;
  readonly name?: string;
}

/** Who asks, as a door's authentication found. A grant to any of the principals counts. */
export interface Caller {
  /** Never empty. The first one is the caller itself, the others what it belongs to (tags, groups). */
  readonly principals: readonly [Principal, ...Principal[]];
  /** Where from, for the audit log: the peer's IP address, or `unix` for the admin socket. */
  readonly address: string;
  /** How long it stays who it is, where the door knows and the store does not. Without one, as long as its tokens live. */
  readonly session?: Session;
}

/** An identity that may end while its caller is served: what lasts ends with it. */
export interface Session {
  readonly expiresAt?: Date | undefined;
  /** False once it was revoked or is believed no more. Asked often. */
  isLive(): boolean;
}

/** The server itself, for what it does of its own accord. No door ever answers with it, and it needs no grant. */
export const SERVER: Caller = { principals: [{ id: 'server', kind: 'server' }], address: 'unix' };
