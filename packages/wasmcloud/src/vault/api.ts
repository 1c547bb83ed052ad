import { setTimeout as pause } from 'node:timers/promises';
import { NoAnswer } from '../backend/http-answer.js';
import { SecretsError } from '../protocol/errors.js';
import type { Patience, VaultAnswer, VaultHttp, VaultRequest } from './http.js';
import { whyNoAnswer, whyUnable, wordsOf } from './words.js';

const FIRST_PAUSE_MS = 100;
/** After these, to ask again may help. */
const PASSING = ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'EAI_AGAIN'];

/** Asks a Vault, again where that may help. Nothing that it asks for is worse for being done twice. */
export class VaultApi {
  readonly #http: VaultHttp;
  readonly #retries: number;

  constructor(http: VaultHttp, retries: number) {
    this.#http = http;
    this.#retries = retries;
  }

  /**
   * @returns an answer to the matter, whatever it says: of a status of 200, or 400 and beyond; the receiver wipes its body
   * @throws SecretsError `UpstreamError` where Vault cannot be reached, or is in no state to answer; the signal's reason
   */
  async ask(request: VaultRequest, patience: Patience): Promise<VaultAnswer> {
    for (let attempt = 0; ; attempt++) {
      const { answer, failure, wait } = await this.#attempt(request, patience, attempt);
      if (answer !== undefined) return answer;
      const isLast = attempt >= this.#retries || wait === undefined;
      if (isLast || performance.now() + wait >= patience.until)
        throw new SecretsError('UpstreamError', failure);
      await pauseUnlessAborted(wait, patience.signal);
    }
  }

  close(): void {
    this.#http.close();
  }

  async #attempt(request: VaultRequest, patience: Patience, attempt: number): Promise<Attempt> {
    // They differ, so that many who failed together do not come back together.
    const wait = FIRST_PAUSE_MS * 2 ** attempt * (0.5 + Math.random() / 2);
    try {
      const answer = await this.#http.exchange(request, patience);
      if (answer.status === 200 || answer.status === 204) return { answer };
      const failure = whyUnable(answer.status, wordsOf(answer.body));
      if (failure === undefined) return { answer };
      answer.body.fill(0);
      return { failure, wait: mayPass(answer, failure) ? Math.max(wait, askedToWait(answer)) : undefined };
    } catch (error) {
      if (!(error instanceof NoAnswer)) throw error;
      return { failure: whyNoAnswer(error), wait: PASSING.includes(error.code) ? wait : undefined };
    }
  }
}

interface Attempt {
  readonly answer?: VaultAnswer;
  readonly failure?: string;
  /** In milliseconds; undefined: to ask again does not help. */
  readonly wait?: number | undefined;
}

const mayPass = ({ status }: VaultAnswer, failure: string): boolean =>
  (status >= 500 || status === 429 || status === 412) && failure !== 'Vault is sealed';

const askedToWait = ({ retryAfter = '' }: VaultAnswer): number =>
  /^\d{1,5}$/.test(retryAfter) ? Number(retryAfter) * 1000 : 0;

async function pauseUnlessAborted(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await pause(ms, undefined, signal && { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
