import { CofferClientError } from '../errors.js';
import { wipeAnswer } from '../http/many.js';
import type { CallOptions, SecretAnswer } from '../types.js';
import { asClientError, type Events } from './events.js';
import type { Held } from './held.js';
import { type Failures, failed } from './rounds.js';
import type { VersionsParts } from './versions.js';
import type { Calls } from './waiting.js';

/** What a store is, as far as a round needs it. */
export interface RoundParts extends VersionsParts {
  readonly calls: Calls;
  readonly events: Events;
}

/** Fetches what is new of these: their active values, then what else is kept fresh. Never rejects. */
export async function fetchRound(parts: RoundParts, names: ReadonlySet<string>): Promise<Failures> {
  const { client, calls, holdings, events } = parts;
  const failures = new Map<string, CofferClientError>();
  /** Of these a version is missing that the watch told of. */
  const behind = new Set<Held>();
  /** Not of the active value, but of the versions. */
  const versionFailures = new Map<string, CofferClientError>();
  const fail = (name: string, cause: unknown) => failures.set(name, asClientError(cause));
  const asked = [...names].flatMap((name) => holdings.get(name) ?? []);
  const doubted = asked.filter(({ doubtful }) => doubtful);
  const requests = asked.flatMap(({ name, wanted, secret, doubtful }) =>
    wanted ? [{ name, ...(secret && !doubtful && { known: secret.version }) }] : [],
  );
  // Doubts that come from here on are for the next round.
  for (const held of doubted) held.doubtful = false;
  try {
    await calls.run(async (signal) => {
      const answers = requests.length === 0 ? [] : await ask({ signal, keepsAlive: false });
      // A client may not have heeded it.
      if (signal.aborted) answers.forEach(wipeAnswer);
      signal.throwIfAborted();
      for (const answer of answers) hear(answer);
      await blame(answers);
      for (const { name, wanted, secret } of asked)
        if (wanted && !secret && !failures.has(name))
          fail(
            name,
            new CofferClientError('bad_answer', `there was no answer about ${JSON.stringify(name)}`),
          );
      await Promise.all(asked.map((held) => sync(held, signal)));
    });
  } catch (cause) {
    fail('', cause);
  }
  const known = ![...failures.values()].some(({ code }) => code === 'unauthenticated');
  const well = failures.has('') ? [] : [''];
  for (const held of known ? asked : holdings) settle(held);
  events.over(...well);
  return new Map([...versionFailures, ...failures]);

  async function ask(options: CallOptions): Promise<SecretAnswer[]> {
    // Not to load for it what most have no need for.
    if (client.getMany) return client.getMany(requests, options);
    const { askMany } = await import('./ask-many.js');
    return askMany(client, requests, options, fail);
  }

  function hear(answer: SecretAnswer): void {
    const held = holdings.get(answer.name);
    if (!held) wipeAnswer(answer);
    if (!held || 'error' in answer) return;
    holdings.confirm(held);
    if ('value' in answer) holdings.take(held, answer.version, answer.value);
  }

  async function blame(answers: readonly SecretAnswer[]): Promise<void> {
    for (const answer of answers) {
      const { name } = answer;
      if (!('error' in answer) || failures.has(name)) continue;
      const { sentence } = await import('../http/refusal.js');
      const { error } = answer;
      const text = `the server refuses ${JSON.stringify(name)}: ${error}`;
      const kept = holdings.get(name)?.secret ? '; its last value stays' : '';
      fail(name, new CofferClientError(error, sentence(error, { action: 'get', name }, text) + kept));
    }
  }

  async function sync(held: Held, signal: AbortSignal): Promise<void> {
    if (failures.has(held.name) || (held.keyrings === 0 && held.versions.size === 0)) return;
    try {
      const { syncVersions } = await import('./versions.js');
      if (!(await syncVersions(parts, held, doubted.includes(held), signal))) behind.add(held);
    } catch (cause) {
      versionFailures.set(held.name, asClientError(cause));
      held.doubtful ||= doubted.includes(held);
    }
  }

  function settle(held: Held): void {
    const code = known ? failed(failures, held.name)?.code : 'unauthenticated';
    if (!code && !versionFailures.has(held.name)) {
      well.push(held.name);
      if (!behind.has(held)) held.agree();
    }
    if (!code) return;
    // What vanished may be made anew with the same numbers.
    held.doubtful ||= code === 'not_found' || doubted.includes(held);
    if (code === 'access_denied' || !known) holdings.refuse(held);
  }
}
