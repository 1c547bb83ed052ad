import { resolve } from 'node:path';
import {
  CofferError,
  type Migrated,
  type MigrateProgress,
  migrateToEmbedded,
  migrateToJetStream,
  parseRootKey,
} from '@coffer/engine';
import { type KeyPair, keyPairFromBytes } from '@coffer/identity';
import type { ServerConfig } from './config/config.js';
import { storageOptions } from './open-engine.js';
import { readVersion } from './version.js';

export interface MigrateStoreOptions {
  readonly to: 'jetstream' | 'embedded';
  /** Out of JetStream without asking there. */
  readonly force?: boolean | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly promptPassphrase?: ((question: string) => Promise<Uint8Array>) | undefined;
  onNotice?(sentence: string): void;
  onProgress?(progress: MigrateProgress): void;
}

/**
 * Moves the store of a configuration's state folder into the JetStream bucket that it names, or out of it. The server does not run.
 *
 * @throws CofferError `invalid_argument` if the configuration names no bucket; as {@link migrateToJetStream} and
 *   {@link migrateToEmbedded}
 */
export async function migrateStore(config: ServerConfig, options: MigrateStoreOptions): Promise<Migrated> {
  const { to, force, env, promptPassphrase, onNotice, onProgress } = options;
  const storage = storageOptions(config.storage, undefined);
  if (!storage?.jetstream) {
    throw new CofferError(
      'invalid_argument',
      'the configuration names no bucket: write storage.kind: jetstream and its servers into the file that --config names, also ' +
        'to move a store out of there',
    );
  }
  const pairs: KeyPair[] = [];
  try {
    return await (to === 'jetstream' ? migrateToJetStream : migrateToEmbedded)({
      stateDir: resolve(config.stateDir),
      rootKey: parseRootKey(config.rootKey),
      createSigner: (seed) => {
        const pair = keyPairFromBytes('server', seed);
        pairs.push(pair);
        return pair;
      },
      jetstream: storage.jetstream,
      version: readVersion(),
      minFreeBytes: storage.minFreeBytes,
      force,
      env,
      promptPassphrase,
      ...(onNotice && { onNotice }),
      ...(onProgress && { onProgress }),
    });
  } finally {
    for (const pair of pairs) pair.wipe();
  }
}
