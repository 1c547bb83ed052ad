import { Failure } from './failure.js';
import { quote } from './quote.js';

const MAX_VERSION = 2 ** 32 - 1;
const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 } as const;

/** `1 record`, `2 records`. */
export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

/** A version as written on the command line. `lowest` is 0 where that means the active one. */
export function parseVersion(text: string, lowest: 0 | 1 = 1): number {
  const version = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (version >= lowest && version <= MAX_VERSION) return version;
  throw new Failure(`invalid version ${quote(text)}: write a whole number from ${lowest} to ${MAX_VERSION}`);
}

/** `30d`, `12h`, … in seconds. */
export function parseDuration(text: string): number {
  const [, count, unit] = /^([1-9]\d{0,8})([smhdw])$/.exec(text) ?? [];
  if (count === undefined) {
    throw new Failure(`invalid duration ${quote(text)}: write a number and s, m, h, d or w, such as 30d`);
  }
  return Number(count) * SECONDS[unit as keyof typeof SECONDS];
}
