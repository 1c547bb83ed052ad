import type { Administration } from '../administration.js';
import type { Caller } from '../caller.js';
import type { Catalog } from '../catalog.js';
import type { Pattern } from '../patterns.js';
import type { Policy } from '../policy.js';
import type { SecretInfo } from '../secret.js';
import { infoOf } from '../secrets.js';
import type { Changed, Feed } from './feed.js';

/** Why a watch ends. */
export type WatchEnd = 'unauthenticated' | 'access_denied' | 'stopped' | 'stale';

/**
 * What a watcher is told:
 *
 * - `ready`, first: whatever changes from here on will be told;
 * - `change`: what a secret is now, and `delete`: there is none of this name now; both only of secrets that the caller may
 *   `get` at that moment;
 * - `reset`: changes were missed, or the caller's grants are others: read all anew;
 * - `heartbeat`: nothing happened;
 * - `end`, last.
 *
 * `id` is where to go on from when the event has been taken.
 */
export type WatchEvent =
  | { readonly kind: 'ready' | 'reset' | 'heartbeat'; readonly id: string }
  | { readonly kind: 'change'; readonly id: string; readonly secret: SecretInfo }
  | { readonly kind: 'delete'; readonly id: string; readonly name: string }
  | { readonly kind: 'end'; readonly code: WatchEnd; readonly message: string };

const END_MESSAGES: Readonly<Record<WatchEnd, string>> = {
  unauthenticated: 'the token or the identity has expired or was revoked',
  access_denied: 'no grant allows you to get any secret',
  stopped: 'the server is stopping',
  stale: 'this instance is cut off from the store, and may miss changes: watch at another one, or try again',
};

export interface WatchParts {
  readonly feed: Feed;
  readonly catalog: Catalog;
  readonly administration: Administration;
  readonly now: () => Date;
  /** False while what is here is too old to tell anything of it. */
  isFresh(): boolean;
}

/** What one watcher asked for. */
interface Asked {
  readonly caller: Caller;
  /** None: all secrets. */
  readonly patterns: readonly Pattern[];
  readonly since: string | undefined;
  /** The reader has gone. */
  readonly signal: AbortSignal | undefined;
  readonly heartbeatMs: number;
}

/**
 * One watcher: a place in the feed, and what the caller might see when it was there. Grants and tokens are looked at anew before
 * every event.
 */
export class Watch {
  readonly #parts: WatchParts;
  readonly #asked: Asked;
  readonly #missed: boolean;
  #sequence: number;
  #policy: Policy;
  #rights: readonly string[];
  #wake: () => void = () => undefined;
  #isQuiet = false;
  #stopped = false;

  /** From here on nothing is missed. */
  constructor(parts: WatchParts, asked: Asked) {
    const { feed, administration } = parts;
    this.#parts = parts;
    this.#asked = asked;
    const known = asked.since === undefined ? feed.sequence : feed.resume(asked.since);
    this.#missed = known === undefined;
    this.#sequence = known ?? feed.sequence;
    this.#policy = administration.policy;
    this.#rights = this.#policy.patternsOf(asked.caller, 'get');
  }

  /** The principal that it counts for. */
  get principal(): string {
    return this.#asked.caller.principals[0].id;
  }

  /** False if the caller may `get` nothing at all. */
  get entitled(): boolean {
    return this.#rights.length > 0;
  }

  /**
   * Secrets changed, or what callers may do. A change that is not for this watcher costs no more than a look.
   *
   * @returns whether it was woken
   */
  notice(what: 'changes' | 'callers'): boolean {
    const samePolicy = this.#parts.administration.policy === this.#policy;
    if (!this.#isQuiet || (what === 'changes' && samePolicy && !this.#find())) return false;
    this.#wake();
    return true;
  }

  stop(): void {
    this.#stopped = true;
    this.#wake();
  }

  async *events(): AsyncGenerator<WatchEvent, void> {
    const { signal, heartbeatMs } = this.#asked;
    const wake = () => this.#wake();
    signal?.addEventListener('abort', wake);
    try {
      yield { kind: 'ready', id: this.#id };
      if (this.#missed) yield this.#reset();
      let beatAt = performance.now() + heartbeatMs;
      while (!signal?.aborted) {
        const event = this.#next() ?? (await this.#quietUntil(beatAt));
        // That nothing happened is known only to who would know.
        if (!event || (event.kind === 'heartbeat' && !this.#parts.isFresh())) continue;
        yield event;
        if (event.kind === 'end') return;
        beatAt = performance.now() + heartbeatMs;
      }
    } finally {
      signal?.removeEventListener('abort', wake);
    }
  }

  #next(): WatchEvent | undefined {
    const changedRights = this.#readRights();
    const end = this.#end();
    if (end) return { kind: 'end', code: end, message: END_MESSAGES[end] };
    if (changedRights) return this.#reset();
    const found = this.#find();
    if (found === undefined) return undefined;
    if (found === 'lost') return this.#reset();
    this.#sequence = found.sequence;
    return this.#tell(found);
  }

  /** The next change that is to be told; `lost` if that is not known any more. Those before it are passed. */
  #find(): Changed | 'lost' | undefined {
    const { feed } = this.#parts;
    for (;;) {
      const next = feed.after(this.#sequence);
      if (next === 'lost' || (next && this.#concerns(next.name))) return next;
      this.#sequence = next?.sequence ?? feed.sequence;
      if (!next) return undefined;
    }
  }

  /** True if the caller's grants are others than at the last look. */
  #readRights(): boolean {
    const { policy } = this.#parts.administration;
    if (policy === this.#policy) return false;
    this.#policy = policy;
    const before = this.#rights;
    this.#rights = policy.patternsOf(this.#asked.caller, 'get');
    return JSON.stringify(before) !== JSON.stringify(this.#rights);
  }

  #end(): WatchEnd | undefined {
    if (this.#stopped) return 'stopped';
    if (!this.#parts.isFresh()) return 'stale';
    if (!this.#parts.administration.knows(this.#asked.caller)) return 'unauthenticated';
    return this.entitled ? undefined : 'access_denied';
  }

  #concerns(name: string): boolean {
    const { caller, patterns } = this.#asked;
    if (patterns.length > 0 && !patterns.some((pattern) => pattern.matches(name))) return false;
    return this.#policy.allows(caller, 'get', name);
  }

  #tell({ name }: Changed): WatchEvent {
    const entry = this.#parts.catalog.heads.live(name);
    return entry
      ? { kind: 'change', id: this.#id, secret: infoOf(entry) }
      : { kind: 'delete', id: this.#id, name };
  }

  #reset(): WatchEvent {
    this.#sequence = this.#parts.feed.sequence;
    return { kind: 'reset', id: this.#id };
  }

  get #id(): string {
    return this.#parts.feed.id(this.#sequence);
  }

  /** Waits until it is woken, a token or the identity of the caller's expires, or a heartbeat is due, which is the answer then. */
  async #quietUntil(beatAt: number): Promise<WatchEvent | undefined> {
    const { administration, now } = this.#parts;
    const expiry = administration.expiryOf(this.#asked.caller);
    const life = expiry ? expiry.getTime() - now().getTime() : Number.POSITIVE_INFINITY;
    const quiet = Math.max(0, beatAt - performance.now());
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(quiet, life));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      this.#isQuiet = true;
    });
    this.#isQuiet = false;
    this.#wake = () => undefined;
    return performance.now() >= beatAt ? { kind: 'heartbeat', id: this.#id } : undefined;
  }
}
