import { constants, type Stats } from 'node:fs';
import { access, stat, statfs } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { checkSocketPath } from '../listen/bind.js';
import { type Finding, looking, ok, problem, warning } from './finding.js';

const SUBJECT = 'state folder';

/** Whether a server can keep its state there, safely. */
export async function checkStateFolder(stateDir: string): Promise<readonly Finding[]> {
  return looking(SUBJECT, async () => {
    checkSocketPath(join(stateDir, 'admin.sock'));
    const found = await stat(stateDir).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (found === undefined) return [await checkCanBeMade(stateDir)];
    if (!found.isDirectory())
      return problem(SUBJECT, `${stateDir} is no folder: name another with --state-dir`);
    return [await checkOwn(stateDir, found), await checkFileSystem(stateDir)].flat();
  });
}

async function checkCanBeMade(stateDir: string): Promise<Finding> {
  const parent = await nearest(dirname(stateDir));
  const writable = await allows(parent, constants.W_OK | constants.X_OK);
  return writable
    ? ok(SUBJECT, `${stateDir} is not there yet: the first start makes it`)
    : problem(
        SUBJECT,
        `${stateDir} is not there, and this user may not make it in ${parent}: make it, mode 700`,
      );
}

async function checkOwn(stateDir: string, { mode, uid }: Stats): Promise<Finding> {
  const own = process.getuid?.() ?? uid;
  if (uid !== own) {
    return problem(
      SUBJECT,
      `${stateDir} belongs to another user (${uid}): run this as the server's user, sudo -u '#${uid}' …`,
    );
  }
  if (!(await allows(stateDir, constants.R_OK | constants.W_OK | constants.X_OK))) {
    return problem(SUBJECT, `this user may not write in ${stateDir}: chown it, or chmod 700 it`);
  }
  if ((mode & 0o022) !== 0) {
    return problem(
      SUBJECT,
      `others can put files into ${stateDir} (mode ${octal(mode)}), the admin socket's name included: chmod 700 it`,
    );
  }
  if ((mode & 0o077) !== 0) {
    return warning(SUBJECT, `others can look into ${stateDir} (mode ${octal(mode)}): chmod 700 it`);
  }
  return ok(SUBJECT, `${stateDir}, for its owner only`);
}

const octal = (mode: number): string => (mode & 0o777).toString(8);

/** From linux/magic.h and statfs(2). LMDB needs locks and a memory map that only a local file system keeps its word on. */
const REMOTE: Readonly<Record<number, string>> = {
  26985: 'NFS',
  20859: 'SMB',
  4266872130: 'SMB',
  4283649346: 'CIFS',
  1397113167: 'AFS',
  12805120: 'Ceph',
  16914839: '9P',
  1196443219: 'GPFS',
  198183888: 'Lustre',
  1937076805: 'Coda',
};
const FLEETING: Readonly<Record<number, string>> = {
  16914836: 'in memory (tmpfs), and gone with the next start of the machine',
  2240043254: 'in memory (ramfs), and gone with the next start of the machine',
  2035054128: 'a layer of a container (overlayfs), and gone with it unless it is kept',
};
const FUSE = 0x65735546;

async function checkFileSystem(stateDir: string): Promise<Finding | readonly Finding[]> {
  // Elsewhere the numbers are others.
  if (process.platform !== 'linux') return [];
  const { type } = await statfs(stateDir);
  const remote = REMOTE[type];
  if (remote !== undefined) {
    return problem(
      'file system',
      `${stateDir} is on a network file system (${remote}), where the store can be damaged: use a local disk`,
    );
  }
  const fleeting = FLEETING[type];
  if (fleeting !== undefined)
    return warning('file system', `${stateDir} is ${fleeting}: use a disk that stays`);
  if (type === FUSE) {
    return warning(
      'file system',
      `${stateDir} is on a FUSE file system: make sure that it syncs to a local disk`,
    );
  }
  return ok('file system', 'local');
}

/** Whether the folder that holds a file lets nobody else put another in its place. */
export async function checkFolderOfKey(subject: string, path: string): Promise<readonly Finding[]> {
  const folder = dirname(path);
  const found = await stat(folder).catch(() => undefined);
  if (found === undefined || (found.mode & 0o022) === 0 || (found.mode & 0o1000) !== 0) return [];
  return [warning(subject, `others can put another file in the place of ${path}: chmod go-w ${folder}`)];
}

/** Whether a file could be made at this path, its folders included. */
export async function canBeMade(path: string): Promise<boolean> {
  return allows(await nearest(dirname(path)), constants.W_OK | constants.X_OK);
}

/** The folder itself, or the nearest one above it that is there. */
export async function nearest(folder: string): Promise<string> {
  const there = await stat(folder).catch(() => undefined);
  return there === undefined && dirname(folder) !== folder ? nearest(dirname(folder)) : folder;
}

async function allows(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}
