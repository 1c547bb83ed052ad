import { Flights } from './flights.js';
import type { ClientToken } from './login.js';
import type { VaultOptions } from './options.js';

/** Of log-ins, the least recently used are given up. */
const MOST = 10_000;
/** Of one owner; then it is its own that are given up: the tokens of hosts, of which each is another log-in, anybody makes as he likes. */
const SHARE = 100;
/** So long after Vault refused what was asked with a token made for it, another one is not tried. */
const REST_MS = 10_000;

/** Whose log-in it is, and all that it says of who wants it, and where. */
export interface LoginKey {
  readonly owner: string;
  /** Of the owner. */
  readonly token: TokenIds;
  readonly text: string;
}

type IsRevoked = NonNullable<VaultOptions['revoked']>;
type TokenIds = Parameters<IsRevoked>[0];

/** A log-in to make use of. */
export interface Login {
  readonly key: LoginKey;
  readonly client: ClientToken;
  /** It was made for whoever asks here, or just now: what it cannot do, another one could not, either. */
  readonly fresh: boolean;
}

interface Kept extends Pick<LoginKey, 'owner' | 'token'> {
  readonly client: ClientToken;
  uses: number;
  /** As `performance.now()` counts: until then it is as good as another one. */
  restsUntil: number;
}

/**
 * Keeps Vault's client tokens until shortly before they end. Of many who want the same one at the same time, one logs in, and
 * all have it, or its error, which is not kept.
 */
export class LoginCache {
  readonly #bounds: { readonly most: number; readonly share: number };
  readonly #ended: (client: ClientToken) => void;
  readonly #kept = new Map<string, Kept>();
  /** Their keys, by owner. As above, the last in the order of insertion is the one used last. */
  readonly #owned = new Map<string, Set<string>>();
  readonly #flights = new Flights<Kept>();
  #closed = false;

  /** @param ended told of tokens that are given up before their time */
  constructor(ended: (client: ClientToken) => void = () => {}, bounds = { most: MOST, share: SHARE }) {
    this.#ended = ended;
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#kept.size;
  }

  async get(key: LoginKey, logIn: () => Promise<ClientToken>): Promise<Login> {
    for (;;) {
      const kept = this.#use(key.text);
      if (kept !== undefined) {
        return { key, client: kept.client, fresh: performance.now() < kept.restsUntil };
      }
      const made = await this.#flights.run(key.text, () => this.#make(key, logIn));
      // Of a token for few uses others may have taken the last.
      if (made.uses > 0) {
        made.uses--;
        return { key, client: made.client, fresh: true };
      }
    }
  }

  /** A token that Vault does not take: the next one who wants it logs in anew, unless another did so already. */
  drop({ key, client }: Login): void {
    if (this.#kept.get(key.text)?.client !== client) return;
    this.#remove(key.text);
    this.#ended(client);
  }

  /** Vault refuses what this log-in asks for, and another one would not help. */
  rest({ key, client }: Login): void {
    const kept = this.#kept.get(key.text);
    if (kept?.client === client) kept.restsUntil = performance.now() + REST_MS;
  }

  /** Gives up those whose time is over, and those of who is believed no more: nobody may ask for them again. */
  sweep(isRevoked: IsRevoked = () => false): void {
    const now = performance.now();
    for (const [text, { client, token }] of this.#kept) {
      if (now < client.until && !isRevoked(token)) continue;
      this.#remove(text);
      if (now < client.leaseEnd) this.#ended(client);
    }
  }

  /** Ends what is kept, and what is still to come. @returns all that is kept, once nothing is under way */
  async close(): Promise<readonly ClientToken[]> {
    this.#closed = true;
    await this.#flights.landed();
    const clients = [...this.#kept.values()].map(({ client }) => client);
    this.#kept.clear();
    this.#owned.clear();
    return clients;
  }

  #use(text: string): Kept | undefined {
    const kept = this.#kept.get(text);
    if (kept === undefined) return undefined;
    this.#remove(text);
    if (kept.uses <= 0 || performance.now() >= kept.client.until) return undefined;
    kept.uses--;
    this.#keep(text, kept);
    return kept;
  }

  async #make({ owner, token, text }: LoginKey, logIn: () => Promise<ClientToken>): Promise<Kept> {
    if (this.#closed) throw new Error('this source of secrets is closed');
    const client = await logIn();
    const kept = { owner, token, client, uses: client.uses, restsUntil: 0 };
    this.#keep(text, kept);
    const owned = this.#owned.get(owner) as Set<string>;
    if (owned.size > this.#bounds.share) this.#giveUp(owned);
    if (this.#kept.size > this.#bounds.most) this.#giveUp(this.#kept);
    return kept;
  }

  /** The first of these. */
  #giveUp(ordered: Set<string> | Map<string, unknown>): void {
    const [oldest] = ordered.keys();
    const kept = oldest === undefined ? undefined : this.#kept.get(oldest);
    if (oldest === undefined || kept === undefined) return;
    this.#remove(oldest);
    this.#ended(kept.client);
  }

  #keep(text: string, kept: Kept): void {
    this.#kept.set(text, kept);
    const owned = this.#owned.get(kept.owner) ?? new Set();
    this.#owned.set(kept.owner, owned.add(text));
  }

  #remove(text: string): void {
    const owner = this.#kept.get(text)?.owner;
    this.#kept.delete(text);
    const owned = owner === undefined ? undefined : this.#owned.get(owner);
    owned?.delete(text);
    if (owner !== undefined && owned?.size === 0) this.#owned.delete(owner);
  }
}
