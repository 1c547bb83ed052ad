import { createHash } from 'node:crypto';
import { encodeBase32Text } from '../keys/base32.js';
import type { ActivationClaims } from '../tokens/claims.js';

/**
 * What an activation is filed under: base32, padded, of SHA-256 of issuer, subject, and the exported subject up to its first
 * wildcard (`_` if it begins with one), with dots between them.
 *
 * Source: nats-io/jwt v2 (`activation_claims.go`, `HashID`).
 */
export function activationHash({ iss, sub, nats }: ActivationClaims): string {
  const tokens = (nats.subject ?? '').split('.');
  const wildcard = tokens.findIndex((token) => token === '*' || token === '>');
  const subject = wildcard === 0 ? '_' : tokens.slice(0, wildcard < 0 ? undefined : wildcard).join('.');
  return `${encodeBase32Text(createHash('sha256').update(`${iss}.${sub}.${subject}`).digest())}====`;
}
