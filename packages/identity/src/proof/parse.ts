import { IdentityError } from '../errors.js';
import { verify } from '../keys/key-pair.js';
import { parsePublicKey } from '../keys/nkey.js';
import {
  AUDIENCE,
  HASH_BYTES,
  isNoNonceInC,
  PROOF_LENGTH_MAX,
  PROOF_PREFIX,
  SIGNATURE_BYTES,
  signedBytes,
} from './format.js';

/** A proof as {@link parseProof} found it: well formed, and so far nothing but its sender's word. */
export interface Proof {
  /** The user's token, not yet looked at. */
  readonly jwt: string;
  /** The URL of the server that it is made for. */
  readonly audience: string;
  /** A change's operation id; of what only reads, any id. */
  readonly id: string;
  /** Unix seconds. */
  readonly expiresAt: number;
  /** The one request that it counts for. */
  readonly request?: ProvenRequest;
  readonly signed: Uint8Array;
  readonly signature: Uint8Array;
}

export interface ProvenRequest {
  readonly method: string;
  /** As the server's routes have it, `/api/put`: without a query, and without what a proxy puts before it. */
  readonly path: string;
  /** SHA-256 of the body's bytes; without a body, of none. */
  readonly bodyHash: Uint8Array;
}

const FORM = /^cfp1\.(?<payload>[\w-]+)\.(?<signature>[\w-]+)$/;
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const ID = /^[\x21-\x7e]{1,128}$/;
const METHOD = /^[A-Z]{1,16}$/;
const PATH = /^\/[\x21-\x7e]{0,1000}$/;

/** Whether a credential is meant as a proof, rather than as a bearer token. */
export const isProof = (credential: string): boolean => credential.startsWith(PROOF_PREFIX);

/**
 * Takes a proof apart. It must be the one way to write what it says: JSON without white space or needless escapes,
 * every member once and no other, base64url without stray bits.
 *
 * @throws IdentityError `malformed_proof`
 */
export function parseProof(text: string): Proof {
  if (text.length > PROOF_LENGTH_MAX) throw malformed(`it is longer than ${PROOF_LENGTH_MAX} characters`);
  const { payload, signature } = FORM.exec(text)?.groups ?? {};
  if (payload === undefined || signature === undefined) throw malformed('its form is cfp1.PAYLOAD.SIGNATURE');
  const signed = signedBytes(payload);
  if (!isNoNonceInC(signed)) throw malformed('its salt must be one that brings a zero byte into the hash');
  return {
    ...readPayload(fromBase64url(payload, 'its payload').toString()),
    signed,
    signature: fromBase64url(signature, 'its signature', SIGNATURE_BYTES),
  };
}

/**
 * Checks that the user's key signed the proof.
 *
 * @param userKey the subject of the user's token, once its chain is verified
 * @throws IdentityError `proof_signature`; `wrong_key_kind` for a key that is no user's
 */
export function verifyProofSignature(proof: Proof, userKey: string): void {
  if (parsePublicKey(userKey).kind !== 'user') {
    throw new IdentityError('wrong_key_kind', 'only a user’s key, which begins with U, signs proofs');
  }
  if (!verify(userKey, proof.signed, proof.signature)) {
    throw new IdentityError('proof_signature', 'this proof is not signed by the key of its token’s user');
  }
}

function readPayload(text: string): Omit<Proof, 'signed' | 'signature'> {
  const { jwt, aud, id, exp, salt, ...rest } = readObject(text);
  const wellFormed =
    isText(jwt, TOKEN) && isText(aud, AUDIENCE) && isText(id, ID) && isTime(exp) && Number.isInteger(salt);
  if (!wellFormed) throw malformed('its members are jwt, aud, id, exp, salt and perhaps req');
  const { req, ...unknown } = rest;
  if (Object.keys(unknown).length > 0) throw malformed('it has a member that is none of a proof’s');
  return {
    jwt,
    audience: aud,
    id,
    expiresAt: exp,
    ...(req === undefined ? {} : { request: readRequest(req) }),
  };
}

function readRequest(value: unknown): ProvenRequest {
  const { method, path, body, ...unknown } = isObject(value) ? value : {};
  if (!isText(method, METHOD) || !isText(path, PATH) || /[?#]/.test(path) || typeof body !== 'string') {
    throw malformed('the members of its req are method, path (without a query) and body');
  }
  if (Object.keys(unknown).length > 0) throw malformed('its req has a member that is none of a proof’s');
  return { method, path, bodyHash: fromBase64url(body, 'the hash of the body', HASH_BYTES) };
}

function readObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed('its payload is no JSON');
  }
  // Deeper ones are no proof, and writing them anew might exhaust the stack.
  const shallow = isObject(value) && Object.values(value).every((part) => isScalar(part) || isFlat(part));
  // A member twice, white space, a number as 1e3: two readers might read them as two things.
  if (!shallow || JSON.stringify(value) !== text) {
    throw malformed('its payload is a JSON object without white space, needless escapes or a member twice');
  }
  return value as Record<string, unknown>;
}

const isScalar = (value: unknown): boolean => typeof value !== 'object' || value === null;

const isFlat = (value: unknown): boolean => isObject(value) && Object.values(value).every(isScalar);

function fromBase64url(text: string, what: string, length?: number): Buffer {
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.toString('base64url') !== text || (length !== undefined && bytes.length !== length)) {
    throw malformed(
      `${what} is base64url without padding${length === undefined ? '' : ` of ${length} bytes`}`,
    );
  }
  return bytes;
}

const isText = (value: unknown, form: RegExp): value is string =>
  typeof value === 'string' && form.test(value);

const isTime = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) > 0;

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const malformed = (why: string) => new IdentityError('malformed_proof', `this is no proof: ${why}`);
