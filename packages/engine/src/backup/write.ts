import { randomBytes } from 'node:crypto';
import { type FileHandle, link, open, unlink } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { endOfLog, LogCopy } from '../audit/copy.js';
import type { KeyRing } from '../crypto/key-ring.js';
import { CofferError, systemError } from '../errors.js';
import { syncFolder } from '../files.js';
import type { Storage } from '../storage/storage.js';
import { type BackupFacts, produceBackup } from './produce.js';

/** A store whose log nobody has open: at an upgrade, before an engine is. */
export interface ClosedSource {
  readonly storage: Storage;
  readonly ring: KeyRing;
  /** The folder of the audit log. */
  readonly auditFolder: string;
  readonly madeAt: Date;
}

/**
 * Writes a backup of a store that nobody uses into a new file of mode 0600, durable when this resolves. Until then it has another name, so
 * that no half of a backup is taken for one.
 *
 * @throws CofferError `io`, also if there is a file already; `audit_broken`
 */
export async function writeBackup(source: ClosedSource, path: string): Promise<BackupFacts> {
  const { storage, ring, auditFolder, madeAt } = source;
  const auditHead = await endOfLog(auditFolder);
  const storeId = storage.incarnation;
  const log = await LogCopy.open(auditFolder, auditHead);
  const snapshot = storage.snapshot();
  const bytes = produceBackup({ storeId, ring, madeAt, snapshot, auditHead, log });
  try {
    return await writeWhole(path, async (file) => {
      for (;;) {
        const next = await bytes.next();
        if (next.done) return next.value;
        await file.writeFile(next.value);
      }
    });
  } finally {
    snapshot.close();
    await log.close();
  }
}

/** The file appears under its name when `write` has written all of it, or not at all. */
async function writeWhole<T>(path: string, write: (file: FileHandle) => Promise<T>): Promise<T> {
  const draft = `${resolve(path)}.${randomBytes(4).toString('hex')}.part`;
  try {
    const file = await open(draft, 'wx', 0o600);
    try {
      const result = await write(file);
      await file.sync();
      // Unlike a rename, this replaces nothing.
      await link(draft, path);
      await syncFolder(dirname(resolve(path)));
      return result;
    } finally {
      await file.close();
      await unlink(draft).catch(() => undefined);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new CofferError('io', `there is a file ${path} already: it is not overwritten`);
    }
    throw systemError(error, `the backup ${path} cannot be written`);
  }
}
