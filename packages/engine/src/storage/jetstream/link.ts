import { setTimeout as wait } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/nats-core';

/** Between two attempts to connect; as much again by chance. */
const RETRY_MS = 500;
/** Between two questions to the server whether it is there. */
const PROBE_MS = 1_000;
/** So many of them without an answer: it is paused, or the network is cut. nats.js would notice after a minute. */
const PROBES_LOST = 3;

/**
 * One connection to NATS, made again for ever. nats.js keeps what is published while it is not connected and sends it later, when
 * nobody waits for it any more: so whoever publishes asks {@link connection} first, in the same turn.
 */
export class Link {
  readonly #connect: () => Promise<NatsConnection>;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<() => void>();
  #running: Promise<void> | undefined;
  #current: NatsConnection | undefined;
  #connected = false;
  #problem = 'the connection is being made';
  #probes: NodeJS.Timeout | undefined;
  #unanswered = 0;

  constructor(connect: () => Promise<NatsConnection>) {
    this.#connect = connect;
  }

  /** The first attempt. @throws what `connect` does; it goes on trying in any case */
  async open(): Promise<void> {
    let first: unknown;
    const found = await this.#connect().catch((error: unknown) => {
      first = error;
      return undefined;
    });
    this.#running = this.#run(found, first);
    if (!found) throw first;
  }

  /** The connection if it stands at this moment. */
  get connection(): NatsConnection | undefined {
    const current = this.#current;
    return this.#connected && current && !current.isClosed() && !current.isDraining() ? current : undefined;
  }

  /** Why there is none, for a person. */
  get problem(): string {
    return this.#problem;
  }

  /** Called when {@link connection} comes or goes. @returns a function that ends it */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Leaves the server that it is connected to, for the next one. */
  move(): void {
    this.#unanswered = 0;
    void this.connection?.reconnect().catch(() => {});
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#probes);
    this.#listeners.clear();
    await this.#current?.close();
    await this.#running;
  }

  async #run(first: NatsConnection | undefined, failure: unknown): Promise<void> {
    let next = first;
    let reason = failure;
    while (!this.#closing.signal.aborted) {
      if (next) await this.#follow(next);
      else this.#problem = reason instanceof Error ? reason.message : String(reason);
      if (this.#closing.signal.aborted) return;
      const pause = RETRY_MS * (1 + Math.random());
      await wait(pause, undefined, { signal: this.#closing.signal }).catch(() => {});
      if (this.#closing.signal.aborted) return;
      next = await this.#connect().catch((error: unknown) => {
        reason = error;
        return undefined;
      });
      if (this.#closing.signal.aborted) await next?.close();
    }
  }

  /** Until the connection ends for good. */
  async #follow(connection: NatsConnection): Promise<void> {
    this.#current = connection;
    const statuses = connection.status();
    this.#set(true);
    this.#probes = setInterval(() => this.#probe(connection), PROBE_MS).unref();
    for await (const status of statuses) {
      if (status.type === 'disconnect') this.#set(false);
      else if (status.type === 'reconnect') this.#set(true);
      else if (status.type === 'error') this.#problem = status.error.message;
    }
    clearInterval(this.#probes);
    this.#set(false);
  }

  /** Counted, not timed: a process that was paused itself finds many seconds gone, and one question without an answer. */
  #probe(connection: NatsConnection): void {
    if (!this.#connected) return;
    if (this.#unanswered >= PROBES_LOST) {
      this.move();
      return;
    }
    this.#unanswered++;
    connection.flush().then(
      () => {
        this.#unanswered = 0;
      },
      () => {},
    );
  }

  #set(connected: boolean): void {
    if (this.#connected === connected) return;
    this.#connected = connected;
    this.#unanswered = 0;
    if (!connected) this.#problem = 'the connection to NATS is lost';
    for (const listener of this.#listeners) listener();
  }
}
