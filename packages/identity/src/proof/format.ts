import sodium from 'sodium-native';
import { IdentityError } from '../errors.js';
import { asBuffer } from '../keys/as-buffer.js';

/**
 * coffer-proof-v1: what a user of NATS shows to a coffer server over HTTP, in place of a token.
 *
 *     cfp1.PAYLOAD.SIGNATURE
 *
 * PAYLOAD is base64url of JSON without white space: `jwt`, the user's token; `aud`, the URL of the server; `id`, 1 to
 * 128 printable characters, of a change its operation id; `exp`, its end in Unix seconds; `salt`; and `req`, if it
 * counts for one request only: `{"method","path","body"}`, the last being base64url of the body's SHA-256.
 *
 * SIGNATURE is base64url of the user key's Ed25519 signature over {@link signedBytes}.
 *
 * Source: docs/http-api.md, "Proofs".
 */
export const PROOF_PREFIX = 'cfp1.';

/** Fits with other headers into the 16 KiB that Node's HTTP server takes; a user's token has some 900 characters. */
export const PROOF_LENGTH_MAX = 12 * 1024;

/** A proof ends at most so long after it is made. */
export const PROOF_SECONDS_MAX = 60;

export const SIGNATURE_BYTES = sodium.crypto_sign_BYTES;
export const HASH_BYTES = sodium.crypto_hash_sha256_BYTES;

const DOMAIN = Buffer.concat([Buffer.of(0xff), Buffer.from('coffer-proof-v1')]);

/**
 * What a proof's signature is of: 0xFF, `coffer-proof-v1` and the SHA-256 of the payload as it stands.
 *
 * A NATS client signs, with the same key, whatever nonce a server sends it. No nonce may be such bytes: they begin
 * with a byte that occurs in no UTF-8, which clients take a nonce for; and {@link isNoNonceInC} for those that do not.
 * Against a client that signs any bytes whatever (Ruby's), no domain helps: its user should not be for HTTP, too.
 */
export function signedBytes(payload: string): Buffer {
  return Buffer.concat([DOMAIN, sha256(Buffer.from(payload, 'latin1'))]);
}

/**
 * Whether the bytes hold a NUL. The NATS client for C signs a nonce's bytes as they came, UTF-8 or not, up to the
 * first NUL. So `salt` is chosen to bring one into the hash, which every eighth number does.
 */
export function isNoNonceInC(signed: Uint8Array): boolean {
  return signed.includes(0);
}

export function sha256(bytes: Uint8Array): Buffer {
  const hash = Buffer.alloc(HASH_BYTES);
  sodium.crypto_hash_sha256(hash, asBuffer(bytes));
  return hash;
}

/**
 * The one way to write a server's URL as an audience: `http(s)://HOST[:PORT][/BASE]`, lower case, no default port, no
 * slash at its end. Behind NATS, where a server has no URL, it is `xkey:X…`: one of its transit keys, as it is.
 *
 * @throws IdentityError `malformed_audience` for any other URL, and for one with a user, a query or a fragment
 */
export function audienceOf(url: string): string {
  if (TRANSIT_AUDIENCE.test(url)) return url;
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const { protocol, origin, pathname } = parsed ?? {};
  const audience = `${origin}${pathname?.replace(/\/+$/, '')}`;
  // The rest of the URL would not be part of it, and is not to be dropped in silence.
  const rest = parsed && `${parsed.username}${parsed.password}${parsed.search}${parsed.hash}`;
  if ((protocol !== 'http:' && protocol !== 'https:') || rest !== '' || !AUDIENCE.test(audience)) {
    throw new IdentityError(
      'malformed_audience',
      'an audience is the URL of a server, as https://coffer.example.com, without user, query or fragment',
    );
  }
  return audience;
}

const TRANSIT_AUDIENCE = /^xkey:X[A-Z2-7]{55}$/;

/** An audience as a proof may name it. */
export const AUDIENCE = /^(?:https?:\/\/[\x21-\x7e]{1,500}|xkey:X[A-Z2-7]{55})$/;
