import { goJson, type Json } from '@coffer/identity';
import type { Requester } from '../backend/options.js';
import { keyIdOf } from './jwks.js';
import type { ApplicationHosts, SigningKey } from './options.js';

const SECONDS = 60;

/** For whom one logs in, as far as Vault is told. */
export interface LoginClaims {
  /** The name of the backend that asks. */
  readonly backend: string;
  readonly audience: string;
  /** Empty: none that is to be believed. */
  readonly application: string;
  /** Whether the host is one that is believed: else its claims are its own word, and anybody's. */
  readonly hostTrusted: boolean;
  readonly requester: Requester;
}

/**
 * The token by which Vault's JWT auth method knows an entity (JWS, compact form; EdDSA). Its subject is the `jti` of the
 * entity's token; `entity` is its public key, `account` the trusted account that it descends from (empty: it was believed on its own
 * word); `component` or `provider`, and `host`, are the claims of their tokens.
 *
 * Source of the claims: wasmCloud's secrets-vault; `backend`, `entity`, `account`, `host_trusted` and `kid` are coffer's own.
 */
export function loginToken(
  { backend, audience, application, hostTrusted, requester: { entity, host } }: LoginClaims,
  key: SigningKey,
  now: Date,
): string {
  const claims = {
    iss: key.publicKey,
    aud: audience,
    sub: entity.jti,
    exp: Math.floor(now.getTime() / 1000) + SECONDS,
    backend,
    entity: entity.key,
    // Whoever signs for a key of an entity is one account among those that are trusted.
    account: entity.account ?? '',
    application,
    host_trusted: hostTrusted,
    host: host.token.claims,
    [entity.kind]: entity.token.claims,
  };
  return jwtOf(claims as unknown as Json, key);
}

/** A token for nobody, by a key that nobody knows: whoever checks it looks for that key, and refuses it. */
export function nobodysToken(audience: string, key: SigningKey, now: Date): string {
  const exp = Math.floor(now.getTime() / 1000);
  return jwtOf({ iss: key.publicKey, aud: audience, sub: 'nobody', exp }, key);
}

const jwtOf = (claims: Json, key: SigningKey): string =>
  signed({ alg: 'EdDSA', typ: 'JWT', kid: keyIdOf(key.publicKey) }, goJson(claims), key);

/** RFC 7515 with RFC 8037, whose example is in appendix A.4. */
export function signed(header: object, payload: string, key: SigningKey): string {
  const input = `${base64Url(JSON.stringify(header))}.${base64Url(payload)}`;
  return `${input}.${base64Url(key.sign(Buffer.from(input, 'latin1')))}`;
}

const base64Url = (content: string | Uint8Array): string =>
  Buffer.from(content as string).toString('base64url');

/** Whether the operator lists this host, as `HostTrust` of identity means it: then it is believed when it says for which application it asks. */
export function isListed({ host }: Requester, { keys, clusters }: ApplicationHosts): boolean {
  const { iss } = host.token.claims;
  return (iss === host.key && keys?.includes(host.key)) || clusters?.includes(iss) || false;
}
