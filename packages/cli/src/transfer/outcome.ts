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

/** What was not copied, and is no failure: it is no more at the source. */
export interface LeftOut {
  readonly name: string;
  readonly detail: string;
}

export interface ReportOptions {
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

/** What some imports tell besides. */
export interface Besides {
  readonly leftOut?: readonly LeftOut[];
  /** What became of the right to get secrets of each principal that had it at the source; their names are principals. */
  readonly mappings?: readonly Outcome[];
}

/**
 * Prints what became of each secret, failures last and what is unchanged not at all, and a line that sums it up; then the
 * same of mappings. Throws if any failed.
 */
export async function report(
  outcomes: readonly Outcome[],
  options: ReportOptions,
  besides: Besides = {},
): Promise<void> {
  const { leftOut = [], mappings = [] } = besides;
  if (options.json) await printJson(asJson(outcomes, options, besides));
  else {
    const end = options.dryRun ? ': a dry run, nothing was changed' : '';
    const waiting = outcomes.filter(({ waits }) => waits).length;
    const lines = [
      ...rows(outcomes, leftOut),
      ...(waiting === 0
        ? []
        : [`${waiting} wait for "coffer activate", or for this command with --activate`]),
      `${sumOf(outcomes)}${leftOut.length === 0 ? '' : `, ${leftOut.length} left out`}${end}`,
      ...(mappings.length === 0 ? [] : [...rows(mappings), `Mappings: ${sumOf(mappings)}${end}`]),
    ];
    await print(lines.join('\n'));
  }
  const all = [...outcomes, ...mappings];
  const { failed } = countsOf(all);
  if (failed > 0) {
    throw new Failure(
      `${failed} of ${all.length} failed: mend that and run the command again, it changes only what differs`,
    );
  }
}

function countsOf(outcomes: readonly Outcome[]) {
  const count = (kind: Outcome['outcome']) => outcomes.filter(({ outcome }) => outcome === kind).length;
  return {
    created: count('created'),
    changed: count('changed'),
    unchanged: count('unchanged'),
    failed: count('failed'),
  };
}

function sumOf(outcomes: readonly Outcome[]): string {
  const { created, changed, unchanged, failed } = countsOf(outcomes);
  return `${created} created, ${changed} changed, ${unchanged} unchanged, ${failed} failed`;
}

/** One text for the whole table, so that its columns are as wide everywhere; none where there is nothing to tell. */
function rows(outcomes: readonly Outcome[], leftOut: readonly LeftOut[] = []): string[] {
  const told = outcomes.filter(({ outcome, waits }) => outcome !== 'unchanged' || waits);
  const failures = told.filter(({ outcome }) => outcome === 'failed');
  const all = [
    ...told.filter(({ outcome }) => outcome !== 'failed'),
    ...leftOut.map((each) => ({ ...each, outcome: 'left out' })),
    ...failures,
  ].map(({ name, outcome, detail }) => [outcome, displayName(name), detail]);
  return all.length === 0 ? [] : [table(all)];
}

function asJson(outcomes: readonly Outcome[], options: ReportOptions, { leftOut, mappings }: Besides) {
  return {
    dryRun: options.dryRun ?? false,
    ...countsOf(outcomes),
    waiting: outcomes.filter(({ waits }) => waits).length,
    secrets: outcomes.map(({ name, outcome, detail, waits = false }) => ({ name, outcome, detail, waits })),
    ...(leftOut && { leftOut }),
    ...(mappings && {
      mappings: {
        ...countsOf(mappings),
        principals: mappings.map(({ name, outcome, detail }) => ({ principal: name, outcome, detail })),
      },
    }),
  };
}
