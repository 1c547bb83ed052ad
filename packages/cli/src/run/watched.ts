import { constants } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import { type ConnectionOptions, withClient } from '../connection.js';
import { during, Failure } from '../failure.js';
import { quote } from '../quote.js';
import type { Exit, Supervised } from './child.js';
import { environment, fetchValues } from './environment.js';
import { Follower } from './follow.js';
import type { Mapping } from './mapping.js';

export type WatchedOptions = ConnectionOptions & {
  readonly keepToken?: boolean;
  /** As written: `restart`, a signal, or nothing, which is true. */
  readonly watch: string | true;
  /** Seconds, as written. */
  readonly grace?: string;
};

/** As many patterns as a watch takes; with more names it is all secrets that are watched. */
const MOST_PATTERNS = 32;
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 60_000;

/**
 * Starts the command with its secrets and lets it know of changes until it ends. We begin to watch before we fetch, so that
 * no change is lost between. When the server ends the watch, as for a token that was revoked, we try again, with the
 * token file as it is then.
 */
export async function runWatched(
  supervised: Supervised,
  mappings: readonly Mapping[],
  options: WatchedOptions,
): Promise<Exit> {
  const { keepToken = false } = options;
  const how = parseHow(options.watch);
  const follower = new Follower(supervised, mappings, { how, keepToken, grace: parseGrace(options.grace) });
  const { names } = follower;
  if (names.length === 0)
    throw new Failure('--watch has nothing to watch: each secret is pinned to a version');
  const stop = new AbortController();
  const { signal } = stop;
  supervised.ended.then(
    () => stop.abort(),
    () => stop.abort(),
  );
  let retry = FIRST_RETRY;
  for (let started = false; !signal.aborted; ) {
    const session = withClient(
      options,
      async (client) => {
        const events = client.watch({
          signal,
          onTrouble: (error) => follower.lost(error),
          onRecovered: () => follower.recovered(),
          ...(names.length > MOST_PATTERNS ? {} : { secrets: names }),
        });
        if (!started) {
          await during('nothing was started', events.next());
          const values = await fetchValues('nothing was started', client, mappings);
          follower.remember(values);
          const env = environment(mappings, values, { keepToken });
          for (const { value } of values) value.fill(0);
          await supervised.start(env);
          started = true;
        }
        await follower.follow(client, events, signal);
      },
      { again: started },
    );
    try {
      await session;
      retry = FIRST_RETRY;
    } catch (error) {
      if (!started) throw error;
      if (!signal.aborted) await follower.warn(error);
    }
    await pause(retry, undefined, { signal, ref: false }).catch(() => {});
    retry = Math.min(2 * retry, LONGEST_RETRY);
  }
  return supervised.ended;
}

function parseHow(text: string | true): 'restart' | NodeJS.Signals {
  if (text === true || text === 'restart') return 'restart';
  const name = text.toUpperCase().replace(/^(SIG)?/, 'SIG');
  if (name in constants.signals && name !== 'SIGKILL' && name !== 'SIGSTOP') return name as NodeJS.Signals;
  throw new Failure(`--watch=${text}: write restart, or a signal such as SIGHUP`);
}

function parseGrace(text = '10'): number {
  const seconds = /^\d{1,4}(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= 0 && seconds <= 3600) return seconds * 1000;
  throw new Failure(`invalid --grace ${quote(text)}: write seconds, from 0 to 3600`);
}
