import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LookupError } from '../lookups.js';
import type { AccountResolver } from '../options.js';
import { Poll } from './poll.js';
import { ABSENT, type Found, fingerprintOf, ifThere, readTokenFile } from './token-file.js';

/** While it is watched, what was found by the last look is the answer, unless that was too long ago. */
const FRESH_MS = 2_000;

/**
 * Takes the accounts from the folder of one operator in an nsc store: `<dir>/accounts/<name>/<name>.jwt`. Changes are noticed
 * within a second; of several tokens of one account the newest counts.
 *
 * Source of the layout: nsc's store (`cmd/store/store.go`).
 */
export function storeResolver(dir: string): Required<AccountResolver> {
  return new StoreResolver(join(dir, 'accounts'));
}

class StoreResolver implements Required<AccountResolver> {
  readonly #dir: string;
  readonly #poll = new Poll(() => this.#look());
  #files: ReadonlyMap<string, Found> = new Map();
  #texts: ReadonlyMap<string, string> = new Map();
  /** Nothing was delivered before the first look. */
  #lookedBefore = false;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #looking: Promise<void> | undefined;

  constructor(dir: string) {
    this.#dir = dir;
  }

  lookup(account: string): string | undefined | Promise<string | undefined> {
    if (this.#isFresh()) return this.#texts.get(account);
    return this.#look().then(() => this.#texts.get(account));
  }

  async accounts(): Promise<readonly string[]> {
    if (!this.#isFresh()) await this.#look();
    return [...this.#texts.keys()];
  }

  watch(changed: (account?: string) => void): () => void {
    return this.#poll.subscribe(changed);
  }

  async close(): Promise<void> {
    this.#poll.close();
  }

  #isFresh(): boolean {
    return this.#poll.running && performance.now() - this.#lookedAt < FRESH_MS;
  }

  #look(): Promise<void> {
    this.#looking ??= this.#lookOnce().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #lookOnce(): Promise<void> {
    const began = performance.now();
    const names = await ifThere(readdir(this.#dir));
    const files = new Map<string, Found>();
    let failure = names === undefined ? new LookupError('the folder of accounts is not there') : undefined;
    for (const name of names ?? []) {
      const path = join(this.#dir, name, `${name}.jwt`);
      const before = this.#files.get(path) ?? ABSENT;
      try {
        files.set(
          path,
          (await fingerprintOf(path)) === before.fingerprint ? before : await readTokenFile(path),
        );
      } catch (error) {
        // The others are looked at all the same.
        failure = error as Error;
        files.set(path, before);
      }
    }
    this.#poll.listenTo(new Set([this.#dir, ...(names ?? []).map((name) => join(this.#dir, name))]));
    this.#files = files;
    this.#lookedAt = failure ? Number.NEGATIVE_INFINITY : began;
    this.#install(newestOf(files.values()));
    if (failure) throw failure;
  }

  #install(texts: ReadonlyMap<string, string>): void {
    const before = this.#texts;
    this.#texts = texts;
    if (!this.#lookedBefore) {
      this.#lookedBefore = true;
      return;
    }
    const changed = new Set([...before.keys(), ...texts.keys()]);
    for (const account of changed) {
      if (before.get(account) === texts.get(account)) continue;
      this.#poll.tell(account);
    }
  }
}

function newestOf(files: Iterable<Found>): Map<string, string> {
  const newest = new Map<string, { readonly iat: number; readonly text: string }>();
  for (const { token } of files) {
    if (token && token.iat >= (newest.get(token.key)?.iat ?? 0)) newest.set(token.key, token);
  }
  return new Map([...newest].map(([key, { text }]) => [key, text]));
}
