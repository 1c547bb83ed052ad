import { setTimeout as pause } from 'node:timers/promises';
import { SecretsError } from '../protocol/errors.js';
import { NoAnswerError } from './ask.js';

export interface RetryOptions {
  /** For all attempts together. */
  readonly deadlineMs: number;
  /** At most for one. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Whether what may have been done already may be done again. */
  readonly repeatable: boolean;
}

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2_000;

/**
 * Tries until there is an answer other than `busy`, or the deadline passes: then the last failure is thrown. Pauses grow and
 * differ, so that many who were refused together do not come back together.
 */
export async function retrying<T>(
  attempt: (timeoutMs: number) => Promise<T>,
  { deadlineMs, timeoutMs, signal, repeatable }: RetryOptions,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (let tries = 0; ; tries++) {
    const left = Math.max(1, end - performance.now());
    try {
      return await attempt(Math.ceil(Math.min(timeoutMs, left)));
    } catch (error) {
      const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** tries);
      const wait = longest * (0.5 + Math.random() / 2);
      if (!mayTryAgain(error, repeatable) || performance.now() + wait >= end) throw error;
      await pauseUnlessAborted(wait, signal);
    }
  }
}

function mayTryAgain(error: unknown, repeatable: boolean): boolean {
  if (error instanceof NoAnswerError) return error.passing && (repeatable || !error.delivered);
  return error instanceof SecretsError && error.code === 'Other' && error.text === 'busy';
}

async function pauseUnlessAborted(ms: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await pause(ms, undefined, signal && { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
