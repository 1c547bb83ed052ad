import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import {
  type BackupContent,
  type Engine,
  parseRootKey,
  type Restored,
  type RestoreOptions,
  restoreBackup,
  verifyBackup,
} from '../src/index.js';
import { admin, createSigner, verifySignature } from './support.js';

/** All bytes of a backup. */
export async function backupOf(engine: Engine): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of engine.backup(admin)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Writes a backup of the engine into `folder`. */
export async function backupTo(engine: Engine, folder: string, name = 'backup'): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, await backupOf(engine));
  return path;
}

const signing = { createSigner, verify: verifySignature };
const rootKeyIn = (folder: string) => parseRootKey(`file:${join(folder, 'root.key')}`);

/** With the root key of the store in `folder`. */
export const verifyIn = (
  folder: string,
  path: string,
  { rootKey = rootKeyIn(folder) }: { rootKey?: RestoreOptions['rootKey'] } = {},
): Promise<BackupContent> => verifyBackup(path, { ...signing, rootKey });

/** Into `folder/NAME/state`, with the root key of `folder`. */
export const restoreIn = (
  folder: string,
  path: string,
  { place = 'restored', ...options }: Partial<RestoreOptions> & { place?: string } = {},
): Promise<Restored> =>
  restoreBackup(path, {
    ...signing,
    rootKey: rootKeyIn(folder),
    stateDir: join(folder, place),
    development: false,
    mergeFrom: [],
    ...options,
  });

/** Every secret with all its versions, as an administrator reads them. */
export async function secretsOf(engine: Engine): Promise<Record<string, unknown>> {
  const secrets = (await engine.list(admin)).map(async ({ name, versions, activeVersion }) => {
    const values = versions.map(async (version) => {
      const { value } = await engine.get(admin, name, version);
      return [version, Buffer.from(value).toString('latin1')];
    });
    return [name, { activeVersion, values: Object.fromEntries(await Promise.all(values)) }];
  });
  return Object.fromEntries(await Promise.all(secrets));
}
