import { randomUUID } from 'node:crypto';
import { type CofferClientError, invalid } from '../errors.js';
import type { CallOptions, ChangeOptions } from '../types.js';
import type { Call } from './connections.js';
import type { Answer } from './open-answer.js';
import type { Subject } from './refusal.js';
import { parseJson, type Shape } from './shapes.js';
import type { Transport } from './transport.js';

/** What a call asks of the server, and what it is about. */
export interface Question extends Subject {
  readonly path: string;
  /** Becomes JSON; without it the request is a GET. */
  readonly body?: object;
  readonly options?: CallOptions | undefined;
  /** In place of `options`, for what changes something. */
  readonly change?: ChangeOptions;
  /** In milliseconds, for what takes longer than other calls. */
  readonly patience?: number;
}

/** Asks questions over a {@link Transport}, and reads the answers, or why there are none. */
export class Caller {
  readonly transport: Transport;

  constructor(transport: Transport) {
    this.transport = transport;
  }

  async ask<T>(question: Question, shape: Shape<T>): Promise<T> {
    return this.read(await this.send(question), question, shape);
  }

  async send(question: Question): Promise<Answer> {
    return this.transport.send(callOf(question));
  }

  /** For an answer that is read as it comes; `idle`: the longest time in milliseconds without a byte of it. */
  async stream(question: Question, idle: number): Promise<AsyncGenerator<Uint8Array, void>> {
    const answer = await this.transport.open(callOf(question), { idle });
    if (answer.status === 200) return answer.chunks();
    throw await this.#refusal(await answer.whole(), question);
  }

  async read<T>(answer: Answer, subject: Subject, shape: Shape<T>): Promise<T> {
    try {
      if (answer.status !== 200) throw await this.#refusal(answer, subject);
      return shape(parseJson(answer.body), 'the body');
    } finally {
      answer.body.fill(0);
    }
  }

  async #refusal(answer: Answer, subject: Subject): Promise<CofferClientError> {
    const { refusal } = await import('./refusal.js');
    return refusal(answer, subject, this.transport);
  }
}

function callOf({ path, body, change, options = change, patience }: Question): Call {
  return {
    method: body ? 'POST' : 'GET',
    path,
    signal: options?.signal,
    keepsAlive: options?.keepsAlive,
    patience,
    ...(body && { body: Buffer.from(JSON.stringify(body)) }),
    ...(change && { operation: operationOf(change) }),
  };
}

function operationOf({ operation = randomUUID() }: ChangeOptions): string {
  if (!/^[\x21-\x7e]{1,128}$/.test(operation)) {
    throw invalid('an operation id is 1 to 128 printable ASCII characters');
  }
  return operation;
}
