import { randomInt } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { onAbort } from '../abort.js';
import { type Address, isLoopback, parseAddress } from '../address.js';
import { CofferClientError } from '../errors.js';
import { type Call, Connections } from './connections.js';
import { Credential, type CredentialOptions } from './credential.js';
import { ConnectionFailure, clientClosed, failure, toldOf } from './failures.js';
import { type Answer, type OpenAnswer, openAnswer } from './open-answer.js';
import { pause } from './pause.js';
import { parseJson } from './shapes.js';
import type { TlsOptions } from './tls.js';

export interface TransportOptions extends CredentialOptions, TlsOptions {
  readonly server: string;
  readonly timeout: number;
  readonly retries: number;
  readonly maxAnswerBytes: number;
}

/** What may end a call early, while it lasts. */
interface Life {
  readonly signal: AbortSignal;
  /** The timeout counts no more. */
  untimed(): void;
  end(): void;
}

/**
 * Repeats requests whose connection failed, or that the server was too busy for.
 *
 * A change that the server may have got already is repeated only with a server that knows operation ids, for to
 * another it could be a second change (a delete, repeated after somebody made the name anew).
 */
export class Transport {
  readonly address: Address;
  readonly #timeout: number;
  readonly #retries: number;
  readonly #credential: Credential;
  readonly #connections: Connections;
  readonly #underWay = new Set<AbortController>();
  #knowsOperations = false;
  readonly #closing = new AbortController();

  /** @throws CofferClientError `invalid_argument` */
  constructor(options: TransportOptions) {
    this.address = parseAddress(options.server);
    this.#timeout = options.timeout;
    this.#retries = options.retries;
    this.#credential = new Credential(options, this.address);
    this.#connections = new Connections(this.address, this.#credential, options);
  }

  /** It is told who asks. */
  get identified(): boolean {
    return this.#credential.given;
  }

  /** A credential goes over a network in clear. */
  get exposed(): boolean {
    const { secure, endpoint } = this.address;
    return !secure && 'host' in endpoint && !isLoopback(endpoint.host) && this.#credential.given;
  }

  /** A position that the server told elsewhere than in a header. */
  saw(position: unknown): void {
    this.#connections.seen.note(position);
  }

  /** Aborted by {@link close}. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  send(call: Call): Promise<Answer> {
    return this.#during(call, async (life) => {
      const answer = await this.#sendUntilAnswered(call, life.signal, () =>
        this.#exchange(call, life.signal),
      );
      life.end();
      return answer;
    });
  }

  /**
   * Sends what only reads, and gives the answer when its head is here, which takes at most the timeout.
   *
   * @param options with `idle`, the longest time in milliseconds without a byte of the body before the connection counts as
   *   broken
   */
  open(call: Call, { idle }: { readonly idle?: number } = {}): Promise<OpenAnswer> {
    return this.#during(call, async ({ signal, untimed, end }) => {
      const open = () => this.#connections.open(call, signal);
      const response = await this.#sendUntilAnswered(call, signal, open);
      untimed();
      return openAnswer(response, {
        idle,
        read: () => this.#connections.read(response),
        explain: async (error) =>
          signal.aborted ? signal.reason : toldOf(failure(error, true), this.address),
        end,
      });
    });
  }

  /** Ends the connections; calls under way reject with the code `closed`. */
  close(): void {
    this.#closing.abort(clientClosed());
    for (const stop of this.#underWay) stop.abort(clientClosed());
    this.#connections.close();
    this.#credential.wipe();
  }

  async #during<T>(call: Call, use: (life: Life) => Promise<T>): Promise<T> {
    let life: Life | undefined;
    try {
      life = this.#begin(call);
      return await use(life);
    } catch (error) {
      life?.end();
      throw error;
    } finally {
      call.body?.fill(0);
    }
  }

  /** What ends a call early: its signal, the timeout, the client's end. */
  #begin({ signal, keepsAlive = true, patience = 0 }: Call): Life {
    const timeout = Math.max(this.#timeout, patience);
    this.closing.throwIfAborted();
    signal?.throwIfAborted();
    const stop = new AbortController();
    const off = onAbort(signal, () => stop.abort(signal?.reason));
    const timer = setTimeout(() => stop.abort(this.#timedOut(timeout)), timeout);
    if (!keepsAlive) timer.unref();
    this.#underWay.add(stop);
    return {
      signal: stop.signal,
      untimed: () => clearTimeout(timer),
      end: () => {
        clearTimeout(timer);
        off();
        this.#underWay.delete(stop);
      },
    };
  }

  async #sendUntilAnswered<T extends Answer | IncomingMessage>(
    call: Call,
    signal: AbortSignal,
    exchange: () => Promise<T>,
  ): Promise<T> {
    const rest = (milliseconds: number) => pause(milliseconds, signal, call.keepsAlive);
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await exchange();
        const wait = attempt > this.#retries ? undefined : mayAskAgainAfter(call, answer);
        if (wait === undefined) return answer;
        if ('destroy' in answer) answer.destroy();
        await rest(wait + randomInt(20, 100));
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (!(error instanceof ConnectionFailure)) throw error;
        if (error.lasts || attempt > this.#retries) throw await toldOf(error, this.address);
        await rest(randomInt(20, 100) * attempt);
        if (!(await this.#mayRepeat(call, error, signal))) throw await toldOf(error, this.address);
      }
    }
  }

  async #mayRepeat(call: Call, failure: ConnectionFailure, signal: AbortSignal): Promise<boolean> {
    if (call.operation === undefined || !failure.reached || this.#knowsOperations) return true;
    try {
      // A refusal of coffer's tells by its `Coffer-Error`; setec answers this with its web page.
      const answer = await this.#exchange({ method: 'GET', path: '/api/whoami' }, signal);
      if (answer.status === 200) {
        const { whoami } = await import('./whoami.js');
        whoami(parseJson(answer.body), '');
      }
      return this.#knowsOperations || answer.status === 200;
    } catch {
      return false;
    }
  }

  async #exchange(call: Call, signal: AbortSignal): Promise<Answer> {
    const response = await this.#connections.open(call, signal);
    const { statusCode: status = 0, headers } = response;
    try {
      const body = await this.#connections.read(response);
      this.#knowsOperations ||= headers['coffer-error'] !== undefined;
      return { status, headers, body };
    } catch (error) {
      response.destroy();
      throw failure(error, true);
    }
  }

  #timedOut(timeout: number): CofferClientError {
    return new CofferClientError(
      'timeout',
      `${this.address.display} did not answer within ${timeout / 1000} s: check that the server is well, or wait longer`,
    );
  }
}

/** A server that wants more time than this is not waited for. */
const MAX_WAIT_MS = 2_000;
/** Refusals of coffer's that may pass within that time; what may have been done has an operation id. A full disk does not. */
const PASSING = ['rate_limited', 'busy', 'stopped', 'stale', 'unavailable', 'in_doubt'];

/** The milliseconds after which a refused call may be repeated; undefined: not at all. */
function mayAskAgainAfter(call: Call, answer: Answer | IncomingMessage): number | undefined {
  const { headers } = answer;
  const status = 'status' in answer ? answer.status : answer.statusCode;
  const code = headers['coffer-error'];
  // A proxy's word, whose server is being started again.
  if (status === 502 || status === 504) return (code ?? call.operation) ? undefined : 0;
  if (status !== 429 && status !== 503) return undefined;
  // What stands between us and a server may have passed a change on before it gave up.
  const harmless = code === undefined ? call.operation === undefined : PASSING.includes(String(code));
  const wait = /^\d{1,3}$/.test(headers['retry-after'] ?? '')
    ? Number(headers['retry-after']) * 1000
    : Infinity;
  return harmless && wait <= MAX_WAIT_MS ? wait : undefined;
}
