import type { Client, SecretInfo } from '@coffer/client';
import { during, Failure } from '../failure.js';
import { quote } from '../quote.js';

export interface Selection {
  /** Patterns of names, in which `*` stands for any characters; none is all. */
  readonly secrets?: readonly string[];
  /** Only names that begin so, and without it. */
  readonly prefix?: string;
}

/** A secret that is to be exported. */
export interface Selected extends SecretInfo {
  /** Its name without the prefix. */
  readonly key: string;
}

/** The secrets that the caller may see and the selection means; a Failure if there are none. */
export async function select(client: Client, { secrets = [], prefix = '' }: Selection): Promise<Selected[]> {
  const selected = (await during('failed to list secrets', client.list()))
    .filter(({ name }) => name.startsWith(prefix) && name !== prefix)
    .filter(matching(secrets))
    .map((info) => ({ ...info, key: info.name.slice(prefix.length) }));
  if (selected.length === 0) {
    throw new Failure(
      'nothing to export: no secret that you may see has such a name; "coffer list" shows them',
    );
  }
  return selected;
}

/** Which names the patterns mean; without any, all. */
export function matching(patterns: readonly string[]): (secret: { readonly name: string }) => boolean {
  const matchers = patterns.map(matcher);
  return ({ name }) => matchers.length === 0 || matchers.some((pattern) => pattern.test(name));
}

/** Fails with one sentence that lists what is wrong with which secret, the first of them in full. */
export function refuse(
  what: string,
  problems: readonly { readonly name: string; readonly problem: string }[],
): void {
  if (problems.length === 0) return;
  const told = problems.slice(0, MOST_TOLD).map(({ name, problem }) => `${quote(name)} ${problem}`);
  const rest = problems.length - told.length;
  throw new Failure(`${what}: ${told.join('; ')}${rest === 0 ? '' : `; and ${rest} more`}`);
}

const MOST_TOLD = 20;

function matcher(pattern: string): RegExp {
  const literals = pattern.split('*').map((text) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'));
  return new RegExp(`^${literals.join('[^]*')}$`, 'u');
}
