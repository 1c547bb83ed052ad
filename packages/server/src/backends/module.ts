import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CofferError } from '@coffer/engine';
import type { SecretSource } from '@coffer/wasmcloud';
import type { ModuleBackend } from '../config/backends.js';

/** How long one may take to open. */
const OPEN_MS = 30_000;

/**
 * Opens a source that somebody else wrote: the default export of a module, called with the settings and the backend's name.
 *
 * @throws CofferError `invalid_argument`, which names the backend and what is wrong with its module
 */
export async function openModule({ name, module, folder, settings }: ModuleBackend): Promise<SecretSource> {
  const wrong = (what: string, cause?: unknown) =>
    new CofferError('invalid_argument', `the backend ${name}: ${what}`, { cause });
  const { default: open } = await imported(module, folder).catch((error: unknown) => {
    throw wrong(`the module ${module} cannot be loaded: ${messageOf(error)}`, error);
  });
  if (typeof open !== 'function') {
    throw wrong(
      `the module ${module} has no function for its default export: it is called with the settings, and answers with an object that has "fetch"`,
    );
  }
  const opened = (async () => open(structuredClone(settings), { name }))();
  const source = await inTime(opened, OPEN_MS).catch((error: unknown) => {
    throw wrong(`the module ${module} cannot be opened: ${messageOf(error)}`, error);
  });
  if (typeof (source as Partial<SecretSource> | undefined)?.fetch === 'function')
    return source as SecretSource;
  throw wrong(`the module ${module} has answered with no object that has "fetch"`);
}

const imported = (module: string, folder: string): Promise<{ readonly default?: unknown }> =>
  import(specifierOf(module, folder));

/** Whether there is such a file or package, as far as can be told without running it. */
export function isModuleThere({ module, folder }: Pick<ModuleBackend, 'module' | 'folder'>): boolean {
  const specifier = specifierOf(module, folder);
  if (specifier.startsWith('file:')) return existsSync(fileURLToPath(specifier));
  try {
    createRequire(import.meta.url).resolve(specifier);
    return true;
  } catch (error) {
    // A package for import alone is found, and not shown to require.
    return (error as NodeJS.ErrnoException).code !== 'MODULE_NOT_FOUND';
  }
}

/** A package is looked for where the configuration is, then where coffer is. */
function specifierOf(module: string, folder: string): string {
  if (isAbsolute(module)) return pathToFileURL(module).href;
  try {
    const found = createRequire(join(folder, 'configuration')).resolve(module);
    return isAbsolute(found) ? pathToFileURL(found).href : found;
  } catch {
    return module;
  }
}

async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it has not done so within ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
