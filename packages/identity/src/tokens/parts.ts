import { IdentityError } from '../errors.js';
import { type Json, parseJson } from './json.js';

/** No larger token is read: 1 MiB, as in nats-io/jwt. */
export const TOKEN_BYTES = 1024 * 1024;

/** A token taken apart: `base64url(header).base64url(claims).base64url(signature)` (RFC 7515, compact form). */
export interface TokenParts {
  readonly header: Json;
  readonly claims: Json;
  /** The bytes that are signed: the first two parts as they stand. */
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * Takes a token apart. Each part must be the one canonical text of its bytes, and header and claims JSON in UTF-8.
 *
 * @throws IdentityError `token_too_large`, `malformed_token`
 */
export function takeApart(text: string): TokenParts {
  if (text.length > TOKEN_BYTES) {
    throw new IdentityError('token_too_large', `a token has at most ${TOKEN_BYTES} bytes`);
  }
  const [header, claims, signature, ...more] = text.split('.');
  if (header === undefined || claims === undefined || signature === undefined || more.length > 0) {
    throw malformed('it does not have three parts with dots between them');
  }
  return {
    header: jsonPart(header),
    claims: jsonPart(claims),
    signed: Buffer.from(text.slice(0, header.length + 1 + claims.length), 'latin1'),
    signature: fromBase64Url(signature),
  };
}

/** @throws IdentityError `malformed_token` unless `text` is the canonical base64url of its bytes, without padding */
function fromBase64Url(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text) throw malformed('a part of it is not base64url');
  return bytes;
}

function jsonPart(part: string): Json {
  const bytes = fromBase64Url(part);
  try {
    return parseJson(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    throw malformed('a part of it is not JSON');
  }
}

export const malformed = (why: string): IdentityError =>
  new IdentityError('malformed_token', `this is no token: ${why}`);
