import { isChange, type Operation } from '../checker/history.js';

/** How many a second must have been answered at the least, over a whole run, broken times included. */
const GETS = 10;
const CHANGES = 3;

/**
 * Why a run shows nothing: so little was answered that what is wrong would hardly show. Sentences for a person.
 *
 * @param instances by name
 */
export function tooLittle(
  operations: readonly Operation[],
  instances: readonly string[],
  seconds: number,
): string[] {
  const answered = operations.filter(({ outcome }) => outcome === 'ok');
  const changes = answered.filter(isChange);
  const gets = answered.length - changes.length;
  const few: string[] = [];
  if (gets < GETS * seconds) few.push(`${gets} gets in ${seconds.toFixed(0)} s`);
  if (changes.length < CHANGES * seconds) few.push(`${changes.length} changes in ${seconds.toFixed(0)} s`);
  for (const kind of ['put', 'activate', 'delete-version'] as const) {
    if (!changes.some((change) => change.kind === kind)) few.push(`no ${kind}`);
  }
  for (const instance of instances) {
    // Each has a third of the clients.
    const own = changes.filter((change) => change.instance === instance).length;
    if (own < (CHANGES / 10) * seconds) few.push(`${own} changes at ${instance}`);
  }
  return few;
}
