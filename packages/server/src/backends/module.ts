import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isAbsolute, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { CofferError } from '@coffer/engine';
import type { SecretSource } from '@coffer/wasmcloud';
import type { ModuleBackend } from '../config/backends.js';

/** How long one may take to open. */
const OPEN_MS = 30_000;
/** After so long a person should know what is waited for. */
const SLOW_MS = 5_000;

/**
 * Opens a source that somebody else wrote: the default export of a module, called with the settings and the backend's name.
 *
 * @param onNotice told when it takes long
 * @throws CofferError `invalid_argument`, which names the backend and what is wrong with its module
 */
export async function openModule(
  config: ModuleBackend,
  onNotice: (sentence: string) => void,
): Promise<SecretSource> {
  const { name, module } = config;
  const slow = setTimeout(
    () =>
      onNotice(`The backend ${name} waits for its module ${module}, which has ${OPEN_MS / 1000} s to open.`),
    SLOW_MS,
  );
  try {
    return await inTime(opened(config), OPEN_MS);
  } catch (error) {
    throw new CofferError(
      'invalid_argument',
      `the backend ${name}: the module ${module} ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  } finally {
    clearTimeout(slow);
  }
}

/** @throws Error whose message says what the module is, or does */
async function opened({ name, module, folder, settings }: ModuleBackend): Promise<SecretSource> {
  const { default: open } = await imported(module, folder).catch((cause: unknown) => {
    throw new Error(`cannot be loaded: ${messageOf(cause)}${placeOf(cause, module)}`, { cause });
  });
  if (typeof open !== 'function') {
    throw new Error(
      'has no function for its default export: it is called with the settings, and answers with an object that has "fetch"',
    );
  }
  const source = await (async () => open(structuredClone(settings), { name }))().catch((cause: unknown) => {
    throw new Error(`cannot be opened: ${messageOf(cause)}`, { cause });
  });
  if (typeof (source as Partial<SecretSource> | undefined)?.fetch === 'function')
    return source as SecretSource;
  throw new Error('has answered with no object that has "fetch"');
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
    timer = setTimeout(() => reject(new Error(LATE(ms / 1000))), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

const LATE = (seconds: number): string =>
  `has not opened within ${seconds} s: its default export, or what it awaits before that, does not come to an end`;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Where a mistake in the syntax is. Node says so only to who has it check the file, which does not run it. */
function placeOf(error: unknown, module: string): string {
  const { name, stack = '' } = (error ?? {}) as Partial<Error>;
  if (name !== 'SyntaxError') return '';
  const check = () =>
    spawnSync(process.execPath, ['--check', module], { encoding: 'utf8', timeout: CHECK_MS });
  const [, place] = PLACE.exec(stack) ?? (isAbsolute(module) ? PLACE.exec(check().stderr) : undefined) ?? [];
  return place === undefined ? '' : ` (${place.replace(/^file:\/\//, '')})`;
}

const PLACE = /^((?:file:\/\/)?\/\S*:\d+)$/m;
const CHECK_MS = 5_000;
