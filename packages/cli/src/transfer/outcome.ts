import { Failure } from '../failure.js';
import { print, printJson, table } from '../output.js';
import { displayName } from '../quote.js';

/** What became of one secret. */
export interface Outcome {
  readonly name: string;
  readonly outcome: 'created' | 'changed' | 'unchanged' | 'failed';
  /** For a person: which versions; for a failure, why. */
  readonly detail: string;
  /** A newer version is not active yet. */
  readonly waits?: boolean;
}

export interface ReportOptions {
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/**
 * Prints what became of each secret, failures last and what is unchanged not at all, and a line that sums it up.
 * Throws if any failed.
 */
export async function report(outcomes: readonly Outcome[], options: ReportOptions): Promise<void> {
  const count = (kind: Outcome['outcome']) => outcomes.filter(({ outcome }) => outcome === kind).length;
  const counts = {
    created: count('created'),
    changed: count('changed'),
    unchanged: count('unchanged'),
    failed: count('failed'),
  };
  const waiting = outcomes.filter(({ waits }) => waits).length;
  if (options.json) {
    const secrets = outcomes.map(({ name, outcome, detail, waits = false }) => ({
      name,
      outcome,
      detail,
      waits,
    }));
    await printJson({ dryRun: options.dryRun ?? false, ...counts, waiting, secrets });
  } else {
    const told = outcomes.filter(({ outcome, waits }) => outcome !== 'unchanged' || waits);
    const last = (each: Outcome) => Number(each.outcome === 'failed');
    const rows = told
      .sort((a, b) => last(a) - last(b))
      .map(({ name, outcome, detail }) => [outcome, displayName(name), detail]);
    const { created, changed, unchanged, failed } = counts;
    const sum = `${created} created, ${changed} changed, ${unchanged} unchanged, ${failed} failed`;
    const lines = [
      ...(rows.length === 0 ? [] : [table(rows)]),
      ...(waiting === 0
        ? []
        : [`${waiting} wait for "coffer activate", or for this command with --activate`]),
      options.dryRun ? `${sum}: a dry run, nothing was changed` : sum,
    ];
    await print(lines.join('\n'));
  }
  if (counts.failed > 0) {
    const all = outcomes.length;
    throw new Failure(
      `${counts.failed} of ${all} failed: mend that and run the command again, it changes only what differs`,
    );
  }
}
