import { setTimeout as wait } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { NatsConfig, WasmcloudConfig } from '../config/nats.js';
import { NO_STRANGERS, type Openness, tryOpenness } from './openness.js';

/** How soon an open or undecided server is looked at again. */
export const AGAIN_MS = 2_000;
/** So many times as long while another server of the cluster could not be tried. */
const UNTRIED = 5;
/** How often one is looked at with which all is well: nobody tells us of a configuration that was read again. */
const EVERY_MS = 60_000;
/** How long a request may wait until it is known whether the server is closed; a host waits for 10 s. */
const PATIENCE_MS = 8_000;

export const WHAT_TO_DO =
  'whoever reaches it can read what hosts ask for, and answer them. Close it ("coffer wasmcloud permissions" writes accounts, ' +
  'users and permissions for it), or say in so many words that it may be open: nats.allowOpen: true, or --allow-open-nats';

export interface OpennessWatchOptions {
  readonly config: NatsConfig;
  readonly backends: readonly Pick<WasmcloudConfig, 'name' | 'prefix'>[];
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly againMs?: number | undefined;
  readonly everyMs?: number | undefined;
  readonly subscribed: (connection: NatsConnection) => boolean;
  /** Subscribes, where that can be done by now: strangers have something to reach. Nothing is admitted meanwhile. */
  readonly subscribe: (connection: NatsConnection) => Promise<boolean>;
  readonly onDecided: (connection: NatsConnection | undefined) => void;
}

/** Looks whether a NATS server lets everybody in: at each connection, at each change of its cluster, and every minute. */
export class OpennessWatch {
  readonly #options: OpennessWatchOptions;
  readonly #waiting = new Set<() => void>();
  #allowOpen: boolean;
  /** Of the connection as it is now; undefined while it is being found out, or there is none. */
  #openness: Openness | undefined;
  /** What the log was told last. */
  #told: Openness | undefined;
  #turn = 0;
  /** What is found now ends the start, which says so. */
  starting = true;

  constructor(options: OpennessWatchOptions) {
    this.#options = options;
    this.#allowOpen = options.config.allowOpen;
  }

  /** Whether only those with credentials can publish, as far as can be seen; false while nobody knows. */
  get closed(): boolean {
    return this.#openness?.state === 'closed';
  }

  get needsSubscription(): boolean {
    return this.#openness?.needsSubscription === true;
  }

  /** Why the start ends, if it is open and may not be. */
  refusesStart(openness = this.#openness): string | undefined {
    if (openness?.state !== 'open' || this.#allowOpen) return undefined;
    return `${openness.says}: ${WHAT_TO_DO}`;
  }

  /** Why requests are not answered, if they are not. */
  get refusal(): string | undefined {
    if (this.#openness !== undefined && (this.closed || this.#allowOpen)) return undefined;
    return this.#openness?.says ?? 'whether the NATS server lets everybody in is not known yet';
  }

  configure(allowOpen: boolean): void {
    this.#allowOpen = allowOpen;
  }

  /** The connection is lost: the next one may be to another server. */
  forget(): void {
    this.#turn++;
    this.#told = undefined;
    this.#decide(undefined);
  }

  /** Settles when it is known, or has been waited for long enough. */
  async known(): Promise<void> {
    if (this.#openness !== undefined || this.#options.signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, PATIENCE_MS);
      this.#waiting.add(done);
    });
  }

  /** Looks now, and again and again until the connection is another. */
  async look(connection: NatsConnection): Promise<void> {
    const turn = ++this.#turn;
    const isOver = () => turn !== this.#turn || this.#options.signal.aborted;
    let openness = await this.#try(connection);
    if (isOver()) return;
    if (openness.needsSubscription && !this.#allowOpen) {
      this.#decide(undefined);
      if (await this.#options.subscribe(connection)) openness = await this.#try(connection);
      if (isOver()) return;
    }
    if (this.closed && openness.state === 'undecided') {
      // It was tried before, and what keeps us from trying keeps strangers, too.
      openness = { state: 'closed', untried: openness.untried ?? [] };
    }
    this.#tell(openness);
    this.#decide(openness, connection);
    const again = () => (isOver() ? undefined : this.look(connection));
    wait(this.#pause(openness), undefined, { signal: this.#options.signal, ref: false }).then(
      again,
      () => {},
    );
  }

  #try(connection: NatsConnection): Promise<Openness> {
    const { config, backends, subscribed } = this.#options;
    return tryOpenness(connection, { config, backends, subscribed: subscribed(connection) }).catch(
      (error: Error): Openness => ({ state: 'undecided', says: error.message }),
    );
  }

  #pause({ state, untried = [] }: Openness): number {
    const { againMs = AGAIN_MS, everyMs = EVERY_MS } = this.#options;
    if (state !== 'closed' && !this.#allowOpen) return againMs * (1 + Math.random());
    if (untried.length > 0) return againMs * UNTRIED * (1 + Math.random());
    return everyMs * (0.75 + Math.random() / 2);
  }

  #tell(openness: Openness): void {
    const { log } = this.#options;
    const { state, says } = openness;
    const before = this.#told;
    // The first is said by the end of the start, the second is found out when that goes on.
    if (this.starting && (this.refusesStart(openness) !== undefined || openness.needsSubscription)) return;
    this.#told = openness;
    this.#tellMore(openness, before);
    if (before?.state === state && before.says === says) return;
    if (state === 'closed') {
      if (before !== undefined) log.info('the NATS server does not let everybody in any more');
    } else if (this.#allowOpen) {
      log.warn({ reason: says }, 'requests are served although strangers may be on the NATS server');
    } else if (state === 'open')
      log.error(`${says}, and nothing is served over NATS until it is closed: ${WHAT_TO_DO}`);
    else log.warn({ reason: says }, 'nothing is served over NATS until this is clear');
  }

  /** What there is to say of one that is closed. */
  #tellMore({ state, untried = [], strangersAt }: Openness, before: Openness | undefined): void {
    const { log } = this.#options;
    if (state !== 'closed') return;
    if (untried.length > 0 && before?.untried?.join() !== untried.join()) {
      log.warn({ untried }, 'whether these NATS servers let everybody in is not known; they are tried again');
    }
    if (strangersAt !== undefined && before?.strangersAt !== strangersAt) {
      const says =
        'strangers are let into another account of the NATS server, from which they were not seen to reach us';
      log.warn({ server: strangersAt }, `${says}. ${NO_STRANGERS}`);
    }
  }

  #decide(openness: Openness | undefined, connection?: NatsConnection): void {
    this.#openness = openness;
    this.#options.onDecided(connection);
    if (openness !== undefined) for (const done of [...this.#waiting]) done();
  }
}
