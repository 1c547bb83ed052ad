import { rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { CofferError } from '../errors.js';
import { syncFolder } from '../files.js';
import { AUDIT_FOLDER, STORE_FOLDER } from '../options.js';
import { fileKind } from '../storage/file-kind.js';
import type { FileKind } from '../storage/lmdb-state.js';

/**
 * The folders of a state folder that a move concerns: `store`, what the server opens; `store.moving`, what is to take its place;
 * `store.moved`, what was there before.
 */
export class MoveFolders {
  readonly stateDir: string;
  readonly store: string;
  readonly moving: string;

  constructor(stateDir: string) {
    this.stateDir = resolve(stateDir);
    this.store = join(this.stateDir, STORE_FOLDER);
    this.moving = `${this.store}.moving`;
  }

  /** What is in `store`, and in `store.moving`. */
  async kinds(): Promise<{ store: FileKind | undefined; moving: FileKind | undefined }> {
    return { store: await fileKind(this.store), moving: await fileKind(this.moving) };
  }

  /**
   * @throws CofferError `unfit_store` if the store is not there since a move was interrupted, so that nobody makes a new one in its
   *   place
   */
  async requireStore(): Promise<void> {
    if ((await isThere(this.store)) || !(await isThere(this.moving))) return;
    throw new CofferError(
      'unfit_store',
      `the store of ${this.stateDir} was being moved when that was interrupted: repeat coffer storage migrate`,
    );
  }

  async removeMoving(): Promise<void> {
    await rm(this.moving, { recursive: true, force: true });
  }

  /**
   * The log of an instance is no embedded store's, which begins its own: it is kept beside.
   *
   * @returns the folder in which it is kept; undefined if there is none
   */
  async keepLog(now: Date): Promise<string | undefined> {
    const log = join(this.stateDir, AUDIT_FOLDER);
    if (!(await isThere(log))) return undefined;
    const kept = await freeName(log, now);
    await rename(log, kept);
    await syncFolder(this.stateDir);
    return kept;
  }

  /**
   * What was prepared takes the place of what is there, which is kept. A crash between the two steps leaves no `store`;
   * {@link complete} goes on then.
   *
   * @returns the folder in which the former one is kept
   */
  async swap(now: Date): Promise<string> {
    const kept = await freeName(this.store, now);
    if (await isThere(this.store)) await rename(this.store, kept);
    await syncFolder(this.stateDir);
    await this.complete();
    return kept;
  }

  async complete(): Promise<void> {
    await rename(this.moving, this.store);
    await syncFolder(this.stateDir);
  }
}

async function freeName(folder: string, now: Date): Promise<string> {
  const first = `${folder}.moved-${now.toISOString().replaceAll(/[-:]|\.\d+/g, '')}`;
  let name = first;
  for (let n = 2; await isThere(name); n++) name = `${first}-${n}`;
  return name;
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );
