/** When requests were last opened with which transit key, since this process began. In memory only. */
export class TransitUse {
  readonly #now: () => Date;
  readonly #last = new Map<string, Date>();

  constructor(now: () => Date = () => new Date()) {
    this.#now = now;
  }

  used(publicKey: string): void {
    this.#last.set(publicKey, this.#now());
  }

  /** Undefined if it was not used since the process began. */
  lastUsed(publicKey: string): Date | undefined {
    return this.#last.get(publicKey);
  }
}
