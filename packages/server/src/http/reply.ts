import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { AnswerRoom, Caller } from '@coffer/engine';
import { type Problem, Refusal, setecText } from '../refusal.js';
import { base64Length } from '../wire/many.js';
import { declaredLength } from './body.js';
import type { SharedRoom } from './room.js';

/** How much of an unwanted body is let run to its end; the connection of a larger one is closed. */
const UNREAD_BYTES = 64 * 1024;
/** Answers up to this size need no room: a connection has one at a time. */
const SMALL_CHARACTERS = 64 * 1024;
/** What an answer holds beside values, roughly. */
const AROUND_VALUES = 64;
/** How fast a caller must take an answer that needs room: after so long, and the time that its size takes at so many bytes a second, it is cut. */
const PACE: Pace = { patienceMs: 30_000, bytesPerSecond: 16 * 1024 };
/** How long a caller may go on sending what nobody reads, so that it gets to see the answer. */
const LINGER_MS = 500;

/** Names and values in turn: the form that node takes over as it is. */
type Headers = readonly string[];

/** What a large answer may take its caller at most: `patienceMs`, and its size at `bytesPerSecond`. */
export interface Pace {
  readonly patienceMs: number;
  readonly bytesPerSecond: number;
}

/** How long a stream waits for a caller that takes nothing. */
export interface StreamLimits {
  /** In milliseconds; then the caller is left the last words or, where there are none, cut. */
  readonly stallMs?: number;
  readonly lastWords?: string;
  /** The server closes: who takes nothing at that moment is cut. */
  readonly closing?: AbortSignal;
}

/** Not to be kept by anybody on the way, nor held back: proxies know the last one. */
const STREAM_HEADERS: Headers = ['Cache-Control', 'no-store', 'X-Accel-Buffering', 'no'];
const JSON_TYPE: Headers = ['Content-Type', 'application/json'];
const TEXT_TYPE: Headers = ['Content-Type', 'text/plain; charset=utf-8', 'X-Content-Type-Options', 'nosniff'];

/** For the caller to quote; the log's lines about the request have it too. */
const REQUEST_ID = 'Coffer-Request-Id';
/** How far the store was that the answer is of, where several instances share it: for `Coffer-Seen`. */
const POSITION = 'Coffer-Position';

/** Writes the answer to one request. Once something was sent, the rest is ignored. */
export class Reply implements AnswerRoom {
  readonly #incoming: IncomingMessage;
  readonly #outgoing: ServerResponse;
  readonly #room: SharedRoom;
  readonly #id: string;
  readonly #pace: Pace;
  #holder = '';
  #store: { readonly position: string | undefined } | undefined;
  #roomTaken = 0;
  #cut: NodeJS.Timeout | undefined;

  /** @param id names the request, in a header of the answer */
  constructor(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    room: SharedRoom,
    id: string,
    pace: Pace = PACE,
  ) {
    this.#incoming = incoming;
    this.#outgoing = outgoing;
    this.#room = room;
    this.#id = id;
    this.#pace = pace;
  }

  /** From now on room is taken from the share of this caller, who is told how far the store is. */
  answerTo({ principals: [{ id }] }: Caller, store: { readonly position: string | undefined }): void {
    this.#holder = id;
    this.#store = store;
  }

  /** @throws Refusal `busy`: too many large answers wait for their callers to take them. */
  json(body: string): void {
    if (body.length > SMALL_CHARACTERS) this.#takeRoom(Buffer.byteLength(body));
    this.#send(200, JSON_TYPE, body);
  }

  /** Takes the body over, and wipes it when it is sent or will not be. Room for it has been reserved. */
  secretJson(body: Buffer): void {
    this.#outgoing.on('close', () => body.fill(0));
    if (this.#outgoing.destroyed) body.fill(0);
    this.#send(200, JSON_TYPE, body);
  }

  /**
   * Takes room for an answer with so many bytes of values, before they are read.
   *
   * @throws Refusal `busy`; `bad_request` when the caller has gone
   */
  reserve(valueBytes: number): void {
    if (this.#outgoing.destroyed) throw new Refusal('bad_request', 'the caller has gone');
    const bytes = base64Length(valueBytes) + AROUND_VALUES;
    if (bytes > SMALL_CHARACTERS) this.#takeRoom(bytes);
  }

  /** JSON that all callers get from one memory, so that it needs no room. */
  jsonDocument(document: Buffer): void {
    this.#send(200, JSON_TYPE, document);
  }

  notReady(code: Problem['code'], body: object): void {
    const headers = [...JSON_TYPE, 'Coffer-Error', code, 'Retry-After', '1'];
    this.#send(503, headers, JSON.stringify(body));
  }

  page(type: string, body: string): void {
    this.#send(
      200,
      ['Content-Type', type, 'Cache-Control', 'no-store', 'X-Content-Type-Options', 'nosniff'],
      body,
    );
  }

  text(body: string): void {
    this.#send(200, TEXT_TYPE, body);
  }

  /**
   * Sends what `open` gives as fast as the caller takes it. An error on the way cuts the connection, so that the caller
   * knows that the rest is missing.
   *
   * @param open gets a signal that is aborted when the caller goes away: what waits for something else must end by it
   */
  async stream(
    type: string,
    open: (gone: AbortSignal) => AsyncIterable<string | Uint8Array>,
    limits: StreamLimits = {},
  ): Promise<void> {
    const outgoing = this.#outgoing;
    const leaving = new AbortController();
    outgoing.once('close', () => leaving.abort());
    if (outgoing.destroyed) return;
    // Who reads until the end of the connection finds the end of the stream, too.
    outgoing.shouldKeepAlive = false;
    const chunks = open(leaving.signal)[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await chunks.next();
        if (leaving.signal.aborted) return;
        // What fails before the first chunk is answered with a status of its own.
        if (!outgoing.headersSent)
          outgoing.writeHead(200, ['Content-Type', type, ...STREAM_HEADERS, ...this.#ownHeaders()]);
        if (next.done) {
          outgoing.end();
          return;
        }
        if (!outgoing.write(next.value) && !(await isTaken(outgoing, limits))) return;
      }
    } catch (error) {
      if (!outgoing.headersSent) throw error;
      outgoing.destroy(error as Error);
    } finally {
      // Not waited for: a generator ends when what it waits for does, which the signal has told.
      void chunks.return?.()?.catch(() => undefined);
    }
  }

  notModified(): void {
    this.#outgoing.writeHead(304, this.#ownHeaders());
    this.#outgoing.end();
  }

  /** `text`: the way of setec's routes; otherwise JSON with the code and the sentence. */
  problem(problem: Problem, form: 'text' | 'json'): void {
    const { status, code, message, headers } = problem;
    const type = form === 'text' ? TEXT_TYPE : JSON_TYPE;
    const all = [...type, ...Object.entries(headers).flat(), 'Coffer-Error', code];
    // What stands before several instances gives connections to them: the next try may come to one that has heard from its store.
    if (code === 'stale') all.push('Connection', 'close');
    const body = form === 'text' ? setecText(problem) : JSON.stringify({ code, message });
    this.#send(status, all, body);
  }

  #send(status: number, headers: Headers, body: string | Buffer): void {
    const outgoing = this.#outgoing;
    if (outgoing.headersSent) return;
    const all = headers.concat('Content-Length', String(Buffer.byteLength(body)), this.#ownHeaders());
    if (this.#leavesMuchUnread(status)) {
      outgoing.writeHead(status, all.concat('Connection', 'close'));
      void hangUp(this.#incoming, outgoing, body);
    } else {
      outgoing.writeHead(status, all);
      outgoing.end(body);
    }
  }

  #ownHeaders(): string[] {
    const position = this.#store?.position;
    return position === undefined ? [REQUEST_ID, this.#id] : [REQUEST_ID, this.#id, POSITION, position];
  }

  /** Until the caller has the answer, is gone, or is cut because it takes the answer too slowly. */
  #takeRoom(bytes: number): void {
    // A caller that is gone is no reason to take room, and nothing would give it back.
    if (this.#outgoing.destroyed || bytes <= this.#roomTaken) return;
    const more = bytes - this.#roomTaken;
    const holder = this.#holder;
    if (!this.#room.take(holder, more)) {
      throw new Refusal(
        'busy',
        'the server holds as many large answers as it can, or as you may have untaken: try again in a second',
      );
    }
    this.#roomTaken = bytes;
    this.#outgoing.on('close', () => {
      clearTimeout(this.#cut);
      this.#room.give(holder, more);
    });
    const { patienceMs, bytesPerSecond } = this.#pace;
    clearTimeout(this.#cut);
    // Whoever takes a byte now and then is never idle, and would keep the room for hours.
    this.#cut = setTimeout(() => this.#outgoing.destroy(), patienceMs + (bytes / bytesPerSecond) * 1000);
    this.#cut.unref();
  }

  #leavesMuchUnread(status: number): boolean {
    if (this.#incoming.complete) return false;
    if (status === 413) return true;
    // Whoever waits for `100 Continue` and did not get it sends no body, but may also send one.
    if (this.#incoming.headers.expect !== undefined) return true;
    const declared = declaredLength(this.#incoming);
    return declared === undefined || declared > UNREAD_BYTES;
  }
}

/** Waits until the caller has taken what was sent. False if there is nobody to send more to. */
async function isTaken(outgoing: ServerResponse, limits: StreamLimits): Promise<boolean> {
  const { stallMs, lastWords, closing } = limits;
  if (outgoing.destroyed) return false;
  const how = await new Promise<'taken' | 'gone' | 'stalled' | 'closing'>((resolve) => {
    const settle = (result: 'taken' | 'gone' | 'stalled' | 'closing') => {
      clearTimeout(timer);
      outgoing.off('drain', onDrain).off('close', onClose);
      closing?.removeEventListener('abort', onClosing);
      resolve(result);
    };
    const onDrain = () => settle('taken');
    const onClose = () => settle('gone');
    const onClosing = () => settle('closing');
    const timer = stallMs === undefined ? undefined : setTimeout(settle, stallMs, 'stalled');
    outgoing.on('drain', onDrain).on('close', onClose);
    closing?.addEventListener('abort', onClosing);
    if (closing?.aborted) onClosing();
  });
  if (how === 'closing' || (how === 'stalled' && lastWords === undefined)) outgoing.destroy();
  else if (how === 'stalled') {
    // Who does not take these either is cut like everybody on whose connection nothing moves.
    outgoing.end(lastWords);
    const cut = () => outgoing.destroy();
    closing?.addEventListener('abort', cut);
    outgoing.once('close', () => closing?.removeEventListener('abort', cut));
  }
  return how === 'taken';
}

/** Closing at once would reset the connection, and the answer would be lost to a caller that still sends. */
async function hangUp(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  body: string | Buffer,
): Promise<void> {
  outgoing.write(body);
  const ended = new Promise<void>((resolve) => {
    incoming.once('end', resolve);
    incoming.once('close', resolve);
  });
  incoming.resume();
  await Promise.race([ended, delay(LINGER_MS, undefined, { ref: false })]);
  outgoing.end();
}
