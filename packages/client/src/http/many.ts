import { CofferClientError } from '../errors.js';
import type { SecretAnswer, SecretRequest } from '../types.js';

/** How many secrets the server takes in one request. */
const MOST = 256;

/** How secrets are asked for. */
export interface ManyCalls {
  /** Up to {@link MOST} in one request; undefined if the server does not know how. */
  together(requests: readonly SecretRequest[]): Promise<SecretAnswer[] | undefined>;
  /** One of them, where the server is setec's. */
  single(request: SecretRequest): Promise<SecretAnswer>;
}

/** Any number of secrets, in the order of the requests. */
export async function getMany(
  requests: readonly SecretRequest[],
  { together, single }: ManyCalls,
): Promise<SecretAnswer[]> {
  const answers: SecretAnswer[] = [];
  let held: readonly SecretAnswer[] = [];
  let waiting = requests.map((_, index) => index);
  try {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, MOST);
      const got = await together(batch.map((index) => requests[index] as SecretRequest));
      if (!got) {
        const { oneByOne } = await import('./one-by-one.js');
        await oneByOne(waiting, async (index) => {
          answers[index] = await single(requests[index] as SecretRequest);
        });
        break;
      }
      held = got;
      // An answer holds a limited sum of bytes: what found no room in it is asked for again.
      const left: number[] = [];
      batch.forEach((index, at) => {
        const answer = got[at];
        if (!isAbout(requests[index] as SecretRequest, answer))
          throw unexpected('it is not about what was asked for');
        if ('error' in answer && answer.error === 'too_large') left.push(index);
        else answers[index] = answer;
      });
      if (left.length === batch.length) throw unexpected('it holds nothing');
      waiting = [...left, ...waiting.slice(MOST)];
    }
  } catch (error) {
    answers.forEach(wipeAnswer);
    held.forEach(wipeAnswer);
    throw error;
  }
  return answers;
}

/** For an answer that nobody is given. */
export function wipeAnswer(answer: SecretAnswer): void {
  if ('value' in answer) answer.value.fill(0);
}

function isAbout(
  { name, version, known }: SecretRequest,
  answer: SecretAnswer | undefined,
): answer is SecretAnswer {
  if (answer?.name !== name) return false;
  if ('error' in answer) return true;
  const wanted = 'unchanged' in answer ? known : version;
  return wanted ? answer.version === wanted : !('unchanged' in answer);
}

const unexpected = (what: string) =>
  new CofferClientError('bad_answer', `the server's answer is not one to get-many: ${what}`);
