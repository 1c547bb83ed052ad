import { CofferClientError } from '../errors.js';
import type { CallOptions, SecretAnswer, SecretRequest, SecretValue } from '../types.js';

/** How many secrets the server takes in one request. */
const MOST = 256;
/** How many requests are under way at once with a server that answers one secret at a time. */
const SINGLE_AT_ONCE = 4;

/** How secrets are asked for. */
export interface ManyCalls {
  /** Up to {@link MOST} in one request; undefined if the server does not know how. */
  together(requests: readonly SecretRequest[]): Promise<SecretAnswer[] | undefined>;
  /** One of them, where the server is setec's. */
  single(request: SecretRequest): Promise<SecretAnswer>;
}

/** Who answers one secret at a time. */
export interface SingleClient {
  get(name: string, options?: CallOptions & { readonly version?: number }): Promise<SecretValue>;
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

/** Any number of secrets, in the order of the requests. */
export async function getMany(
  requests: readonly SecretRequest[],
  { together, single }: ManyCalls,
): Promise<SecretAnswer[]> {
  const answers: SecretAnswer[] = [];
  let waiting = requests.map((_, index) => index);
  try {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MOST);
      const got = await together(batch.map((index) => requests[index] as SecretRequest));
      if (!got) {
        await oneByOne(waiting, async (index) => {
          answers[index] = await single(requests[index] as SecretRequest);
        });
        break;
      }
      // An answer holds a limited sum of bytes: what found no room in it is asked for again.
      const left: number[] = [];
      batch.forEach((index, at) => {
        const answer = got[at];
        if (answer?.name !== requests[index]?.name) throw unexpected('it is not about what was asked for');
        if (answer && 'error' in answer && answer.error === 'too_large') left.push(index);
        else answers[index] = answer as SecretAnswer;
      });
      if (left.length === batch.length) throw unexpected('it holds nothing');
      waiting = [...left, ...waiting.slice(MOST)];
    }
  } catch (error) {
    for (const answer of answers) if (answer && 'value' in answer) answer.value.fill(0);
    throw error;
  }
  return answers;
}

/** The first error ends it, once what is under way has ended. */
async function oneByOne(indexes: readonly number[], task: (index: number) => Promise<void>): Promise<void> {
  const queue = [...indexes];
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

const unexpected = (what: string) =>
  new CofferClientError('bad_answer', `the server's answer is not one to get-many: ${what}`);
