import { type FSWatcher, watch } from 'node:fs';

/** Two looks find a change that stays, within a second. */
const EVERY_MS = 450;
/** One change makes several events. */
const SETTLE_MS = 10;

/**
 * Looks at files again and again, and as soon as the system tells that something happened in their folders: no event tells of
 * every way in which a file changes, nor on every file system. It does so as long as somebody wants to hear of changes, and keeps
 * no process alive.
 */
export class Poll {
  readonly #look: () => Promise<void>;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #listeners = new Set<(account?: string) => void>();
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #looking = false;
  #again = false;

  /** @param look what it throws is forgotten: the next look may go better */
  constructor(look: () => Promise<void>) {
    this.#look = look;
  }

  get running(): boolean {
    return this.#timer !== undefined;
  }

  /** As `AccountResolver.watch`: calls `changed` with what `tell` is given, until the answer is called. */
  subscribe(changed: (account?: string) => void): () => void {
    this.#listeners.add(changed);
    this.#start();
    return () => {
      this.#listeners.delete(changed);
      if (this.#listeners.size === 0) this.#stop();
    };
  }

  tell(account: string): void {
    for (const listener of [...this.#listeners]) listener(account);
  }

  close(): void {
    this.#listeners.clear();
    this.#stop();
  }

  #start(): void {
    if (this.running) return;
    this.#timer = setInterval(() => void this.#now(), EVERY_MS).unref();
    void this.#now();
  }

  #stop(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#soon);
    this.#timer = undefined;
    this.#soon = undefined;
    for (const watcher of this.#watchers.values()) watcher.close();
    this.#watchers.clear();
  }

  /** Listens to what happens in these folders, and in no others. */
  listenTo(folders: ReadonlySet<string>): void {
    if (!this.running) return;
    for (const [folder, watcher] of this.#watchers) {
      if (!folders.has(folder)) this.#drop(folder, watcher);
    }
    for (const folder of folders) if (!this.#watchers.has(folder)) this.#listen(folder);
  }

  #listen(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, () => {
        this.#soon ??= setTimeout(() => void this.#now(), SETTLE_MS).unref();
      });
      watcher.on('error', () => this.#drop(folder, watcher));
      this.#watchers.set(folder, watcher);
    } catch {
      // Not there, or too many: looking finds the changes, too.
    }
  }

  #drop(folder: string, watcher: FSWatcher): void {
    watcher.close();
    if (this.#watchers.get(folder) === watcher) this.#watchers.delete(folder);
  }

  /** A disk that does not answer is not asked again until it does. */
  async #now(): Promise<void> {
    clearTimeout(this.#soon);
    this.#soon = undefined;
    this.#again = this.#looking;
    if (this.#looking) return;
    this.#looking = true;
    do {
      this.#again = false;
      await this.#look().catch(() => {});
    } while (this.#again && this.running);
    this.#looking = false;
  }
}
