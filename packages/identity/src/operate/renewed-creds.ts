import { publicKeyOf } from '../keys/key-pair.js';
import type { StoreContext } from '../store/context.js';
import { readBytes, writeFile } from '../store/files.js';
import { type Creds, formatCreds, parseCreds } from '../tokens/creds.js';
import type { Jwt } from '../tokens/jwt.js';

/** Whether a user's creds file can be written anew, and where it is. */
export interface CredsState {
  /** Nothing if the user's seed is neither in the key folder nor in an old creds file. */
  readonly path?: string | undefined;
  /** They hold the token that is here. */
  readonly current?: boolean;
}

export function credsState(
  { keys, store }: StoreContext,
  account: string,
  user: string,
  { claims, text }: Jwt<'user'>,
): CredsState {
  const path = keys.credsPath(store.name, account, user);
  const old = oldCreds(path);
  const here = old !== undefined && publicKeyOf(old.seed) === claims.sub;
  old?.seed.fill(0);
  const current = here && old?.jwt === text;
  return here || keys.has(claims.sub) ? { path, current } : {};
}

/**
 * Writes the creds file of a user whose token was signed anew, with the seed of the key folder or of the old creds file. One
 * that holds the token already is left as it is.
 */
export function renewCreds(
  { keys, store }: StoreContext,
  account: string,
  user: string,
  token: string,
): void {
  const path = keys.credsPath(store.name, account, user);
  const old = oldCreds(path);
  try {
    if (old?.jwt === token) return;
    if (keys.writeCreds(store.name, account, user, token) !== undefined || old === undefined) return;
    const bytes = formatCreds(token, old.seed);
    try {
      writeFile(path, bytes, { fixed: true });
    } finally {
      bytes.fill(0);
    }
  } finally {
    old?.seed.fill(0);
  }
}

/** What a creds file holds, if it is one. */
function oldCreds(path: string): Creds | undefined {
  const bytes = readBytes(path, { secret: true });
  if (bytes === undefined) return undefined;
  try {
    return parseCreds(bytes);
  } catch {
    return undefined;
  } finally {
    bytes.fill(0);
  }
}
