import { errors, type NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { describeNatsError } from './describe-error.js';
import { Seldom } from './seldom.js';

/**
 * Tells the log of a connection that comes and goes, and why it cannot be made: each reason once until it stands again. Servers that
 * answer, and give nothing back, are left for each other every few seconds: of that it tells once a minute.
 */
export class Teller {
  readonly #log: Logger;
  readonly #what: string;
  readonly #consequence: string;
  readonly #seldom: Seldom;
  #problem: string | undefined;

  /** @param consequence of there being no connection */
  constructor(log: Logger, what: string, consequence: string, seldom = new Seldom()) {
    this.#log = log;
    this.#what = what;
    this.#consequence = consequence;
    this.#seldom = seldom;
  }

  /** @param servers without logins */
  failed(servers: string, reason: string): void {
    if (this.#problem === reason) return;
    this.#problem = reason;
    this.#log.error({ servers, reason }, `there is no connection to ${this.#what}: ${this.#consequence}`);
  }

  /** Until the connection ends for good. */
  async follow(connection: NatsConnection, servers: string): Promise<void> {
    // By the time that it is told of a server that was left, the connection names the next one.
    let server = this.#connected(connection, true);
    let isMoving = false;
    let isTold = true;
    for await (const status of connection.status()) {
      if (status.type === 'forceReconnect') {
        isMoving = true;
        isTold = this.#seldom.may('move');
        if (isTold) {
          this.#log.warn(
            { server },
            `nothing comes back from ${this.#what} by this server: another one is asked, and again until something does`,
          );
        }
      } else if (status.type === 'disconnect') {
        if (!isMoving) {
          isTold = true;
          this.#log.warn({ server }, `the connection to ${this.#what} is lost: ${this.#consequence}`);
        }
        isMoving = false;
      } else if (status.type === 'reconnect') server = this.#connected(connection, isTold);
      else if (status.type === 'error') this.#complain(status.error, servers);
    }
  }

  /** @returns the server */
  #connected(connection: NatsConnection, isTold: boolean): string {
    this.#problem = undefined;
    const { version } = connection.info ?? {};
    const server = connection.getServer();
    if (isTold) this.#log.info({ server, version }, `connected to ${this.#what}`);
    return server;
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
