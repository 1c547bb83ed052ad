import { join } from 'node:path';
import { z } from 'zod';
import { parsePublicKey } from '../keys/nkey.js';
import { StoreError } from '../store/errors.js';
import { listFolder, readText, removeFile, writeFile } from '../store/files.js';

/**
 * What a rotation has to remember when it is killed: which key takes the place of which. A file for each in a hidden folder
 * beside the keys, where nsc does not look; it holds no secret. Everything else is seen from the tokens themselves.
 */
const schema = z.object({
  version: z.literal(1),
  /** The key of the operator or account whose signing key changes. */
  entity: z.string(),
  old: z.string(),
  new: z.string(),
});

export type Rotation = Omit<z.output<typeof schema>, 'version'>;

export class RotationJournal {
  readonly #folder: string;

  /** @param keysFolder the folder in which `keys` and `creds` are */
  constructor(keysFolder: string) {
    this.#folder = join(keysFolder, '.coffer', 'rotations');
  }

  /** The rotations of an operator's or account's keys that have not come to their end. */
  of(entity: string): Rotation[] {
    return listFolder(this.#folder)
      .filter(({ name, isFolder }) => !isFolder && name.endsWith('.json'))
      .map(({ name }) => this.#read(join(this.#folder, name)))
      .filter((rotation) => rotation.entity === entity);
  }

  write(rotation: Rotation): void {
    writeFile(this.#path(rotation.old), JSON.stringify({ version: 1, ...rotation }));
  }

  remove({ old }: Rotation): void {
    removeFile(this.#path(old));
  }

  #path(old: string): string {
    parsePublicKey(old);
    return join(this.#folder, `${old}.json`);
  }

  #read(path: string): Rotation {
    try {
      const { version: _, ...rotation } = schema.parse(JSON.parse(readText(path) ?? ''));
      return rotation;
    } catch {
      throw new StoreError(
        'damaged_store',
        `${path} is not what a rotation writes: remove it, and say --old and run the rotation again`,
      );
    }
  }
}
