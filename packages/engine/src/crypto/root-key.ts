import sodium from 'sodium-native';

import { CofferError } from '../errors.js';
import { KEY_BYTES, NONCE_BYTES, openInto, sealInto, TAG_BYTES } from './aead.js';
import { keyId, readKeyFile, readOrCreateKeyFile, refuseInsideStateFolder } from './key-file.js';
import { pendingKeyFile, putInPlace, whereRetired } from './key-file-rotation.js';
import { readNewPassphrase, readPassphrase } from './passphrase.js';
import { RandomPool } from './random-pool.js';
import type { PassphraseSource, RootKeyContext, RootKeySpec } from './root-key-spec.js';
import { secureBuffer, wipe } from './secure-memory.js';
import { seedKey } from './seed-key.js';

/** Wraps and unwraps the key ring. Asynchronous, since a KMS does it elsewhere. */
export interface RootKey {
  /** What a store remembers, in clear, to find the same key again. */
  readonly parameters: RootKeyParameters;
  /** A public fingerprint (16 hexadecimal digits), where the key is random; a passphrase's would help to guess it. */
  readonly id: string | undefined;
  wrap(ring: Uint8Array, associatedData: Uint8Array): Promise<Buffer>;
  /** The ring in locked memory; undefined if it was wrapped by another root key or changed since. */
  unwrap(wrapped: Uint8Array, associatedData: Uint8Array): Promise<Buffer | undefined>;
  wipe(): void;
}

export type RootKeyParameters = FileParameters | PassphraseParameters | SeedParameters;

interface FileParameters {
  readonly kind: 'file';
  /** {@link RootKey.id}; not there in a store whose root key is older than this field. */
  readonly id?: string;
  /** Since when it is this store's root key: RFC 3339 in UTC. */
  readonly since?: string;
}

interface PassphraseParameters {
  readonly kind: 'passphrase';
  /** 16 bytes, base64. */
  readonly salt: string;
  readonly passes: number;
  readonly memoryBytes: number;
  readonly since?: string;
}

interface SeedParameters {
  readonly kind: 'xkey-seed';
  /** {@link RootKey.id} of what is derived. */
  readonly id: string;
  readonly since: string;
}

export function isRootKeyParameters(value: unknown): value is RootKeyParameters {
  const { kind, id, since, salt, passes, memoryBytes } = (value ?? {}) as Record<string, unknown>;
  if (since !== undefined && (typeof since !== 'string' || !/^[\d-]{10}T[\d:.]{8,12}Z$/.test(since)))
    return false;
  const isId = typeof id === 'string' && /^[0-9a-f]{16}$/.test(id);
  if (kind === 'file') return id === undefined || isId;
  if (kind === 'xkey-seed') return isId && since !== undefined;
  return (
    kind === 'passphrase' &&
    typeof salt === 'string' &&
    Number.isInteger(passes) &&
    Number.isInteger(memoryBytes)
  );
}

/** The fingerprint of the root key that is wanted, where it has one. */
export const idOf = (parameters: RootKeyParameters): string | undefined =>
  parameters.kind === 'passphrase' ? undefined : parameters.id;

/** Argon2id at 256 MiB and 3 passes: what a guess costs who has stolen a store. */
const ARGON_PASSES = 3;
const ARGON_MEMORY = 256 * 1024 * 1024;
/** A store that asks for more is damaged, not careful. */
const ARGON_MEMORY_MAX = 4 * 1024 * 1024 * 1024;

/** A root key for a store that has none yet, or is to have another: made where there is none. */
export async function createRootKey(spec: RootKeySpec, context: RootKeyContext): Promise<RootKey> {
  const since = (context.now?.() ?? new Date()).toISOString();
  if (spec.kind === 'file') return newFileKey(await readOrCreateKeyFile(spec.path, context), since);
  if (spec.kind === 'xkey-seed') {
    const key = await seedKey(spec.source, context);
    const id = keyId(key);
    context.onNotice(
      'Losing the xkey seed loses every secret in this store: keep a copy of it where the store is not.',
    );
    return new LocalRootKey(key, { kind: 'xkey-seed', id, since }, id);
  }
  const salt = Buffer.alloc(sodium.crypto_pwhash_SALTBYTES);
  sodium.randombytes_buf(salt);
  const parameters = {
    kind: 'passphrase',
    salt: salt.toString('base64'),
    passes: ARGON_PASSES,
    memoryBytes: ARGON_MEMORY,
    since,
  } as const;
  const key = await passphraseKey(spec.source, parameters, context, readNewPassphrase);
  context.onNotice(
    'Losing the passphrase loses every secret in this store: keep a copy of it where the store is not.',
  );
  return key;
}

/** A key file's key as a store's root key from now on. */
export const newFileKey = (key: Buffer, since: string): RootKey =>
  new LocalRootKey(key, { kind: 'file', id: keyId(key), since }, keyId(key));

/** A root key that was found, not yet tried. */
export interface FoundRootKey {
  readonly rootKey: RootKey;
  /** Ends a rotation that a crash cut short; to be called once the key has opened the store. */
  readonly finish?: () => Promise<void>;
  /** Where the key is that the store wants, if it is not this one and that can be told. */
  readonly hint?: string | undefined;
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
): Promise<FoundRootKey> {
  if (spec.kind === 'file' && parameters.kind === 'file') return findFileKey(spec.path, parameters, context);
  if (spec.kind === 'passphrase' && parameters.kind === 'passphrase') {
    return { rootKey: await passphraseKey(spec.source, parameters, context) };
  }
  if (spec.kind === 'xkey-seed' && parameters.kind === 'xkey-seed') {
    const key = await seedKey(spec.source, context);
    return { rootKey: new LocalRootKey(key, parameters, keyId(key)) };
  }
  const since = parameters.since === undefined ? '' : `, since ${parameters.since}`;
  throw new CofferError(
    'wrong_root_key',
    `this store was sealed with a root key of kind ${parameters.kind}:, not ${spec.kind}:${since}; name that one ` +
      'with --root-key, or as rootKey in the configuration',
  );
}

async function findFileKey(
  path: string,
  parameters: FileParameters,
  context: RootKeyContext,
): Promise<FoundRootKey> {
  await refuseInsideStateFolder(path, context);
  const key = await readKeyFile(path);
  const { id } = parameters;
  const found = key && new LocalRootKey(key, parameters, keyId(key));
  if (id === undefined || found?.id === id) {
    if (found) return { rootKey: found };
    throw noRootKey(path, context);
  }
  const pending = await readKeyFile(await pendingKeyFile(path, id));
  if (pending && keyId(pending) === id) {
    found?.wipe();
    const finish = () => finishRotation(path, { id, retired: found?.id }, context);
    return { rootKey: new LocalRootKey(pending, parameters, id), finish };
  }
  if (pending) wipe(pending);
  if (!found) throw noRootKey(path, context);
  return { rootKey: found, hint: await whereRetired(path, id) };
}

/**
 * Moves the key file that the store is sealed by now to its place. It has been opened by it, or written: what hinders here
 * is told, and hinders nothing else.
 */
export async function finishRotation(
  path: string,
  keys: { id: string; retired: string | undefined },
  context: RootKeyContext,
): Promise<void> {
  try {
    const kept = await putInPlace(path, keys);
    context.onNotice(
      `The root key was changed: ${path} holds the new one, ${keys.id}; keep a copy of it as you did of the former` +
        (kept ? `, which is in ${kept}: backups made until now need it.` : '.'),
    );
  } catch (error) {
    context.onNotice(
      `The root key ${keys.id} is in ${await pendingKeyFile(path, keys.id)} and could not be moved to ${path} ` +
        `(${(error as Error).message}): move it there, and keep the former one for the backups that need it.`,
    );
  }
}

function noRootKey(path: string, { whenMissing }: RootKeyContext): CofferError {
  const { what, advice } = whenMissing ?? { what: 'this store', advice: 'put your copy of it back' };
  return new CofferError(
    'no_root_key',
    `the root key file ${path} is not there, and ${what} cannot be read without it: ${advice}`,
  );
}

async function passphraseKey(
  source: PassphraseSource,
  parameters: PassphraseParameters,
  context: RootKeyContext,
  read = readPassphrase,
): Promise<RootKey> {
  const { passes, memoryBytes } = parameters;
  const salt = Buffer.from(parameters.salt, 'base64');
  if (salt.length !== sodium.crypto_pwhash_SALTBYTES || memoryBytes > ARGON_MEMORY_MAX || passes > 64) {
    throw new CofferError(
      'tampered',
      "the store's passphrase parameters are damaged: restore it from a backup",
    );
  }
  const passphrase = await read(source, context);
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
  return new LocalRootKey(key, parameters, undefined);
}

/**
 * A root key whose bytes this process holds. Between uses their page cannot be read or written: whatever in this process
 * runs astray into it ends the process.
 */
class LocalRootKey implements RootKey {
  readonly parameters: RootKeyParameters;
  readonly id: string | undefined;
  readonly #key: sodium.SecureBuffer;

  /** Takes over the key, which is in memory of sodium's. */
  constructor(key: Buffer, parameters: RootKeyParameters, id: string | undefined) {
    this.#key = key as sodium.SecureBuffer;
    this.parameters = parameters;
    this.id = id;
    sodium.sodium_mprotect_noaccess(this.#key);
  }

  async wrap(ring: Uint8Array, associatedData: Uint8Array): Promise<Buffer> {
    const wrapped = Buffer.alloc(NONCE_BYTES + ring.length + TAG_BYTES);
    this.#use(() => sealInto(wrapped, 0, ring, associatedData, this.#key, new RandomPool()));
    return wrapped;
  }

  async unwrap(wrapped: Uint8Array, associatedData: Uint8Array): Promise<Buffer | undefined> {
    const length = wrapped.length - NONCE_BYTES - TAG_BYTES;
    if (length < 1) return undefined;
    const ring = secureBuffer(length);
    return this.#use(() => openInto(ring, wrapped, associatedData, this.#key)) ? ring : undefined;
  }

  wipe(): void {
    sodium.sodium_mprotect_readwrite(this.#key);
    wipe(this.#key);
  }

  #use<T>(task: () => T): T {
    sodium.sodium_mprotect_readonly(this.#key);
    try {
      return task();
    } finally {
      sodium.sodium_mprotect_noaccess(this.#key);
    }
  }
}
