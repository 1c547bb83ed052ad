import type { Stats } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type ChainErrorCode, IdentityError, type InspectedAccount, tokenIn } from '@coffer/identity';
import type { ResolverConfig } from '../config/trust.js';

/** No larger file is read; the identities take no larger token. */
const FILE_BYTES = 128 * 1024;
const ENDING = '.jwt';

/** Why the users of an account are refused. */
export interface AccountProblem {
  readonly path: string;
  /** One sentence. Never a token. */
  readonly says: string;
  /** Absent: the file holds no token of an account that could be judged. */
  readonly code?: ChainErrorCode;
  /** Its public key, where that is known. */
  readonly account?: string;
}

export interface AccountsLook {
  /** How many files there are. */
  readonly files: number;
  readonly problems: readonly AccountProblem[];
}

interface Content {
  readonly fingerprint: string;
  readonly text?: string;
  readonly problem?: string;
}

/**
 * The files in which a resolver finds the tokens of accounts, for people who look after them: `<KEY>.jwt` or
 * `<last two letters>/<KEY>.jwt` in a folder, `accounts/<name>/<name>.jwt` in a store.
 */
export class AccountFiles {
  readonly #resolver: Pick<ResolverConfig, 'folder' | 'store'>;
  #known: ReadonlyMap<string, Content> = new Map();

  constructor(resolver: Pick<ResolverConfig, 'folder' | 'store'>) {
    this.#resolver = resolver;
  }

  /**
   * Looks at each file, one after the other: a disk that does not answer holds up one look. Files that have not changed since
   * the last look are not read again.
   *
   * @param inspect as `accountInspector` gives it
   * @throws what the file system says of the folder
   */
  async look(inspect: (text: string) => InspectedAccount): Promise<AccountsLook> {
    const paths = await this.#paths();
    const known = new Map<string, Content>();
    for (const path of paths) known.set(path, await readContent(path, this.#known.get(path)));
    this.#known = known;
    const judged = [...known].map(([path, content]) => this.#judge(path, content, inspect));
    const newest = new Map<string, number>();
    for (const { account } of judged) {
      if (account) newest.set(account.key, Math.max(account.iat, newest.get(account.key) ?? 0));
    }
    // Of several tokens of one account the newest counts, and the others do no harm.
    const problems = judged
      .filter(({ account }) => account === undefined || account.iat === newest.get(account.key))
      .flatMap(({ problem }) => problem ?? []);
    return { files: paths.length, problems };
  }

  async #paths(): Promise<string[]> {
    const { store, folder } = this.#resolver;
    if (store !== undefined) {
      const names = (await readdir(join(store, 'accounts'))).filter((name) => !name.startsWith('.'));
      return names.map((name) => join(store, 'accounts', name, `${name}${ENDING}`));
    }
    if (folder === undefined) return [];
    const entries = await readdir(folder, { withFileTypes: true });
    const shards = entries.filter((entry) => entry.isDirectory() && entry.name.length === 2);
    const inShards = shards.map(async ({ name }) =>
      (await readdir(join(folder, name))).map((file) => join(folder, name, file)),
    );
    const all = [...entries.map(({ name }) => join(folder, name)), ...(await Promise.all(inShards)).flat()];
    return all.filter((path) => path.endsWith(ENDING));
  }

  #judge(
    path: string,
    { text, problem }: Content,
    inspect: (text: string) => InspectedAccount,
  ): { readonly account?: InspectedAccount; readonly problem?: AccountProblem } {
    if (text === undefined) return { problem: { path, says: problem ?? 'it cannot be read' } };
    try {
      const account = inspect(text);
      if (this.#resolver.store === undefined && basename(path, ENDING) !== account.key) {
        return { problem: { path, says: `it is the token of another account, ${account.key}` } };
      }
      const { refusal } = account;
      return refusal
        ? { account, problem: { path, says: refusal.message, code: refusal.code, account: account.key } }
        : { account };
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      return { problem: { path, says: `it is no token of an account: ${error.message}` } };
    }
  }
}

async function readContent(path: string, before: Content | undefined): Promise<Content> {
  try {
    const stats = await stat(path);
    const fingerprint = fingerprintOf(stats);
    if (before?.fingerprint === fingerprint) return before;
    // A pipe or device might never end.
    if (!stats.isFile()) return { fingerprint, problem: 'it is no file' };
    if (stats.size > FILE_BYTES) return { fingerprint, problem: 'it is too large for a token' };
    return { fingerprint, text: tokenIn(await readFile(path)) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { fingerprint: '', problem: 'it is not there' };
    return { fingerprint: '', problem: `it cannot be read (${code})` };
  }
}

const fingerprintOf = ({ ino, size, mtimeMs, ctimeMs }: Stats): string =>
  `${ino} ${size} ${mtimeMs} ${ctimeMs}`;
