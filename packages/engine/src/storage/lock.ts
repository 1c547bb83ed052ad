import { randomBytes } from 'node:crypto';
import { chmod, link, readdir, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';

import { CofferError } from '../errors.js';

/** The longest path that `sockaddr_un` takes on every platform (macOS: 104 with the final NUL). */
const SOCKET_PATH_BYTES = 103;
/** `/lock.` and a number of ten digits. */
const SOCKET_NAME_BYTES = 16;

/**
 * One server a state folder: whoever listens on the `<folder>/lock.<number>` of the highest number owns it. The kernel
 * closes the socket with its process, so a crash leaves no lock behind, and the owner itself tells a second one who it is.
 *
 * Who finds the highest one dead links the next number, which only one can, and owns the folder unless by then a higher
 * one is there. The highest number never falls and a living lock is never touched: however many start at once, after
 * whatever crash, one wins.
 */
export class FolderLock {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** @throws CofferError `store_locked`, with a sentence that names the owner. */
  static async acquire(folder: string): Promise<FolderLock> {
    if (Buffer.byteLength(folder) + SOCKET_NAME_BYTES > SOCKET_PATH_BYTES) {
      throw new CofferError(
        'invalid_argument',
        `the path of the store is too long for the sockets in it (at most ${SOCKET_PATH_BYTES - SOCKET_NAME_BYTES} bytes): ${folder}`,
      );
    }
    // Not named by the process id: in two containers it may be the same.
    const own = join(folder, `lock-${randomBytes(4).toString('hex')}`);
    const since = new Date().toISOString();
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.end(`process ${process.pid}, running since ${since}`);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(own, resolve);
    });
    server.unref();
    try {
      await chmod(own, 0o600);
      while (!(await take(folder, own)));
      return new FolderLock(server);
    } catch (error) {
      server.close();
      throw error;
    } finally {
      await unlink(own).catch(() => undefined);
    }
  }

  /** Who holds the lock, in words: `process 7, running since …`; undefined if nobody does. Changes nothing. */
  static async owner(folder: string): Promise<string | undefined> {
    const [highest] = await numbers(folder).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return [];
      throw error;
    });
    return highest === undefined ? undefined : askOwner(lockPath(folder, highest));
  }

  /** The dead socket stays: its number must not come again. */
  async release(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** True if the lock is ours now; false if another starter moved ahead and its lock is to be asked. */
async function take(folder: string, own: string): Promise<boolean> {
  const [highest = 0, ...lower] = await numbers(folder);
  const owner = highest > 0 ? await askOwner(lockPath(folder, highest)) : undefined;
  if (owner !== undefined) throw locked(folder, owner);
  const number = highest + 1;
  // It is already listening when it gets the lock's name: no window in which it looks dead.
  if (!(await linked(own, lockPath(folder, number)))) return false;
  if ((await numbers(folder))[0] !== number) {
    await unlink(lockPath(folder, number)).catch(() => undefined);
    return false;
  }
  for (const dead of [...lower, highest]) await unlink(lockPath(folder, dead)).catch(() => undefined);
  return true;
}

const lockPath = (folder: string, number: number): string => join(folder, `lock.${number}`);

/** Numbers of all locks, the highest first. */
async function numbers(folder: string): Promise<number[]> {
  const found = (await readdir(folder)).flatMap((name) => /^lock\.([1-9]\d{0,9})$/.exec(name)?.[1] ?? []);
  return found.map(Number).sort((a, b) => b - a);
}

const linked = (from: string, to: string): Promise<boolean> =>
  link(from, to).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false;
      throw error;
    },
  );

const locked = (folder: string, owner: string) =>
  new CofferError(
    'store_locked',
    `the store in ${folder} is in use by ${owner}: stop that server first, or give this one another --state-dir`,
  );

/** What the lock's owner says of itself; undefined when nobody listens. Whoever cannot be asked is taken for alive. */
function askOwner(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let said = '';
    const socket = connect(path);
    socket.setTimeout(2_000, () => {
      socket.destroy();
      resolve('a process that does not answer');
    });
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      said += text;
    });
    socket.on('end', () => resolve(said === '' ? 'another process' : said));
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      const dead = code === 'ECONNREFUSED' || code === 'ENOENT';
      resolve(dead ? undefined : `a process that cannot be asked (${code})`);
    });
  });
}
