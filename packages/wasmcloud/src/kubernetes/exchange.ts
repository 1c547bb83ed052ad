import type { ClientRequest, IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { Login } from './credentials.js';

/** What the API server answered. Its bytes may hold secrets: whoever gets them wipes them. */
export interface Answer {
  readonly status: number;
  readonly body: Buffer;
  /** When to ask again, if it said so. */
  readonly retryAfterMs: number | undefined;
}

/** There was no answer. */
export class NoAnswer extends Error {
  /** Of Node or OpenSSL: `ECONNREFUSED`, `CERT_HAS_EXPIRED`, … */
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

export const TIMED_OUT = 'ETIMEDOUT';
export const TOO_LARGE = 'TOO_LARGE';

/** A Secret holds a mebibyte, which is more in base64, and what others have noted beside it. etcd takes less than this. */
const LARGEST_ANSWER = 4 * 1024 * 1024;

export interface Exchange {
  readonly path: string;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/**
 * One GET. No redirect is followed.
 *
 * @throws NoAnswer; the signal's reason if it ended
 */
export async function exchange(
  login: Login,
  { path, headers, timeoutMs, signal }: Exchange,
): Promise<Answer> {
  signal?.throwIfAborted();
  const sent = request(`${login.server}${path}`, {
    agent: login.agent,
    headers: { accept: 'application/json', 'user-agent': 'coffer', ...login.headers, ...headers },
  });
  const timer = setTimeout(() => sent.destroy(new NoAnswer(TIMED_OUT)), timeoutMs);
  const abort = () => sent.destroy();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    return await answerTo(sent);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof NoAnswer) throw error;
    throw new NoAnswer((error as NodeJS.ErrnoException).code ?? 'UNKNOWN');
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

function answerTo(sent: ClientRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    // Without a listener one that comes late would end the process.
    sent.on('error', reject);
    sent.on('response', (response) => bodyOf(response).then((body) => resolve(told(response, body)), reject));
    sent.end();
  });
}

const told = ({ statusCode = 0, headers }: IncomingMessage, body: Buffer): Answer => {
  const seconds = headers['retry-after'] ?? '';
  return {
    status: statusCode,
    body,
    retryAfterMs: /^\d{1,4}$/.test(seconds) ? Number(seconds) * 1000 : undefined,
  };
};

async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > LARGEST_ANSWER) throw new NoAnswer(TOO_LARGE);
    }
    const body = Buffer.from(new ArrayBuffer(size));
    let at = 0;
    for (const chunk of chunks) at += chunk.copy(body, at);
    return body;
  } finally {
    for (const chunk of chunks) chunk.fill(0);
  }
}
