import { setTimeout as delay } from 'node:timers/promises';
import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { headers, type NatsConnection, nanos } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import { Link } from '../../storage/jetstream/link.js';
import { managerOf } from '../../storage/jetstream/manager.js';
import { DEFAULT_AUDIT_MAX_BYTES, type JetStreamOptions } from '../../storage/jetstream/options.js';
import { COPY_HEADER, CopiesLayout } from './format.js';
import { type Pulled, pullPage } from './pull.js';

/** Of a stream that is made, unless the options say otherwise. */
/** An answer takes so long at the most, in milliseconds. */
const TIMEOUT = 5_000;
/** How long a consumer lives that nobody asks. */
const CONSUMER_LIFE = 60_000;
/** How often a reading begins again that does not get on, and after how many milliseconds more each time. */
const FAILURES = 8;
const PAUSE = 50;
/** Answers of nats-server, by its own numbers. */
const NOT_FOUND = 10_059;
const WRONG_SEQUENCE = 10_071;
/** Bytes, messages, or the account's share of them. */
const FULL = new Set([10_023, 10_028, 10_047, 10_077]);

/** A message as it lies in the stream. */
export interface StoredCopy {
  /** Of the stream. */
  readonly seq: number;
  readonly subject: string;
  readonly header: string;
  readonly payload: Uint8Array;
}

/** Why a message was not taken; `overtaken`: the subject's last message is another one. */
export class NotTaken extends Error {
  readonly why: 'overtaken' | 'full';

  constructor(why: 'overtaken' | 'full', cause: unknown) {
    super(why, { cause });
    this.why = why;
  }
}

export type StreamOptions = Pick<
  JetStreamOptions,
  'connect' | 'bucket' | 'replicas' | 'placementTags' | 'auditMaxBytes'
>;

/** The stream of copies: made where it is not there, with as many replicas as the store's has. */
export class CopiesStream {
  readonly layout: CopiesLayout;
  readonly #options: StreamOptions;
  readonly #storeId: string;
  readonly #link: Link;
  #opening: Promise<void> | undefined;
  #apis: Apis | undefined;

  constructor(options: StreamOptions, storeId: string) {
    this.layout = new CopiesLayout(options.bucket);
    this.#options = options;
    this.#storeId = storeId;
    this.#link = new Link(() => options.connect('audit'));
  }

  /** Calls `listener` when the connection comes or goes. @returns a function that ends it */
  onChange(listener: () => void): () => void {
    return this.#link.onChange(listener);
  }

  get connected(): boolean {
    return this.#link.connection !== undefined;
  }

  /**
   * Connects if need be, and makes the stream or looks whether it is this store's.
   *
   * @throws CofferError `unfit_store`; what NATS says of what cannot be done now
   */
  async ready(): Promise<void> {
    this.#opening ??= this.#link.open().catch(() => undefined);
    await this.#opening;
    const { stream } = this.layout;
    const { metadata, num_replicas: replicas } = await this.#ask(({ jsm }) => this.#config(jsm));
    if (metadata?.['coffer-store'] !== this.#storeId) {
      throw new CofferError(
        'unfit_store',
        `the JetStream stream ${stream} is not that of this store's audit logs: name another bucket, or take it away`,
      );
    }
    const wanted = await this.#ask(({ jsm }) => this.#replicas(jsm));
    if (replicas === wanted) return;
    // Copies go on where there are not enough servers for it.
    await this.#ask(({ jsm }) => jsm.streams.update(stream, { num_replicas: wanted })).catch(() => undefined);
  }

  /** Largest payload of a message, in bytes. */
  get maxPayload(): number {
    return this.#link.connection?.info?.max_payload ?? 1024 * 1024;
  }

  /** Undefined if the subject has none. */
  async last(subject: string): Promise<StoredCopy | undefined> {
    return this.#get({ last_by_subj: subject });
  }

  /** The subject's first message at or behind a sequence. */
  async next(subject: string, seq: number): Promise<StoredCopy | undefined> {
    return this.#get({ next_by_subj: subject, seq } as never);
  }

  /**
   * @param expected sequence of the subject's last message; 0: it has none
   * @returns the message's, once it is stored as durably as the stream stores
   * @throws NotTaken; what NATS says where that is not known
   */
  async publish(subject: string, header: string, payload: Uint8Array, expected: number): Promise<number> {
    const told = headers();
    told.set(COPY_HEADER, header);
    const expect = { streamName: this.layout.stream, lastSubjectSequence: expected };
    try {
      const { seq } = await this.#ask(({ js }) =>
        js.publish(subject, payload, { headers: told, timeout: TIMEOUT, expect }),
      );
      return seq;
    } catch (error) {
      const code = error instanceof JetStreamApiError ? error.code : 0;
      if (code === WRONG_SEQUENCE) throw new NotTaken('overtaken', error);
      if (FULL.has(code)) throw new NotTaken('full', error);
      throw error;
    }
  }

  /** The subjects' names behind the prefix, of those that have messages. */
  async chains(filter = this.layout.all): Promise<string[]> {
    const { state } = await this.#ask(({ jsm }) =>
      jsm.streams.info(this.layout.stream, { subjects_filter: filter }),
    );
    return Object.keys(state.subjects ?? {})
      .flatMap((subject) => this.layout.chainOf(subject) ?? [])
      .sort();
  }

  /** Takes away a subject's messages before a sequence. */
  async purge(subject: string, seq: number): Promise<void> {
    await this.#ask(({ jsm }) => jsm.streams.purge(this.layout.stream, { filter: subject, seq }));
  }

  /**
   * A subject's messages from a sequence, or from a time, up to a sequence, each once and in order, some at a time.
   *
   * @param bytes that may be held at one time
   */
  async *messages(
    subject: string,
    from: { readonly seq: number } | { readonly time: Date },
    upTo: number,
    bytes: number,
  ): AsyncGenerator<StoredCopy, void> {
    let start: Partial<ConsumerConfig> =
      'seq' in from
        ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Math.max(1, from.seq) }
        : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: from.time.toISOString() };
    const { stream } = this.layout;
    for (let failures = 0; ; ) {
      const { name } = await this.#ask(({ jsm }) =>
        jsm.consumers.add(stream, {
          ...start,
          filter_subject: subject,
          ack_policy: AckPolicy.None,
          inactive_threshold: nanos(CONSUMER_LIFE),
          mem_storage: true,
          num_replicas: 1,
        }),
      );
      let delivered = 0;
      try {
        for (;;) {
          const page = await this.#pull(name, bytes);
          // What is missing in between was lost on the way: it is asked for again, by a consumer of its own.
          const whole = page.every((pulled, index) => pulled.delivered === delivered + index + 1);
          if (page.length === 0 || !whole) break;
          delivered += page.length;
          failures = 0;
          for (const pulled of page) {
            const { sequence, pending } = pulled;
            start = { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: sequence + 1 };
            if (sequence <= upTo) yield copyOf(pulled);
            if (sequence >= upTo || pending === 0) return;
          }
        }
      } finally {
        void this.#ask(({ jsm }) => jsm.consumers.delete(stream, name)).catch(() => undefined);
      }
      // Nothing came, and something must be there: of the end it is told above.
      if (!(await this.#hasMore(subject, start, upTo))) return;
      if (++failures > FAILURES) throw new Error('the copies of the audit logs do not come');
      await delay(failures * PAUSE);
    }
  }

  async close(): Promise<void> {
    await this.#opening;
    await this.#link.close();
  }

  async #pull(consumer: string, bytes: number): Promise<Pulled[]> {
    const { connection } = this.#link;
    if (!connection) throw new Error(this.#link.problem);
    const onLost = (listener: () => void) => this.#link.onChange(listener);
    const page = pullPage({
      connection,
      stream: this.layout.stream,
      consumer,
      bytes,
      timeoutMs: TIMEOUT,
      onLost,
    });
    return page.catch((error: unknown) => {
      // A consumer that is not ready yet, or went with its server: another one is made.
      if (!this.connected) throw error;
      return [];
    });
  }

  async #hasMore(subject: string, start: Partial<ConsumerConfig>, upTo: number): Promise<boolean> {
    if (start.opt_start_seq === undefined) return true;
    const next = await this.next(subject, start.opt_start_seq);
    return next !== undefined && next.seq <= upTo;
  }

  async #get(query: { last_by_subj: string }): Promise<StoredCopy | undefined> {
    const message = await this.#ask(({ jsm }) => jsm.streams.getMessage(this.layout.stream, query));
    if (!message) return undefined;
    const { seq, subject, data } = message;
    return { seq, subject, header: message.header?.get(COPY_HEADER) ?? '', payload: data };
  }

  async #config(jsm: JetStreamManager): Promise<StreamConfig> {
    const { stream, all } = this.layout;
    try {
      return (await jsm.streams.info(stream)).config;
    } catch (error) {
      if (!(error instanceof JetStreamApiError) || error.code !== NOT_FOUND) throw error;
    }
    const { placementTags, auditMaxBytes = DEFAULT_AUDIT_MAX_BYTES } = this.#options;
    const made = await jsm.streams.add({
      name: stream,
      description: 'coffer: copies of the audit logs of all instances',
      subjects: [all],
      retention: RetentionPolicy.Limits,
      discard: DiscardPolicy.New,
      storage: StorageType.File,
      num_replicas: await this.#replicas(jsm),
      max_bytes: auditMaxBytes,
      allow_direct: false,
      deny_delete: true,
      metadata: { 'coffer-store': this.#storeId },
      ...(placementTags && placementTags.length > 0 && { placement: { tags: [...placementTags] } }),
    } as never);
    return made.config;
  }

  /** As many as the store's stream has now. */
  async #replicas(jsm: JetStreamManager): Promise<number> {
    const { bucket, replicas } = this.#options;
    const store = await jsm.streams.info(`KV_${bucket}`).catch(() => undefined);
    return store?.config.num_replicas ?? replicas;
  }

  /** Asks JetStream, and does not go on waiting when the connection is lost. */
  async #ask<T>(question: (apis: Apis) => Promise<T>): Promise<T> {
    const { connection } = this.#link;
    if (!connection) throw new Error(this.#link.problem);
    if (this.#apis?.connection !== connection) {
      const jsm = await managerOf(connection, TIMEOUT);
      this.#apis = { connection, jsm, js: jetstream(connection, { timeout: TIMEOUT }) };
    }
    const apis = this.#apis;
    return new Promise((resolve, reject) => {
      const ended = this.#link.onChange(() => reject(new Error(this.#link.problem)));
      question(apis).then(resolve, reject).finally(ended);
    });
  }
}

interface Apis {
  readonly connection: NatsConnection;
  readonly jsm: JetStreamManager;
  readonly js: JetStreamClient;
}

const copyOf = ({ message, sequence }: Pulled): StoredCopy => ({
  seq: sequence,
  subject: message.subject,
  header: message.headers?.get(COPY_HEADER) ?? '',
  payload: message.data,
});
