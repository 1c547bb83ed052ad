import { homedir } from 'node:os';
import {
  changing,
  openContext,
  openWorkplace,
  type StoreContext,
  StoreError,
  type Workplace,
} from '@coffer/identity';
import { masked } from '@coffer/identity/masked';
import { Failure } from '../failure.js';
import { print } from '../output.js';

/** What every command on a store takes. */
export interface StoreOptions {
  readonly allDirs?: string;
  readonly dataDir?: string;
  readonly keystoreDir?: string;
  readonly configDir?: string;
  /** `-K`. */
  readonly privateKey?: string;
}

/**
 * What a command has done, a line each, as nsc says it. Lines wait until what they tell of is done: a command that fails prints
 * those alone that came before the last `settle`.
 */
export class Report {
  readonly #lines: string[] = [];
  readonly #undo: (() => void)[] = [];
  #settled = 0;

  ok(line: string): void {
    this.#lines.push(masked(`[ OK ] ${line}`));
  }

  warn(line: string): void {
    this.#lines.push(masked(`[WARN] ${line}`));
  }

  /** Whether there is nothing to sign anew for, which it then says; `-K` alone is something. */
  saysNothing({ privateKey }: StoreOptions): boolean {
    if (this.#lines.length > 0 || privateKey !== undefined) return false;
    this.warn('nothing was changed: all is so already');
    return true;
  }

  /** What a failure before the next `settle` takes back. */
  onFailure(undo: () => void): void {
    this.#undo.push(undo);
  }

  /** All that was told up to here is done, whatever comes. */
  settle(): void {
    this.#settled = this.#lines.length;
    this.#undo.length = 0;
  }

  takeBack(): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  /** Prints what is done. */
  async print(): Promise<void> {
    if (this.#settled > 0) await print(this.#lines.slice(0, this.#settled).join('\n'));
  }
}

export function openStore(options: StoreOptions, operator?: string): StoreContext {
  return hinting(() => openContext({ ...options, operator }));
}

/**
 * Runs a change of a store while no other command of ours changes it, and prints what it did, also if it then failed.
 *
 * @param change reads what it changes within
 */
export async function changeStore(
  options: StoreOptions,
  change: (context: StoreContext, report: Report) => void | Promise<void>,
): Promise<void> {
  // Where there is none, nothing is made on the way to saying so.
  openStore(options);
  await changePlace(options, (_place, report) => change(openStore(options), report));
}

/** The same where there need not be an operator yet. @param quiet prints nothing */
export async function changePlace(
  options: StoreOptions,
  change: (place: Workplace, report: Report) => void | Promise<void>,
  { quiet = false } = {},
): Promise<void> {
  const place = openWorkplace(options);
  const report = new Report();
  try {
    await changing(place, () => change(place, report));
    report.settle();
  } catch (error) {
    // Of a file that could not be written it is not known how far that came: what it may name stays.
    if (!(error instanceof StoreError && error.code === 'file_failed')) report.takeBack();
    throw error;
  } finally {
    if (!quiet) await report.print();
  }
}

function hinting<T>(open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (!(error instanceof StoreError) || error.code !== 'no_store') throw error;
    throw new Failure(
      /several/.test(error.message)
        ? error.message
        : `${error.message}; "coffer identity add operator NAME" makes one, "coffer identity env" shows where it is looked ` +
            'for and chooses one, -H DIR looks elsewhere',
    );
  }
}

/** The name that stands as operand or behind `--name`. */
export function oneName(operand: string | undefined, option: string | undefined, what: string): string {
  const name = option ?? operand;
  if (name !== undefined && option !== undefined && operand !== undefined && option !== operand) {
    throw new Failure(`the ${what} is called both ${operand} and ${option}: say one name`);
  }
  if (name === undefined) throw new Failure(`say the name of the ${what}`);
  return name;
}

export const maybeName = (operand: string | undefined, option: string | undefined, what: string) =>
  operand === undefined && option === undefined ? undefined : oneName(operand, option, what);

/** A path as nsc shows it: with `~` for the home folder, between back quotes. */
export function shownPath(path: string): string {
  const home = process.env.HOME || homedir();
  return `\`${path.startsWith(`${home}/`) ? `~${path.slice(home.length)}` : path}\``;
}
