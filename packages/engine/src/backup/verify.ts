import { createReadStream } from 'node:fs';

import type { KeyRing } from '../crypto/key-ring.js';
import type { RootKeyContext, RootKeySpec } from '../crypto/root-key-spec.js';
import { systemError } from '../errors.js';
import { BackupCheck, type BackupContent, type Signing } from './check.js';
import { type DamagedValue, isDamaged, madeOfDamage, ValueSurvey } from './damage.js';
import { broken, type Preamble } from './format.js';
import type { Item } from './items.js';
import { BackupReader } from './reader.js';
import { openRingOf } from './root-key.js';

const READ_BYTES = 256 * 1024;

export interface VerifyBackupOptions extends Signing {
  /** The store's root key when the backup was made. */
  readonly rootKey: RootKeySpec;
  readonly promptPassphrase?: RootKeyContext['promptPassphrase'];
  onNotice?(sentence: string): void;
}

/** A backup that is open for reading, its items checked as they come. */
export interface OpenedBackup {
  readonly preamble: Preamble;
  readonly ring: KeyRing;
  /** Answers in the end what all of it holds; only then it is proven that it is all. */
  items(): AsyncGenerator<Item, BackupContent>;
}

/**
 * Reads a whole backup and checks all of it: every block, every record and value, the digests over them, the audit log. Its
 * memory does not grow with the backup.
 *
 * @param path the file, or `-` for standard input
 * @throws CofferError `backup_broken` with what is wrong and where, `newer_format`, and for the root key `wrong_root_key`,
 *   `no_root_key`, `insecure_root_key`; `io`
 */
export async function verifyBackup(path: string, options: VerifyBackupOptions): Promise<BackupContent> {
  const content = await withBackup(path, options, async ({ items }) => drain(items()));
  const values = content.valuesHold ? [] : await damagedValues(path, options);
  const damage = { values, log: content.audit.broken };
  if (isDamaged(damage)) throw madeOfDamage(damage);
  return content;
}

/** Which ones, by a second reading: the first remembers no names. */
async function damagedValues(path: string, options: VerifyBackupOptions): Promise<DamagedValue[]> {
  if (path === '-') {
    throw broken(
      'is whole, but was made of a damaged store: it lacks values, or some of them are not what the store once wrote. Verify it ' +
        'as a file, which tells of which secrets they are',
    );
  }
  return withBackup(path, options, async ({ preamble, ring, items }) => {
    const survey = new ValueSurvey(ring, preamble.storeId);
    for await (const item of items()) if (item.type === 'record') survey.add(item.key, item.record);
    return survey.finish();
  });
}

/** @throws CofferError as {@link verifyBackup} */
export async function withBackup<T>(
  path: string,
  options: VerifyBackupOptions,
  use: (backup: OpenedBackup) => Promise<T>,
): Promise<T> {
  const bytes = path === '-' ? process.stdin : createReadStream(path, { highWaterMark: READ_BYTES });
  const reader = new BackupReader(bytes);
  let ring: KeyRing | undefined;
  try {
    const preamble = await reader.preamble();
    ring = await openRingOf(preamble, options.rootKey, {
      // A root key beside the backup is the user's own affair; in it there is none.
      stateDir: path,
      promptPassphrase: options.promptPassphrase,
      onNotice: (sentence) => options.onNotice?.(sentence),
    });
    const opened = ring;
    return await use({ preamble, ring, items: () => checked(reader, preamble, opened, options) });
  } catch (error) {
    throw systemError(error, `the backup ${path} cannot be read`);
  } finally {
    ring?.wipe();
    await reader.close();
  }
}

async function* checked(
  reader: BackupReader,
  preamble: Preamble,
  ring: KeyRing,
  signing: Signing,
): AsyncGenerator<Item, BackupContent> {
  const check = new BackupCheck(preamble, ring, signing);
  const items = reader.items(preamble, ring);
  for (;;) {
    const next = await items.next();
    if (next.done) return check.finish(next.value);
    check.add(next.value);
    yield next.value;
  }
}

/** Reads to the end. */
export async function drain<T>(items: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const next = await items.next();
    if (next.done) return next.value;
  }
}
