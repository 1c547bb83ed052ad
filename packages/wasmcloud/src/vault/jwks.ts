import { createHash } from 'node:crypto';
import { parsePublicKey } from '@coffer/identity';

/** A public key as a JWK: RFC 8037 and RFC 7517. */
export interface Jwk {
  readonly use: 'sig';
  readonly kty: 'OKP';
  readonly kid: string;
  readonly alg: 'EdDSA';
  readonly crv: 'Ed25519';
  readonly x: string;
}

/**
 * What Vault checks log-in tokens by (`jwks_url` of its auth method).
 *
 * @param publicKeys Ed25519 nkeys
 * @throws IdentityError for what is no public key
 */
export function jwksOf(publicKeys: readonly string[]): { readonly keys: readonly Jwk[] } {
  return {
    keys: publicKeys.map((publicKey) => {
      const x = bytesOf(publicKey);
      return { use: 'sig', kty: 'OKP', kid: thumbprintOf(x), alg: 'EdDSA', crv: 'Ed25519', x };
    }),
  };
}

/** What names a key among others: its RFC 7638 thumbprint. @throws IdentityError */
export const keyIdOf = (publicKey: string): string => thumbprintOf(bytesOf(publicKey));

const bytesOf = (publicKey: string): string =>
  Buffer.from(parsePublicKey(publicKey).bytes).toString('base64url');

/** Of the members that make the key, in the order of their names (RFC 8037, 2; its example is in appendix A.3). */
const thumbprintOf = (x: string): string =>
  createHash('sha256')
    .update(JSON.stringify({ crv: 'Ed25519', kty: 'OKP', x }))
    .digest('base64url');
