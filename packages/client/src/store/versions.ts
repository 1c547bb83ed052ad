import { CofferClientError } from '../errors.js';
import { wipeAnswer } from '../http/many.js';
import { refused } from '../http/one-by-one.js';
import { SecretBytes } from '../secret/secret-bytes.js';
import { askMany } from './ask-many.js';
import type { Held } from './held.js';
import type { Holdings } from './holdings.js';
import type { StoreClient } from './options.js';

/** What {@link syncVersions} needs of a round. */
export interface VersionsParts {
  readonly client: StoreClient;
  readonly holdings: Holdings;
  /** Whether the watch tells of changes at this moment. */
  readonly watching: { readonly live: boolean };
}

/**
 * Brings the versions that are held by number up to date: those that are gone go, and of a keyring, all that there are come. False if
 * one could not be had that the watch has just told of.
 *
 * @param anew whether a number may stand for another value now
 */
export async function syncVersions(
  { client, holdings, watching }: VersionsParts,
  held: Held,
  anew: boolean,
  signal: AbortSignal,
): Promise<boolean> {
  const { name, versions, secret, keyrings, ahead } = held;
  const options = { signal, keepsAlive: false };
  // What the watch told counts once; a while later it may be another, whose telling is on its way.
  let told = watching.live && ahead ? held.told : undefined;
  try {
    told ??= (await client.info?.(name, options))?.versions;
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'access_denied') throw error;
  }
  told ??= watching.live ? held.told : undefined;
  if (!told && keyrings > 0)
    throw new CofferClientError(
      client.info ? 'access_denied' : 'unsupported',
      `the keyring of ${JSON.stringify(name)} needs the right to 'info', until a watch has told of a change`,
    );
  // Where nobody tells the numbers, each version shows for itself whether it is gone.
  const numbers = new Set(told ?? versions.keys());
  const wanted = [...numbers].filter((number) => (versions.has(number) ? !told || anew : keyrings > 0));
  const others = wanted.filter((number) => number !== secret?.version);
  const requests = others.map((version) => ({ name, version }));
  const answers = await askMany(client, requests, options, (_, cause) => {
    refused(name, cause);
  });
  if (signal.aborted) answers.forEach(wipeAnswer);
  signal.throwIfAborted();
  if (secret && wanted.length > others.length) held.keep(secret.version, SecretBytes.copyOf(secret.value));
  let refusal: string | undefined;
  answers.forEach((answer, at) => {
    const number = others[at] as number;
    if ('value' in answer) held.keep(number, answer.value);
    else if ('error' in answer && answer.error !== 'not_found') refusal = answer.error;
    else numbers.delete(number);
  });
  for (const number of [...versions.keys()]) if (!numbers.has(number)) held.drop(number);
  holdings.changed = true;
  if (refusal) throw new CofferClientError(refusal, `a version of ${JSON.stringify(name)}: ${refusal}`);
  return !ahead || numbers.size >= (told?.length ?? 0);
}
