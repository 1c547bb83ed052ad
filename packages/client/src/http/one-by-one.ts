import type { CallOptions, SecretAnswer, SecretRequest, SecretValue } from '../types.js';

/** How many requests are under way at once with a server that answers one secret at a time. */
const SINGLE_AT_ONCE = 4;

/** Who answers one secret at a time. */
export interface SingleClient {
  get(name: string, options?: CallOptions & { readonly version?: number | undefined }): Promise<SecretValue>;
  getIfChanged(name: string, knownVersion: number, options?: CallOptions): Promise<SecretValue | undefined>;
}

/** One secret, asked for as one of many. */
export async function askOne(
  client: SingleClient,
  { name, version, known }: SecretRequest,
  options?: CallOptions,
): Promise<SecretAnswer> {
  const got = known
    ? await client.getIfChanged(name, known, options)
    : await client.get(name, { ...options, ...(version === undefined ? {} : { version }) });
  return got ? { name, ...got } : { name, version: known ?? 0, unchanged: true };
}

/** That there is none, or not for you, is an answer; what else was thrown is thrown again. */
export function refused(name: string, error: unknown): SecretAnswer {
  const { code } = error as { code?: unknown };
  if (code === 'not_found' || code === 'access_denied') return { name, error: code };
  throw error;
}

/** The first error ends it, once what is under way has ended. */
export async function oneByOne<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const work = async () => {
    try {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) await task(next);
    } finally {
      queue.length = 0;
    }
  };
  const workers = await Promise.allSettled(Array.from({ length: SINGLE_AT_ONCE }, work));
  for (const worker of workers) if (worker.status === 'rejected') throw worker.reason;
}
