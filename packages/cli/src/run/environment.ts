import { isUtf8 } from 'node:buffer';
import type { CallOptions, Client, SecretAnswer } from '@coffer/client';
import { CREDENTIALS } from '../connection.js';
import { during, Failure } from '../failure.js';
import { quote } from '../quote.js';
import type { Mapping } from './mapping.js';

/** A value that came, with the secret it is of. Whoever holds it wipes it. */
export type Fetched = Extract<SecretAnswer, { value: Uint8Array }>;

/**
 * Fetches what the mappings ask for, each secret once, in one round trip; in the order of the mappings. When any is
 * missing or refused, or can be no variable, it is one Failure that begins with `what` and lists them all.
 */
export async function fetchValues(
  what: string,
  client: Client,
  mappings: readonly Mapping[],
  options?: CallOptions,
): Promise<Fetched[]> {
  const requests = new Map(
    mappings.map((each) => [keyOf(each), { name: each.secret, version: each.version }]),
  );
  const answers = await during(what, client.getMany([...requests.values()], options));
  const fetched = new Map<string, Fetched>();
  const problems: string[] = [];
  [...requests].forEach(([key, request], index) => {
    const answer = answers[index];
    const problem = problemOf(answer);
    if (problem !== undefined) problems.push(`${described(request)}: ${problem}`);
    if (answer !== undefined && 'value' in answer) fetched.set(key, answer);
  });
  if (problems.length > 0) {
    for (const { value } of fetched.values()) value.fill(0);
    throw new Failure(`${what}: ${problems.join('; ')}`);
  }
  return mappings.map((each) => fetched.get(keyOf(each)) as Fetched);
}

/**
 * The environment of the command: ours, with the values. Without the token and other ways in, unless they are to be
 * kept: what the command needs it was given. The values are strings from here on, which nobody can wipe.
 */
export function environment(
  mappings: readonly Mapping[],
  values: readonly Fetched[],
  { keepToken }: { readonly keepToken: boolean },
): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env };
  if (!keepToken) {
    for (const variable of CREDENTIALS) delete env[variable];
    for (const variable of ADDRESSES) {
      if (env[variable] !== undefined) env[variable] = withoutPassword(env[variable]);
    }
  }
  mappings.forEach(({ variable }, index) => {
    env[variable] = Buffer.from(values[index]?.value.buffer ?? new ArrayBuffer(0)).toString('utf8');
  });
  return env;
}

const ADDRESSES = ['COFFER_SERVER', 'SETEC_SERVER'];

/** In the text, not by `URL`, which would write the rest anew. */
function withoutPassword(address: string): string {
  return address.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/?#]*@/i, '$1');
}

function keyOf({ secret, version }: Mapping): string {
  return `${version}@${secret}`;
}

function described({ name, version }: { name: string; version: number }): string {
  return version === 0 ? quote(name) : `version ${version} of ${quote(name)}`;
}

/** What keeps an answer from being a variable's value; undefined if nothing does. */
export function problemOf(answer: SecretAnswer | undefined): string | undefined {
  if (answer === undefined) return 'no answer';
  if ('error' in answer) return PROBLEMS[answer.error] ?? answer.error;
  if (!('value' in answer)) return 'no answer';
  if (answer.value.includes(0)) return 'holds a NUL byte, which no environment variable can';
  return isUtf8(answer.value) ? undefined : 'is no UTF-8 text, as an environment variable must be';
}

const PROBLEMS: Record<string, string> = {
  not_found: 'not found',
  access_denied: 'no grant allows you to get it',
  tampered: 'the server found that its record was changed',
};
