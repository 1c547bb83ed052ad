import { rmSync } from 'node:fs';
import { mkdtemp, readdir, rm, stat, statfs } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PREFIX = 'coffer-testing-';
/** Listened on for as long as the folder is in use; the kernel closes it with its process, however that ends. */
const ALIVE = 'alive';
/** Until then a folder may be one whose process has not come to listen. */
const YOUNG_MS = 60_000;
/** Of a memory with less free, a server's first minutes could take all. */
const ROOM_BYTES = 16 * 1024 * 1024;
/** The longest path of a store that macOS has sockets in, of 104 bytes with their names and end; Linux has 108. */
const STORE_PATH_BYTES = 87;

/**
 * What would outlive the process goes with it. One listener for all folders: of many, Node would warn.
 */
const held = new Set<string>();
function removeHeld(): void {
  for (const path of held) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // The next server that starts removes it.
    }
  }
}

/**
 * A folder for a server's state, for its owner only: of memory where there is one (`/dev/shm`), else the temporary folder. Gone when
 * it is removed, or when the process ends; one whose process was killed goes when the next is made.
 */
export class StateFolder {
  readonly stateDir: string;
  readonly keyFile: string;
  readonly #path: string;
  readonly #alive: Server;

  private constructor(path: string, alive: Server) {
    this.#path = path;
    this.#alive = alive;
    this.stateDir = stateIn(path);
    this.keyFile = join(path, 'keys', 'root.key');
  }

  /** @param places where it may be, the best first; it is in the first that has room, and short enough paths for sockets */
  static async make(places: readonly string[] = ['/dev/shm', tmpdir(), '/tmp']): Promise<StateFolder> {
    const path = await makeFolder(places);
    if (held.size === 0) process.on('exit', removeHeld);
    held.add(path);
    const alive = createServer((socket) => socket.destroy()).unref();
    await new Promise<void>((resolve, reject) => {
      alive.once('error', reject).listen(join(path, ALIVE), resolve);
    });
    return new StateFolder(path, alive);
  }

  async remove(): Promise<void> {
    await new Promise((resolve) => this.#alive.close(resolve));
    await rm(this.#path, { recursive: true, force: true, maxRetries: 3 });
    held.delete(this.#path);
    if (held.size === 0) process.off('exit', removeHeld);
  }
}

const stateIn = (path: string): string => join(path, 'state');

async function makeFolder(places: readonly string[]): Promise<string> {
  let reason: unknown;
  for (const place of places) {
    const template = join(place, PREFIX);
    if (Buffer.byteLength(join(stateIn(`${template}XXXXXX`), 'store')) > STORE_PATH_BYTES) continue;
    try {
      const { bavail, bsize } = await statfs(place);
      if (bavail * bsize < ROOM_BYTES) continue;
      await removeAbandoned(place);
      return await mkdtemp(template);
    } catch (error) {
      reason = error;
    }
  }
  throw new Error(
    `there is no place for the state of a test server: let the temporary folder be one that has room`,
    {
      cause: reason,
    },
  );
}

async function removeAbandoned(place: string): Promise<void> {
  for (const name of await readdir(place)) {
    if (!name.startsWith(PREFIX)) continue;
    const path = join(place, name);
    // What cannot be looked at or removed is another user's.
    if (await isAbandoned(path).catch(() => false)) {
      await rm(path, { recursive: true, force: true }).catch(() => {});
    }
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  if (Date.now() - (await stat(path)).mtimeMs < YOUNG_MS) return false;
  return new Promise((resolve) => {
    const socket = connect(join(path, ALIVE));
    socket.on('connect', () => {
      socket.destroy();
      resolve(false);
    });
    socket.on('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code === 'ECONNREFUSED' || code === 'ENOENT');
    });
  });
}
