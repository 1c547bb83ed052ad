import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { HEADER, type Layout, token } from './layout.js';
import type { Outgoing } from './messages.js';
import type { ReplicaEntry } from './replica-contract.js';
import { type Drop, Tap } from './tap.js';

export interface WrittenOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  /** Where the heal is announced in the stream. */
  readonly from: number;
}

/**
 * What a heal has written. Whether it is in the stream the stream tells: an answer may be somebody else's, who can publish where it is
 * waited for.
 */
export class HealWritten {
  readonly #options: WrittenOptions;
  /** The seals of what is sealed, by subject. */
  readonly #sealed = new Map<string, string>();
  /** Of those the ones that were not met yet, or have something else behind them. */
  readonly #lacking = new Set<string>();
  /** Up to where the stream was looked at. */
  #at: number;

  constructor(options: WrittenOptions) {
    this.#options = options;
    this.#at = options.from - 1;
  }

  add({ subject, headers }: Outgoing): void {
    const seal = headers.find(([name]) => name === HEADER.seal)?.[1];
    if (seal === undefined) return;
    this.#sealed.set(subject, seal);
    this.#lacking.add(subject);
  }

  /**
   * Looks whether all of it is there, and no record beside it: instances take over what they find after a heal. To be called when all
   * was {@link add}ed; asked again, it looks at what has come since.
   *
   * @param stream what was there, with what was written
   * @returns up to where that was looked at; undefined if it is not so. Errors as of a reading
   */
  async upTo(stream: ReadonlyMap<string, ReplicaEntry>): Promise<number | undefined> {
    const { connection, manager, layout } = this.#options;
    const filters = [layout.all];
    const what = {
      connection,
      manager,
      stream: layout.stream,
      filters,
      from: this.#at + 1,
      headersOnly: true,
      atLeader: true,
    };
    const tap = await Tap.open(what);
    try {
      // What was looked at is gone.
      if (tap.end < this.#at) return undefined;
      for (let left = tap.pending; left > 0 && this.#at < tap.end; ) {
        const drops = await tap.next();
        if (!drops.every((drop) => this.#take(drop, stream))) return undefined;
        const last = drops.at(-1);
        left = last?.pending ?? 0;
        this.#at = last?.sequence ?? this.#at;
      }
    } finally {
      tap.close();
    }
    return this.#lacking.size === 0 ? this.#at : undefined;
  }

  /** @returns false for a record that is not what was written */
  #take({ subject, sequence, headers }: Drop, stream: ReadonlyMap<string, ReplicaEntry>): boolean {
    const place = this.#options.layout.parse(subject);
    if (headers?.get(HEADER.seal) === this.#sealed.get(subject)) this.#lacking.delete(subject);
    else if (this.#sealed.has(subject)) this.#lacking.add(subject);
    return place?.kind !== 'record' || stream.get(token(place.key))?.revision === sequence;
  }
}
