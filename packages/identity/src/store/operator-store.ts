import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { decodeAccount, decodeOperator, decodeUser, type Jwt } from '../tokens/jwt.js';
import { StoreError } from './errors.js';
import {
  hiddenFolders,
  isFile,
  isFolder,
  listFolder,
  makeFolder,
  moveFolder,
  readText,
  removeEmptyFolder,
  removeFile,
  removeFolder,
  writeFile,
} from './files.js';
import { checkName } from './names.js';

/** A file that should hold a token and does not. */
export interface DamagedToken {
  readonly kind: 'account' | 'user';
  readonly name: string;
  /** The account that a user belongs to. */
  readonly account?: string | undefined;
  /** A sentence with the file, what is wrong with it, and what to do. */
  readonly problem: string;
}

/** What the files of a folder hold, as far as they can be read: one that is damaged must not hide the others. */
export interface Scan<K extends 'account' | 'user'> {
  readonly tokens: readonly { readonly name: string; readonly jwt: Jwt<K> }[];
  readonly damaged: readonly DamagedToken[];
}

/**
 * An operator's folder: `.nsc`, `<operator>.jwt`, `accounts/<account>/<account>.jwt` and
 * `accounts/<account>/users/<user>.jwt`. Each file holds the bare token, without a line feed.
 *
 * Source: nats-io/nsc (`cmd/store/store.go`).
 */
export class OperatorStore {
  readonly folder: string;
  readonly name: string;
  /** The operator's key is somebody else's: the accounts sign themselves, and the operator signs them elsewhere. */
  readonly managed: boolean;

  private constructor(folder: string, name: string, managed: boolean) {
    this.folder = folder;
    this.name = name;
    this.managed = managed;
  }

  /** The names of the operators in a folder of stores. */
  static list(stores: string): string[] {
    return listFolder(stores)
      .filter(({ name, isFolder }) => isFolder && isFile(join(stores, name, '.nsc')))
      .map(({ name }) => name);
  }

  /** @throws StoreError `no_store`, `damaged_store` */
  static open(folder: string): OperatorStore {
    const path = join(folder, '.nsc');
    const text = readText(path);
    if (text === undefined)
      throw new StoreError('no_store', `${folder} is no operator's folder: it has no .nsc`);
    const { name, managed } = parseMark(path, text);
    return new OperatorStore(folder, name, managed);
  }

  /**
   * Makes the folder of a new operator, all of it or, if that fails or is killed, nothing. Call within `changing`.
   *
   * @param complete puts into the new store what is to be there from the start
   * @throws StoreError `exists`, `invalid_name`; whatever `complete` throws
   */
  static create(
    stores: string,
    token: string,
    { name, managed = false }: { name: string; managed?: boolean },
    complete: (store: OperatorStore) => void = () => {},
  ): OperatorStore {
    const folder = join(stores, checkName(name, 'an operator'));
    requireNone(folder, name, stores);
    decodeOperator(token);
    const unfinished = join(stores, `${UNFINISHED}${randomBytes(6).toString('hex')}`);
    try {
      const store = new OperatorStore(join(unfinished, name), name, managed);
      makeFolder(join(store.folder, 'accounts'));
      store.writeOperator(token);
      writeFile(
        join(store.folder, '.nsc'),
        JSON.stringify({ managed, name, kind: 'operator', version: '1' }),
      );
      complete(store);
      moveFolder(store.folder, folder);
    } finally {
      removeFolder(unfinished);
    }
    return new OperatorStore(folder, name, managed);
  }

  /** Removes what was left of operators whose making was killed. Call within `changing`, which does it. */
  static removeUnfinished(stores: string): void {
    for (const name of hiddenFolders(stores)) {
      if (name.startsWith(UNFINISHED)) removeFolder(join(stores, name));
    }
  }

  /** @throws StoreError `not_found`, `damaged_store` */
  operator(): Jwt<'operator'> {
    return decoded(this.operatorPath, decodeOperator, {
      missing: `the operator ${quote(this.name)} has no token yet`,
      remedy: 'put it back from a copy',
    });
  }

  accountNames(): string[] {
    const accounts = join(this.folder, 'accounts');
    return listFolder(accounts)
      .filter(({ name, isFolder }) => isFolder && isFile(join(accounts, name, `${name}.jwt`)))
      .map(({ name }) => name);
  }

  hasAccount(name: string): boolean {
    return isFile(this.accountPath(name));
  }

  /** @throws StoreError `not_found`, `damaged_store` */
  account(name: string): Jwt<'account'> {
    return decoded(this.accountPath(name), decodeAccount, {
      missing: `there is no account ${quote(name)} under the operator ${quote(this.name)}`,
      remedy: 'put it back from a copy, or from a nats-server that has it with "coffer identity pull --all"',
    });
  }

  accounts(): { readonly name: string; readonly jwt: Jwt<'account'> }[] {
    return this.accountNames().map((name) => ({ name, jwt: this.account(name) }));
  }

  scanAccounts(): Scan<'account'> {
    return scan('account', this.accountNames(), (name) => this.account(name));
  }

  /** The account of a public key, by which others name it. */
  accountOf(key: string): { readonly name: string; readonly jwt: Jwt<'account'> } | undefined {
    return this.scanAccounts().tokens.find(({ jwt }) => jwt.claims.sub === key);
  }

  userNames(account: string): string[] {
    return listFolder(join(this.#accountFolder(account), 'users'))
      .filter(({ name, isFolder }) => !isFolder && name.endsWith('.jwt'))
      .map(({ name }) => name.slice(0, -'.jwt'.length));
  }

  hasUser(account: string, name: string): boolean {
    return isFile(this.userPath(account, name));
  }

  /** @throws StoreError `not_found`, `damaged_store` */
  user(account: string, name: string): Jwt<'user'> {
    return decoded(this.userPath(account, name), decodeUser, {
      missing: `there is no user ${quote(name)} in the account ${quote(account)}`,
      remedy:
        'put it back from a copy or from the user’s creds, "coffer identity describe jwt FILE.creds --raw ' +
        '--output-file FILE.jwt", or delete the user',
    });
  }

  users(account: string): { readonly name: string; readonly jwt: Jwt<'user'> }[] {
    return this.userNames(account).map((name) => ({ name, jwt: this.user(account, name) }));
  }

  scanUsers(account: string): Scan<'user'> {
    const { tokens, damaged } = scan('user', this.userNames(account), (name) => this.user(account, name));
    return { tokens, damaged: damaged.map((one) => ({ ...one, account })) };
  }

  writeOperator(token: string): void {
    decodeOperator(token);
    writeFile(this.operatorPath, token);
  }

  writeAccount(name: string, token: string): void {
    decodeAccount(token);
    writeFile(this.accountPath(name), token);
  }

  writeUser(account: string, name: string, token: string): void {
    decodeUser(token);
    writeFile(this.userPath(account, name), token);
  }

  removeAccount(name: string): void {
    removeFolder(this.#accountFolder(name));
  }

  removeUser(account: string, name: string): void {
    removeFile(this.userPath(account, name));
  }

  /** Removes the operator with all that is under it. */
  remove(): void {
    removeFolder(this.folder);
  }

  get operatorPath(): string {
    return join(this.folder, `${this.name}.jwt`);
  }

  accountPath(name: string): string {
    return join(this.#accountFolder(name), `${name}.jwt`);
  }

  userPath(account: string, name: string): string {
    return join(this.#accountFolder(account), 'users', `${checkName(name, 'a user')}.jwt`);
  }

  #accountFolder(name: string): string {
    return join(this.folder, 'accounts', checkName(name, 'an account'));
  }
}

/** In a folder of stores, where nsc does not look into folders without `.nsc`: operators that are not made yet. */
const UNFINISHED = '.coffer.new.';

/** Folders alone, without anything in them, are what an older coffer left when it was killed. */
function requireNone(folder: string, name: string, stores: string): void {
  if (isFile(join(folder, '.nsc'))) {
    throw new StoreError('exists', `the operator ${quote(name)} exists already, in ${stores}`);
  }
  removeEmptyFolder(join(folder, 'accounts'));
  removeEmptyFolder(folder);
  if (!isFolder(folder) && !isFile(folder)) return;
  throw new StoreError(
    'exists',
    `${folder} is in the way of the operator ${quote(name)}, and is no operator's folder: move it away, or choose another name`,
  );
}

function parseMark(path: string, text: string): { name: string; managed: boolean } {
  try {
    const { name, kind, managed } = JSON.parse(text) as Record<string, unknown>;
    if (typeof name === 'string' && kind === 'operator') {
      return { name: checkName(name, 'an operator'), managed: managed === true };
    }
  } catch (error) {
    if (error instanceof StoreError) throw error;
  }
  throw new StoreError('damaged_store', `${path} is not what nsc writes: it should name the operator`);
}

function decoded<K extends 'operator' | 'account' | 'user'>(
  path: string,
  decode: (text: string) => Jwt<K>,
  { missing, remedy }: { readonly missing: string; readonly remedy: string },
): Jwt<K> {
  const text = readText(path);
  if (text === undefined) throw new StoreError('not_found', missing);
  try {
    return decode(text.trim());
  } catch (error) {
    throw new StoreError('damaged_store', `${path}: ${(error as Error).message}; ${remedy}`, {
      cause: error,
    });
  }
}

function scan<K extends 'account' | 'user'>(
  kind: K,
  names: readonly string[],
  read: (name: string) => Jwt<K>,
): Scan<K> {
  const tokens: { name: string; jwt: Jwt<K> }[] = [];
  const damaged: DamagedToken[] = [];
  for (const name of names) {
    try {
      tokens.push({ name, jwt: read(name) });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // Deleted since it was listed.
      if (error.code !== 'not_found') damaged.push({ kind, name, problem: error.message });
    }
  }
  return { tokens, damaged };
}

const quote = (name: string): string => JSON.stringify(name);
