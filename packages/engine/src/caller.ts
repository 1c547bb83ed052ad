/** How a principal proved who it is. Later doors add `nats`, `component`, `oidc`, `cert`, …. */
export type PrincipalKind = 'dev' | 'socket' | 'token' | 'server';

/** One proven identity. `id` is what grants name; `name` is for people's eyes and decides nothing. */
export interface Principal {
  /** `dev`, `socket`, `token:<id>`, …: made of keys or random ids, never of chosen names. */
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
}

/** The server itself, for what it does of its own accord. No door ever answers with it, and it needs no grant. */
export const SERVER: Caller = { principals: [{ id: 'server', kind: 'server' }], address: 'unix' };
