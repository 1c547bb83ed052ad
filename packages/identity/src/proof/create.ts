import sodium from 'sodium-native';
import { IdentityError } from '../errors.js';
import { type KeyPair, keyPairFromSeed } from '../keys/key-pair.js';
import { parseCreds } from '../tokens/creds.js';
import { audienceOf, isNoNonceInC, PROOF_PREFIX, PROOF_SECONDS_MAX, sha256, signedBytes } from './format.js';
import { parseProof } from './parse.js';

/** A user of NATS: the content of a creds file, whose bytes stay the caller's to wipe; or its token and its key. */
export type ProofUser = { readonly creds: Uint8Array } | { readonly jwt: string; readonly keyPair: KeyPair };

export interface ProofContent {
  /** The URL of the server. */
  readonly audience: string;
  /** A change's operation id; default a random one. */
  readonly id?: string;
  /** Seconds, 1 to 60; default 60. */
  readonly expiresIn?: number;
  /** Binds the proof to one request, which a change needs. */
  readonly request?: { readonly method: string; readonly path: string; readonly body: Uint8Array };
  readonly now?: Date;
}

const ID_BYTES = 16;

/**
 * Makes a proof, the credential of an `Authorization: Bearer` header.
 *
 * @throws IdentityError `malformed_proof` or `malformed_audience` for what can be no part of one;
 *   `proof_too_long_lived`; `wrong_key_kind` for a key that is no user's; `key_wiped`; as `parseCreds` and `keyPairFromSeed`
 */
export function createProof(options: ProofUser & ProofContent): string {
  if (!('creds' in options)) return signProof(options.jwt, options.keyPair, options);
  const { jwt, seed } = parseCreds(options.creds);
  try {
    using keyPair = keyPairFromSeed(seed);
    return signProof(jwt, keyPair, options);
  } finally {
    seed.fill(0);
  }
}

function signProof(jwt: string, keyPair: KeyPair, options: ProofContent): string {
  const { id = randomId(), expiresIn = PROOF_SECONDS_MAX, request, now = new Date() } = options;
  if (keyPair.kind !== 'user') {
    throw new IdentityError('wrong_key_kind', 'only a user’s key, which begins with U, signs proofs');
  }
  if (!Number.isInteger(expiresIn) || expiresIn < 1 || expiresIn > PROOF_SECONDS_MAX) {
    throw new IdentityError('proof_too_long_lived', `a proof lasts 1 to ${PROOF_SECONDS_MAX} whole seconds`);
  }
  const payload = salted({
    jwt,
    aud: audienceOf(options.audience),
    id,
    exp: Math.floor(now.getTime() / 1000) + expiresIn,
    ...(request && { req: { ...request, body: sha256(request.body).toString('base64url') } }),
  });
  const signature = Buffer.from(keyPair.sign(signedBytes(payload))).toString('base64url');
  const proof = `${PROOF_PREFIX}${payload}.${signature}`;
  parseProof(proof);
  return proof;
}

/** The payload with the first salt that will do, see {@link isNoNonceInC}. */
function salted(members: object): string {
  for (let salt = 0; ; salt++) {
    const payload = Buffer.from(JSON.stringify({ ...members, salt })).toString('base64url');
    if (isNoNonceInC(signedBytes(payload))) return payload;
  }
}

function randomId(): string {
  const bytes = Buffer.alloc(ID_BYTES);
  sodium.randombytes_buf(bytes);
  return bytes.toString('base64url');
}
