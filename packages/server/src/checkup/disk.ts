import { statfs } from 'node:fs/promises';
import { DEFAULT_MIN_FREE_BYTES } from '@coffer/engine';
import type { ServerConfig } from '../config/config.js';
import { type Finding, looking, ok, problem, warning } from './finding.js';
import { nearest } from './folder.js';

const SUBJECT = 'disk';

/** With less than so many times the floor a person should make room. */
const COMFORT = 4;

/** Whether there is room for changes and for the audit log. */
export async function checkDisk({ stateDir, storage }: ServerConfig): Promise<readonly Finding[]> {
  return looking(SUBJECT, async () => {
    const { bavail, bsize } = await statfs(await nearest(stateDir));
    const free = bavail * bsize;
    const floor = storage.minFreeBytes ?? DEFAULT_MIN_FREE_BYTES;
    const left = `${mebibytes(free)} are free`;
    const kept = `${mebibytes(floor)} are kept free (storage.minFreeBytes)`;
    if (free <= floor) return problem(SUBJECT, `${left} and ${kept}, so that no change is taken: make room`);
    if (free < COMFORT * floor) return warning(SUBJECT, `${left}, and ${kept}: make room`);
    return ok(SUBJECT, left);
  });
}

export const mebibytes = (bytes: number): string =>
  bytes < 10 * 1024 ** 3 ? `${Math.round(bytes / 1024 ** 2)} MiB` : `${Math.round(bytes / 1024 ** 3)} GiB`;
