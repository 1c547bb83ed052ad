import { createHash, randomUUID } from 'node:crypto';
import { audienceOf } from '../address.js';
import { invalid } from '../errors.js';
import { Credentials } from './credentials.js';

/** Of what a proof is made. */
export interface ProofOptions {
  /** The content of a NATS creds file, as bytes (which stay yours to wipe) or as text. */
  readonly creds: Uint8Array | string;
  /** The server's URL, as its configuration has it in `publicUrl`. */
  readonly audience: string;
  /** A change's operation id, 1 to 128 printable characters; default a random one. */
  readonly id?: string | undefined;
  /** Seconds, 1 to 60; default 60. */
  readonly expiresIn?: number | undefined;
  /** The request that it is for, which a change needs. `path` is without a query, and without what a proxy puts before it. */
  readonly request?: ProofRequest | undefined;
}

/** The request that a proof is bound to. */
export interface ProofRequest {
  readonly method: string;
  readonly path: string;
  readonly body: Uint8Array;
}

/** A proof that is made up to its end. */
export interface ProofContent {
  readonly audience: string;
  readonly id: string;
  /** Unix seconds. */
  readonly expiresAt: number;
  readonly request?: ProofRequest | undefined;
}

const LONGEST_SECONDS = 60;
/** The server takes no longer ones. */
const LENGTH_MAX = 12 * 1024;
const DOMAIN = Buffer.concat([Buffer.of(0xff), Buffer.from('coffer-proof-v1')]);

/**
 * Makes a proof, by which a NATS user shows who it is: the credential of an `Authorization: Bearer` header, for one who
 * sends requests by other means. A {@link Client} with `creds` makes its own.
 *
 * @throws CofferClientError `invalid_argument`
 */
export function createProof(options: ProofOptions): string {
  const { creds, audience, id, expiresIn, request } = options;
  const seconds = expiresIn ?? LONGEST_SECONDS;
  if (!Number.isInteger(seconds) || seconds < 1 || seconds > LONGEST_SECONDS) {
    throw invalid(`a proof lasts 1 to ${LONGEST_SECONDS} whole seconds`);
  }
  const credentials = new Credentials(creds);
  try {
    return signProof(credentials, {
      audience: audienceOf(audience),
      id: id ?? randomUUID(),
      expiresAt: Math.floor(Date.now() / 1000) + seconds,
      request,
    });
  } finally {
    credentials.wipe();
  }
}

/** A proof in the format coffer-proof-v1 (docs/http-api.md, "Proofs"). */
export function signProof(credentials: Credentials, content: ProofContent): string {
  const { audience, id, expiresAt, request } = content;
  if (!/^[\x21-\x7e]{1,128}$/.test(id))
    throw invalid('the id of a proof is 1 to 128 printable ASCII characters');
  const members = {
    jwt: credentials.jwt,
    aud: audience,
    id,
    exp: expiresAt,
    ...(request && { req: requestMembers(request) }),
  };
  const { payload, signed } = salted(members);
  const proof = `cfp1.${payload}.${credentials.sign(signed).toString('base64url')}`;
  if (proof.length > LENGTH_MAX)
    throw invalid('the token in these creds is too large for the header of a request');
  return proof;
}

function requestMembers({ method, path, body }: ProofRequest): object {
  if (!/^[A-Z]{1,16}$/.test(method)) throw invalid('the method of a request is in upper case, as POST');
  if (!/^\/[\x21-\x7e]{0,1000}$/.test(path) || /[?#]/.test(path)) {
    throw invalid('the path of a request is as /api/put, without a query');
  }
  return { method, path, body: sha256(body).toString('base64url') };
}

/** The first salt that brings a zero byte into the hash: for why, see `isNoNonceInC` of packages/identity. */
function salted(members: object): { readonly payload: string; readonly signed: Buffer } {
  for (let salt = 0; ; salt++) {
    const payload = Buffer.from(JSON.stringify({ ...members, salt })).toString('base64url');
    const hash = sha256(payload);
    if (hash.includes(0)) return { payload, signed: Buffer.concat([DOMAIN, hash]) };
  }
}

const sha256 = (bytes: Uint8Array | string): Buffer => createHash('sha256').update(bytes).digest();
