import { readFileSync } from 'node:fs';
import { Failure, systemReason } from '../failure.js';
import { parseVersion } from '../numbers.js';
import { quote } from '../quote.js';

/** A variable of the command's environment, and the secret that it comes from. */
export interface Mapping {
  readonly variable: string;
  readonly secret: string;
  /** 0: the active one, whichever that is. */
  readonly version: number;
}

/**
 * All that `--env` and `--env-file` ask for. What `--env` says goes before a file; the same variable twice among the
 * files, or twice in `--env`, is a mistake.
 */
export function readMappings(stated: readonly string[], files: readonly string[]): Mapping[] {
  const fromFiles = new Map<string, Mapping & { readonly place: string }>();
  for (const each of files.flatMap(fileMappings)) {
    const before = fromFiles.get(each.variable);
    if (before !== undefined) {
      throw new Failure(`${each.place}: ${quote(each.variable)} is set at ${before.place} already`);
    }
    fromFiles.set(each.variable, each);
  }
  const mappings = new Map<string, Mapping>();
  for (const text of stated) {
    const mapping = parseMapping(text);
    if (mappings.has(mapping.variable)) {
      throw new Failure(`--env sets ${quote(mapping.variable)} twice: leave one out`);
    }
    mappings.set(mapping.variable, mapping);
  }
  for (const { variable, secret, version } of fromFiles.values()) {
    if (!mappings.has(variable)) mappings.set(variable, { variable, secret, version });
  }
  if (mappings.size === 0)
    throw new Failure('no secret is asked for: use --env NAME=SECRET or --env-file FILE');
  return [...mappings.values()];
}

/**
 * `NAME=secret` or `NAME=secret@version`: the name ends at the first `=`, the version begins at the last `@` if
 * nothing but digits follows it. `@0` is the active version, for a secret whose own name ends so.
 */
export function parseMapping(text: string): Mapping {
  const equals = text.indexOf('=');
  const variable = text.slice(0, Math.max(equals, 0));
  if (equals < 0) throw new Failure(`${quote(text)} is no mapping: write NAME=SECRET or NAME=SECRET@VERSION`);
  if (!VARIABLE.test(variable)) {
    throw new Failure(`${quote(variable)} cannot be the name of a variable: use letters, digits and _`);
  }
  const [, secret = '', digits] = /^(.*?)(?:@(\d+))?$/su.exec(text.slice(equals + 1)) ?? [];
  if (secret === '')
    throw new Failure(`${quote(text)} names no secret: write NAME=SECRET or NAME=SECRET@VERSION`);
  return { variable, secret, version: digits === undefined ? 0 : parseVersion(digits, 0) };
}

/** Wider than POSIX's letters, digits and `_`, since some programs want dots or dashes. */
const VARIABLE = /^[^\s\p{C}=]+$/u;

function fileMappings(path: string): (Mapping & { place: string })[] {
  return linesOf(path).flatMap((text, index) => {
    const line = text.trim();
    if (line === '' || line.startsWith('#')) return [];
    const place = `${path}:${index + 1}`;
    try {
      return [{ ...parseMapping(line), place }];
    } catch (error) {
      throw error instanceof Failure ? new Failure(`${place}: ${error.message}`) : error;
    }
  });
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .replace(/^\uFEFF/, '')
      .split('\n');
  } catch (error) {
    throw new Failure(`cannot read --env-file ${path}: ${systemReason(error)}`);
  }
}
