import { hkdfSync } from 'node:crypto';

import { CofferError } from '../errors.js';
import { KEY_BYTES } from './aead.js';
import { readGiven } from './given.js';
import type { GivenSource, RootKeyContext } from './root-key-spec.js';
import { secureBuffer, wipe } from './secure-memory.js';
import { xkeySeedBytes } from './xkey.js';

/** What the derived key is for, so that it is no other program's. */
const INFO = 'coffer-root-key-v1 from ENCRYPTION_XKEY_SEED';

/**
 * The root key, in locked memory, that is derived from an xkey's seed: HKDF-SHA256 of its 32 bytes with an empty salt.
 *
 * @throws CofferError `no_root_key`, `insecure_root_key`; what was given in place of a seed is not repeated
 */
export async function seedKey(source: GivenSource, context: RootKeyContext): Promise<Buffer> {
  const characters = await readGiven(source, 'xkey seed', context);
  const seed = xkeySeedBytes(characters);
  wipe(characters);
  if (!seed) {
    const where = source.from === 'env' ? `the environment variable ${source.name}` : source.path;
    throw new CofferError(
      'no_root_key',
      `${where} holds no seed of an xkey, which has 58 characters and begins with SX`,
    );
  }
  const derived = Buffer.from(hkdfSync('sha256', seed, Buffer.alloc(0), INFO, KEY_BYTES));
  const key = secureBuffer(KEY_BYTES);
  derived.copy(key);
  wipe(derived);
  wipe(seed);
  return key;
}
