import { chmodSync, cpSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ContextOptions, openContext, type StoreContext } from '../src/index.js';
import { NSC } from './vectors.js';

/** A temporary folder. */
export interface Folder extends Disposable {
  readonly path: string;
}

export function temporaryFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'coffer-identity-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** A copy of the folders that nsc made, to be changed. */
export function nscCopy(): Folder & { readonly options: ContextOptions; open(): StoreContext } {
  const folder = temporaryFolder();
  cpSync(NSC, folder.path, { recursive: true });
  for (const path of pathsIn(folder.path)) {
    const at = join(folder.path, path);
    chmodSync(at, statSync(at).isDirectory() ? 0o700 : 0o600);
  }
  const options = {
    dataDir: join(folder.path, 'stores'),
    keystoreDir: join(folder.path, 'nkeys'),
    env: {},
    cwd: folder.path,
    home: folder.path,
  };
  return { ...folder, options, open: () => openContext(options) };
}

/** The paths of all folders and files, sorted, `.coffer` left out. */
export function pathsIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => !path.split('/').includes('.coffer'))
    .sort();
}
