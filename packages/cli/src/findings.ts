import type { Finding, Level } from '@coffer/server';
import { Failure } from './failure.js';
import { counted } from './numbers.js';
import { paint, print } from './output.js';

const COLOURS = { ok: 'green', warning: 'yellow', problem: 'red' } as const;
const WIDTH = 'problem'.length;

/** One line each, what is bad last, where it is read. */
export async function printFindings(findings: readonly Finding[]): Promise<void> {
  const subject = Math.max(...findings.map((each) => each.subject.length));
  for (const { level, subject: what, says } of [...findings].sort(byLevel)) {
    const word = paint(COLOURS[level], level.padEnd(WIDTH));
    await print(`${word}  ${what.padEnd(subject)}  ${says.replace(/\p{C}+/gu, ' ')}`);
  }
}

/** @throws Failure if there is a problem among them */
export function requireNoProblem(findings: readonly Finding[]): void {
  const problems = findings.filter(({ level }) => level === 'problem').length;
  if (problems > 0)
    throw new Failure(`there ${problems === 1 ? 'is' : 'are'} ${counted(problems, 'problem')}`);
}

const ORDER: Readonly<Record<Level, number>> = { ok: 0, warning: 1, problem: 2 };

const byLevel = (a: Finding, b: Finding): number => ORDER[a.level] - ORDER[b.level];
