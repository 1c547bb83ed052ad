import { randomBytes } from 'node:crypto';
import { deferred } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import type { Freshness } from '../shared.js';
import { DEFAULT_BEAT_MS, DEFAULT_BOUND_MS, type JetStreamOptions } from './options.js';
import { SteadyClock } from './steady-clock.js';

/** Beats of which was not heard yet; older ones will not come, or tell nothing that a newer one does not. */
const AWAITED = 256;

export interface BeatsOptions extends Pick<JetStreamOptions, 'consistency' | 'allowStale' | 'beatMs'> {
  readonly clock?: SteadyClock;
}

/**
 * How old the replica is, by this instance's own beats: each is a message of a few bytes that goes into the stream and comes back
 * through the feed, behind all that was committed before it was sent. So when a beat has come back, the replica has all that was
 * acknowledged anywhere before the beat was *sent*, however long it was on its way, and whoever's clock says what.
 *
 * Life: `start` … `stop`, again and again.
 */
export class Beats implements Freshness {
  readonly #clock: SteadyClock;
  readonly #boundMs: number;
  readonly #latest: boolean;
  readonly #allowStale: boolean;
  readonly #beatMs: number;
  /** A beat of an earlier process of this instance is none of ours. */
  readonly #process = randomBytes(6).toString('hex');
  readonly #sent = new Map<string, Sent>();
  #count = 0;
  #mark = Number.NEGATIVE_INFINITY;
  #send: ((payload: string) => void) | undefined;
  #timer: NodeJS.Timeout | undefined;
  #members = 1;
  /** Reads that wait for a beat: on its way, and one that is still to be sent. */
  #underWay: Waiting | undefined;
  #next: Waiting | undefined;

  constructor(options: BeatsOptions) {
    const { consistency, allowStale = false, beatMs = DEFAULT_BEAT_MS, clock = new SteadyClock() } = options;
    this.#clock = clock;
    this.#latest = consistency === 'latest';
    this.#boundMs = consistency === 'latest' ? DEFAULT_BOUND_MS : consistency.bounded;
    this.#allowStale = allowStale;
    this.#beatMs = beatMs;
  }

  /** From now on beats are sent, the first at once. @param send publishes one; it may throw */
  start(send: (payload: string) => void): void {
    this.stop();
    this.#send = send;
    this.#tick();
  }

  /** No beat is sent while the stream cannot be reached, or cannot be believed. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#send = undefined;
    for (const waiting of [this.#underWay, this.#next]) waiting?.fail();
    this.#underWay = undefined;
    this.#next = undefined;
  }

  /** How many instances beat: the more, the more seldom each. */
  set members(count: number) {
    this.#members = Math.max(1, count);
  }

  /** Milliseconds between two beats; three fit into the bound, however many instances there are. */
  get interval(): number {
    const shared = Math.max(this.#beatMs, (this.#beatMs * this.#members) / 2);
    return Math.min(shared, this.#boundMs / 3);
  }

  /** A beat has come back, and all that lay before it in the stream is applied. */
  came(payload: string): void {
    const beat = this.#sent.get(payload);
    if (beat === undefined) return;
    for (const [older, { number }] of this.#sent) if (number <= beat.number) this.#sent.delete(older);
    if (beat.at > this.#mark) this.#mark = beat.at;
    const waiting = this.#underWay;
    if (!waiting || waiting.number > beat.number) return;
    this.#underWay = undefined;
    waiting.done();
    if (this.#next) this.#beatFor(this.#next);
  }

  mark(): number {
    return this.#mark;
  }

  age(): number {
    return this.#clock.now() - this.#mark;
  }

  require(mark: number): void {
    if (this.#allowStale || this.#clock.now() - mark <= this.#boundMs) return;
    throw stale(this.#clock.now() - mark);
  }

  ready(): void | Promise<void> {
    if (this.#allowStale) return;
    if (!this.#latest) return this.require(this.#mark);
    if (!this.#send) throw stale(this.age());
    // A beat that is under way was sent before this question, and may be behind what was acknowledged in between.
    this.#next ??= new Waiting(this.#boundMs, () => stale(this.age()));
    const waiting = this.#next;
    if (!this.#underWay) this.#beatFor(waiting);
    return waiting.promise;
  }

  /** Sends the beat for which reads wait: all those that ask in this turn, and those that asked while another was under way. */
  #beatFor(waiting: Waiting): void {
    this.#underWay = waiting;
    queueMicrotask(() => {
      if (this.#next === waiting) this.#next = undefined;
      waiting.number = this.#beat();
    });
    // One that is lost must not hold up those behind it.
    waiting.promise
      .catch(() => {})
      .finally(() => {
        if (this.#underWay !== waiting) return;
        this.#underWay = undefined;
        if (this.#next) this.#beatFor(this.#next);
      });
  }

  #tick(): void {
    this.#beat();
    this.#timer = setTimeout(() => this.#tick(), this.interval).unref();
  }

  /** @returns its number: two may be sent at the same time */
  #beat(): number {
    const number = ++this.#count;
    const payload = `${this.#process}.${number}`;
    this.#sent.set(payload, { number, at: this.#clock.now() });
    if (this.#sent.size > AWAITED) {
      const [oldest] = this.#sent.keys();
      if (oldest !== undefined) this.#sent.delete(oldest);
    }
    try {
      this.#send?.(payload);
    } catch {
      // Not connected: it will be missed, and that is all that a beat is for.
    }
    return number;
  }
}

interface Sent {
  readonly number: number;
  readonly at: number;
}

/** Those that wait for one beat. */
class Waiting {
  readonly promise: Promise<void>;
  /** Of the beat, once it is sent: an earlier one tells nothing. */
  number = Number.POSITIVE_INFINITY;
  readonly done: () => void;
  readonly fail: () => void;

  constructor(timeoutMs: number, why: () => Error) {
    const answer = deferred<void>();
    this.promise = answer;
    this.done = () => answer.resolve();
    this.fail = () => answer.reject(why());
    const timer = setTimeout(this.fail, timeoutMs).unref();
    answer.catch(() => {}).finally(() => clearTimeout(timer)); // who asked is told; nobody else needs to be
  }
}

function stale(age: number): CofferError {
  const since = Number.isFinite(age) ? `for ${(age / 1_000).toFixed(1)} seconds` : 'yet';
  return new CofferError(
    'stale',
    `this instance has not heard from the store ${since}, and what it has may be out of date: ask another one, or again ` +
      'when it is connected to NATS',
  );
}
