import { chmodSync, lstatSync, unlinkSync } from 'node:fs';
import type { AddressInfo, Server } from 'node:net';
import { isMainThread } from 'node:worker_threads';
import { CofferError } from '@coffer/engine';
import { formatAddress, type ListenAddress } from './address.js';

/** The kernels keep a socket's path in 104 (macOS) to 108 (Linux) bytes, its end included. */
export const MAX_SOCKET_PATH_BYTES = 100;

/** Listens on TCP and tells the address that it got. */
export async function listenTcp(server: Server, address: ListenAddress): Promise<ListenAddress> {
  await listening(server, () => server.listen(address), formatAddress(address));
  const { address: host, port } = server.address() as AddressInfo;
  return { host, port };
}

/**
 * Listens on a Unix socket that only this user can open, from its first moment on. A socket that is there already is
 * replaced: call this only while holding the folder's lock, so that it can only be a dead server's.
 */
export async function listenUnix(server: Server, path: string): Promise<void> {
  checkSocketPath(path);
  removeStaleSocket(path);
  await listening(
    server,
    () => {
      // bind happens within listen, and the mask is the whole process's for just that call.
      if (isMainThread) withMask(0o177, () => server.listen(path));
      else {
        // A thread cannot set it; until the mode is right the folder, which is its owner's only, has to do.
        server.listen(path);
        chmodSync(path, 0o600);
      }
    },
    path,
  );
}

function withMask(mask: number, task: () => void): void {
  const before = process.umask(mask);
  try {
    task();
  } finally {
    process.umask(before);
  }
}

/** @throws CofferError `invalid_argument` */
export function checkSocketPath(path: string): void {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return;
  throw new CofferError(
    'invalid_argument',
    `the admin socket's path ${path} is longer than ${MAX_SOCKET_PATH_BYTES} bytes, which Unix sockets cannot have: ` +
      'choose a state folder with a shorter path',
  );
}

function removeStaleSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new CofferError(
      'io',
      `${path} is in the way of the admin socket and is no socket: move it elsewhere`,
    );
  }
  unlinkSync(path);
}

function listening(server: Server, listen: () => void, where: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException) => reject(describe(error, where));
    server.once('error', fail);
    server.once('listening', () => {
      server.off('error', fail);
      resolve();
    });
    listen();
  });
}

function describe(error: NodeJS.ErrnoException, where: string): CofferError {
  const reason =
    error.code === 'EADDRINUSE'
      ? 'another program listens there already'
      : error.code === 'EACCES'
        ? 'this user may not'
        : error.code === 'EADDRNOTAVAIL' || error.code === 'ENOTFOUND'
          ? 'this machine has no such address'
          : (error.code ?? 'unknown reason');
  return new CofferError('io', `cannot listen on ${where}: ${reason}`, { cause: error });
}
