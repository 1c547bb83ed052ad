import { setTimeout as delay } from 'node:timers/promises';

import { CofferError } from '../errors.js';

/** How long a turn may hold the event loop, in milliseconds: what a request may have to wait for it. */
export const TURN_MS = 2;
/** How many times longer than a turn a task rests that nobody waits for, … */
const REST = 4;
/** … and no task rests longer than this, in milliseconds, or on a slow disk it would last for ever. */
const REST_MAX = 100;
/** The process has other work when the event loop is busy for more than this part of a rest. */
const BUSY = 0.2;

/**
 * Keeps a background task from taking the event loop and the disk from requests: it works in turns and rests in between, long
 * while others are at work and hardly at all while nobody is.
 */
export class Pace {
  readonly #rest: number;
  #busy = true;

  /** @param rest how many times longer than a turn it rests while the process has other work */
  constructor(rest = REST) {
    this.#rest = rest;
  }

  /**
   * @param took milliseconds of the turn just ended, what it waited for the disk included
   * @throws CofferError `stopped` when the signal is aborted
   */
  async rest(took: number, signal: AbortSignal): Promise<void> {
    const before = performance.eventLoopUtilization();
    const milliseconds = this.#busy ? Math.min(Math.max(1, took * this.#rest), REST_MAX) : 1;
    await delay(milliseconds, undefined, { signal }).catch((cause: unknown) => {
      throw new CofferError('stopped', 'the server is shutting down', { cause });
    });
    this.#busy = performance.eventLoopUtilization(before).utilization > BUSY;
  }
}
