import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { History } from '../checker/check.js';
import type { FinalState, Operation } from '../checker/history.js';
import type { Fault } from './nemesis.js';

/** What is known of a run of chaos. */
export interface Run extends History {
  readonly seed: number;
  readonly faults: readonly Fault[];
}

type Written = Omit<Run, 'operations' | 'finals'> & {
  /** An end that nobody saw is null. */
  readonly operations: readonly (Omit<Operation, 'end'> & { readonly end: number | null })[];
  readonly finals: readonly (Omit<FinalState, 'versions'> & { readonly versions: [number, string][] })[];
};

/**
 * Writes a run into a file, one operation a line: in `CHAOS_HISTORY`, or in a folder for what is temporary.
 *
 * @returns where
 */
export function keepHistory(
  { finals, operations, ...run }: Run,
  name: string,
  folder = process.env.CHAOS_HISTORY ?? join(tmpdir(), 'coffer-chaos'),
): string {
  const states = finals.map((final) => ({ ...final, versions: [...final.versions] }));
  const lines = operations.map((one) => JSON.stringify(one)).join(',\n');
  const rest = JSON.stringify({ ...run, finals: states });
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.json`);
  writeFileSync(file, `${rest.slice(0, -1)},"operations":[\n${lines}\n]}\n`);
  return file;
}

/** What {@link keepHistory} wrote, to be checked again. */
export function readHistory(file: string): Run {
  const { operations, finals, ...run } = JSON.parse(readFileSync(file, 'utf8')) as Written;
  return {
    ...run,
    operations: operations.map((one) => ({ ...one, end: one.end ?? Number.POSITIVE_INFINITY })),
    finals: finals.map((final) => ({ ...final, versions: new Map(final.versions) })),
  };
}
