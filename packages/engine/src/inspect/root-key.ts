import { keyId, readKeyFile, refuseInsideStateFolder } from '../crypto/key-file.js';
import { readPassphrase } from '../crypto/passphrase.js';
import type { RootKeyContext, RootKeySpec } from '../crypto/root-key-spec.js';
import { wipe } from '../crypto/secure-memory.js';
import { seedKey } from '../crypto/seed-key.js';

/** What can be told of a root key without a store. */
export type RootKeyState =
  /** A key file, a passphrase or an xkey seed that can be used. `id` is the public fingerprint where it has one. */
  | { readonly found: true; readonly id?: string }
  /** A key file that is not there: a server would make it for an empty store. */
  | { readonly found: false }
  /** A passphrase that a person would be asked for. */
  | { readonly found: 'asked' };

/**
 * Looks at the root key as a server would, and changes nothing.
 *
 * @throws CofferError `insecure_root_key` or `no_root_key`: a server would not start with it
 */
export async function inspectRootKey(
  spec: RootKeySpec,
  context: Omit<RootKeyContext, 'promptPassphrase' | 'onNotice'>,
): Promise<RootKeyState> {
  const quiet = { ...context, onNotice: () => undefined };
  if (spec.kind === 'passphrase') {
    if (spec.source.from === 'prompt') return { found: 'asked' };
    wipe(await readPassphrase(spec.source, quiet));
    return { found: true };
  }
  const key = spec.kind === 'file' ? await keyIn(spec.path, quiet) : await seedKey(spec.source, quiet);
  if (key === undefined) return { found: false };
  const id = keyId(key);
  wipe(key);
  return { found: true, id };
}

async function keyIn(path: string, context: RootKeyContext): Promise<Buffer | undefined> {
  await refuseInsideStateFolder(path, context);
  return readKeyFile(path);
}
