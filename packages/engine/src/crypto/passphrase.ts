import { open } from 'node:fs/promises';

import { asBuffer } from '../bytes.js';
import { CofferError } from '../errors.js';
import { requirePrivate } from '../files.js';
import { refuseInsideStateFolder } from './key-file.js';
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
  if (source.from === 'env') {
    const value = (context.env ?? process.env)[source.name];
    if (value === undefined) {
      throw new CofferError(
        'no_root_key',
        `the environment variable ${source.name} with the passphrase is not set`,
      );
    }
    return Buffer.from(value);
  }
  await refuseInsideStateFolder(source.path, context);
  const handle = await open(source.path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new CofferError('no_root_key', `the passphrase file ${source.path} cannot be read (${error.code})`);
  });
  try {
    requirePrivate('passphrase file', source.path, await handle.stat());
    const content = await handle.readFile();
    // One final newline is the editor's, not the passphrase's.
    const end = content.at(-1) === 0x0a ? (content.at(-2) === 0x0d ? 2 : 1) : 0;
    return content.subarray(0, content.length - end);
  } finally {
    await handle.close();
  }
}
