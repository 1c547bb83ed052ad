import { stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { KEY_BYTES } from '../crypto/aead.js';
import { keyId, readKeyFile, writeKeyFile } from '../crypto/key-file.js';
import { pendingKeyFile } from '../crypto/key-file-rotation.js';
import { createRootKey, finishRotation, newFileKey, type RootKey } from '../crypto/root-key.js';
import { parseRootKey, type RootKeyContext, type RootKeySpec } from '../crypto/root-key-spec.js';
import { secureRandom, wipe } from '../crypto/secure-memory.js';
import { CofferError } from '../errors.js';
import { syncFolder } from '../files.js';

/** A root key that the store may be sealed by from now on, and what is left to do when it is, or when it cannot be. */
export interface NextRootKey {
  readonly rootKey: RootKey;
  /** Hinders nothing: what goes wrong is told in a notice. */
  sealed(): Promise<void>;
  /** Nothing was sealed by it. */
  dropped(): Promise<void>;
}

/** Finds or makes the root keys of a store that has one, and knows where the present one comes from. */
export class RootKeys {
  readonly #context: RootKeyContext;
  /** As the configuration has it, or as the last rotation put it. */
  #spec: RootKeySpec;

  constructor(spec: RootKeySpec, context: RootKeyContext) {
    this.#spec = spec;
    this.#context = context;
  }

  /**
   * @param present the store's root key
   * @param to where the next one is or is to be made; without it, in place of the present one's file
   * @throws CofferError `invalid_argument` for what can never be, `conflict` for what cannot be as things are
   */
  async next(present: RootKey, to: string | undefined): Promise<NextRootKey> {
    if (to !== undefined) return this.#elsewhere(present, parseTarget(to), to);
    if (this.#spec.kind === 'file') return this.#inPlace(present, this.#spec.path);
    if (this.#spec.kind === 'xkey-seed') {
      throw new CofferError(
        'conflict',
        'this store is sealed by a root key derived from an xkey seed, which is given: name a key file, "to": "file:PATH", ' +
          'which is made, or where another seed or a passphrase is',
      );
    }
    throw new CofferError(
      'conflict',
      'this store is sealed by a passphrase, which can only be given: change it where it is read from, then say where ' +
        'that is, such as "to": "passphrase:file:PATH"; or name a key file, file:PATH, which is made',
    );
  }

  async #inPlace(present: RootKey, path: string): Promise<NextRootKey> {
    await requireKey(path, present.id as string).catch((cause: unknown) => {
      throw new CofferError(
        'conflict',
        "the root key file is not there any more, or holds another key than the store's: put it back, or name another " +
          'file',
        { cause },
      );
    });
    const key = secureRandom(KEY_BYTES);
    const id = keyId(key);
    const pending = await pendingKeyFile(path, id);
    try {
      await writeKeyFile(pending, key);
      await syncFolder(dirname(pending));
      await requireKey(pending, id);
    } catch (cause) {
      wipe(key);
      const { code = 'it failed' } = cause as NodeJS.ErrnoException;
      throw new CofferError(
        'conflict',
        `no new key file can be made beside the present one (${code}): name another place, file:PATH`,
        { cause },
      );
    }
    return {
      rootKey: newFileKey(key, this.#now()),
      sealed: () => finishRotation(path, { id, retired: present.id }, this.#context),
      dropped: () => unlink(pending),
    };
  }

  async #elsewhere(present: RootKey, spec: RootKeySpec, text: string): Promise<NextRootKey> {
    const rootKey = await this.#find(spec);
    if (rootKey.id !== undefined && rootKey.id === present.id) {
      rootKey.wipe();
      throw new CofferError('conflict', `${text} holds the root key that the store has already`);
    }
    return {
      rootKey,
      sealed: async () => {
        const same = JSON.stringify(spec) === JSON.stringify(this.#spec);
        this.#spec = spec;
        const former =
          present.id === undefined ? 'the former passphrase' : `the former root key, ${present.id}`;
        this.#context.onNotice(
          `The store is sealed by ${text} from now on${rootKey.id === undefined ? '' : ` (root key ${rootKey.id})`}.` +
            (same ? '' : ' Make that rootKey in the configuration, or --root-key, before the next start.') +
            ` Backups made until now need ${former}: keep it.`,
        );
      },
      dropped: async () => undefined,
    };
  }

  async #find(spec: RootKeySpec): Promise<RootKey> {
    try {
      // At a start a folder is made where there is none; a caller's slip must not scatter folders.
      if (spec.kind === 'file') await stat(dirname(spec.path));
      return await createRootKey(spec, this.#context);
    } catch (cause) {
      if (cause instanceof CofferError) throw new CofferError('conflict', cause.message, { cause });
      const { code, syscall } = cause as NodeJS.ErrnoException;
      if (syscall === undefined) throw cause;
      throw new CofferError('conflict', `the new root key file cannot be made there (${code})`, {
        cause,
      });
    }
  }

  #now(): string {
    return (this.#context.now?.() ?? new Date()).toISOString();
  }
}

/** What is in the file must be the key, before a store depends on it. */
async function requireKey(path: string, id: string): Promise<void> {
  const key = await readKeyFile(path);
  const found = key && keyId(key);
  if (key) wipe(key);
  if (found !== id) throw new CofferError('io', `the key file ${path} does not hold what was written to it`);
}

/** @throws CofferError `invalid_argument` */
function parseTarget(text: string): RootKeySpec {
  const spec = parseRootKey(text);
  if (spec.kind === 'passphrase' && spec.source.from === 'prompt') {
    throw new CofferError(
      'invalid_argument',
      'the server that runs cannot ask for a passphrase: name passphrase:file:PATH or passphrase:env:NAME',
    );
  }
  if (!TARGET.test(text)) {
    throw new CofferError(
      'invalid_argument',
      'name the file by its whole path, beginning with /, without control characters: it is the server that opens it',
    );
  }
  return spec;
}

const TARGET = /^((passphrase:|xkey-seed:)?file:\/|(passphrase|xkey-seed):env:)[^\p{Cc}]+$/u;
