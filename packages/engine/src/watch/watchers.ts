import { setImmediate as turn } from 'node:timers/promises';

import type { Caller } from '../caller.js';
import { CofferError } from '../errors.js';
import type { Gate } from '../gate.js';
import { listed } from '../names.js';
import { Pattern } from '../patterns.js';
import { Watch, type WatchEvent, type WatchParts } from './watch.js';

const HEARTBEAT_MS = 15_000;
/** How many patterns a watcher may have, and how long each may be. */
export const WATCH_PATTERNS = 32;
const PATTERN_BYTES = 1_024;
/** How many are woken, or only look whether there is something for them, within a turn of the event loop, so that others are served in between. */
const WOKEN_AT_ONCE = 32;
const LOOKING_AT_ONCE = 256;

export interface WatchLimits {
  /** How many watchers there may be at one time. */
  readonly watchers: number;
  /** How many of them one principal may have. */
  readonly watchersPerPrincipal: number;
  /** How many the users of one NATS account may have together: who holds its key can make as many users as he likes. */
  readonly watchersPerAccount: number;
}

export const DEFAULT_WATCH_LIMITS: WatchLimits = {
  watchers: 2_048,
  watchersPerPrincipal: 512,
  watchersPerAccount: 1_024,
};

export interface WatchOptions {
  /** Patterns of names, at most {@link WATCH_PATTERNS}; none: all secrets. */
  readonly secrets?: readonly string[] | undefined;
  /** The id of the last event that was taken, to go on from there. */
  readonly since?: string | undefined;
  /** Aborted when the reader has gone. */
  readonly signal?: AbortSignal | undefined;
  /** A heartbeat comes when there was nothing else for so long, in milliseconds; default 15 s. */
  readonly heartbeatMs?: number | undefined;
}

/** Everybody who watches. A watcher takes the same memory however much happens and however slowly it reads. */
export class Watchers {
  readonly #parts: WatchParts;
  readonly #gate: Gate;
  readonly #limits: WatchLimits;
  readonly #watches = new Set<Watch>();
  /** How many of them each principal has, and each account. */
  readonly #counts = new Map<string, number>();
  #waking = false;
  /** What they are to be told of next. */
  #next: 'changes' | 'callers' | undefined;
  #closed = false;

  constructor(parts: WatchParts, gate: Gate, limits: WatchLimits) {
    this.#parts = parts;
    this.#gate = gate;
    this.#limits = limits;
    parts.feed.subscribe((name) => void this.#tellAll(name === undefined ? 'callers' : 'changes'));
    parts.administration.onChange = (what) => {
      if (what === 'grants') parts.feed.grantsChanged();
      else this.recheck();
    };
  }

  /** Some callers may not be who they were. */
  recheck(): void {
    void this.#tellAll('callers');
  }

  get count(): number {
    return this.#watches.size;
  }

  /** Ends all of them; no new one is let in. */
  close(): void {
    this.#closed = true;
    for (const watch of this.#watches) watch.stop();
  }

  /**
   * Tells changes as they become visible. The opening is audited before anything is told.
   *
   * @throws CofferError `invalid_argument`, `access_denied` for who may `get` nothing at all, `busy`, `stopped`
   */
  async *watch(caller: Caller, options: WatchOptions): AsyncGenerator<WatchEvent, void> {
    const { secrets = [], since, signal, heartbeatMs = HEARTBEAT_MS } = options;
    const patterns = patternsOf(secrets);
    const watch = new Watch(this.#parts, { caller, patterns, since, signal, heartbeatMs });
    const asked = { caller, action: 'watch', target: listed(secrets) || '*' } as const;
    if (!watch.entitled) await this.#gate.deny(asked);
    this.#admit(watch);
    try {
      await this.#gate.allow(asked);
      yield* watch.events();
    } finally {
      this.#dismiss(watch);
    }
  }

  #admit(watch: Watch): void {
    if (this.#closed) throw new CofferError('stopped', 'the server is shutting down');
    const { watchers } = this.#limits;
    const holders = holdersOf(watch);
    for (const [id, limit] of holders) {
      const own = this.#counts.get(id) ?? 0;
      if (own >= this.#limits[limit])
        throw tooMany(`${id} has ${own} watchers, as many as it may`, `limits.${limit}`);
    }
    if (this.#watches.size >= watchers) {
      throw tooMany(`there are ${watchers} watchers, as many as there may be`, 'limits.watchers');
    }
    this.#watches.add(watch);
    for (const [id] of holders) this.#counts.set(id, (this.#counts.get(id) ?? 0) + 1);
  }

  #dismiss(watch: Watch): void {
    this.#watches.delete(watch);
    for (const [id] of holdersOf(watch)) {
      const others = (this.#counts.get(id) ?? 1) - 1;
      if (others > 0) this.#counts.set(id, others);
      else this.#counts.delete(id);
    }
  }

  async #tellAll(what: 'changes' | 'callers'): Promise<void> {
    if (this.#next !== 'callers') this.#next = what;
    if (this.#waking) return;
    this.#waking = true;
    let busy = 0;
    while (this.#next !== undefined) {
      const news = this.#next;
      this.#next = undefined;
      for (const watch of this.#watches) {
        busy += watch.notice(news) ? 1 / WOKEN_AT_ONCE : 1 / LOOKING_AT_ONCE;
        if (busy < 1) continue;
        busy = 0;
        await turn();
      }
    }
    this.#waking = false;
  }
}

/** For whom a watcher counts: its principal, and the account that a NATS user is of. */
function holdersOf({
  principal,
}: Watch): (readonly [id: string, limit: Exclude<keyof WatchLimits, 'watchers'>])[] {
  const account = /^nats:[^/]+(?=\/)/.exec(principal)?.[0];
  const own = [principal, 'watchersPerPrincipal'] as const;
  return account === undefined ? [own] : [own, [account, 'watchersPerAccount']];
}

const tooMany = (what: string, limit: string) =>
  new CofferError('busy', `${what} (${limit}): end some, then try again`);

function patternsOf(secrets: readonly string[]): Pattern[] {
  if (secrets.length > WATCH_PATTERNS) {
    throw new CofferError('invalid_argument', `a watch has at most ${WATCH_PATTERNS} patterns`);
  }
  for (const pattern of secrets) {
    if (pattern === '' || !pattern.isWellFormed() || Buffer.byteLength(pattern) > PATTERN_BYTES) {
      throw new CofferError('invalid_argument', `a pattern has 1 to ${PATTERN_BYTES} bytes`);
    }
  }
  return secrets.map((pattern) => new Pattern(pattern));
}
