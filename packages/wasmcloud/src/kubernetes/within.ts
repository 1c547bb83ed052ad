import { NoAnswer, TIMED_OUT } from '../backend/http-answer.js';

/**
 * Waits for what may take any time, and no longer than it may.
 *
 * @throws NoAnswer `ETIMEDOUT`; whatever the work rejects with
 */
export async function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new NoAnswer(TIMED_OUT)), timeoutMs);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
