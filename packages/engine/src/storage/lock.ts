import { link, rename, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';

import { CofferError } from '../errors.js';

/** The longest path that `sockaddr_un` takes on every platform (macOS: 104 with the final NUL). */
const SOCKET_PATH_BYTES = 103;

/**
 * One server a state folder: whoever listens on `<folder>/lock.sock` owns it. The kernel closes the socket with
 * its process, so a crash leaves no lock behind, and the owner itself tells a second one who it is.
 */
export class FolderLock {
  readonly #server: Server;
  readonly #path: string;

  private constructor(server: Server, path: string) {
    this.#server = server;
    this.#path = path;
  }

  /** @throws CofferError `store_locked`, with a sentence that names the owner. */
  static async acquire(folder: string): Promise<FolderLock> {
    const path = join(folder, 'lock.sock');
    const own = join(folder, `lock.${process.pid}`);
    if (Buffer.byteLength(own) > SOCKET_PATH_BYTES) {
      throw new CofferError(
        'invalid_argument',
        `the path of the state folder is too long for the sockets in it (at most ${SOCKET_PATH_BYTES - 12} bytes): ${folder}`,
      );
    }
    const since = new Date().toISOString();
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.end(`process ${process.pid}, running since ${since}`);
    });
    await unlink(own).catch(() => undefined);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(own, resolve);
    });
    server.unref();
    try {
      // A socket that is linked under the lock's name is already listening: no window in which it looks dead.
      for (let attempt = 0; attempt < 5; attempt++) {
        const taken = await link(own, path).then(
          () => false,
          (error: NodeJS.ErrnoException) => {
            if (error.code === 'EEXIST') return true;
            throw error;
          },
        );
        if (!taken) {
          await unlink(own);
          return new FolderLock(server, path);
        }
        const owner = await askOwner(path);
        if (owner !== undefined) throw locked(folder, owner);
        await setAside(folder, path);
      }
      throw locked(folder, 'another process that is starting');
    } catch (error) {
      server.close();
      await unlink(own).catch(() => undefined);
      throw error;
    }
  }

  async release(): Promise<void> {
    await unlink(this.#path).catch(() => undefined);
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

const locked = (folder: string, owner: string) =>
  new CofferError(
    'store_locked',
    `the state folder ${folder} is in use by ${owner}: stop that server first, or give this one another --state-dir`,
  );

/** What the lock's owner says of itself; undefined when nobody listens. */
function askOwner(path: string): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
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
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(undefined);
      else reject(error);
    });
  });
}

/**
 * Takes a dead owner's socket out of the way. Two starters may do this at once; the one that finds that it took a
 * living socket puts it back.
 */
async function setAside(folder: string, path: string): Promise<void> {
  const aside = join(folder, `lock.${process.pid}.x`);
  const moved = await rename(path, aside).then(
    () => true,
    () => false,
  );
  if (!moved) return;
  if ((await askOwner(aside)) !== undefined) await link(aside, path).catch(() => undefined);
  await unlink(aside).catch(() => undefined);
}
