/** What has been verified, by the text of its token. Which count, their user says: it looks at each again. */
export class TokenCache<T> {
  readonly #entries = new Map<string, { readonly value: T; used: boolean }>();
  readonly #most: number;
  readonly #mostBytes: number;
  #bytes = 0;

  constructor({ most, mostBytes }: { readonly most: number; readonly mostBytes: number }) {
    this.#most = most;
    this.#mostBytes = mostBytes;
  }

  get(text: string): T | undefined {
    const entry = this.#entries.get(text);
    if (entry === undefined) return undefined;
    entry.used = true;
    return entry.value;
  }

  set(text: string, value: T): void {
    this.delete(text);
    // A string of its own: a part of another one would keep all of that.
    const key = Buffer.from(text, 'latin1').toString('latin1');
    this.#entries.set(key, { value, used: false });
    this.#bytes += key.length;
    while (this.#entries.size > this.#most || this.#bytes > this.#mostBytes) this.#makeRoom();
  }

  delete(text: string): void {
    if (this.#entries.delete(text)) this.#bytes -= text.length;
  }

  clear(): void {
    this.#entries.clear();
    this.#bytes = 0;
  }

  /** The oldest goes, unless it was used since it was last looked at: then it is the newest. */
  #makeRoom(): void {
    for (const [text, entry] of this.#entries) {
      this.#entries.delete(text);
      if (!entry.used) {
        this.#bytes -= text.length;
        return;
      }
      entry.used = false;
      this.#entries.set(text, entry);
    }
  }
}
