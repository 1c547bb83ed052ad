import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LookupError } from '../lookups.js';
import type { AccountResolver } from '../options.js';
import { isAccountKey } from '../tokens.js';
import { Poll } from './poll.js';
import { ABSENT, type Found, fingerprintOf, ifThere, readTokenFile } from './token-file.js';

/** While it is watched, what was found by the last look is the answer, unless that was too long ago. */
const FRESH_MS = 2_000;
/** Of accounts that were asked for in vain, so many are looked at again. */
const MOST_ABSENT = 128;
/** So many files are looked at at a time. */
const AT_ONCE = 16;
const ENDING = '.jwt';

/**
 * Takes the accounts from a folder as nats-server's full resolver keeps it: `<dir>/<account>.jwt`, or `<dir>/<last two
 * characters of the account>/<account>.jwt`. Changes to what was asked for are noticed within a second.
 *
 * Source of the layout: nats-server (`server/dirstore.go`).
 */
export function folderResolver(dir: string): Required<AccountResolver> {
  return new FolderResolver(dir);
}

interface Asked extends Found {
  readonly path: string;
  readonly lookedAt: number;
}

class FolderResolver implements Required<AccountResolver> {
  readonly #dir: string;
  readonly #poll = new Poll(() => this.#look());
  /** By account. */
  readonly #asked = new Map<string, Asked>();

  constructor(dir: string) {
    this.#dir = dir;
  }

  lookup(account: string): string | undefined | Promise<string | undefined> {
    if (!isAccountKey(account)) return undefined;
    const asked = this.#asked.get(account);
    const fresh = asked && this.#poll.running && performance.now() - asked.lookedAt < FRESH_MS;
    return fresh ? asked.text : this.#read(account).then(({ text }) => text);
  }

  async accounts(): Promise<readonly string[]> {
    const names = await ifThere(readdir(this.#dir, { withFileTypes: true }));
    if (names === undefined) throw missing();
    const shards = names.filter((entry) => entry.isDirectory() && entry.name.length === 2);
    const inShards = shards.map(async ({ name }) => (await ifThere(readdir(join(this.#dir, name)))) ?? []);
    const files = [...names.map(({ name }) => name), ...(await Promise.all(inShards)).flat()];
    const keys = files.filter((name) => name.endsWith(ENDING)).map((name) => name.slice(0, -ENDING.length));
    return [...new Set(keys.filter(isAccountKey))];
  }

  watch(changed: (account?: string) => void): () => void {
    return this.#poll.subscribe(changed);
  }

  async close(): Promise<void> {
    this.#poll.close();
  }

  #paths(account: string): [string, string] {
    const name = `${account}${ENDING}`;
    return [join(this.#dir, name), join(this.#dir, account.slice(-2), name)];
  }

  async #read(account: string): Promise<Asked> {
    const lookedAt = performance.now();
    const [plain, sharded] = this.#paths(account);
    let found = await readTokenFile(plain);
    const path = found === ABSENT ? sharded : plain;
    if (found === ABSENT) found = await readTokenFile(sharded);
    if (found === ABSENT && (await fingerprintOf(this.#dir)) === '') throw missing();
    const asked = { ...found, path, lookedAt };
    this.#asked.set(account, asked);
    this.#forgetAbsent();
    return asked;
  }

  #forgetAbsent(): void {
    const absent = [...this.#asked].filter(([, { text }]) => text === undefined);
    for (const [account] of absent.slice(0, -MOST_ABSENT)) this.#asked.delete(account);
  }

  async #look(): Promise<void> {
    this.#poll.listenTo(new Set([this.#dir, ...[...this.#asked.values()].map(({ path }) => dirname(path))]));
    const left = this.#asked.entries();
    const take = async () => {
      for (const [account, asked] of left) await this.#lookAt(account, asked).catch(() => {});
    };
    await Promise.all(Array.from({ length: AT_ONCE }, take));
  }

  async #lookAt(account: string, asked: Asked): Promise<void> {
    const lookedAt = performance.now();
    const [plain, sharded] = await Promise.all(this.#paths(account).map(fingerprintOf));
    // As `#read` goes: a file in a shard counts where there is no other.
    if ((plain || sharded) === asked.fingerprint) {
      if (this.#asked.get(account) === asked) this.#asked.set(account, { ...asked, lookedAt });
      return;
    }
    try {
      if ((await this.#read(account)).text === asked.text) return;
    } catch (error) {
      // What cannot be read for another reason is asked for again before it is too old.
      if (!(error instanceof LookupError)) return;
      this.#asked.delete(account);
    }
    this.#poll.tell(account);
  }
}

const missing = (): LookupError => new LookupError('the folder of accounts is not there');
