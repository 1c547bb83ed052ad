import type { ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http';

/** There was no answer. */
export class NoAnswer extends Error {
  /** Of Node or OpenSSL, as `ECONNREFUSED` or `CERT_HAS_EXPIRED`; {@link TIMED_OUT}, {@link TOO_LARGE}. */
  readonly code: string;

  constructor(code: string, options?: ErrorOptions) {
    super(`no answer: ${code}`, options);
    this.name = 'NoAnswer';
    this.code = code;
  }
}

export const TIMED_OUT = 'ETIMEDOUT';
export const TOO_LARGE = 'TOO_LARGE';

/** An answer of whatever status. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** It may hold secrets: the receiver wipes it. */
  readonly body: Buffer;
}

export interface Wait {
  readonly timeoutMs: number;
  readonly largestBytes: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends a request, and waits for all of its answer, whose parts are wiped.
 *
 * @throws NoAnswer; the signal's reason
 */
export async function answerTo(
  request: ClientRequest,
  { timeoutMs, largestBytes, signal }: Wait,
  body?: Uint8Array,
): Promise<HttpAnswer> {
  const waiting = new Waiting(request, largestBytes);
  const abort = () => waiting.giveUp('ABORTED');
  const timer = setTimeout(() => waiting.giveUp(TIMED_OUT), Math.max(1, timeoutMs));
  signal?.addEventListener('abort', abort, { once: true });
  try {
    request.end(body);
    return await waiting.answer;
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof NoAnswer) throw error;
    throw new NoAnswer((error as NodeJS.ErrnoException).code ?? 'UNKNOWN', { cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/** The first thing that becomes of a request counts: an answer, an error, or that nobody waits any more. */
class Waiting {
  readonly answer: Promise<HttpAnswer>;
  readonly #request: ClientRequest;
  readonly #largestBytes: number;
  readonly #chunks: Buffer[] = [];
  #size = 0;
  #settled = false;
  #resolve!: (answer: HttpAnswer) => void;
  #reject!: (error: unknown) => void;

  constructor(request: ClientRequest, largestBytes: number) {
    this.#request = request;
    this.#largestBytes = largestBytes;
    this.answer = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    // Without a listener one that comes late would end the process.
    request.on('error', (error) => this.#fail(error));
    let responded = false;
    request.on('response', (response) => {
      responded = true;
      this.#read(response);
    });
    request.on('upgrade', (_, socket) => {
      socket.destroy();
      this.#fail(new NoAnswer('UPGRADE'));
    });
    // Whatever ends it without a word: nobody waits for ever.
    request.on('close', () => {
      if (!responded) this.#fail(new NoAnswer('ECONNRESET'));
    });
  }

  giveUp(code: string): void {
    this.#fail(new NoAnswer(code));
    // Without an error, which on a connection that is another's by now nobody would take.
    this.#request.destroy();
  }

  #read(response: IncomingMessage): void {
    response.on('data', (chunk: Buffer) => {
      this.#size += chunk.length;
      this.#chunks.push(chunk);
      if (this.#size > this.#largestBytes) this.giveUp(TOO_LARGE);
      // Nobody comes back for what is read after the end.
      if (this.#settled) this.#wipe();
    });
    response.on('error', (error) => this.#fail(error));
    response.on('close', () => this.#fail(new NoAnswer('ECONNRESET')));
    response.on('end', () => this.#end(response));
  }

  #end({ statusCode: status = 0, headers }: IncomingMessage): void {
    if (this.#settled) return;
    this.#settled = true;
    const body = Buffer.from(new ArrayBuffer(this.#size));
    let at = 0;
    for (const chunk of this.#chunks) at += chunk.copy(body, at);
    this.#wipe();
    this.#resolve({ status, headers, body });
  }

  #fail(error: unknown): void {
    this.#settled = true;
    this.#wipe();
    this.#reject(error);
  }

  #wipe(): void {
    for (const chunk of this.#chunks) chunk.fill(0);
    this.#chunks.length = 0;
  }
}
