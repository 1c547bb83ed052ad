import { hostname } from 'node:os';

import type { KeyRing } from '../../crypto/key-ring.js';
import { CofferError } from '../../errors.js';
import type { AuditLog } from '../log.js';
import { type AuditRange, readLog } from '../reader.js';
import { chainOf, lifeOf } from './format.js';
import { CopyKeys } from './keys.js';
import { mergeByTime } from './merge.js';
import { type CopiesFacts, CopyPublisher } from './publisher.js';
import { type ChainInfo, CopiesReader } from './reader.js';
import { CopiesRetirement } from './retirement.js';
import { CopiesStream, type StreamOptions } from './stream.js';
import { Witness } from './witness.js';

/** How long the end may take, in milliseconds. */
const CLOSE_MS = 4_000;

export interface AuditCopiesOptions {
  readonly log: AuditLog;
  readonly ring: KeyRing;
  /** Hex. */
  readonly storeId: string;
  readonly instance: string;
  readonly stream: StreamOptions & { readonly instanceName?: string | undefined };
  readonly acceptRollback: boolean;
  readonly now: () => Date;
  /** How often it is written down how far the others are, in milliseconds. */
  readonly witnessMs?: number | undefined;
  onNotice(sentence: string): void;
}

/** The audit logs of all instances that share a store: this one's own, and copies of all. See `format.ts`. */
export class AuditCopies {
  readonly #log: AuditLog;
  readonly #instance: string;
  readonly #stream: CopiesStream;
  readonly #keys: CopyKeys;
  readonly #reader: CopiesReader;
  readonly #publisher: CopyPublisher;
  readonly #retirement: CopiesRetirement;
  readonly #witness: Witness;

  constructor(options: AuditCopiesOptions) {
    const { log, storeId, instance, ring, now, acceptRollback, onNotice, witnessMs } = options;
    this.#log = log;
    this.#instance = instance;
    this.#stream = new CopiesStream(options.stream, storeId);
    this.#keys = new CopyKeys(ring, storeId);
    this.#reader = new CopiesReader(this.#stream, this.#keys, storeId);
    this.#publisher = new CopyPublisher({
      log,
      stream: this.#stream,
      reader: this.#reader,
      keys: this.#keys,
      storeId,
      instance,
      name: options.stream.instanceName ?? hostname(),
      acceptRollback,
      now,
      onNotice,
    });
    this.#retirement = new CopiesRetirement({ log, stream: this.#stream, reader: this.#reader });
    this.#witness = new Witness({ log, instance, reader: this.#reader, everyMs: witnessMs });
  }

  start(): void {
    this.#publisher.start();
    this.#witness.start();
  }

  get facts(): CopiesFacts {
    return this.#publisher.facts;
  }

  /** Before a data key is destroyed. @throws CofferError `unavailable`, `storage_full`, `unfit_store` */
  keepKeys(): Promise<void> {
    return this.#publisher.keepKeys();
  }

  /** The chain that this instance's log is copied into. */
  get own(): string {
    return this.#publisher.chain;
  }

  /** @throws CofferError `unavailable` */
  async chains(): Promise<ChainInfo[]> {
    return unavailable(this.#reader.chains());
  }

  /** A chain's lines, from the copies. */
  read(chain: string, range: AuditRange): AsyncGenerator<Buffer, void> {
    return pieces(this.#reader.read(chain, range));
  }

  /** @throws CofferError `unavailable` */
  info(chain: string): Promise<ChainInfo | undefined> {
    return unavailable(this.#reader.info(chain));
  }

  /**
   * The wanted lines of all instances, in the order of their times: this one's own from its log as far as `upTo`, the others' from
   * the copies as far as they are there now.
   *
   * @throws CofferError `unavailable`
   */
  async readAll(range: AuditRange, upTo: number): Promise<AsyncGenerator<Buffer, void>> {
    const end = { seq: () => upTo, more: async () => false };
    const chains = await this.chains();
    const others = chains.filter(({ chain }) => chain !== this.own);
    const copies = others.map(({ chain, instance }) => {
      // What a log that was put back has still is in the chain that it went on with.
      const after = chains.find((other) => other.chain === chainOf(instance, lifeOf(chain) + 1));
      return this.#reader.read(chain, { ...range, from: (after?.common ?? 0) + 1 }, others.length);
    });
    return pieces(mergeByTime([readLog(this.#log.folder, range, end), ...copies]));
  }

  /** The log has retired lines, with entries that say so. */
  logRetired(): void {
    this.#retirement.logRetired();
  }

  /** Takes away copies of what this log has retired, and chains that got nothing since `then`. */
  async retire(then: Date): Promise<void> {
    if (this.facts.problem) return;
    await this.#retirement.own(this.own, this.facts.delivered.seq);
    await this.#retirement.ended(this.own, then);
  }

  get instance(): string {
    return this.#instance;
  }

  /** Writes into the log now how far others are, as it is done every minute. */
  witness(): Promise<void> {
    return this.#witness.look();
  }

  /** When the log has ended: delivers the last lines, for some seconds at the most. */
  async close(): Promise<void> {
    const closed = this.#publisher.close();
    // An answer that does not come is not waited for any longer than that.
    const timer = setTimeout(() => void this.#stream.close(), CLOSE_MS);
    await closed;
    clearTimeout(timer);
    await this.#stream.close();
    this.#keys.wipe();
  }

  /** Looks no more. Before the log ends. */
  closing(): void {
    this.#witness.close();
  }
}

async function unavailable<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (cause) {
    throw asUnavailable(cause);
  }
}

async function* pieces(lines: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void> {
  try {
    yield* lines;
  } catch (cause) {
    throw asUnavailable(cause);
  }
}

const asUnavailable = (cause: unknown): CofferError =>
  cause instanceof CofferError
    ? cause
    : new CofferError(
        'unavailable',
        'the copies of the audit logs cannot be read now, since JetStream cannot be reached: try again, or read the log of this ' +
          'instance alone (coffer audit query --own, coffer audit verify --own)',
        { cause },
      );
