import type { Link } from './link.js';

/** Nothing was heard for so long: the server may be cut off from the others. */
const MOVE_MS = 5_000;
const LOOK_MS = 1_000;

export interface MoveOnOptions {
  readonly link: Link;
  /** How long ago something of the stream was heard, in milliseconds. */
  readonly quiet: () => number;
  /** Beats are sent, and can be missed: none before the store is followed, nor while an alarm stops the reading. */
  readonly isFollowing: () => boolean;
  readonly isStopped: () => boolean;
}

/** Tries another server where one is connected to, and hears nothing from the others. */
export class MoveOn {
  readonly #options: MoveOnOptions;
  readonly #timer: NodeJS.Timeout;
  /** When the connection came or went, or was moved. */
  #since = performance.now();

  constructor(options: MoveOnOptions) {
    this.#options = options;
    options.link.onChange(() => {
      this.#since = performance.now();
    });
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const { link, quiet, isFollowing, isStopped } = this.#options;
    if (isStopped()) this.#since = performance.now();
    if (Math.min(quiet(), performance.now() - this.#since) < MOVE_MS || !isFollowing()) return;
    this.#since = performance.now();
    link.move();
  }
}
