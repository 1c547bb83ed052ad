import { realpathSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

/** A path without links, as far as it is there already. */
export function real(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    const parent = dirname(resolve(path));
    return parent === resolve(path) ? parent : join(real(parent), resolve(path).slice(parent.length));
  }
}

export const isSame = (one: string, other: string): boolean => real(one) === real(other);
