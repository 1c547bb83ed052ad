import type { ServedBackend } from '@coffer/wasmcloud';
import type { NatsConnection } from '@nats-io/transport-node';

/** A backend that can be served on a connection. */
export interface Service {
  readonly name: string;
  serve(connection: NatsConnection): ServedBackend;
}

/**
 * One of the backends behind the NATS door: on each connection one that is served there, since a connection that is made again
 * keeps what was subscribed to.
 */
export class Post {
  readonly #service: Service;
  #connection: NatsConnection | undefined;
  #backends: ServedBackend[] = [];
  /** Why NATS has not let it subscribe, as far as it has said. */
  denied: string | undefined;

  constructor(service: Service) {
    this.#service = service;
  }

  get name(): string {
    return this.#service.name;
  }

  /** Whether it was ever begun. */
  get begun(): boolean {
    return this.#backends.length > 0;
  }

  get inFlight(): number {
    return this.#backends.reduce((sum, { inFlight }) => sum + inFlight, 0);
  }

  get serving(): boolean {
    return this.#backends.some(({ serving }) => serving);
  }

  isServedOn(connection: NatsConnection): boolean {
    return connection === this.#connection && this.serving;
  }

  begin(connection: NatsConnection): void {
    this.#connection = connection;
    this.#backends = [
      ...this.#backends.filter(({ inFlight }) => inFlight > 0),
      this.#service.serve(connection),
    ];
  }

  /** Takes no more requests, and answers those that have come. */
  async end(): Promise<void> {
    this.#connection = undefined;
    await Promise.all(this.#backends.map((backend) => backend.drain()));
  }
}
