import { keyId, readKeyFile, refuseInsideStateFolder } from '../crypto/key-file.js';
import { readPassphrase } from '../crypto/passphrase.js';
import type { RootKeyContext, RootKeySpec } from '../crypto/root-key-spec.js';
import { wipe } from '../crypto/secure-memory.js';

/** What can be told of a root key without a store. */
export type RootKeyState =
  /** A key file, or a passphrase, that can be used. `id` is the public fingerprint of a key from a file. */
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
  await refuseInsideStateFolder(spec.path, quiet);
  const key = await readKeyFile(spec.path);
  if (key === undefined) return { found: false };
  const id = keyId(key);
  wipe(key);
  return { found: true, id };
}
