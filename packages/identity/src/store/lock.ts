import { randomBytes } from 'node:crypto';
import { linkSync, readFileSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { StoreError } from './errors.js';
import { isMissing, makeFolder } from './files.js';

/**
 * Keeps two commands from changing the same store at once: each reads a token, edits it and writes it back, and the later
 * would undo what the earlier did. nsc itself knows no such thing, and does not look at this file.
 */

/** Beside the operators, since one of them may not be there yet. */
const LOCK = '.coffer.lock';
const PATIENCE_MILLISECONDS = 15_000;
/** No change takes so long; whoever holds a lock of another machine for longer is gone. */
const ABANDONED_MILLISECONDS = 10 * 60_000;

/**
 * Runs `change` while nobody else of ours changes the stores in `folder`.
 *
 * @throws StoreError `store_busy`
 */
export async function withLock<T>(folder: string, change: () => T | Promise<T>): Promise<T> {
  makeFolder(folder);
  const path = join(folder, LOCK);
  const mark = JSON.stringify({ pid: process.pid, host: hostname(), id: randomBytes(8).toString('hex') });
  const patience = Date.now() + PATIENCE_MILLISECONDS;
  while (!take(path, mark)) {
    if (removeAbandoned(path)) continue;
    if (Date.now() > patience) {
      throw new StoreError(
        'store_busy',
        `another command is changing this store: wait for it; if there is none, remove ${path}`,
      );
    }
    await pause(20 + Math.random() * 30);
  }
  try {
    return await change();
  } finally {
    if (contentOf(path) === mark) unlinkSync(path);
  }
}

function take(path: string, mark: string): boolean {
  try {
    writeFileSync(path, mark, { flag: 'wx', mode: 0o600 });
    return true;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    throw new StoreError(
      'file_failed',
      `cannot change this store: cannot write ${path} (${code ?? message})`,
    );
  }
}

/** Removes the lock of a command that was killed. Of two that try, one does. */
function removeAbandoned(path: string): boolean {
  const found = contentOf(path);
  if (found === undefined) return true;
  if (!isAbandoned(path, found)) return false;
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  try {
    renameSync(path, aside);
  } catch {
    return true;
  }
  // Another may have removed it and taken its own meanwhile: that one goes back.
  if (contentOf(aside) !== found) {
    try {
      linkSync(aside, path);
    } catch {
      // A third holds it already.
    }
  }
  unlinkSync(aside);
  return true;
}

function isAbandoned(path: string, content: string): boolean {
  const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now());
  if (age > ABANDONED_MILLISECONDS) return true;
  try {
    const { pid, host } = JSON.parse(content) as { pid: number; host: string };
    return host === hostname() && !isAlive(pid);
  } catch {
    // Just made, and not written yet.
    return age > 5000;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
