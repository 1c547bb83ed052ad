import { lstat, mkdir, readdir, realpath, rename, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';

import { CofferError } from '../errors.js';
import { makeFolders, syncFolder } from '../files.js';
import { FolderLock } from '../storage/lock.js';

/** Says that a folder is a restore's, and may be taken away when it was left behind. */
const MARK = '.coffer-restore';
const MARK_TEXT =
  'An unfinished restore of a coffer store. It is no store: the next restore takes it away.\n';

/**
 * The folder `DIR.restoring`, in which a restore builds what becomes `DIR` in one step, so that `DIR` is absent or whole
 * whenever the process dies. What a killed restore left behind is taken away by the next.
 */
export class RestoreFolder {
  readonly path: string;
  readonly #target: string;
  readonly #lock: FolderLock;

  private constructor(path: string, target: string, lock: FolderLock) {
    this.path = path;
    this.#target = target;
    this.#lock = lock;
  }

  /** @throws CofferError `invalid_argument` if there is anything in the target; `store_locked` while another restore is there */
  static async claim(target: string): Promise<RestoreFolder> {
    const place = await realpath(target).catch(() => resolve(target));
    await requireEmpty(place);
    const path = `${place}.restoring`;
    await makeFolders(dirname(place));
    await requireSameFileSystem(place);
    await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return requireOurs(path);
      throw new CofferError(
        'io',
        `the folder ${path}, in which the store is made before it moves to its place, cannot be made ` +
          `(${error.code}): restore to a folder beside which you may make others, then move it`,
        { cause: error },
      );
    });
    const lock = await FolderLock.acquire(path);
    try {
      for (const name of await readdir(path)) {
        if (name !== MARK && !name.startsWith('lock')) await rm(join(path, name), { recursive: true });
      }
      await writeFile(join(path, MARK), MARK_TEXT, { mode: 0o600 });
      return new RestoreFolder(path, place, lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** Moves it to its place, durably. */
  async complete(): Promise<void> {
    await syncFolder(this.path);
    await rename(this.path, this.#target).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOTEMPTY' || error.code === 'EEXIST') throw notEmpty(this.#target);
      throw error;
    });
    await syncFolder(dirname(this.#target));
    for (const name of await readdir(this.#target)) {
      if (name === MARK || name.startsWith('lock.')) await unlink(join(this.#target, name));
    }
    await this.#lock.release();
  }

  /** Leaves nothing behind. */
  async abandon(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    await this.#lock.release();
  }
}

async function requireEmpty(target: string): Promise<void> {
  const names = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    if (error.code === 'ENOTDIR') throw notEmpty(target);
    throw error;
  });
  if (names.length > 0) throw notEmpty(target);
}

/** A folder can be moved within a file system only, and not to where one is mounted. */
async function requireSameFileSystem(target: string): Promise<void> {
  const own = await stat(target).catch(() => undefined);
  if (own === undefined || own.dev === (await stat(dirname(target))).dev) return;
  throw new CofferError(
    'invalid_argument',
    `${target} is a file system of its own: restore to a folder inside of it, such as ${join(target, 'state')}, and ` +
      'give the server that as its state folder',
  );
}

/** Where others may make folders too, as in /tmp, they may have made this one, and would read the store as it is built. */
async function requireOurs(path: string): Promise<void> {
  const found = await lstat(path);
  const isPrivate = found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o077) === 0;
  const names = isPrivate ? await readdir(path) : undefined;
  if (names && (names.length === 0 || names.includes(MARK))) return;
  throw new CofferError(
    'invalid_argument',
    `there is a folder ${path} already that no restore of coffer's made: move it away`,
  );
}

const notEmpty = (target: string): CofferError =>
  new CofferError(
    'invalid_argument',
    `${target} is not empty, and a restore overwrites nothing: move it away, and keep it, since it knows what was ` +
      'revoked since (--merge-from); or name another --state-dir',
  );
