import { randomInt } from 'node:crypto';
import { CofferClientError } from '../errors.js';
import type { WatchEvent, WatchOptions } from '../types.js';
import * as answers from './answers.js';
import { readBlocks } from './event-stream.js';
import { lacksRoute } from './open-answer.js';
import { pause } from './pause.js';
import { parseJson } from './shapes.js';
import type { Transport } from './transport.js';

/** The server shows every 15 s that it lives. */
const SILENCE_MS = 45_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 30_000;
/** A connection that lasted so long was no failure. */
const GOOD_MS = 5_000;

/** What no repetition helps against. */
const FINAL = /^(unauthenticated|access_denied|unsupported|closed|invalid_.*)$/;

/**
 * Watches over as many connections as it takes. Only the first of them has to succeed.
 *
 * @param silenceMs a connection on which no byte comes for so long is made anew
 */
export async function* watch(
  transport: Transport,
  options: WatchOptions,
  silenceMs = SILENCE_MS,
): AsyncGenerator<WatchEvent, void> {
  const { signal, keepsAlive, onTrouble, onRecovered } = options;
  const ends = signal ? AbortSignal.any([signal, transport.closing]) : transport.closing;
  let { since } = options;
  let begun = false;
  let troubled = false;
  for (let failures = 0; ; failures++) {
    const started = performance.now();
    try {
      for await (const event of connection(transport, { ...options, since }, silenceMs)) {
        since = event.id;
        if (troubled) onRecovered?.();
        troubled = false;
        // A later one only says that it goes on.
        if (event.type === 'heartbeat' || (event.type === 'ready' && begun)) continue;
        begun = true;
        yield event;
      }
    } catch (error) {
      const { code = 'closed' } = error as Partial<CofferClientError>;
      if (!begun || signal?.aborted || FINAL.test(code)) throw error;
      if (!troubled) onTrouble?.(error as CofferClientError);
      troubled = true;
    }
    if (performance.now() - started >= GOOD_MS) failures = 0;
    const longest = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures, 10));
    await pause(randomInt(longest / 2, longest), ends, keepsAlive);
  }
}

/** One connection; it never ends but by an error. */
async function* connection(
  transport: Transport,
  { secrets = [], since, signal, keepsAlive }: WatchOptions,
  silenceMs: number,
): AsyncGenerator<WatchEvent | { readonly type: 'heartbeat'; readonly id: string }, void> {
  const query = new URLSearchParams(secrets.map((pattern): [string, string] => ['secrets', pattern]));
  if (since !== undefined) query.set('since', since);
  const path = `/api/watch${query.size > 0 ? `?${query}` : ''}`;
  const answer = await transport.open({ method: 'GET', path, signal, keepsAlive }, { idle: silenceMs });
  const { display } = transport.address;
  const isStream = answer.headers['content-type']?.startsWith('text/event-stream');
  if (lacksRoute(answer) || (answer.status === 200 && !isStream)) {
    answer.cancel();
    throw unsupported(display);
  }
  if (answer.status !== 200) {
    const { refusal } = await import('./refusal.js');
    throw refusal(await answer.whole(), { action: 'watch' }, transport);
  }
  for await (const { type, data, id = since ?? '' } of readBlocks(answer.chunks())) {
    const fields = data === '' ? undefined : parseJson(Buffer.from(data));
    transport.saw((fields as { position?: unknown } | null | undefined)?.position);
    if (type === 'end') {
      const { code, message } = answers.problem(fields, 'the event');
      const why = FINAL.test(code) ? message : `${display} ended the watch: ${message || 'without a reason'}`;
      throw new CofferClientError(code, why);
    }
    if (type === 'change') yield { type, id, ...answers.secretInfo(fields, 'the event') };
    else if (type === 'delete') yield { type, id, ...answers.deletedSecret(fields, 'the event') };
    else if (type === 'ready' || type === 'reset') yield { type, id };
    // Also what a newer server may tell.
    else yield { type: 'heartbeat', id };
  }
  throw new CofferClientError('unreachable', `${display} ended the connection`);
}

const unsupported = (display: string) =>
  new CofferClientError(
    'unsupported',
    `${display} cannot tell of changes, since it is setec's or an older one: ask it for new versions from time to time`,
  );
