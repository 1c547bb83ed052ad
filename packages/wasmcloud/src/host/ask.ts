import { errors, headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { SecretsError } from '../protocol/errors.js';

/** Nobody has answered: no backend listens there, none did in time, or NATS does not let the caller ask. */
export class NoAnswerError extends SecretsError {
  /** Whether the request may have reached a backend all the same. */
  readonly delivered: boolean;
  /** Whether it makes sense to ask again. */
  readonly passing: boolean;

  constructor(text: string, state: { delivered: boolean; passing: boolean }, options?: ErrorOptions) {
    super('Other', text, options);
    this.name = 'NoAnswerError';
    this.delivered = state.delivered;
    this.passing = state.passing;
  }
}

/** How long to wait. */
export interface Limits {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
}

export interface Question extends Limits {
  readonly subject: string;
  readonly payload?: Uint8Array | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/**
 * Asks once.
 *
 * @throws NoAnswerError; the signal's reason
 */
export async function ask(nats: NatsConnection, question: Question): Promise<Msg> {
  const { subject, payload, timeoutMs, signal } = question;
  signal?.throwIfAborted();
  const told = Object.entries(question.headers ?? {});
  const hdrs = headers();
  for (const [name, value] of told) hdrs.set(name, value);
  const options = { timeout: Math.max(1, timeoutMs), ...(told.length > 0 && { headers: hdrs }) };
  try {
    return await orAborted(nats.request(subject, payload, options), signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw noAnswer(subject, timeoutMs, error);
  }
}

function noAnswer(subject: string, timeoutMs: number, error: unknown): NoAnswerError {
  const options = { cause: error };
  if (error instanceof errors.TimeoutError) {
    const text = `nobody has answered on ${subject} within ${timeoutMs} ms`;
    return new NoAnswerError(text, { delivered: true, passing: true }, options);
  }
  const reason = error instanceof errors.RequestError ? (error.cause ?? error) : error;
  if (reason instanceof errors.NoRespondersError) {
    const text = `no backend listens on ${subject}`;
    return new NoAnswerError(text, { delivered: false, passing: true }, options);
  }
  if (reason instanceof errors.PermissionViolationError) {
    const text = `NATS does not let this connection publish on ${subject}`;
    return new NoAnswerError(text, { delivered: false, passing: false }, options);
  }
  const what = reason instanceof Error ? reason.message : 'the connection failed';
  const passing = reason instanceof errors.RequestError;
  return new NoAnswerError(`asking on ${subject} failed: ${what}`, { delivered: passing, passing }, options);
}

/** The answer, unless the signal comes first: then its reason is thrown. */
export async function orAborted<T>(answer: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await answer;
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([answer, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
