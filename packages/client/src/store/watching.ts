import { CofferClientError } from '../errors.js';
import { LONGEST_TIMER_MS } from '../http/pause.js';
import type { SecretInfo, WatchEvent } from '../types.js';
import { asClientError, type Events } from './events.js';
import type { Held } from './held.js';
import type { Holdings } from './holdings.js';
import type { StoreClient } from './options.js';
import { backOff, Pause } from './waiting.js';
import { covers, watchPatterns } from './watch-patterns.js';

const LONGEST_PAUSE_MS = 60_000;
/** A refusal is waited out as if so many tries had failed before: some seconds at first. */
const REFUSED_TRIES = 4;
/** Secrets that are looked up in a row are watched together. */
const WIDEN_MS = 50;
/** In a time like this a secret is not deleted and made anew by chance. */
const LATE_MS = 5_000;
/** What may be over in a moment. For the rest a person has to do something. */
const PASSING: ReadonlySet<string> = new Set(['unreachable', 'timeout', 'stopped', 'stale', 'rate_limited']);

/**
 * Called with the secrets that may be others now.
 *
 * @param doubtful even where the number of the active version is the same
 * @param info if there is one secret, what it is now
 */
export type OnChange = (names: readonly string[], doubtful: boolean, info?: SecretInfo) => void;

/** Hears what the server pushes of the secrets that are held, and begins anew whenever that ends. */
export class Watching {
  /** Changes are told at this moment. */
  live = false;
  readonly #client: StoreClient;
  readonly #holdings: Holdings;
  readonly #events: Events;
  readonly #onChange: OnChange;
  readonly #pause = new Pause();
  #stop = new AbortController();
  #patterns: readonly string[] = [];
  /** Secrets of which nothing was missed since the last `ready`. */
  #covered: ReadonlySet<string> = new Set();
  #since: string | undefined;
  /** How many resets came with little between them, and when the latest did. */
  #resets = 0;
  #latestReset = Number.NEGATIVE_INFINITY;
  #resetting: NodeJS.Timeout | undefined;
  #widening: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(client: StoreClient, holdings: Holdings, events: Events, onChange: OnChange) {
    this.#client = client;
    this.#holdings = holdings;
    this.#events = events;
    this.#onChange = onChange;
  }

  async run(): Promise<void> {
    for (let failures = 0; this.#client.watch && !this.#closed; ) {
      this.#stop = new AbortController();
      const { signal } = this.#stop;
      try {
        this.#patterns = watchPatterns(this.#holdings.names);
        // Without a pattern it would be a watch of everything.
        if (this.#patterns.length === 0) {
          await this.#pause.wait(LONGEST_PAUSE_MS);
          continue;
        }
        for await (const event of this.#watch(signal)) {
          if (signal.aborted) break;
          failures = 0;
          this.#hear(event);
        }
        throw new CofferClientError('unreachable', 'the watch ended');
      } catch (caught) {
        if (signal.aborted) continue;
        const error = asClientError(caught);
        this.#lost(error);
        const refused = error.code === 'unauthenticated' || error.code === 'access_denied';
        if (refused) {
          // What it may not be told of may be refused too, and nobody tells when that is over.
          this.#covered = new Set();
          this.#onChange(this.#holdings.names, false);
        }
        const passes = PASSING.has(error.code) || (error.status ?? 0) >= 500;
        if (refused) failures = Math.max(failures, REFUSED_TRIES);
        const pause = backOff(passes || refused ? failures++ : Infinity, LONGEST_PAUSE_MS);
        // It may have been a proxy in the server's place: the next poll has it tried again.
        await this.#pause.wait(error.code === 'unsupported' ? LONGEST_TIMER_MS : pause);
      }
    }
  }

  /** One more secret is held. */
  widen(name: string): void {
    if (this.#closed || covers(this.#patterns, name)) return;
    this.#widening ??= setTimeout(() => {
      this.#widening = undefined;
      this.#stop.abort();
      this.wake();
    }, WIDEN_MS).unref();
  }

  /** Now is a good time to try again. */
  wake(): void {
    this.#pause.end();
  }

  close(): void {
    this.#closed = true;
    this.live = false;
    clearTimeout(this.#widening);
    clearTimeout(this.#resetting);
    this.#stop.abort();
    this.wake();
  }

  #watch(signal: AbortSignal): AsyncIterable<WatchEvent> {
    return this.#client.watch?.({
      secrets: this.#patterns,
      since: this.#since,
      signal,
      keepsAlive: false,
      onTrouble: (error) => signal.aborted || this.#lost(error),
      onRecovered: () => this.#recovered(),
    }) as AsyncIterable<WatchEvent>;
  }

  #lost(error: CofferClientError): void {
    this.live = false;
    this.#events.wrong(this, error);
  }

  #recovered(): void {
    this.live = !this.#closed;
    this.#events.over(this);
  }

  #hear(event: WatchEvent): void {
    const { names } = this.#holdings;
    if (event.type === 'ready') {
      const before = this.#covered;
      this.#covered = new Set(names);
      this.#recovered();
      // Between their fetch and this moment they may have changed, and after a while even be others of the same number.
      const missed = [...this.#holdings].filter(({ name }) => !before.has(name));
      const isLate = ({ since }: Held) => this.#holdings.now() - since > LATE_MS;
      for (const late of [true, false])
        this.#onChange(
          missed.filter((held) => isLate(held) === late).map(({ name }) => name),
          late,
        );
    } else if (event.type === 'reset') this.#reset();
    else this.#onChange([event.name], true, event.type === 'change' ? event : undefined);
    this.#since = event.id;
  }

  /** Has all read anew: at once, or, when one comes upon the other, after a pause that grows. */
  #reset(): void {
    for (const held of this.#holdings) held.doubtful = true;
    if (this.#resetting) return;
    const now = performance.now();
    if (now - this.#latestReset > LONGEST_PAUSE_MS) this.#resets = 0;
    this.#latestReset = now;
    const read = () => {
      this.#resetting = undefined;
      this.#onChange(this.#holdings.names, true);
    };
    if (this.#resets === 0) read();
    else this.#resetting = setTimeout(read, backOff(this.#resets - 1, LONGEST_PAUSE_MS)).unref();
    this.#resets++;
  }
}
