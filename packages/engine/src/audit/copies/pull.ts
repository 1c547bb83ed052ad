import { createInbox, type Msg, type NatsConnection } from '@nats-io/nats-core';

import { inboxPrefix, parsePlace } from '../../storage/jetstream/tap.js';

/** Of one page; its bytes end most of them. */
const PAGE_MESSAGES = 1_000;
/** What an end of a page is called; all else is an error. */
const ENDS = new Set([404, 408, 409]);
const GONE = /deleted|leadership/i;

/** A message that a consumer gave. */
export interface Pulled {
  readonly message: Msg;
  /** Of the stream. */
  readonly sequence: number;
  /** Which one of the consumer's it is, from 1. */
  readonly delivered: number;
  /** How many were to come after it. */
  readonly pending: number;
}

export interface PullOptions {
  readonly connection: NatsConnection;
  readonly stream: string;
  readonly consumer: string;
  /** Of the page. */
  readonly bytes: number;
  readonly timeoutMs: number;
  /** Called when a page is to be given up: the connection is lost. @returns a function that ends it */
  onLost(listener: () => void): () => void;
}

/**
 * The next messages of a pull consumer, as many as are there and as fit. nats.js takes the end of a page that is full of bytes for an
 * error, and loses what had come.
 *
 * @throws Error if the consumer is gone, or nothing comes
 */
export function pullPage(options: PullOptions): Promise<Pulled[]> {
  const { connection, stream, consumer, bytes, timeoutMs, onLost } = options;
  const inbox = createInbox(inboxPrefix(connection));
  const pulled: Pulled[] = [];
  return new Promise((resolve, reject) => {
    const end = (problem?: string) => {
      clearTimeout(timer);
      unlisten();
      subscription.unsubscribe();
      if (problem === undefined) resolve(pulled);
      else reject(new Error(`the reading of copies was interrupted: ${problem}`));
    };
    const timer = setTimeout(() => end('nothing comes'), timeoutMs);
    const unlisten = onLost(() => end('the connection is lost'));
    const subscription = connection.subscribe(inbox, {
      callback: (error, message) => {
        if (error) return end(error.message);
        const { code = 0, description = '' } = message.headers ?? {};
        if (code > 0)
          return end(ENDS.has(code) && !GONE.test(description) ? undefined : `${code} ${description}`);
        const place = parsePlace(message.reply);
        if (!place) return end('a message has no place in the stream');
        pulled.push({ message, ...place });
        timer.refresh();
        if (pulled.length === PAGE_MESSAGES || place.pending === 0) end();
      },
    });
    const asked = JSON.stringify({ batch: PAGE_MESSAGES, max_bytes: bytes, no_wait: true });
    connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, asked, { reply: inbox });
  });
}
