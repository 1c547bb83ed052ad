import { hash } from 'node:crypto';

interface Kept<T> {
  readonly value: T;
  /** Of the token: what was made of it is of about that size. */
  readonly bytes: number;
  used: boolean;
}

/** What has been verified, by the SHA-256 of its token. Which of it counts, its user says: it looks at each again. */
export class TokenCache<T> {
  readonly #entries = new Map<string, Kept<T>>();
  readonly #most: number;
  readonly #mostBytes: number;
  #bytes = 0;

  constructor({ most, mostBytes }: { readonly most: number; readonly mostBytes: number }) {
    this.#most = most;
    this.#mostBytes = mostBytes;
  }

  get(token: string): T | undefined {
    const entry = this.#entries.get(digest(token));
    if (entry === undefined) return undefined;
    entry.used = true;
    return entry.value;
  }

  set(token: string, value: T): void {
    this.delete(token);
    this.#entries.set(digest(token), { value, bytes: token.length, used: false });
    this.#bytes += token.length;
    while (this.#entries.size > this.#most || this.#bytes > this.#mostBytes) this.#makeRoom();
  }

  delete(token: string): void {
    const key = digest(token);
    this.#bytes -= this.#entries.get(key)?.bytes ?? 0;
    this.#entries.delete(key);
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  /** The oldest goes, unless it was used since it was last looked at: then it is the newest. */
  #makeRoom(): void {
    for (const [key, entry] of this.#entries) {
      this.#entries.delete(key);
      if (!entry.used) {
        this.#bytes -= entry.bytes;
        return;
      }
      entry.used = false;
      this.#entries.set(key, entry);
    }
  }
}

/** Tokens are ASCII: no other text has the bytes of one. */
const digest = (token: string): string => hash('sha256', token, 'base64');
