import type { Engine } from '@coffer/engine';
import type { SecretSource } from '@coffer/wasmcloud';
import type { BackendConfig } from '../config/backends.js';
import { openCluster } from './cluster.js';
import { openModule } from './module.js';

/** What some kinds of sources stand on. */
export interface SourceGround {
  readonly engine: Engine;
  /** Of an nkey, which becomes the current key of what signs unless that has had it. */
  readonly signingSeed?: Uint8Array | undefined;
  /** Variables of the environment with secrets of coffer's own, which no program that a source starts is to see. */
  readonly secretVariables: readonly string[];
  readonly onNotice: (sentence: string) => void;
}

export interface OpenedSource {
  readonly source: SecretSource;
  /** JWKs of what it signs with, for everybody to read. */
  readonly publicKeys?: () => readonly object[];
  /** To be called when the source is closed. */
  readonly ended?: () => void;
}

/**
 * Opens where the secrets of a backend lie. What a kind needs is loaded with the first backend of that kind.
 *
 * @throws CofferError `invalid_argument`
 */
export async function openSource(config: BackendConfig, ground: SourceGround): Promise<OpenedSource> {
  switch (config.kind) {
    case 'vault':
      return (await import('./vault.js')).openVaultSource(config, ground);
    case 'kubernetes':
      return { source: await openCluster(config, ground) };
    default:
      return { source: await openModule(config, ground.onNotice) };
  }
}
