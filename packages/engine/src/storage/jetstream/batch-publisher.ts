import { errors, headers, type Msg, type NatsConnection } from '@nats-io/nats-core';

import type { FullOf } from './commit-errors.js';
import type { Link } from './link.js';
import { NATS_HEADER, type Outgoing } from './messages.js';
import { denialOf } from './rights.js';

/** What the server said to a batch. */
export type Answer =
  /** It is in the stream, its last message at this sequence. */
  | { readonly is: 'stored'; readonly sequence: number }
  /** A record that it names is at this other revision. 0: there is none. */
  | { readonly is: 'conflict'; readonly sequence: number }
  /** Not now, but soon: another batch that looks at the same record is under way, or there are too many. */
  | { readonly is: 'busy' }
  /** The server has not the batch's beginning: another one led then, or it could not keep it, of which it says no more. */
  | { readonly is: 'incomplete' }
  | { readonly is: 'full'; readonly of: FullOf }
  /** Nobody is there to take it: nothing of it was stored. */
  | { readonly is: 'refused'; readonly reason: string }
  /** None came, and nobody knows. */
  | { readonly is: 'silence' };

/** Codes of nats-server's answers, `server/errors.json`. */
const CODE = {
  wrongLastSequence: 10071,
  /** The same, of a record that a batch under way is changing or looking at. */
  wrongLastSequenceUnknown: 10164,
  incompleteBatch: 10176,
  tooManyBatches: 10210,
  storeFailed: 10077,
  accountResources: 10002,
  insufficientResources: 10023,
  insufficientStorage: 10047,
} as const;

const BUSY: ReadonlySet<number> = new Set([CODE.wrongLastSequenceUnknown, CODE.tooManyBatches]);
const FULL: ReadonlyMap<number, FullOf> = new Map([
  [CODE.accountResources, 'account'],
  [CODE.insufficientResources, 'servers'],
  [CODE.insufficientStorage, 'servers'],
]);

/** Publishes messages as one atomic batch (ADR-50): all of them are stored, one behind the other, or none. */
export async function publishBatch(
  connection: NatsConnection,
  stream: string,
  id: string,
  messages: readonly Outgoing[],
  timeoutMs: number,
): Promise<Answer> {
  let answer: Promise<Msg> | undefined;
  for (const [index, message] of messages.entries()) {
    const sent = headers();
    sent.set(NATS_HEADER.batchId, id);
    sent.set(NATS_HEADER.batchSequence, String(index + 1));
    for (const [name, value] of message.headers) sent.set(name, value);
    if (index < messages.length - 1) {
      connection.publish(message.subject, message.data, { headers: sent });
      continue;
    }
    sent.set(NATS_HEADER.batchCommit, '1');
    answer = connection.request(message.subject, message.data, { headers: sent, timeout: timeoutMs });
  }
  try {
    return answer ? parseAnswer((await answer).data, stream) : { is: 'refused', reason: 'it is empty' };
  } catch (error) {
    if (isNoResponders(error) || isNoResponders((error as Error).cause)) {
      return { is: 'refused', reason: 'no server leads the stream now, or it is gone' };
    }
    const denied = denialOf(error);
    if (denied) return { is: 'refused', reason: denied };
    return { is: 'silence' };
  }
}

/** A connection that is lost gives no answer any more. */
export async function untilLost(link: Link, answer: Promise<Answer>): Promise<Answer> {
  let end: () => void = () => {};
  const lost = new Promise<Answer>((resolve) => {
    end = link.onChange(() => resolve({ is: 'silence' }));
  });
  try {
    return await Promise.race([answer, lost]);
  } finally {
    end();
  }
}

const isNoResponders = (error: unknown): boolean => error instanceof errors.NoRespondersError;

/** Whose room is used up, if that is what the server says. */
export const fullOf = (code: number, text: string): FullOf | undefined =>
  code === CODE.storeFailed && text.includes('maximum') ? 'bucket' : FULL.get(code);

/** What does not parse is no answer. */
function parseAnswer(data: Uint8Array, stream: string): Answer {
  let parsed: unknown;
  try {
    parsed = JSON.parse(Buffer.from(data).toString());
  } catch {
    return { is: 'silence' };
  }
  const { error, seq, stream: told } = (parsed ?? {}) as Readonly<Record<string, unknown>>;
  if (error === undefined) {
    if (told !== stream)
      return { is: 'refused', reason: `another stream, ${String(told)}, takes its subjects` };
    return typeof seq === 'number' && Number.isSafeInteger(seq) && seq > 0
      ? { is: 'stored', sequence: seq }
      : { is: 'silence' };
  }
  const { err_code: code, description } = error as Readonly<Record<string, unknown>>;
  if (typeof code !== 'number') return { is: 'silence' };
  if (BUSY.has(code)) return { is: 'busy' };
  if (code === CODE.incompleteBatch) return { is: 'incomplete' };
  const text = String(description);
  const of = fullOf(code, text);
  if (of) return { is: 'full', of };
  const [, wrong] = /^wrong last sequence: (\d+)$/.exec(text) ?? [];
  if (code === CODE.wrongLastSequence && wrong !== undefined)
    return { is: 'conflict', sequence: Number(wrong) };
  return { is: 'refused', reason: `${text} (${code})` };
}
