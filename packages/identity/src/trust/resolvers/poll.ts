import { type FSWatcher, watch } from 'node:fs';

/** Two looks find a change that stays, within a second. */
const EVERY_MS = 450;
/** One change makes several events. */
const SETTLE_MS = 10;

/**
 * Looks at files again and again, and as soon as the system tells that something happened in their folders: no event tells of
 * every way in which a file changes, nor on every file system. Keeps no process alive.
 */
export class Poll {
  readonly #look: () => Promise<void>;
  readonly #watchers = new Map<string, FSWatcher>();
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

  start(): void {
    if (this.running) return;
    this.#timer = setInterval(() => void this.#now(), EVERY_MS).unref();
    void this.#now();
  }

  stop(): void {
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
