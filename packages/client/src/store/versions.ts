import { CofferClientError } from '../errors.js';
import { SecretBytes } from '../secret/secret-bytes.js';
import type { SecretAnswer } from '../types.js';
import { askMany } from './ask-many.js';
import type { Held } from './held.js';
import type { Holdings } from './holdings.js';
import type { StoreClient } from './options.js';

/** What {@link syncVersions} needs of a round. */
export interface VersionsParts {
  readonly client: StoreClient;
  readonly holdings: Holdings;
  /** Whether the watch tells of changes at this moment. */
  readonly watching: boolean;
}

/**
 * Brings the versions that are held by number up to date: those that are gone go, and of a keyring, all that there are come.
 *
 * @param anew whether a number may stand for another value now
 */
export async function syncVersions(
  { client, holdings, watching }: VersionsParts,
  held: Held,
  anew: boolean,
  signal: AbortSignal,
): Promise<void> {
  const { name, versions, secret, keyrings } = held;
  const told = (watching ? held.told : undefined) ?? (await askNumbers(client, held, signal));
  // Where nobody tells the numbers, each of the versions shows for itself whether it is gone.
  const numbers = new Set(told ?? versions.keys());
  // A secret that was made anew would hardly have the active value again that came in this round.
  const before = secret && versions.get(secret.version);
  const same = !anew || (before && Buffer.compare(before, secret.value) === 0);
  const wanted = [...numbers].filter((number) => (versions.has(number) ? !told || !same : keyrings > 0));
  const others = wanted.filter((number) => number !== secret?.version);
  const requests = others.map((version) => ({ name, version }));
  const answers = await askMany(client, requests, { signal, keepsAlive: false }, (_, cause) => {
    throw cause;
  });
  signal.throwIfAborted();
  let refusal: string | undefined;
  if (secret && wanted.length > others.length) held.keep(secret.version, SecretBytes.copyOf(secret.value));
  for (const [at, number] of others.entries()) {
    const answer = answers[at] as SecretAnswer;
    if ('value' in answer) held.keep(number, answer.value);
    else if ('error' in answer && answer.error !== 'not_found') refusal = answer.error;
    else numbers.delete(number);
  }
  const gone = [...versions.keys()].filter((number) => !numbers.has(number));
  for (const number of gone) held.drop(number);
  if (wanted.length > 0 || gone.length > 0) holdings.changed = true;
  if (refusal)
    throw new CofferClientError(
      refusal,
      `the server refuses versions of ${JSON.stringify(name)}: ${refusal}`,
    );
}

/** Undefined if they cannot be had, and are not needed. */
async function askNumbers(
  client: StoreClient,
  { name, keyrings }: Held,
  signal: AbortSignal,
): Promise<readonly number[] | undefined> {
  try {
    if (client.info) return (await client.info(name, { signal, keepsAlive: false })).versions;
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'access_denied') throw error;
  }
  if (keyrings === 0) return undefined;
  throw new CofferClientError(
    client.info ? 'access_denied' : 'unsupported',
    `which versions ${JSON.stringify(name)} has is not known: its keyring needs the right to 'info', where no watch has told of a change yet`,
  );
}
