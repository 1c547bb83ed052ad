import { resolve } from 'node:path';
import { CofferError, Engine, type EngineOptions, makeFolders, parseRootKey } from '@coffer/engine';
import { type KeyPair, keyPairFromBytes } from '@coffer/identity';
import type { Logger } from 'pino';
import type { ServerConfig } from './config/config.js';
import type { StorageConfig } from './config/storage.js';
import { checkNatsFiles } from './nats/credentials.js';
import { jetStreamOptions, systemReach } from './nats/store-connection.js';

/** An engine, and the key that it signs with. */
export interface OpenEngine {
  readonly engine: Engine;
  /** Closes the store clean, and wipes the key. */
  close(): Promise<void>;
}

/**
 * Opens the store that a configuration names, and makes it and its folder if there is none.
 *
 * @throws CofferError with a sentence for a person
 */
export async function openEngine(
  config: ServerConfig,
  {
    log,
    ...talk
  }: Pick<EngineOptions, 'promptPassphrase' | 'env' | 'onFatal' | 'onNotice'> & { readonly log?: Logger },
): Promise<OpenEngine> {
  const stateDir = resolve(config.stateDir);
  const rootKey = parseRootKey(config.rootKey);
  const storage = storageOptions(config.storage, log);
  await makeStateFolder(stateDir);
  let signingKey: KeyPair | undefined;
  const engine = await Engine.open({
    stateDir,
    rootKey,
    development: config.dev,
    createSigner: (seed) => {
      signingKey = keyPairFromBytes('server', seed);
      return signingKey;
    },
    limits: config.limits,
    storage,
    audit: config.audit,
    retention: config.retention,
    acceptRollback: config.acceptRollback,
    ...talk,
  });
  const close = async () => {
    await engine.close();
    signingKey?.wipe();
  };
  return { engine, close };
}

/**
 * Of a configuration, as the engine takes them. A mistake in a file that the store's connection needs is found at once, and not tried again and
 * again.
 *
 * @throws CofferError
 */
export function storageOptions(
  { minFreeBytes, quotaBytes, ...config }: StorageConfig,
  log: Logger | undefined,
): EngineOptions['storage'] {
  const limits = { ...(minFreeBytes !== undefined && { minFreeBytes }), quotaBytes };
  if (config.kind !== 'jetstream') return limits;
  checkNatsFiles(config, 'storage');
  if (config.systemCreds) checkNatsFiles(systemReach(config, config.systemCreds), 'system');
  return { ...limits, jetstream: jetStreamOptions(config, log) };
}

async function makeStateFolder(path: string): Promise<void> {
  try {
    await makeFolders(path);
  } catch (cause) {
    const { message } = cause as Error;
    throw new CofferError('io', `the state folder ${path} cannot be made: ${message}`, { cause });
  }
}
