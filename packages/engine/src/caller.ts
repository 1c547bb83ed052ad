/** How a principal proved who it is. Later doors add `oidc`, `cert`, …. */
export type PrincipalKind =
  | 'dev'
  | 'socket'
  | 'token'
  | 'nats'
  | 'nats-tag'
  | 'component'
  | 'provider'
  | 'nats-permission'
  | 'server';

/** One proven identity. `id` is what grants name; `name` is for people's eyes and decides nothing. */
export interface Principal {
  /**
   * `dev`, `socket`, `token:<id>`, `nats:<account key>/<user key>`, `nats-tag:<account key>:<tag>`,
   * `component:<account key>/<component key>`, `provider:<account key>/<provider key>`, …: made of keys or random ids, or qualified
   * by the key of who gives the name, so that nobody can take another's by choosing it. What is believed on its own word has
   * `self-issued` in the account's place.
   */
  readonly id: string;
  readonly kind: PrincipalKind;
  readonly name?: string;
}

/** Who asks, as a door's authentication found. A grant to any of the principals counts. */
export interface Caller {
  /** Never empty. The first one is the caller itself, the others what it belongs to (tags, groups). */
  readonly principals: readonly [Principal, ...Principal[]];
  /** Where from, for the audit log: the peer's IP address, `unix` for the admin socket, or `nats`. */
  readonly address: string;
  /** What its request claims, by which a grant can be narrowed. Where a door knows of none, no such grant holds. */
  readonly conditions?: Conditions;
  /** How long it stays who it is, where the door knows and the store does not. Without one, as long as its tokens live. */
  readonly session?: Session;
}

/** What a request claims of itself. Proves nothing: whoever may ask can claim it. */
export interface Conditions {
  /** The name of the application for which a component or provider asks. */
  readonly application?: string;
  /** The key of the host that asks for it. */
  readonly host?: string;
}

/** An identity that may end while its caller is served: what lasts ends with it. */
export interface Session {
  readonly expiresAt?: Date | undefined;
  /** False once it was revoked or is believed no more. Asked often. */
  isLive(): boolean;
}

/**
 * Whoever NATS lets publish an administrative request that says nothing of who sends it. Only the NATS door answers with it: it
 * may put, activate and edit mappings, and no grant gives it more.
 */
export const NATS_PERMISSION: Principal = { id: 'nats-permission', kind: 'nats-permission' };

/** The server itself, for what it does of its own accord. No door ever answers with it, and it needs no grant. */
export const SERVER: Caller = { principals: [{ id: 'server', kind: 'server' }], address: 'unix' };
