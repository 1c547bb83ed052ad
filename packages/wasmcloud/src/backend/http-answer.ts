import type { ClientRequest, IncomingHttpHeaders } from 'node:http';

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
  let given: NoAnswer | undefined;
  const giveUp = (code: string) => {
    given ??= new NoAnswer(code);
    request.destroy(given);
  };
  const abort = () => giveUp('ABORTED');
  const timer = setTimeout(giveUp, Math.max(1, timeoutMs), TIMED_OUT);
  signal?.addEventListener('abort', abort, { once: true });
  try {
    const answer = wholeAnswer(request, largestBytes, giveUp);
    request.end(body);
    return await answer;
  } catch (error) {
    signal?.throwIfAborted();
    // What was read until then ends as if the connection had broken.
    throw given ?? new NoAnswer((error as NodeJS.ErrnoException).code ?? 'UNKNOWN', { cause: error });
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

function wholeAnswer(
  request: ClientRequest,
  largestBytes: number,
  giveUp: (code: string) => void,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    const fail = (error: unknown) => {
      wipe(chunks);
      reject(error);
    };
    // Without a listener one that comes late would end the process.
    request.on('error', fail);
    request.on('response', (response) => {
      const { statusCode: status = 0, headers } = response;
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        chunks.push(chunk);
        if (size > largestBytes) giveUp(TOO_LARGE);
        // Nobody comes back for what is read after the end.
        if (request.destroyed) wipe(chunks);
      });
      response.on('error', fail);
      response.on('end', () => {
        const whole = Buffer.from(new ArrayBuffer(size));
        let at = 0;
        for (const chunk of chunks) at += chunk.copy(whole, at);
        wipe(chunks);
        resolve({ status, headers, body: whole });
      });
    });
  });
}

function wipe(chunks: readonly Buffer[]): void {
  for (const chunk of chunks) chunk.fill(0);
}
