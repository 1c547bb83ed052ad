import { rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';

import { CofferError } from '../errors.js';
import { syncFolder } from '../files.js';
import { STORE_FOLDER } from '../options.js';
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

  async removeMoving(): Promise<void> {
    await rm(this.moving, { recursive: true, force: true });
  }

  /**
   * What was prepared takes the place of what is there, which is kept. A crash between the two steps leaves no `store`;
   * {@link complete} goes on then.
   *
   * @returns the folder in which the former one is kept
   */
  async swap(now: Date): Promise<string> {
    const stamp = now.toISOString().replaceAll(/[-:]|\.\d+/g, '');
    const kept = `${this.store}.moved-${stamp}`;
    if (await stat(kept).catch(() => undefined)) {
      throw new CofferError('io', `there is ${kept} already: repeat the command in a second`);
    }
    if (await stat(this.store).catch(() => undefined)) await rename(this.store, kept);
    await syncFolder(this.stateDir);
    await this.complete();
    return kept;
  }

  async complete(): Promise<void> {
    await rename(this.moving, this.store);
    await syncFolder(this.stateDir);
  }
}
