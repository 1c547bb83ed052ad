import { resolve } from 'node:path';
import { CofferError } from '@coffer/engine';
import type { VaultBackend } from '../config/backends.js';
import { isRevoked } from '../wasmcloud/callers.js';
import { SigningRing } from './signing-ring.js';
import type { OpenedSource, SourceGround } from './source.js';

/**
 * Opens a Vault, and the ring of keys by which it knows us: it fetches their public halves from us.
 *
 * @throws CofferError `invalid_argument`; as `SigningRing.open`
 */
export async function openVaultSource(config: VaultBackend, ground: SourceGround): Promise<OpenedSource> {
  const { jwksOf, openVault } = await import('@coffer/wasmcloud/vault');
  const { name, settings } = config;
  const { ca } = settings;
  const { engine, onNotice, signingSeed: seed } = ground;
  const signingKeys = await SigningRing.open({ engine, onNotice, seed, backend: name });
  try {
    const source = await openVault({
      ...settings,
      ...(ca && { ca: resolve(ca) }),
      name,
      signingKeys,
      revoked: (token) => isRevoked(engine, token),
      onNotice: (sentence) => onNotice(`The backend ${name}: ${sentence}`),
    });
    return {
      source,
      publicKeys: () => jwksOf(signingKeys.all()).keys,
      ended: () => signingKeys.close(),
    };
  } catch (error) {
    signingKeys.close();
    const { message } = error as Error;
    throw new CofferError('invalid_argument', `the backend ${name}: ${message}`, { cause: error });
  }
}
