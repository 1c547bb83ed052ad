import type { Patience } from './http.js';
import type { ClientToken } from './login.js';

/** So many are ended at the same time: there may be thousands, and gets are not to wait behind them. */
const AT_ONCE = 32;
/** So long a token may take to be ended, and at the end of the source all of them. */
const EACH_MS = 2_000;
/** Of those that failed; more are left to their leases. */
const MOST = 20_000;

export interface FarewellsOptions {
  /** What is under way with a token is done by then. */
  readonly graceMs: number;
  readonly onNotice: (sentence: string) => void;
}

/**
 * Ends tokens that were given up for others, or whose owner was revoked, some time later: what is under way with them is done by
 * then. Vault would keep each for its whole lease.
 */
export class Farewells {
  readonly #end: (client: ClientToken, patience: Patience) => Promise<boolean>;
  readonly #options: FarewellsOptions;
  readonly #waiting = new Map<ClientToken, NodeJS.Timeout>();
  readonly #workers = new Set<Promise<void>>();
  #due: ClientToken[] = [];
  #failed: ClientToken[] = [];
  /** Of those that failed since all were ended, a person knows. */
  #told = false;

  /** @param end whether Vault has answered */
  constructor(end: (client: ClientToken, patience: Patience) => Promise<boolean>, options: FarewellsOptions) {
    this.#end = end;
    this.#options = options;
  }

  later(client: ClientToken): void {
    const due = () => {
      this.#waiting.delete(client);
      this.#begin([client]);
    };
    this.#waiting.set(client, setTimeout(due, this.#options.graceMs).unref());
  }

  /** Tries those once more that Vault could not be made to end, but for those whose lease is over. */
  again(): void {
    const now = performance.now();
    const left = this.#failed.filter(({ leaseEnd }) => now < leaseEnd);
    this.#failed = [];
    if (left.length === 0) this.#told = false;
    this.#begin(left);
  }

  /** Ends those that wait, and these. */
  async now(clients: readonly ClientToken[]): Promise<void> {
    for (const timer of this.#waiting.values()) clearTimeout(timer);
    const all = [...this.#waiting.keys(), ...this.#due, ...this.#failed, ...clients];
    this.#waiting.clear();
    [this.#due, this.#failed] = [[], []];
    // What fails now is not tried again.
    this.#told = true;
    const patience = { until: performance.now() + EACH_MS };
    await Promise.all([...all.map((client) => this.#end(client, patience)), ...this.#workers]);
  }

  #begin(clients: readonly ClientToken[]): void {
    this.#due.push(...clients);
    while (this.#workers.size < AT_ONCE && this.#due.length > 0) {
      const worker: Promise<void> = this.#work().finally(() => {
        this.#workers.delete(worker);
        if (this.#workers.size === 0) this.#tell();
      });
      this.#workers.add(worker);
    }
  }

  async #work(): Promise<void> {
    for (let client = this.#due.pop(); client !== undefined; client = this.#due.pop()) {
      const isEnded = await this.#end(client, { until: performance.now() + EACH_MS });
      if (!isEnded && this.#failed.length < MOST) this.#failed.push(client);
    }
  }

  #tell(): void {
    const { length } = this.#failed;
    if (length > 0 && !this.#told) {
      this.#options.onNotice(
        `Vault could not be made to end ${length === 1 ? 'a token' : `${length} tokens`} that coffer has given up, or whose owner was revoked. ` +
          'That is tried again each minute until their leases end; `vault lease revoke -prefix auth/METHOD/login` ends all of an auth method.',
      );
    }
    this.#told = length > 0;
  }
}
