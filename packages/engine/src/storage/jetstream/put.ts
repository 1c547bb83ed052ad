import { headers, type NatsConnection } from '@nats-io/nats-core';
import { HEADER } from './layout.js';
import { NATS_HEADER } from './messages.js';

/** How long JetStream has for an answer. */
const ANSWER_MS = 3_000;
/** nats-server's code of a message whose subject is not at the sequence that was expected. */
const WRONG_LAST_SEQUENCE = [10_071, 10_164];

/**
 * Publishes one message and waits until the stream has it, which takes the word of most of its servers.
 *
 * @param data undefined: what is there is removed
 * @param expected the sequence that the subject must be at, 0 for nothing
 * @returns its sequence; undefined if the subject was at another
 * @throws Error where JetStream does not answer, or refuses
 */
export async function put(
  connection: NatsConnection,
  subject: string,
  data: Uint8Array | undefined,
  expected?: number,
): Promise<number | undefined> {
  const said = headers();
  if (data === undefined) said.set(HEADER.operation, 'DEL');
  if (expected !== undefined) said.set(NATS_HEADER.expected, String(expected));
  const answer = await connection.request(subject, data ?? new Uint8Array(), {
    headers: said,
    timeout: ANSWER_MS,
  });
  const { seq, error } = answer.json<PubAck>();
  if (error && WRONG_LAST_SEQUENCE.includes(error.err_code)) return undefined;
  if (error) throw new Error(`JetStream refuses a message: ${error.description}`);
  if (typeof seq !== 'number') throw new Error('what answers is not JetStream');
  return seq;
}

interface PubAck {
  readonly seq?: number;
  readonly error?: { readonly err_code: number; readonly description: string };
}
