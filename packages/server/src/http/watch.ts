import type { IncomingMessage } from 'node:http';
import type { Caller, Engine } from '@coffer/engine';
import { endEvent, sentEvent } from '../wire/events.js';
import { queryReader } from '../wire/request.js';
import { watchRequest } from '../wire/schemas.js';
import type { Reply } from './reply.js';

interface WatchContext {
  readonly engine: Engine;
  readonly caller: Caller;
  readonly closing: AbortSignal;
  /** How often a sign of life is sent. A reader that takes nothing for two of them is ended. */
  readonly heartbeatMs: number;
}

/** `GET /api/watch`: an answer that ends with the caller's right, with the caller, or with the server. */
export async function answerWatch(
  incoming: IncomingMessage,
  reply: Reply,
  { engine, caller, closing, heartbeatMs }: WatchContext,
): Promise<void> {
  const query = readWatchRequest(incoming.url ?? '');
  const lastEventId = incoming.headers['last-event-id'];
  const since = lastEventId === undefined ? query.since : String(lastEventId);
  const events = async function* (signal: AbortSignal) {
    const options = { secrets: query.secrets, since, signal, heartbeatMs };
    for await (const event of engine.watch(caller, options)) yield sentEvent(event, engine.position);
  };
  await reply.stream('text/event-stream', events, { closing, stallMs: 2 * heartbeatMs, lastWords: SLOW });
}

const SLOW = endEvent('slow', 'the events were not taken for too long');

const readWatchRequest = queryReader(watchRequest, ['secrets']);
