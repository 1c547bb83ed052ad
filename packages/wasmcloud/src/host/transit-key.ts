import type { NatsConnection } from '@nats-io/transport-node';
import { SecretsError } from '../protocol/errors.js';
import { isXkey } from '../protocol/sealing.js';
import { type BackendAddress, operationSubject } from '../protocol/subjects.js';
import { ask, type Limits, orAborted } from './ask.js';

/** The key that requests to a backend are sealed to: asked for once, by whoever needs it first. */
export class TransitKey {
  readonly #nats: NatsConnection;
  readonly #subject: string;
  #known: string | undefined;
  #asking: Promise<string> | undefined;

  constructor(nats: NatsConnection, address: BackendAddress) {
    this.#nats = nats;
    this.#subject = operationSubject(address, 'server_xkey');
  }

  /** @throws NoAnswerError; SecretsError for an answer that is no xkey; the signal's reason */
  async get(limits: Limits): Promise<string> {
    limits.signal?.throwIfAborted();
    this.#known ??= await this.#ask(limits);
    return this.#known;
  }

  /**
   * To be called when a request sealed to `key` could not be opened.
   *
   * @returns whether there is another one by now, with which to try once more
   */
  async renew(key: string, limits: Limits): Promise<boolean> {
    if (this.#known === key) this.#known = await this.#ask(limits);
    return this.#known !== key;
  }

  /** Many ask at the same time, with one question. */
  #ask({ timeoutMs, signal }: Limits): Promise<string> {
    this.#asking ??= this.#askOnce(timeoutMs).finally(() => {
      this.#asking = undefined;
    });
    return orAborted(this.#asking, signal);
  }

  async #askOnce(timeoutMs: number): Promise<string> {
    const answer = await ask(this.#nats, { subject: this.#subject, timeoutMs });
    const key = Buffer.from(answer.data).toString();
    if (!isXkey(key)) throw new SecretsError('Other', 'the backend has not answered with its public xkey');
    return key;
  }
}
