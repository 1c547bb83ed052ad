import { open } from 'node:fs/promises';

import { CofferError } from '../errors.js';
import { requirePrivate } from '../files.js';
import { refuseInsideStateFolder } from './key-file.js';
import type { GivenSource, RootKeyContext } from './root-key-spec.js';

/**
 * The bytes of a secret that a person gives in a file or in the environment, which the caller wipes. One final newline is the
 * editor's.
 *
 * @param what names it in errors
 * @throws CofferError `no_root_key`, `insecure_root_key`
 */
export async function readGiven(source: GivenSource, what: string, context: RootKeyContext): Promise<Buffer> {
  if (source.from === 'env') {
    const value = (context.env ?? process.env)[source.name];
    if (value !== undefined) return Buffer.from(value);
    throw new CofferError(
      'no_root_key',
      `the environment variable ${source.name} with the ${what} is not set`,
    );
  }
  await refuseInsideStateFolder(source.path, context);
  const handle = await open(source.path, 'r').catch((error: NodeJS.ErrnoException) => {
    throw new CofferError('no_root_key', `the ${what} file ${source.path} cannot be read (${error.code})`);
  });
  try {
    requirePrivate(`${what} file`, source.path, await handle.stat());
    const content = await handle.readFile();
    const end = content.at(-1) === 0x0a ? (content.at(-2) === 0x0d ? 2 : 1) : 0;
    return content.subarray(0, content.length - end);
  } finally {
    await handle.close();
  }
}
