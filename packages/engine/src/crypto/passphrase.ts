import { asBuffer } from '../bytes.js';
import { CofferError } from '../errors.js';
import { readGiven } from './given.js';
import type { PassphraseSource, RootKeyContext } from './root-key-spec.js';
import { wipe } from './secure-memory.js';

/** The passphrase's bytes, which the caller wipes. */
export async function readPassphrase(source: PassphraseSource, context: RootKeyContext): Promise<Buffer> {
  const passphrase = await passphraseFrom(source, context);
  if (passphrase.length === 0) throw new CofferError('no_root_key', 'the passphrase is empty');
  return passphrase;
}

/** The same for a passphrase that seals something for the first time: a slip of the fingers would seal it for good. */
export async function readNewPassphrase(source: PassphraseSource, context: RootKeyContext): Promise<Buffer> {
  const passphrase = await readPassphrase(source, context);
  if (source.from !== 'prompt' || !context.promptPassphrase) return passphrase;
  const again = asBuffer(await context.promptPassphrase('The same passphrase again: '));
  const same = passphrase.equals(again);
  wipe(again);
  if (same) return passphrase;
  wipe(passphrase);
  throw new CofferError('no_root_key', 'the two passphrases differ: nothing was made, start again');
}

async function passphraseFrom(source: PassphraseSource, context: RootKeyContext): Promise<Buffer> {
  if (source.from === 'prompt') {
    if (!context.promptPassphrase) {
      throw new CofferError(
        'no_root_key',
        'there is no terminal to ask for the passphrase: use passphrase:file:PATH',
      );
    }
    return asBuffer(await context.promptPassphrase('Passphrase of the root key: '));
  }
  return readGiven(source, 'passphrase', context);
}
