import type { SecretSource } from '@coffer/wasmcloud';
import type { BackendConfig } from '../config/backends.js';
import { openCluster } from './cluster.js';
import { openModule } from './module.js';

/**
 * Opens where the secrets of a backend lie. What a kind needs is loaded with the first backend of that kind.
 *
 * @throws CofferError `invalid_argument`
 */
export function openSource(config: BackendConfig): Promise<SecretSource> {
  return config.kind === 'kubernetes' ? openCluster(config) : openModule(config);
}
