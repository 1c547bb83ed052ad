import { type BigIntStats, constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { tokenIn } from '../../tokens/creds.js';
import { TOKEN_BYTES } from '../../tokens/parts.js';
import { type AccountToken, accountIn } from '../tokens.js';

/** What was found in a file; no text: it is not there. */
export interface Found {
  /** Another one, as soon as the file is another one: by its time, size and inode. */
  readonly fingerprint: string;
  readonly text?: string | undefined;
  /** Absent when the text is no account's token. */
  readonly token?: AccountToken | undefined;
}

export const ABSENT: Found = { fingerprint: '' };

/** nats-server and nsc write in place: what is read may be half of it, for so long. */
const WRITING = { tries: 5, everyMs: 40 };

/** @throws what the file system says, but that it is not there */
export async function fingerprintOf(path: string): Promise<string> {
  const stats = await ifThere(stat(path, { bigint: true }));
  return stats === undefined ? '' : describe(stats);
}

/**
 * Reads the token of an account from its file, and again when it looks half written.
 *
 * @throws what the file system says, but that it is not there
 */
export async function readTokenFile(path: string): Promise<Found> {
  let found = await readOnce(path);
  for (let tries = 1; tries < WRITING.tries && found.text !== undefined && !found.token; tries++) {
    await setTimeout(WRITING.everyMs);
    found = await readOnce(path);
  }
  return found;
}

async function readOnce(path: string): Promise<Found> {
  const before = await ifThere(stat(path, { bigint: true }));
  if (before === undefined) return ABSENT;
  if (!holdsToken(before)) return { fingerprint: describe(before), text: '' };
  const file = await ifThere(open(path, OPEN));
  if (file === undefined) return ABSENT;
  try {
    // What was put in its place meanwhile.
    const stats = await file.stat({ bigint: true });
    const text = holdsToken(stats) ? tokenIn(await file.readFile()) : '';
    return { fingerprint: describe(stats), text, token: accountIn(text) };
  } finally {
    await file.close();
  }
}

/** Nobody waits for the other end of a pipe. */
const OPEN = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** Larger ones hold no token, and a pipe or device might never end. */
const holdsToken = (stats: BigIntStats): boolean => stats.isFile() && stats.size <= 2 * TOKEN_BYTES;

/** Undefined when there is no such file, nor the folder that it would be in. */
export async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw error;
  }
}

interface Stats {
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
  readonly size: bigint;
  readonly ino: bigint;
}

const describe = ({ mtimeNs, ctimeNs, size, ino }: Stats): string => `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
