import { constants, lstatSync, mkdirSync, type Stats } from 'node:fs';
import { type FileHandle, open, readdir, rename, stat, unlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CofferClientError } from '../errors.js';
import type { Cache } from './cache.js';
import { fileError } from './file-error.js';
import type { KeySource } from './key.js';
import { Seal } from './seal.js';

/** Older drafts belong to no write that still goes on. */
const ABANDONED = 60_000;

/**
 * A file that only its owner can read. It is replaced as a whole: whatever happens, it holds what was written last or before that.
 * One process at a time should write to it. A file that another user but root owns, or that others may write, is not read: whoever
 * wrote it would choose what the program takes for its secrets. A key that is given is kept for as long as the cache is there.
 *
 * Without a key its content is setec's, JSON with the values in base64, and setec's `FileClient` reads it. With one it is these bytes:
 * `coffer-cache-v1\n`, a salt of 32 bytes that is new for each write, the content encrypted with AES-256-GCM, and the tag of 16 bytes.
 * HKDF-SHA-256 of the key, with that salt and the first line as info, gives the 32 bytes of the AES key and the 12 of the nonce.
 */
export class FileCache implements Cache {
  readonly #path: string;
  readonly #folder: string;
  readonly #draftStart: string;
  readonly #seal: Seal;
  #tidy = false;

  /**
   * Makes the folder, for its owner only, if it is not there. The file is made by the first write.
   *
   * @throws CofferClientError `bad_file` if the folder cannot be made, or `path` is there and is no file
   */
  constructor(path: string, options: { readonly key?: KeySource | undefined } = {}) {
    this.#path = resolve(path);
    this.#folder = dirname(this.#path);
    this.#draftStart = `.${basename(path)}.draft-`;
    this.#seal = new Seal(options.key);
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      this.#refuseOthers();
    } catch (error) {
      throw this.#told(error);
    }
  }

  /** @throws CofferClientError `bad_file`, `bad_key`, or `bad_cache` if the file is not what was written with this key */
  async read(): Promise<Uint8Array | undefined> {
    try {
      // Neither a link is followed nor a pipe waited for.
      const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
      return await opened(this.#path, flags, async (file) => {
        refuseForeign(await file.stat(), this.#path);
        return this.#seal.unseal(await file.readFile());
      });
    } catch (error) {
      if ((error as { code?: string }).code === 'ENOENT') return undefined;
      throw this.#told(error);
    }
  }

  /** @throws CofferClientError `bad_file`, `bad_key` */
  async write(content: Uint8Array): Promise<void> {
    try {
      const sealed = await this.#seal.seal(content);
      this.#refuseOthers();
      if (!this.#tidy) await this.#removeDrafts();
      const draft = join(this.#folder, `${this.#draftStart}${process.pid}-${Math.random()}`);
      try {
        await opened(draft, 'wx', async (file) => {
          // The umask may have taken rights away.
          await file.chmod(0o600);
          await file.writeFile(sealed);
          await file.sync();
        });
        await rename(draft, this.#path);
      } catch (error) {
        await unlink(draft).catch(() => {});
        throw error;
      }
      await opened(this.#folder, 'r', (folder) => folder.sync());
    } catch (error) {
      throw this.#told(error);
    }
  }

  #refuseOthers(): void {
    if (!(lstatSync(this.#path, { throwIfNoEntry: false })?.isFile() ?? true)) throw notAFile();
  }

  /** Those of processes that were killed hold secrets as well. */
  async #removeDrafts(): Promise<void> {
    this.#tidy = true;
    for (const name of await readdir(this.#folder)) {
      if (!name.startsWith(this.#draftStart)) continue;
      const path = join(this.#folder, name);
      const { mtimeMs = Infinity } = (await stat(path).catch(() => undefined)) ?? {};
      if (mtimeMs < Date.now() - ABANDONED) await unlink(path).catch(() => {});
    }
  }

  #told(error: unknown): CofferClientError {
    return fileError(`the cache ${this.#path}`, error);
  }
}

/** Does something with an open file, and closes it. */
async function opened<T>(
  path: string,
  flags: string | number,
  work: (file: FileHandle) => Promise<T>,
): Promise<T> {
  const file = await open(path, flags, 0o600);
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

function refuseForeign(stats: Stats, path: string): void {
  if (!stats.isFile()) throw notAFile();
  const { getuid, getgroups } = process;
  if (!getuid || !getgroups) return;
  if (stats.uid !== getuid() && stats.uid !== 0)
    throw new CofferClientError('bad_file', `it belongs to another user (uid ${stats.uid}): remove it`);
  // Volumes of Kubernetes are opened to a group that the program is in.
  const others = getgroups().includes(stats.gid) ? 0o002 : 0o022;
  if (stats.mode & others)
    throw new CofferClientError('bad_file', `others may write to it: remove it, or chmod 600 ${path}`);
}

const notAFile = () => new CofferClientError('bad_file', 'it is no regular file, or a link');
