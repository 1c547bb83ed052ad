import type { ClientToken } from './login.js';

/**
 * Ends tokens that were given up for others, some time later: what is under way with them is done by then. Vault would keep each
 * for its whole lease.
 */
export class Farewells {
  readonly #end: (client: ClientToken) => Promise<void>;
  readonly #graceMs: number;
  readonly #waiting = new Map<ClientToken, NodeJS.Timeout>();

  constructor(end: (client: ClientToken) => Promise<void>, graceMs: number) {
    this.#end = end;
    this.#graceMs = graceMs;
  }

  later(client: ClientToken): void {
    const end = () => {
      this.#waiting.delete(client);
      void this.#end(client);
    };
    this.#waiting.set(client, setTimeout(end, this.#graceMs).unref());
  }

  /** Ends those that wait, and these. */
  async now(clients: readonly ClientToken[]): Promise<void> {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const [, timer] of waiting) clearTimeout(timer);
    await Promise.all([...waiting.map(([client]) => client), ...clients].map(this.#end));
  }
}
