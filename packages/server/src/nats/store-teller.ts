import { errors, type NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { describeNatsError } from './describe-error.js';
import { Seldom } from './seldom.js';

/** Tells the log of a connection that comes and goes, and why it cannot be made: each reason once until it stands again. */
export class Teller {
  readonly #log: Logger;
  readonly #what: string;
  readonly #consequence: string;
  readonly #seldom = new Seldom();
  #problem: string | undefined;

  /** @param consequence of there being no connection */
  constructor(log: Logger, what: string, consequence: string) {
    this.#log = log;
    this.#what = what;
    this.#consequence = consequence;
  }

  /** @param servers without logins */
  failed(servers: string, reason: string): void {
    if (this.#problem === reason) return;
    this.#problem = reason;
    this.#log.error(
      { servers, reason },
      `there is no connection to ${this.#what}, and it is tried again and again: ${this.#consequence}`,
    );
  }

  /** Until the connection ends for good. */
  async follow(connection: NatsConnection, servers: string): Promise<void> {
    this.#connected(connection);
    let isMoving = false;
    for await (const status of connection.status()) {
      if (status.type === 'forceReconnect') {
        isMoving = true;
        const server = connection.getServer();
        this.#log.warn(
          { server },
          `the server of ${this.#what} does not answer any more: another one is asked`,
        );
      } else if (status.type === 'disconnect') {
        if (!isMoving) {
          this.#log.warn(
            { server: connection.getServer() },
            `the connection to ${this.#what} is lost: ${this.#consequence}`,
          );
        }
        isMoving = false;
      } else if (status.type === 'reconnect') this.#connected(connection);
      else if (status.type === 'error') this.#complain(status.error, servers);
    }
  }

  #connected(connection: NatsConnection): void {
    this.#problem = undefined;
    const { version } = connection.info ?? {};
    this.#log.info({ server: connection.getServer(), version }, `connected to ${this.#what}`);
  }

  #complain(error: Error, servers: string): void {
    if (
      error instanceof errors.AuthorizationError ||
      error instanceof errors.UserAuthenticationExpiredError
    ) {
      this.failed(servers, describeNatsError(error, 'storage'));
    } else if (this.#seldom.may('error')) {
      this.#log.warn({ reason: error.message }, `${this.#what} does not let us do what we want to`);
    }
  }
}
