import { goJson, type Json } from '@coffer/identity';
import type { Requester } from '../backend/options.js';
import { keyIdOf } from './jwks.js';
import type { ApplicationHosts, SigningKey } from './options.js';

const SECONDS = 60;

/** For whom one logs in, as far as Vault is told. */
export interface LoginClaims {
  readonly audience: string;
  /** Empty: none that is to be believed. */
  readonly application: string;
  readonly requester: Requester;
}

/**
 * The token by which Vault's JWT auth method knows an entity (JWS, compact form; EdDSA). Its subject is the `jti` of the
 * entity's token; `entity` is its public key, `account` the trusted account that it descends from (empty: it was believed on its own
 * word); `component` or `provider`, and `host`, are the claims of their tokens.
 *
 * Source of the claims: wasmCloud's secrets-vault; `entity`, `account` and `kid` are coffer's own.
 */
export function loginToken(
  { audience, application, requester: { entity, host } }: LoginClaims,
  key: SigningKey,
  now: Date,
): string {
  const claims = {
    iss: key.publicKey,
    aud: audience,
    sub: entity.jti,
    exp: Math.floor(now.getTime() / 1000) + SECONDS,
    entity: entity.key,
    // Whoever signs for a key of an entity is one account among those that are trusted.
    account: entity.account ?? '',
    application,
    host: host.token.claims,
    [entity.kind]: entity.token.claims,
  };
  return signed(
    { alg: 'EdDSA', typ: 'JWT', kid: keyIdOf(key.publicKey) },
    goJson(claims as unknown as Json),
    key,
  );
}

/** RFC 7515 with RFC 8037, whose example is in appendix A.4. */
export function signed(header: object, payload: string, key: SigningKey): string {
  const input = `${base64Url(JSON.stringify(header))}.${base64Url(payload)}`;
  return `${input}.${base64Url(key.sign(Buffer.from(input, 'latin1')))}`;
}

const base64Url = (content: string | Uint8Array): string =>
  Buffer.from(content as string).toString('base64url');

/** The application's name as Vault may believe it: that of a host that the operator lists, as `HostTrust` of identity means it. */
export function applicationClaim(
  { application, host }: Requester,
  { keys, clusters }: ApplicationHosts,
): string {
  const { iss } = host.token.claims;
  const isListed = (iss === host.key && keys?.includes(host.key)) || clusters?.includes(iss);
  return isListed ? (application.name ?? '') : '';
}
