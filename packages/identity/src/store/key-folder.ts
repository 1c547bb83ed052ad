import { basename, dirname, join } from 'node:path';
import { type KeyPair, keyPairFromSeed } from '../keys/key-pair.js';
import { parsePublicKey } from '../keys/nkey.js';
import { formatCreds } from '../tokens/creds.js';
import { decodeUser } from '../tokens/jwt.js';
import { StoreError } from './errors.js';
import {
  isFile,
  listFolder,
  readBytes,
  removeDrafts,
  removeEmptyFolder,
  removeFile,
  removeFolder,
  writeFile,
} from './files.js';
import { checkName } from './names.js';

/**
 * nsc's folder of seeds and creds: `keys/<kind>/<2nd and 3rd character>/<public key>.nk` holds a seed, and
 * `creds/<operator>/<account>/<user>.creds` what a user connects with; both have mode 0600. Any other `.nk` or `.creds` in
 * there would keep nsc from working.
 *
 * Source: nats-io/nsc (`cmd/store/keys.go`).
 */
export class KeyFolder {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  pathOf(key: string): string {
    parsePublicKey(key);
    return join(this.folder, 'keys', key.slice(0, 1), key.slice(1, 3), `${key}.nk`);
  }

  has(key: string): boolean {
    return isFile(this.pathOf(key));
  }

  /**
   * The pair of a public key, for the receiver to wipe; nothing if its seed is not here.
   *
   * @throws StoreError `damaged_store` if the file holds something else
   */
  read(key: string): KeyPair | undefined {
    const path = this.pathOf(key);
    const bytes = readBytes(path, { secret: true });
    if (bytes === undefined) return undefined;
    try {
      const pair = keyPairFromSeed(trimmed(bytes));
      if (pair.publicKey === key) return pair;
      pair.wipe();
    } catch {
      // Told below: the reason could only say more of what is secret.
    } finally {
      bytes.fill(0);
    }
    throw new StoreError('damaged_store', `${path} does not hold the seed of the key that it is named after`);
  }

  /** Keeps a key, if it is not here yet, and answers with its path. */
  store(pair: KeyPair): string {
    const path = this.pathOf(pair.publicKey);
    const here = this.read(pair.publicKey);
    here?.wipe();
    if (here === undefined) {
      const seed = pair.seed();
      try {
        writeFile(path, seed, { fixed: true });
      } finally {
        seed.fill(0);
      }
    }
    return path;
  }

  /** Answers whether the key was here. */
  remove(key: string): boolean {
    const path = this.pathOf(key);
    const was = removeFile(path);
    removeDrafts(dirname(path), basename(path));
    removeEmptyFolder(dirname(path));
    return was;
  }

  /** The public keys of all seeds, as their files are called. */
  list(): string[] {
    const folder = join(this.folder, 'keys');
    const folders = (path: string) => listFolder(path).filter((entry) => entry.isFolder);
    return folders(folder)
      .flatMap((kind) => folders(join(folder, kind.name)).map((shard) => join(folder, kind.name, shard.name)))
      .flatMap((shard) => listFolder(shard))
      .filter((entry) => !entry.isFolder && entry.name.endsWith('.nk'))
      .map((entry) => entry.name.slice(0, -'.nk'.length));
  }

  credsPath(operator: string, account: string, user: string): string {
    return join(this.credsFolder(operator, account), `${checkName(user, 'a user')}.creds`);
  }

  credsFolder(operator: string, account: string): string {
    return join(this.folder, 'creds', checkName(operator, 'an operator'), checkName(account, 'an account'));
  }

  /**
   * Makes a creds file of a user's token and the seed that is here.
   *
   * @returns its bytes, for the receiver to wipe; nothing if the seed is not here
   */
  formatCreds(token: string): Uint8Array | undefined {
    using pair = this.read(decodeUser(token).claims.sub);
    if (pair === undefined) return undefined;
    const seed = pair.seed();
    try {
      return formatCreds(token, seed);
    } finally {
      seed.fill(0);
    }
  }

  /** Writes a user's creds file and answers with its path; nothing if the user's seed is not here. */
  writeCreds(operator: string, account: string, user: string, token: string): string | undefined {
    const path = this.credsPath(operator, account, user);
    const bytes = this.formatCreds(token);
    if (bytes === undefined) return undefined;
    try {
      writeFile(path, bytes, { fixed: true });
    } finally {
      bytes.fill(0);
    }
    return path;
  }

  removeCreds(operator: string, account: string, user: string): boolean {
    const path = this.credsPath(operator, account, user);
    const was = removeFile(path);
    removeDrafts(dirname(path), `.${basename(path)}`);
    return was;
  }

  /** Removes the seeds and creds that a command had half written when it was killed. */
  removeDrafts(): void {
    removeDrafts(join(this.folder, 'keys'), '.nk');
    removeDrafts(join(this.folder, 'creds'), '.creds');
  }

  removeCredsOf(operator: string, account?: string): void {
    removeFolder(
      account === undefined
        ? join(this.folder, 'creds', checkName(operator, 'an operator'))
        : this.credsFolder(operator, account),
    );
  }
}

/** A seed that a person wrote with an editor has a line feed behind it. */
function trimmed(bytes: Buffer): Buffer {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] as number) <= 0x20) end--;
  return bytes.subarray(0, end);
}

/** Reads a seed from a file, such as `-K` names: one bare, or one between lines of dashes as in a creds file. */
export function keyPairFromFile(path: string): KeyPair | undefined {
  const bytes = readBytes(path);
  if (bytes === undefined) return undefined;
  try {
    const at = bytes.indexOf(' SEED-----');
    // Behind the line, which on Windows ends with a carriage return, too.
    const from = at < 0 ? 0 : bytes.indexOf('\n', at) + 1;
    const end = at < 0 ? -1 : bytes.indexOf('\n', from);
    return keyPairFromSeed(trimmed(bytes.subarray(from, end < 0 ? bytes.length : end)));
  } catch {
    throw new StoreError('no_key', `${path} holds no seed: it is 58 characters that begin with S`);
  } finally {
    bytes.fill(0);
  }
}
