import { askOne, oneByOne } from '../http/one-by-one.js';
import type { CallOptions, SecretAnswer, SecretRequest } from '../types.js';
import { asClientError } from './events.js';
import type { StoreClient } from './options.js';

/** Many secrets, of a client that may know only one at a time; `fail` is told why one of those cannot be had. */
export async function askMany(
  client: StoreClient,
  requests: readonly SecretRequest[],
  options: CallOptions,
  fail: (name: string, cause: unknown) => void,
): Promise<SecretAnswer[]> {
  if (requests.length === 0) return [];
  if (client.getMany) return client.getMany(requests, options);
  const answers: SecretAnswer[] = [];
  await oneByOne([...requests.entries()], async ([index, request]) => {
    try {
      answers[index] = await askOne(client, request, options);
    } catch (cause) {
      fail(request.name, cause);
      answers[index] = { name: request.name, error: asClientError(cause).code };
    }
  });
  return answers;
}
