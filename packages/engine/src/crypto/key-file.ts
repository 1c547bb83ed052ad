import { randomBytes } from 'node:crypto';
import { link, open, realpath, unlink } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';

import sodium from 'sodium-native';

import { CofferError } from '../errors.js';
import { makeFolders, requirePrivate, syncFolder } from '../files.js';
import { KEY_BYTES } from './aead.js';
import type { RootKeyContext } from './root-key-spec.js';
import { secureBuffer, secureRandom, wipe } from './secure-memory.js';

const FILE_PREFIX = 'coffer-root-key-v1:';

/** The root key in the file, made there if it is not. For an empty store only. */
export async function readOrCreateKeyFile(path: string, context: RootKeyContext): Promise<Buffer> {
  await makeFolders(dirname(path));
  await refuseInsideStateFolder(path, context);
  const existing = await readKeyFile(path);
  if (existing) return existing;
  const key = secureRandom(KEY_BYTES);
  // Written whole under a name of its own, then linked: a crash leaves a whole key or none.
  const draft = `${path}.${randomBytes(4).toString('hex')}.new`;
  await writeKeyFile(draft, key);
  try {
    await link(draft, path);
  } catch (error) {
    wipe(key);
    // A server on another store made the key at the same moment.
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return readOrCreateKeyFile(path, context);
    throw error;
  } finally {
    await unlink(draft);
  }
  await syncFolder(dirname(path));
  context.onNotice(
    `A root key was made in ${path}: losing it loses every secret in this store, so keep a copy of it ` +
      'where neither this disk nor its backups are.',
  );
  return key;
}

/** Writes the key to a file that must not be there yet, for its owner only, onto stable storage. */
export async function writeKeyFile(path: string, key: Buffer): Promise<void> {
  const content = Buffer.from(`${FILE_PREFIX}${key.toString('base64')}\n`);
  const handle = await open(path, 'wx', 0o600);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
    wipe(content);
  }
}

/**
 * The root key in locked memory; undefined if there is no such file.
 *
 * @throws CofferError `insecure_root_key` if others can read it, `no_root_key` if it is no key file
 */
export async function readKeyFile(path: string): Promise<Buffer | undefined> {
  const handle = await open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw new CofferError('no_root_key', `the root key file ${path} cannot be read (${error.code})`);
  });
  if (!handle) return undefined;
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new CofferError('no_root_key', `the root key ${path} is no file`);
    requirePrivate('root key file', path, stats);
    const content = await handle.readFile();
    const encoded = content.subarray(FILE_PREFIX.length, FILE_PREFIX.length + 44).toString('latin1');
    const whole =
      content.subarray(0, FILE_PREFIX.length).toString('latin1') === FILE_PREFIX &&
      /^[A-Za-z0-9+/]{43}=$/.test(encoded) &&
      /^\n?$/.test(content.subarray(FILE_PREFIX.length + 44).toString('latin1'));
    wipe(content);
    if (!whole) throw new CofferError('no_root_key', `the file ${path} is no root key file of coffer's`);
    const key = secureBuffer(KEY_BYTES);
    key.write(encoded, 'base64');
    return key;
  } finally {
    await handle.close();
  }
}

/** The first 8 bytes, in hex, of keyed BLAKE2b-256 of a fixed text: tells random keys apart and gives nothing away. */
export function keyId(key: Buffer): string {
  const mac = Buffer.alloc(32);
  sodium.crypto_generichash(mac, Buffer.from('coffer-root-key-id-v1'), key);
  return mac.toString('hex', 0, 8);
}

/** @throws CofferError `insecure_root_key` */
export async function refuseInsideStateFolder(path: string, context: RootKeyContext): Promise<void> {
  if (context.development) return;
  const real = (place: string) => realpath(place).catch(() => resolve(place));
  // The file may not be there yet, and it may be a link into the state folder.
  const file = await realpath(path).catch(async () => join(await real(dirname(path)), basename(path)));
  const way = relative(await real(context.stateDir), file);
  if (way !== '..' && !way.startsWith(`..${sep}`)) {
    throw new CofferError(
      'insecure_root_key',
      `the root key ${path} lies inside the state folder ${context.stateDir}, where every copy of the data would ` +
        'carry its key along: name a place outside of it with --root-key',
    );
  }
}
