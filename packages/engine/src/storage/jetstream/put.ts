import { headers, type NatsConnection } from '@nats-io/nats-core';
import { fullOf } from './batch-publisher.js';
import { bucketFull } from './commit-errors.js';
import { HEADER } from './layout.js';
import { NATS_HEADER, type Outgoing } from './messages.js';

/** How long JetStream has for an answer. */
const ANSWER_MS = 3_000;
/** nats-server's code of a message whose subject is not at the sequence that was expected. */
const WRONG_LAST_SEQUENCE = [10_071, 10_164];

/**
 * Publishes one message and waits until the stream has it, which takes the word of most of its servers.
 *
 * Who may publish where the answer is waited for can give it in the servers' place. What hangs on it is looked at again by whoever asks:
 * an alarm and a note of a member until the stream shows them, a heal in {@link HealWritten}; a lease that two believe to hold costs work
 * done twice.
 *
 * @param data undefined: what is there is removed
 * @param expected the sequence that the subject must be at, 0 for nothing
 * @returns its sequence; undefined if the subject was at another
 * @throws Error where JetStream does not answer, or refuses
 */
export function put(
  connection: NatsConnection,
  subject: string,
  data: Uint8Array | undefined,
  expected?: number,
): Promise<number | undefined> {
  const said: [string, string][] = [];
  if (data === undefined) said.push([HEADER.operation, 'DEL']);
  if (expected !== undefined) said.push([NATS_HEADER.expected, String(expected)]);
  return publishMessage(connection, { subject, headers: said, data: data ?? new Uint8Array() });
}

/** The same of a message that is written already, as one that is sealed. */
export const putMessage = (
  connection: NatsConnection,
  { headers: said, ...message }: Outgoing,
  expected: number,
): Promise<number | undefined> =>
  publishMessage(connection, { ...message, headers: [...said, [NATS_HEADER.expected, String(expected)]] });

/** The same of one that says itself what it expects. */
export async function publishMessage(
  connection: NatsConnection,
  message: Outgoing,
): Promise<number | undefined> {
  const said = headers();
  for (const [name, value] of message.headers) said.set(name, value);
  const answer = await connection.request(message.subject, message.data, {
    headers: said,
    timeout: ANSWER_MS,
  });
  const { seq, error } = answer.json<PubAck>();
  if (error && WRONG_LAST_SEQUENCE.includes(error.err_code)) return undefined;
  const full = error && fullOf(error.err_code, error.description);
  if (full) throw bucketFull(undefined, full);
  if (error) throw new Error(`JetStream refuses a message: ${error.description}`);
  if (typeof seq !== 'number') throw new Error('what answers is not JetStream');
  return seq;
}

interface PubAck {
  readonly seq?: number;
  readonly error?: { readonly err_code: number; readonly description: string };
}
