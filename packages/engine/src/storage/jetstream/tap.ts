import { AckPolicy, DeliverPolicy, type JetStreamManager } from '@nats-io/jetstream';
import {
  createInbox,
  type Deferred,
  deferred,
  type Msg,
  type NatsConnection,
  nanos,
  type Subscription,
} from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import type { RawMessage } from './messages.js';

/** The server says so often that it has nothing to say. */
const HEARTBEAT_MS = 500;
/** A consumer that is silent for so long is gone: with its server, or in a stream that was deleted. */
const SILENCE_MS = 2_000;
/** What is forgotten here is removed there after so long. */
const INACTIVE_MS = 30_000;
/** How long the server that leads is tried to be met: JetStream places a consumer on any of those that have the stream. */
const LEADER_MS = 10_000;

export interface TapOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly stream: string;
  /** Of subjects. */
  readonly filters: readonly string[];
  /** What of it is of use: what is not is passed over. */
  readonly only?: (subject: string) => boolean;
  /** From this sequence on; or the last message of each subject. */
  readonly from: number | 'last';
  readonly headersOnly?: boolean;
  /** How fast the server sends, at most: what comes by the same connection waits behind what was sent. */
  readonly bytesPerSecond?: number;
  /**
   * For who decides by it what the stream has: at the server that leads the stream, which also takes changes and is asked for single
   * messages. Another one may be behind, or lack what its disk has lost, and nothing says so.
   */
  readonly atLeader?: boolean;
}

/** A message of the stream, as it was delivered. */
export interface Drop extends RawMessage {
  /** How many were to come after it. */
  readonly pending: number;
  /** When the server took it, in milliseconds since 1970, by its clock. */
  readonly at: number;
}

/**
 * One reading of the stream from one place on: each message once, in order, without a gap, or an error.
 *
 * It is an ephemeral push consumer, in the memory of one server. nats.js has an ordered one too, which makes itself anew wherever
 * it gets lost and goes on with whatever is there, so that a stream that was put back passes unnoticed; this one ends instead, and
 * who opens another first looks whether the stream is still the same.
 *
 * Life: `open` … `close`.
 */
export class Tap {
  readonly #options: TapOptions;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #replies: string[] = [];
  #drops: Drop[] = [];
  #waiting: Deferred<void> | undefined;
  #broken: Error | undefined;
  readonly #breaking = new AbortController();
  #delivered = 0;
  #sequence = 0;
  #name: string | undefined;
  #pending = 0;
  #end = Number.POSITIVE_INFINITY;
  #heardAt = performance.now();
  readonly #silence: NodeJS.Timeout;

  private constructor(options: TapOptions, inbox: string) {
    this.#options = options;
    this.#inbox = inbox;
    this.#subscription = options.connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error) this.break(error);
        else this.#hear(message);
      },
    });
    this.#silence = setInterval(() => {
      if (performance.now() - this.#heardAt > SILENCE_MS) this.break(lost('the server fell silent'));
    }, HEARTBEAT_MS).unref();
  }

  /** @throws what nats.js does: the server refuses the consumer, or does not answer; CofferError `unavailable` where none leads */
  static async open(options: TapOptions): Promise<Tap> {
    for (const end = performance.now() + LEADER_MS; ; ) {
      const tap = new Tap(options, createInbox(inboxPrefix(options.connection)));
      try {
        const server = await tap.#begin();
        if (!options.atLeader || (await tap.#isLedBy(server))) return tap;
      } catch (error) {
        tap.close();
        throw error;
      }
      tap.close();
      if (performance.now() > end) throw lost('no server leads the stream for long enough');
    }
  }

  /** @returns the server on which it is; undefined of one that is in no cluster */
  async #begin(): Promise<string | undefined> {
    const { manager, stream, filters, from, headersOnly = false, bytesPerSecond } = this.#options;
    const { name, num_pending, cluster } = await manager.consumers.add(stream, {
      deliver_subject: this.#inbox,
      filter_subjects: [...filters],
      ack_policy: AckPolicy.None,
      max_deliver: 1,
      mem_storage: true,
      num_replicas: 1,
      flow_control: true,
      idle_heartbeat: nanos(HEARTBEAT_MS),
      inactive_threshold: nanos(INACTIVE_MS),
      headers_only: headersOnly,
      ...(bytesPerSecond !== undefined && { rate_limit_bps: bytesPerSecond * 8 }),
      ...(from === 'last'
        ? { deliver_policy: DeliverPolicy.LastPerSubject }
        : { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from }),
    });
    this.#name = name;
    // Counted when the answer was written: some may be on their way already.
    this.#pending = num_pending + this.#delivered;
    return cluster?.leader;
  }

  /** @returns false: another server leads the stream, or none does */
  async #isLedBy(server: string | undefined): Promise<boolean> {
    const { manager, stream } = this.#options;
    const { cluster, state } = await manager.streams.info(stream);
    this.#end = state.last_seq;
    return server === undefined || cluster?.leader === server;
  }

  /** How many messages were there when it was opened. */
  get pending(): number {
    return this.#pending;
  }

  /** The last sequence that the stream had when it was opened, of one that is at the leader. */
  get end(): number {
    return this.#end;
  }

  /** Aborted when it ends, with why: for whoever works on what it gave. */
  get ending(): AbortSignal {
    return this.#breaking.signal;
  }

  /**
   * What came since it was asked last, at least one message; by that the server may send more.
   *
   * @throws CofferError `unavailable` where the reading got lost; what was given to {@link break}
   */
  async next(): Promise<Drop[]> {
    for (const reply of this.#replies.splice(0)) this.#options.connection.publish(reply);
    while (this.#drops.length === 0) {
      if (this.#broken) throw this.#broken;
      this.#waiting = deferred<void>();
      await this.#waiting;
    }
    const drops = this.#drops;
    this.#drops = [];
    return drops;
  }

  /** Ends it: {@link next} throws the error, after what has come. */
  break(error: Error): void {
    this.#broken ??= error;
    this.#breaking.abort(this.#broken);
    this.#waiting?.resolve();
  }

  close(): void {
    clearInterval(this.#silence);
    this.break(lost('it was closed'));
    if (this.#options.connection.isClosed()) return;
    this.#subscription.unsubscribe();
    const { manager, stream } = this.#options;
    if (this.#name !== undefined) void manager.consumers.delete(stream, this.#name).catch(() => {});
  }

  #hear(message: Msg): void {
    this.#heardAt = performance.now();
    if (this.#broken) return;
    const isStatus = message.headers !== undefined && message.headers.code > 0;
    const problem = isStatus ? this.#takeStatus(message) : this.#take(message);
    if (problem !== undefined) this.break(lost(problem));
  }

  /** @returns what is wrong */
  #take({ subject, data, headers, reply }: Msg): string | undefined {
    const place = parsePlace(reply);
    if (!place) return 'a message has no place in the stream';
    const { sequence, delivered, pending, at } = place;
    if (delivered !== this.#delivered + 1 || sequence <= this.#sequence) {
      return `message ${delivered} came after ${this.#delivered}`;
    }
    this.#delivered = delivered;
    this.#sequence = sequence;
    if (this.#options.only?.(subject) === false) return undefined;
    this.#drops.push({ subject, data, headers, sequence, pending, at });
    this.#waiting?.resolve();
    return undefined;
  }

  /** A sign of life or a question whether we keep up: 100; whatever else it is, the consumer has ended. */
  #takeStatus({ headers, reply }: Msg): string | undefined {
    if (headers?.code !== 100) return `${headers?.code} ${headers?.description}`;
    const sent = headers.get('Nats-Last-Consumer');
    if (sent !== '' && Number(sent) > this.#delivered) {
      return `${sent} messages were sent and ${this.#delivered} came`;
    }
    const question = reply || headers.get('Nats-Consumer-Stalled');
    if (!question) return undefined;
    // Answered when what came before it is applied: that keeps what waits here small.
    if (this.#drops.length === 0) this.#options.connection.publish(question);
    else this.#replies.push(question);
    return undefined;
  }
}

/**
 * `$JS.ACK.<stream>.<consumer>.<times>.<sequence>.<delivered>.<time>.<pending>`, and with domain and account before the stream
 * and more behind, of newer servers (ADR-15).
 */
export function parsePlace(reply: string | undefined) {
  const tokens = reply?.split('.') ?? [];
  if (tokens[0] !== '$JS' || tokens[1] !== 'ACK') return undefined;
  const at = tokens.length === 9 ? 4 : tokens.length >= 11 ? 6 : undefined;
  if (at === undefined) return undefined;
  const [sequence = 0, delivered = 0, nanoseconds = 0, pending = 0] = tokens.slice(at + 1).map(Number);
  if (!Number.isSafeInteger(sequence) || !Number.isSafeInteger(delivered)) return undefined;
  return { sequence, delivered, pending, at: nanoseconds / 1e6 };
}

/** Users who may listen below one prefix only. */
export const inboxPrefix = (connection: NatsConnection): string | undefined =>
  (connection as NatsConnection & { options?: { inboxPrefix?: string } }).options?.inboxPrefix;

const lost = (why: string) =>
  new CofferError('unavailable', `the reading of the stream was interrupted (${why}); it begins again`);
