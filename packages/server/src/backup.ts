import * as engine from '@coffer/engine';
import { type BackupContent, parseRootKey, type Restored } from '@coffer/engine';
import { type KeyPair, keyPairFromBytes, verify } from '@coffer/identity';

/** What reading a backup needs, beside the file. */
export interface ReadBackupOptions {
  /** The store's root key when the backup was made: `file:PATH`, `passphrase:…`. */
  readonly rootKey: string;
  /** Asks a person for the root key's passphrase. The bytes are wiped after use; it may be asked for more than once. */
  readonly promptPassphrase?: ((question: string) => Promise<Uint8Array>) | undefined;
  onNotice?(sentence: string): void;
}

export interface RestoreBackupOptions extends ReadBackupOptions {
  /** Absent or empty. */
  readonly stateDir: string;
  /** For a development server. */
  readonly dev: boolean;
  /** Where newer revocations are looked for: old state folders, audit logs, newer backups. */
  readonly mergeFrom?: readonly string[] | undefined;
  /** The root key of those; default: that of the backup. */
  readonly mergeRootKey?: string | undefined;
  /** Goes on though values or the audit log were damaged when the backup was made. */
  readonly acceptDamage?: boolean | undefined;
  /** Who restores, for the audit log. */
  readonly by?: string | undefined;
}

/**
 * Checks a backup without a server: every block, record and value, and the audit log in it.
 *
 * @param path the file, or `-` for standard input
 * @throws CofferError `backup_broken` and what {@link engine.verifyBackup} names
 */
export function verifyBackup(path: string, options: ReadBackupOptions): Promise<BackupContent> {
  return withSigning((signing) => engine.verifyBackup(path, { ...readOptions(options), ...signing }));
}

/**
 * Makes a state folder of a backup; it is there as a whole when this resolves, and not at all before.
 *
 * @throws CofferError as {@link engine.restoreBackup}
 */
export function restoreBackup(path: string, options: RestoreBackupOptions): Promise<Restored> {
  const { stateDir, dev, mergeFrom = [], mergeRootKey, acceptDamage, by } = options;
  return withSigning((signing) =>
    engine.restoreBackup(path, {
      ...readOptions(options),
      ...signing,
      stateDir,
      development: dev,
      mergeFrom,
      mergeRootKey: mergeRootKey === undefined ? undefined : parseRootKey(mergeRootKey),
      acceptDamage,
      by,
    }),
  );
}

const readOptions = ({ rootKey, promptPassphrase, onNotice }: ReadBackupOptions) => ({
  rootKey: parseRootKey(rootKey),
  promptPassphrase,
  ...(onNotice && { onNotice }),
});

/** With the server's nkeys, which are wiped afterwards. */
async function withSigning<T>(use: (signing: engine.Signing) => Promise<T>): Promise<T> {
  const pairs: KeyPair[] = [];
  const createSigner = (seed: Uint8Array) => {
    const pair = keyPairFromBytes('server', seed);
    pairs.push(pair);
    return pair;
  };
  try {
    return await use({
      createSigner,
      verify: (message, signature, key) => verify(key, message, signature),
    });
  } finally {
    for (const pair of pairs) pair.wipe();
  }
}
