import { randomBytes } from 'node:crypto';
import { unlinkSync } from 'node:fs';
import { type FileHandle, link, open, rename, stat, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { Failure, systemReason } from './failure.js';
import { write } from './output.js';

/**
 * Writes bytes into a new file of mode 0600, durable when this resolves; `-` is standard output. The file has another name,
 * `FILE.….part`, until all of it is there. If the bytes end with an error, nothing is left behind.
 *
 * @param force replaces a file that is there already, in one step
 * @returns what the bytes return in the end
 */
export async function writeStream<T>(
  path: string,
  bytes: AsyncGenerator<Uint8Array, T>,
  { force }: { readonly force: boolean },
): Promise<T> {
  if (path === '-') return each(bytes, (chunk) => write(process.stdout, chunk));
  await requirePlace(path, force);
  const draft = `${resolve(path)}.${randomBytes(4).toString('hex')}.part`;
  const stop = () => {
    unlinkSync(draft);
    process.exit(1);
  };
  let file: FileHandle | undefined;
  try {
    const opened = await open(draft, 'wx', 0o600);
    file = opened;
    process.once('SIGINT', stop).once('SIGTERM', stop);
    const result = await each(bytes, (chunk) => opened.writeFile(chunk));
    await opened.sync();
    // A link, unlike a rename, replaces nothing.
    await (force ? rename(draft, path) : link(draft, path));
    await syncFolder(dirname(draft));
    return result;
  } catch (error) {
    const { syscall, code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') throw taken(path);
    throw syscall === undefined ? error : new Failure(`cannot write ${path}: ${systemReason(error)}`);
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await file?.close();
    await unlink(draft).catch(() => undefined);
  }
}

async function each<T>(
  bytes: AsyncGenerator<Uint8Array, T>,
  take: (chunk: Uint8Array) => Promise<void>,
): Promise<T> {
  try {
    for (;;) {
      const next = await bytes.next();
      if (next.done) return next.value;
      await take(next.value);
    }
  } finally {
    await bytes.return(undefined as never);
  }
}

/** Before anything is asked of the server. */
async function requirePlace(path: string, force: boolean): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) throw new Failure(`${path} is a folder: name a file in it`);
  if (found && !force) throw taken(path);
  const folder = dirname(resolve(path));
  await stat(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new Failure(`cannot write ${path}: there is no folder ${folder}`);
  });
}

const taken = (path: string) =>
  new Failure(`there is a file ${path} already: choose another name, or replace it with --force`);

async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
