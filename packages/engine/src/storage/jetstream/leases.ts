import type { Lease } from '../shared.js';
import type { Layout } from './layout.js';
import type { Link } from './link.js';
import { encodeLease, parseLease } from './notes.js';
import { put } from './put.js';

/** Between two renewals. */
const RENEW_MS = 2_000;
/** A holder that could not renew for so long holds it no more. */
const HELD_MS = 6_000;
/** Others take it when they heard of no renewal for so long, in which time they did hear from the stream. */
const FREE_MS = 10_000;

export interface LeasesOptions {
  readonly layout: Layout;
  readonly link: Link;
  readonly instance: string;
  /** How long ago it was that this instance was in touch with the stream, in milliseconds. */
  readonly age: () => number;
  readonly now?: () => number;
}

/**
 * Who does a work of which one is enough. A lease is a record that its holder renews by compare-and-set; others take it over when
 * they see no renewal for a while. No clocks are compared: a holder counts from when it *sent* its last renewal, others from when they
 * heard of it, and theirs is the longer time. A holder that was held up itself finds that it is none when it looks.
 *
 * Life: `start` … `stop`.
 */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #now: () => number;
  readonly #works = new Map<string, Work>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  start(): void {
    this.stop();
    this.#timer = setInterval(() => this.#tick(), RENEW_MS).unref();
    this.#tick();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** @throws CofferError `tampered` */
  heard(work: string, bytes: Uint8Array | undefined, sequence: number): void {
    const one = this.#work(work);
    if (sequence <= one.sequence) return;
    one.sequence = sequence;
    one.heardAt = this.#now();
    one.holder = bytes && parseLease(bytes).instance;
    this.#tell(one);
    if (bytes === undefined && one.wanted.size > 0 && this.#timer) void this.#renew(work, one);
  }

  /** A heal may have made the stream anew, or it goes on from before what was heard of it: that counts no more. */
  begin(): void {
    for (const one of this.#works.values()) {
      Object.assign(one, {
        sequence: 0,
        holder: undefined,
        heardAt: this.#now(),
        renewedAt: Number.NEGATIVE_INFINITY,
      });
      this.#tell(one);
    }
  }

  lease(work: string): Lease {
    const one = this.#work(work);
    const listeners = new Set<() => void>();
    one.wanted.add(listeners);
    if (this.#timer) void this.#renew(work, one);
    const isHeld = () => one.wanted.has(listeners) && this.#isHeld(one);
    return {
      get held() {
        return isHeld();
      },
      onChange: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      close: () => {
        if (!one.wanted.delete(listeners) || one.wanted.size > 0) return;
        this.#release(work, one);
      },
    };
  }

  /** Whether this instance holds it now, whoever here wants it. */
  holds(work: string): boolean {
    const one = this.#works.get(work);
    return one !== undefined && this.#isHeld(one);
  }

  /** Gives all up that it holds, for others to take at once. */
  async close(): Promise<void> {
    this.stop();
    await Promise.all([...this.#works].map(([work, one]) => this.#release(work, one)));
  }

  #work(work: string): Work {
    const known = this.#works.get(work);
    if (known) return known;
    const made: Work = {
      sequence: 0,
      heardAt: this.#now(),
      holder: undefined,
      renewedAt: Number.NEGATIVE_INFINITY,
      count: 0,
      wanted: new Set(),
      wasHeld: false,
      isAsking: false,
    };
    this.#works.set(work, made);
    return made;
  }

  #isHeld(one: Work): boolean {
    return one.holder === this.#options.instance && this.#now() - one.renewedAt < HELD_MS;
  }

  #tick(): void {
    for (const [work, one] of this.#works) {
      this.#tell(one);
      if (one.wanted.size > 0) void this.#renew(work, one);
    }
  }

  async #renew(work: string, one: Work): Promise<void> {
    const { layout, link, instance, age } = this.#options;
    const isMine = one.holder === instance;
    const isFree = one.holder === undefined || this.#now() - one.heardAt > FREE_MS;
    if (one.isAsking || !link.connection || (!isMine && !isFree) || age() > RENEW_MS) return;
    one.isAsking = true;
    const sentAt = this.#now();
    try {
      const note = encodeLease({ instance, count: ++one.count });
      const sequence = await put(link.connection, layout.lease(work), note, one.sequence);
      // Somebody else was quicker: who that is comes through the feed.
      if (sequence === undefined || sequence < one.sequence) return;
      Object.assign(one, { sequence, holder: instance, heardAt: this.#now(), renewedAt: sentAt });
    } catch {
      // No answer: it is asked again, and may have become ours, which the feed tells.
    } finally {
      one.isAsking = false;
      this.#tell(one);
    }
    if (one.wanted.size === 0) this.#release(work, one);
  }

  async #release(work: string, one: Work): Promise<void> {
    const { layout, link, instance } = this.#options;
    if (one.holder !== instance) return;
    one.holder = undefined;
    one.renewedAt = Number.NEGATIVE_INFINITY;
    this.#tell(one);
    if (link.connection) {
      await put(link.connection, layout.lease(work), undefined, one.sequence).catch(() => undefined);
    }
  }

  #tell(one: Work): void {
    const isHeld = this.#isHeld(one);
    if (isHeld === one.wasHeld) return;
    one.wasHeld = isHeld;
    for (const listeners of one.wanted) for (const listener of listeners) listener();
  }
}

interface Work {
  /** Of its record, as last heard of. */
  sequence: number;
  heardAt: number;
  holder: string | undefined;
  /** When this instance sent the last renewal that was taken. */
  renewedAt: number;
  count: number;
  /** Of each who wants it: who is to be told. */
  readonly wanted: Set<Set<() => void>>;
  wasHeld: boolean;
  isAsking: boolean;
}
