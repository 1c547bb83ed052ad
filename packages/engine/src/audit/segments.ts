import { randomBytes } from 'node:crypto';
import { chmod, link, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { syncFolder } from '../files.js';
import { LogFile } from './log-file.js';

/** The file that is written to. */
const CURRENT = 'audit.log';
/** A file that is to be the next {@link CURRENT}; a leftover of a crash when it is found. */
const NEXT = 'audit.log.next';

/** A file of the log that nothing is added to any more. */
export interface Segment {
  /** `seq` of its first line, by its name. */
  readonly first: number;
  readonly name: string;
  readonly path: string;
}

export const currentPath = (folder: string): string => join(folder, CURRENT);

/** `audit-` and the first line's `seq` in 16 digits, so that names sort as the lines do. */
const segmentName = (first: number): string => `audit-${String(first).padStart(16, '0')}.log`;

/** The closed files of a log, the oldest first. */
export async function closedSegments(folder: string): Promise<Segment[]> {
  const names = await readdir(folder);
  return names
    .flatMap((name) => {
      const [, digits] = /^audit-(\d{16})\.log$/.exec(name) ?? [];
      // No line has the number 0.
      return digits === undefined || Number(digits) === 0
        ? []
        : [{ first: Number(digits), name, path: join(folder, name) }];
    })
    .sort((a, b) => a.first - b.first);
}

/** The current file, made if a crash came between the closing of one and the start of the next, or if there is no log. */
export async function openCurrent(folder: string): Promise<LogFile> {
  await rm(join(folder, NEXT), { force: true });
  return LogFile.open(currentPath(folder), 'a+');
}

/** An empty file to go on with, which {@link closeCurrent} puts in its place. */
export async function prepareNext(folder: string): Promise<LogFile> {
  const path = join(folder, NEXT);
  await rm(path, { force: true });
  return LogFile.open(path, 'ax+');
}

/**
 * Gives the current file its name for good, and its place to the one that was prepared. At any moment in between a log can
 * be opened: without a current file, its end is that of the newest closed one.
 *
 * @param first `seq` of the current file's first line
 * @returns false if there is no room for the name: then nothing has happened
 */
export async function closeCurrent(folder: string, first: number): Promise<boolean> {
  const path = join(folder, segmentName(first));
  try {
    await setAside(path);
    await rename(currentPath(folder), path);
  } catch (error) {
    if (!NO_ROOM.has((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return false;
  }
  await chmod(path, 0o400);
  // The old name is free for good before a line can be written to a new file of that name.
  await syncFolder(folder);
  await rename(join(folder, NEXT), currentPath(folder));
  await syncFolder(folder);
  return true;
}

const NO_ROOM: ReadonlySet<string> = new Set(['ENOSPC', 'EDQUOT']);

/** Removes a closed file, durably. */
export async function removeSegment(folder: string, { path }: Segment): Promise<void> {
  await rm(path);
  await syncFolder(folder);
}

/**
 * Makes the name free. A file has it only where somebody accepted a log that was put back to an earlier state: it is
 * evidence, and stays under a name that is none of the log's.
 */
async function setAside(path: string): Promise<void> {
  await link(path, `${path}.replaced-${randomBytes(4).toString('hex')}`).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error;
    },
  );
}
