import { setTimeout as pause } from 'node:timers/promises';
import { NoAnswer, TIMED_OUT, TOO_LARGE } from '../backend/http-answer.js';
import type { Credentials, Login } from './credentials.js';
import { type Answer, type Exchange, exchange } from './exchange.js';
import { isAboutCertificates, unanswered, upstream } from './upstream.js';
import { within } from './within.js';

export interface ApiServerOptions {
  readonly credentials: Credentials;
  /** For a request in all, tries and pauses together. */
  readonly timeoutMs: number;
  /** After a 5xx, a 429 or a lost connection. */
  readonly retries: number;
}

const FIRST_PAUSE_MS = 100;
const PASSING = [429, 500, 502, 503, 504];

/**
 * Asks the API server, over connections that are kept. Not by client-node's own classes for its API: they make a connection for
 * every request, take answers of any size, and speak as one user each, where here every request says as whom it is made.
 */
export class ApiServer {
  readonly #options: ApiServerOptions;

  constructor(options: ApiServerOptions) {
    this.#options = options;
  }

  /**
   * @returns any answer; the receiver wipes its body
   * @throws SecretsError `UpstreamError` where there is none; the signal's reason
   */
  async get(path: string, headers: Exchange['headers'], signal?: AbortSignal): Promise<Answer> {
    const { credentials, timeoutMs, retries } = this.#options;
    const end = performance.now() + timeoutMs;
    const left = () => Math.max(1, end - performance.now());
    let refused: Login | undefined;
    for (let tries = 0; ; ) {
      const login = await inTime(credentials.current(), left());
      const outcome = await attempt(login, { path, headers, timeoutMs: left(), signal });
      if (refused === undefined && refusesLogin(outcome)) {
        refused = login;
        if (await inTime(credentials.renewed(login), left())) {
          discard(outcome);
          continue;
        }
      }
      const wait = pauseAfter(outcome, tries);
      if (!isPassing(outcome) || tries === retries || performance.now() + wait >= end)
        return settled(outcome);
      discard(outcome);
      tries++;
      await pause(wait, undefined, signal && { signal });
    }
  }

  close(): void {
    this.#options.credentials.close();
  }
}

/** An answer, or why there is none. */
type Outcome = Answer | NoAnswer;

async function attempt(login: Login, what: Exchange): Promise<Outcome> {
  try {
    return await exchange(login, what);
  } catch (error) {
    if (error instanceof NoAnswer) return error;
    throw error;
  }
}

function settled(outcome: Outcome): Answer {
  if (outcome instanceof NoAnswer) throw unanswered(outcome);
  return outcome;
}

function discard(outcome: Outcome): void {
  if (!(outcome instanceof NoAnswer)) outcome.body.fill(0);
}

/** Our token or certificate has changed meanwhile, or that of the API server's authority. */
const refusesLogin = (outcome: Outcome): boolean =>
  outcome instanceof NoAnswer ? isAboutCertificates(outcome) : outcome.status === 401;

function isPassing(outcome: Outcome): boolean {
  if (!(outcome instanceof NoAnswer)) return PASSING.includes(outcome.status);
  return ![TIMED_OUT, TOO_LARGE].includes(outcome.code) && !isAboutCertificates(outcome);
}

/** Pauses grow and differ, so that many who were refused together do not come back together. */
function pauseAfter(outcome: Outcome, tries: number): number {
  const own = FIRST_PAUSE_MS * 4 ** tries * (0.5 + Math.random() / 2);
  const asked = outcome instanceof NoAnswer ? undefined : outcome.retryAfterMs;
  return Math.max(own, asked ?? 0);
}

/** A credential plugin is a program, which may take any time. */
async function inTime<T>(login: Promise<T>, timeoutMs: number): Promise<T> {
  try {
    return await within(timeoutMs, login);
  } catch (error) {
    // What a plugin prints may be anything; the code of a file's error is enough.
    const { code = 'its plugin or its files' } = error as NodeJS.ErrnoException;
    throw upstream(`coffer gets no credentials for the cluster (${code})`);
  }
}
