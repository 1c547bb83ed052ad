import { CofferClientError } from '../errors.js';
import type { Holdings } from './holdings.js';
import { type Failures, failed } from './rounds.js';

/** So many secrets are named. */
const MOST_NAMED = 10;

/** What an opening waits for, and why: the failures of its latest round. */
export function stillWaiting({ missing, names }: Holdings, failures: Failures): CofferClientError {
  const errors = missing.flatMap((name) => failed(failures, name) ?? []);
  const why = [...new Set(errors.map(({ message }) => message))].slice(0, MOST_NAMED).join('; ');
  const what = `the store still waits for ${missing.length} of ${names.length} secrets, ${named(missing)}`;
  return new CofferClientError(errors[0]?.code ?? 'timeout', `${what}: ${why || 'there is no answer yet'}`);
}

/** What an opening lacked, and why, when its signal ended it. */
export function notOpened({ missing }: Holdings, failures: Failures, cause: unknown): CofferClientError {
  const what = `the store was not opened before its signal ended it: there is no value yet of ${named(missing)}`;
  const latest = [...failures.values()].at(-1);
  return new CofferClientError('not_opened', latest ? `${what} (${latest.message})` : what, { cause });
}

function named(names: readonly string[]): string {
  const quoted = names.slice(0, MOST_NAMED).map((name) => JSON.stringify(name));
  const more = names.length > MOST_NAMED ? ` and ${names.length - MOST_NAMED} more` : '';
  return quoted.join(', ') + more;
}
