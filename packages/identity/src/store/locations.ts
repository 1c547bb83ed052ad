import { homedir } from 'node:os';
import { basename, dirname, join, resolve, sep } from 'node:path';
import { StoreError } from './errors.js';
import { isFile, isFolder, readText, writeFile } from './files.js';

/**
 * Where nsc keeps what: the stores (tokens), the keys (seeds and creds), and `nsc.json`, its current context.
 *
 * Source: nats-io/nsc (`cmd/defaults.go`, `cmd/env.go`, `cmd/store/keys.go`).
 */
export interface Locations {
  /** The folder with a folder for each operator. */
  readonly stores: string;
  /** The folder in which `keys` and `creds` are. */
  readonly keys: string;
  /** The path of `nsc.json`. */
  readonly config: string;
  /** Whether `nsc.json` speaks of these stores, so that its current operator and account are meant and are to be kept. */
  readonly isCurrent: boolean;
  /** The operator and the account in whose folder the working folder is. */
  readonly here: { readonly operator?: string; readonly account?: string };
}

/** nsc's flags: they go before the environment. */
export interface Folders {
  /** `--all-dirs`: all three. */
  readonly allDirs?: string | undefined;
  readonly dataDir?: string | undefined;
  readonly keystoreDir?: string | undefined;
  readonly configDir?: string | undefined;
}

export interface Surroundings {
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** The working folder. */
  readonly cwd?: string;
  readonly home?: string;
}

/** What `nsc.json` says, and whatever else it says, which stays. */
export interface CurrentContext {
  readonly store_root?: string;
  readonly operator?: string;
  readonly account?: string;
  readonly [unknown: string]: unknown;
}

export function locate(folders: Folders = {}, surroundings: Surroundings = {}): Locations {
  const { env = process.env, cwd = process.cwd(), home = env.HOME || homedir() } = surroundings;
  const at = (path: string) => resolve(cwd, path.replace(/^~(?=\/|$)/, home));
  const data = join(env.XDG_DATA_HOME || join(home, '.local', 'share'), 'nats', 'nsc');
  const configHome = join(env.XDG_CONFIG_HOME || join(home, '.config'), 'nats', 'nsc');
  const legacy = join(home, '.nsc');

  const configDir = folders.configDir ?? folders.allDirs ?? (env.NSC_HOME || firstThere(configHome, legacy));
  const config = join(at(configDir), 'nsc.json');
  const keysDir =
    folders.keystoreDir ??
    folders.allDirs ??
    (env.NKEYS_PATH || firstThere(join(data, 'keys'), join(home, '.nkeys')));
  const given = folders.dataDir ?? folders.allDirs;
  const around = given === undefined ? storeAround(cwd) : undefined;
  const configured =
    readCurrentContext(config).store_root || firstThere(join(data, 'stores'), join(legacy, 'nats'));
  const stores = at(given ?? around?.stores ?? configured);
  const ownConfig = folders.configDir !== undefined || folders.allDirs !== undefined;
  const isCurrent = stores === at(configured) || (given !== undefined && ownConfig);
  return { stores, keys: at(keysDir), config, isCurrent, here: around?.here ?? {} };
}

/** Of the place of today and the one of old, the latter only if it alone is there. */
function firstThere(today: string, old: string): string {
  return !isFolder(today) && isFolder(old) ? old : today;
}

function storeAround(cwd: string): { stores: string; here: Locations['here'] } | undefined {
  for (let folder = resolve(cwd); folder !== dirname(folder); folder = dirname(folder)) {
    if (!isFile(join(folder, '.nsc'))) continue;
    const [accounts, account] = resolve(cwd)
      .slice(folder.length + 1)
      .split(sep);
    const operator = basename(folder);
    return {
      stores: dirname(folder),
      here: accounts === 'accounts' && account ? { operator, account } : { operator },
    };
  }
  return undefined;
}

/** @throws StoreError `damaged_store` */
export function readCurrentContext(path: string): CurrentContext {
  const text = readText(path);
  if (text === undefined || text.trim() === '') return {};
  try {
    const found: unknown = JSON.parse(text);
    if (typeof found === 'object' && found !== null && !Array.isArray(found)) {
      const { store_root, operator, account } = found as Record<string, unknown>;
      if ([store_root, operator, account].every((each) => each === undefined || typeof each === 'string')) {
        return found as CurrentContext;
      }
    }
  } catch {
    // Told below.
  }
  throw new StoreError('damaged_store', `${path} is not the JSON that nsc writes: mend it or remove it`);
}

export function writeCurrentContext(path: string, change: CurrentContext): void {
  writeFile(path, JSON.stringify({ ...readCurrentContext(path), ...change }, null, 2));
}
