import { askOne, getMany } from '../http/many.js';
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
  const single = async (request: SecretRequest): Promise<SecretAnswer> => {
    try {
      return await askOne(client, request, options);
    } catch (cause) {
      fail(request.name, cause);
      return { name: request.name, error: asClientError(cause).code };
    }
  };
  return getMany(requests, { together: async () => undefined, single });
}
