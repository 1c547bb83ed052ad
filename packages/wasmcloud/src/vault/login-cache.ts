import { Flights } from './flights.js';
import type { ClientToken } from './login.js';

/** Of log-ins, the least recently used are given up. */
const MOST = 10_000;

/** A log-in to make use of. */
export interface Login {
  readonly key: string;
  readonly client: ClientToken;
  /** It was made for whoever asks here: what it cannot do, another one could not, either. */
  readonly fresh: boolean;
}

interface Kept {
  readonly client: ClientToken;
  uses: number;
}

/**
 * Keeps Vault's client tokens until shortly before they end. Of many who want the same one at the same time, one logs in, and
 * all have it, or its error, which is not kept.
 */
export class LoginCache {
  readonly #most: number;
  readonly #ended: (client: ClientToken) => void;
  readonly #kept = new Map<string, Kept>();
  readonly #flights = new Flights<Kept>();

  /** @param ended told of tokens that are given up before their time */
  constructor(ended: (client: ClientToken) => void = () => {}, most = MOST) {
    this.#ended = ended;
    this.#most = most;
  }

  get size(): number {
    return this.#kept.size;
  }

  /** @param key all that the log-in says of who wants it, and where */
  async get(key: string, logIn: () => Promise<ClientToken>): Promise<Login> {
    for (;;) {
      const kept = this.#use(key);
      if (kept !== undefined) return { key, client: kept.client, fresh: false };
      const made = await this.#flights.run(key, () => this.#make(key, logIn));
      // Of a token for few uses others may have taken the last.
      if (made.uses > 0) {
        made.uses--;
        return { key, client: made.client, fresh: true };
      }
    }
  }

  /** A token that Vault does not take: the next one who wants it logs in anew, unless another did so already. */
  drop({ key, client }: Login): void {
    if (this.#kept.get(key)?.client !== client) return;
    this.#kept.delete(key);
    this.#ended(client);
  }

  /** All that is kept, which then is no more. */
  clear(): readonly ClientToken[] {
    const clients = [...this.#kept.values()].map(({ client }) => client);
    this.#kept.clear();
    return clients;
  }

  #use(key: string): Kept | undefined {
    const kept = this.#kept.get(key);
    if (kept === undefined) return undefined;
    // The last in the order of insertion is the one used last.
    this.#kept.delete(key);
    if (kept.uses <= 0 || performance.now() >= kept.client.until) return undefined;
    kept.uses--;
    this.#kept.set(key, kept);
    return kept;
  }

  async #make(key: string, logIn: () => Promise<ClientToken>): Promise<Kept> {
    const client = await logIn();
    const kept = { client, uses: client.uses };
    this.#kept.set(key, kept);
    for (const [oldest, { client: given }] of this.#kept) {
      if (this.#kept.size <= this.#most) break;
      this.#kept.delete(oldest);
      this.#ended(given);
    }
    return kept;
  }
}
