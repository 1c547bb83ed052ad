import { IdentityError, keyPairFromSeed } from '@coffer/identity';
import { Failure } from '../failure.js';

const VARIABLES: Readonly<Record<string, string>> = {
  '-t': 'TRANSIT_XKEY_SEED',
  '-e': 'ENCRYPTION_XKEY_SEED',
  '--server-xkey-seed': 'SV_SERVER_XKEY_SEED',
  '--backend-seed': 'BACKEND_SEED',
};

/** The characters of an xkey's seed, for the caller to wipe; undefined where none is given. @throws Failure, which repeats nothing of it */
export function seedBytes(flag: string, text: string | undefined): Buffer | undefined {
  if (!text) return undefined;
  const bytes = Buffer.from(text);
  if (isXkeySeed(bytes)) return bytes;
  bytes.fill(0);
  throw new Failure(
    `what ${[flag, VARIABLES[flag]].filter(Boolean).join(' or ')} holds is no seed of an xkey: it has 58 characters and begins with SX, and ` +
      '"coffer identity generate nkey --curve" makes one',
  );
}

function isXkeySeed(bytes: Uint8Array): boolean {
  try {
    using pair = keyPairFromSeed(bytes);
    return pair.kind === 'curve';
  } catch (error) {
    if (error instanceof IdentityError) return false;
    throw error;
  }
}
