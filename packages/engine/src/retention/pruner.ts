import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';

import type { CofferError } from '../errors.js';
import type { Head } from '../head.js';
import type { Duty } from '../instances/duty.js';
import { isConflict } from '../overtaken.js';
import type { Feed } from '../watch/feed.js';
import { type PruneContext, prune } from './prune.js';
import { Retention, type RetentionRule } from './rules.js';

/** Time passes for versions that nobody touches. */
const INTERVAL_MS = 60 * 60 * 1_000;
/** Changes of secrets are gathered for so long. */
const GATHERED_MS = 250;
/** With more of them, all secrets are looked at. */
const GATHERED = 1_000;
/** How many secrets are looked at within a turn of the event loop. */
const LOOKED_AT = 500;
/** Between two changes of its own, so that those of others come first. */
const PAUSE_MS = 5;

export interface PrunerContext extends PruneContext {
  readonly feed: Feed;
  /** Undefined while nothing can be said of ages. */
  readonly now: () => Date | undefined;
  /** Whether it is for this instance to do, of those that share the store. */
  readonly duty: Duty;
  /** Runs a change that the end of the engine waits for; rejects when there is to be none. */
  run<T>(task: () => Promise<T>): Promise<T>;
}

/** Drops versions that the rules do not keep: at the start, hourly, and a moment after a secret has changed. */
export class Pruner {
  readonly #context: PrunerContext;
  readonly #changed = new Set<string>();
  readonly #interval: NodeJS.Timeout;
  #retention = new Retention([]);
  #gathering: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(context: PrunerContext) {
    this.#context = context;
    context.feed.subscribe((name) => {
      if (name !== undefined) this.#gather(name);
    });
    this.#interval = setInterval(() => this.begin(), INTERVAL_MS);
    this.#interval.unref();
  }

  /**
   * Rules in place of those before, with effect in a moment.
   *
   * @throws CofferError `invalid_argument`
   */
  setRules(rules: readonly RetentionRule[]): void {
    this.#retention = new Retention(rules);
    this.begin();
  }

  /** Looks at every secret now if that is for this instance to do, without a word on what goes wrong. */
  begin(): void {
    if (this.#context.duty.isOurs) void this.all().catch(() => undefined);
  }

  /** Looks at every secret now, behind what is under way. Rejects with the first error, after it has tried all. */
  all(): Promise<void> {
    return this.#enqueue(() => this.#context.catalog.heads.names());
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#interval);
    clearTimeout(this.#gathering);
  }

  #gather(name: string): void {
    if (this.#retention.off || this.#closed || !this.#context.duty.isOurs) return;
    if (this.#changed.size <= GATHERED) this.#changed.add(name);
    if (this.#gathering) return;
    this.#gathering = setTimeout(() => {
      this.#gathering = undefined;
      const names = [...this.#changed];
      this.#changed.clear();
      const work = names.length > GATHERED ? this.all() : this.#enqueue(() => names);
      work.catch(() => undefined);
    }, GATHERED_MS);
    this.#gathering.unref();
  }

  #enqueue(names: () => readonly string[]): Promise<void> {
    const work = this.#running.then(() => this.#prune(names()));
    this.#running = work.catch(() => undefined);
    return work;
  }

  async #prune(names: readonly string[]): Promise<void> {
    const { catalog, now, run } = this.#context;
    let failure: unknown;
    let looked = 0;
    for (const name of this.#retention.off ? [] : names) {
      looked++;
      if (looked % LOOKED_AT === 0) await turn();
      try {
        for (;;) {
          const head = catalog.heads.live(name)?.head;
          if (this.#closed || !head || this.#retention.expired(head, now()).length === 0) break;
          const choose = (newest: Head) => this.#retention.expired(newest, now());
          await run(() => prune(this.#context, name, choose)).catch((error: unknown) => {
            // It is another secret now, and looked at anew.
            if (!isConflict(error)) throw error;
          });
          await delay(PAUSE_MS);
        }
      } catch (error) {
        // The next run tries again; a full disk or the end concerns the others, too.
        failure ??= error;
        const { code } = error as Partial<CofferError>;
        if (code === 'storage_full' || code === 'stopped' || code === 'io') break;
      }
    }
    if (failure) throw failure;
  }
}
