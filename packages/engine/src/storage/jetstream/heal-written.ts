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

  constructor(options: WrittenOptions) {
    this.#options = options;
  }

  add({ subject, headers }: Outgoing): void {
    const seal = headers.find(([name]) => name === HEADER.seal)?.[1];
    if (seal !== undefined) this.#sealed.set(subject, seal);
  }

  /**
   * Looks whether all of it is there, and no record beside it: instances take over what they find after a heal.
   *
   * @param stream what was there, with what was written
   * @returns up to where that was looked at; undefined if it is not so. Errors as of a reading
   */
  async upTo(stream: ReadonlyMap<string, ReplicaEntry>): Promise<number | undefined> {
    const { connection, manager, layout, from } = this.#options;
    const filters = [layout.all];
    const what = {
      connection,
      manager,
      stream: layout.stream,
      filters,
      from,
      headersOnly: true,
      atLeader: true,
    };
    const lacking = new Map(this.#sealed);
    const take = ({ subject, sequence, headers }: Drop): boolean => {
      const place = layout.parse(subject);
      if (headers?.get(HEADER.seal) === lacking.get(subject)) lacking.delete(subject);
      return place?.kind !== 'record' || stream.get(token(place.key))?.revision === sequence;
    };
    const tap = await Tap.open(what);
    let at = 0;
    try {
      for (let left = tap.pending; left > 0 && at < tap.end; ) {
        const drops = await tap.next();
        if (!drops.every(take)) return undefined;
        const last = drops.at(-1);
        left = last?.pending ?? 0;
        at = last?.sequence ?? at;
      }
    } finally {
      tap.close();
    }
    return lacking.size === 0 ? at : undefined;
  }
}
