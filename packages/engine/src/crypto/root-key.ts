import sodium from 'sodium-native';

import { CofferError } from '../errors.js';
import { KEY_BYTES, NONCE_BYTES, openInto, sealInto, TAG_BYTES } from './aead.js';
import { readKeyFile, readOrCreateKeyFile, refuseInsideStateFolder } from './key-file.js';
import { readPassphrase } from './passphrase.js';
import { RandomPool } from './random-pool.js';
import type { PassphraseSource, RootKeyContext, RootKeySpec } from './root-key-spec.js';
import { secureBuffer, wipe } from './secure-memory.js';

/** Wraps and unwraps the key ring. Asynchronous, since a KMS does it elsewhere. */
export interface RootKey {
  /** What a store remembers, in clear, to find the same key again. */
  readonly parameters: RootKeyParameters;
  wrap(ring: Uint8Array, associatedData: Uint8Array): Promise<Buffer>;
  /** The ring in locked memory; undefined if it was wrapped by another root key or changed since. */
  unwrap(wrapped: Uint8Array, associatedData: Uint8Array): Promise<Buffer | undefined>;
  wipe(): void;
}

export type RootKeyParameters =
  | { readonly kind: 'file' }
  | {
      readonly kind: 'passphrase';
      /** 16 bytes, base64. */
      readonly salt: string;
      readonly passes: number;
      readonly memoryBytes: number;
    };

export function isRootKeyParameters(value: unknown): value is RootKeyParameters {
  const { kind, salt, passes, memoryBytes } = (value ?? {}) as Record<string, unknown>;
  if (kind === 'file') return true;
  return (
    kind === 'passphrase' &&
    typeof salt === 'string' &&
    Number.isInteger(passes) &&
    Number.isInteger(memoryBytes)
  );
}

/** Argon2id at 256 MiB and 3 passes: what a guess costs who has stolen a store. */
const ARGON_PASSES = 3;
const ARGON_MEMORY = 256 * 1024 * 1024;
/** A store that asks for more is damaged, not careful. */
const ARGON_MEMORY_MAX = 4 * 1024 * 1024 * 1024;

/** The root key for an empty store: made where there is none. */
export async function createRootKey(spec: RootKeySpec, context: RootKeyContext): Promise<RootKey> {
  if (spec.kind === 'file') return fileKey(await readOrCreateKeyFile(spec.path, context));
  const salt = Buffer.alloc(sodium.crypto_pwhash_SALTBYTES);
  sodium.randombytes_buf(salt);
  const parameters = {
    kind: 'passphrase',
    salt: salt.toString('base64'),
    passes: ARGON_PASSES,
    memoryBytes: ARGON_MEMORY,
  } as const;
  const key = await passphraseKey(spec.source, parameters, context);
  context.onNotice(
    'Losing the passphrase loses every secret in this store: keep a copy of it where the store is not.',
  );
  return key;
}

/**
 * The root key of a store that exists: never made anew.
 *
 * @throws CofferError `no_root_key`, `insecure_root_key`, `wrong_root_key` (of another kind)
 */
export async function findRootKey(
  spec: RootKeySpec,
  parameters: RootKeyParameters,
  context: RootKeyContext,
): Promise<RootKey> {
  if (spec.kind !== parameters.kind) {
    throw new CofferError(
      'wrong_root_key',
      `this store was sealed with a root key of kind ${parameters.kind}:, not ${spec.kind}:`,
    );
  }
  if (spec.kind === 'passphrase' && parameters.kind === 'passphrase') {
    return passphraseKey(spec.source, parameters, context);
  }
  const { path } = spec as { path: string };
  await refuseInsideStateFolder(path, context);
  const key = await readKeyFile(path);
  if (!key) {
    throw new CofferError(
      'no_root_key',
      `the root key file ${path} is not there, and this store cannot be read without it: put your copy of it back`,
    );
  }
  return fileKey(key);
}

const fileKey = (key: Buffer): RootKey => new LocalRootKey(key, { kind: 'file' });

async function passphraseKey(
  source: PassphraseSource,
  parameters: RootKeyParameters & { kind: 'passphrase' },
  context: RootKeyContext,
): Promise<RootKey> {
  const { passes, memoryBytes } = parameters;
  const salt = Buffer.from(parameters.salt, 'base64');
  if (salt.length !== sodium.crypto_pwhash_SALTBYTES || memoryBytes > ARGON_MEMORY_MAX || passes > 64) {
    throw new CofferError(
      'tampered',
      "the store's passphrase parameters are damaged: restore it from a backup",
    );
  }
  const passphrase = await readPassphrase(source, context);
  const key = secureBuffer(KEY_BYTES);
  try {
    await new Promise<void>((done, fail) => {
      const finish = (error: Error | null | undefined) => (error ? fail(error) : done());
      const algorithm = sodium.crypto_pwhash_ALG_ARGON2ID13;
      sodium.crypto_pwhash_async(key, passphrase, salt, passes, memoryBytes, algorithm, finish);
    });
  } finally {
    wipe(passphrase);
  }
  return new LocalRootKey(key, parameters);
}

/** A root key whose bytes this process holds. */
class LocalRootKey implements RootKey {
  readonly parameters: RootKeyParameters;
  readonly #key: Buffer;

  constructor(key: Buffer, parameters: RootKeyParameters) {
    this.#key = key;
    this.parameters = parameters;
  }

  async wrap(ring: Uint8Array, associatedData: Uint8Array): Promise<Buffer> {
    const wrapped = Buffer.alloc(NONCE_BYTES + ring.length + TAG_BYTES);
    sealInto(wrapped, 0, ring, associatedData, this.#key, new RandomPool());
    return wrapped;
  }

  async unwrap(wrapped: Uint8Array, associatedData: Uint8Array): Promise<Buffer | undefined> {
    const length = wrapped.length - NONCE_BYTES - TAG_BYTES;
    if (length < 1) return undefined;
    const ring = secureBuffer(length);
    return openInto(ring, wrapped, associatedData, this.#key) ? ring : undefined;
  }

  wipe(): void {
    wipe(this.#key);
  }
}
