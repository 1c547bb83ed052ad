import { resolve } from 'node:path';
import { CofferError, Engine, type EngineOptions, makeFolders, parseRootKey } from '@coffer/engine';
import { type KeyPair, keyPairFromBytes } from '@coffer/identity';
import type { ServerConfig } from './config/config.js';

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
  talk: Pick<EngineOptions, 'promptPassphrase' | 'env' | 'onFatal' | 'onNotice'>,
): Promise<OpenEngine> {
  const stateDir = resolve(config.stateDir);
  const rootKey = parseRootKey(config.rootKey);
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
    storage: config.storage,
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

async function makeStateFolder(path: string): Promise<void> {
  try {
    await makeFolders(path);
  } catch (cause) {
    const { message } = cause as Error;
    throw new CofferError('io', `the state folder ${path} cannot be made: ${message}`, { cause });
  }
}
