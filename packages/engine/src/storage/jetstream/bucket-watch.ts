import type { NatsConnection } from '@nats-io/nats-core';

import { CofferError } from '../../errors.js';
import { type BucketFacts, openBucket } from './bucket.js';
import type { Layout } from './layout.js';
import type { Link } from './link.js';
import type { JetStreamOptions } from './options.js';
import type { ReplicaOrigin } from './replica-contract.js';
import { requireRights } from './rights.js';

/** Between two looks. */
const FITNESS_MS = 60_000;
const RIGHTS_MS = 2_000;

export interface BucketWatchOptions {
  readonly link: Link;
  readonly layout: Layout;
  readonly jetstream: JetStreamOptions;
  readonly origin: () => ReplicaOrigin | undefined;
  /** As it was found; left out where it could not be looked at. */
  readonly facts: BucketFacts | undefined;
}

/** Looks each minute, and when a connection was made, whether the bucket and its servers are still fit. */
export class BucketWatch {
  readonly #options: BucketWatchOptions;
  readonly #timer: NodeJS.Timeout;
  #facts: BucketFacts | undefined;
  #unfit: CofferError | undefined;
  #denied: CofferError | undefined;
  #looking: Promise<void> | undefined;

  constructor(options: BucketWatchOptions) {
    this.#options = options;
    this.#facts = options.facts;
    options.link.onChange(() => this.#look());
    this.#timer = setInterval(() => this.#look(), FITNESS_MS).unref();
    if (!this.#facts) this.#look();
  }

  /** As it was found last; undefined before the first look. */
  get facts(): BucketFacts | undefined {
    return this.#facts;
  }

  /** Why the bucket, or a server, is not fit any more. */
  get unfit(): CofferError | undefined {
    return this.#unfit;
  }

  /** Why the NATS user may not write any more. */
  get denied(): CofferError | undefined {
    return this.#denied;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#looking;
  }

  /** One look at a time. */
  #look(): void {
    const { connection } = this.#options.link;
    if (!connection || this.#looking) return;
    this.#looking = this.#lookBy(connection).finally(() => {
      this.#looking = undefined;
    });
  }

  async #lookBy(connection: NatsConnection): Promise<void> {
    const { layout, jetstream, origin } = this.#options;
    try {
      await requireRights(connection, layout, RIGHTS_MS);
      this.#denied = undefined;
    } catch (error) {
      this.#denied = unfitness(error);
    }
    try {
      this.#facts = await openBucket(connection, jetstream, layout, origin());
      this.#unfit = undefined;
    } catch (error) {
      // Where nobody answers, it is as it was.
      this.#unfit = unfitness(error) ?? this.#unfit;
    }
  }
}

const unfitness = (error: unknown): CofferError | undefined =>
  error instanceof CofferError && error.code === 'unfit_store' ? error : undefined;
