import { request } from 'node:https';
import { answerTo } from '../backend/http-answer.js';
import type { Login } from './credentials.js';

/** What the API server answered. Its bytes may hold secrets: whoever gets them wipes them. */
export interface Answer {
  readonly status: number;
  readonly body: Buffer;
  /** When to ask again, if it said so. */
  readonly retryAfterMs: number | undefined;
}

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
  const wait = { timeoutMs, largestBytes: LARGEST_ANSWER, signal };
  const { status, headers: told, body } = await answerTo(sent, wait);
  const seconds = told['retry-after'] ?? '';
  return {
    status,
    body,
    retryAfterMs: /^\d{1,4}$/.test(seconds) ? Number(seconds) * 1000 : undefined,
  };
}
