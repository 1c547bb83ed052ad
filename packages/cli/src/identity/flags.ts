import { Failure } from '../failure.js';

/** The values that nsc's flags take. */

const UNITS: Record<string, number> = {
  '': 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  t: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** A whole number from −1, which is no limit, with a unit if it counts bytes: `k`, `M`, `GiB`. */
export function parseLimit(flag: string, text: string): number {
  const [, digits = '', unit = ''] = /^(-1|\d+)\s*([kmgt]?|[kmgt]ib)$/i.exec(text.trim()) ?? [];
  const value = Number(digits) * (UNITS[unit.toLowerCase()] ?? 1);
  if (digits !== '' && Number.isSafeInteger(value) && !(digits === '-1' && unit !== '')) return value;
  throw new Failure(
    `${flag} ${text} is no limit: write a whole number, such as 100, 64k, 1M or 2GiB; -1 is no limit`,
  );
}

/** A whole number of at least 0. */
export function parseCount(flag: string, text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Failure(`${flag} ${text} is no number: write a whole number from 0`);
}

/**
 * A time as nsc takes it: `YYYY-MM-DD`, RFC 3339, or so much from now: `30m`, `2h`, `3d`, `4w`, `5M` (months), `6y`.
 *
 * @returns seconds since 1970; 0 for `0`, which is no limit
 */
export function parseTime(flag: string, text: string, now: Date): number {
  if (text === '' || text === '0') return 0;
  if (/^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d))?$/.test(text)) {
    const time = new Date(text);
    const sameDay = text.length > 10 || time.toJSON()?.startsWith(text);
    if (!Number.isNaN(time.getTime()) && sameDay) return Math.floor(time.getTime() / 1000);
  }
  const [, digits, unit] = /^(-?\d{1,6})([mhdwMy])$/.exec(text) ?? [];
  if (digits === undefined || unit === undefined) {
    throw new Failure(
      `${flag} ${text} is no time: write YYYY-MM-DD, or so much from now as 30m, 2h, 3d, 4w, 5M or 6y`,
    );
  }
  return later(now, Number(digits), unit);
}

/** Days, months and years by the calendar, as Go's `AddDate`. */
function later(now: Date, count: number, unit: string): number {
  const time = new Date(now);
  if (unit === 'm') time.setTime(time.getTime() + count * 60_000);
  if (unit === 'h') time.setTime(time.getTime() + count * 3_600_000);
  if (unit === 'd') time.setUTCDate(time.getUTCDate() + count);
  if (unit === 'w') time.setUTCDate(time.getUTCDate() + 7 * count);
  if (unit === 'M') time.setUTCMonth(time.getUTCMonth() + count);
  if (unit === 'y') time.setUTCFullYear(time.getUTCFullYear() + count);
  return count === 0 ? 0 : Math.floor(time.getTime() / 1000);
}

const NANOSECONDS: Record<string, number> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3600e9,
};

/** A duration as Go writes it, such as `1m30s` or `1.5s`, in nanoseconds. */
export function parseGoDuration(flag: string, text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g)];
  const whole = parts.map(([part]) => part).join('');
  if (text === '0') return 0;
  if (whole === '' || whole !== text) {
    throw new Failure(
      `${flag} ${text} is no duration: write a number with ms, s, m or h, such as 5s or 1m30s`,
    );
  }
  return parts.reduce(
    (sum, [, count, unit]) => sum + Math.round(Number(count) * (NANOSECONDS[unit ?? ''] ?? 0)),
    0,
  );
}

/** As Go's `Duration.String`. */
export function formatGoDuration(nanoseconds: number): string {
  if (nanoseconds === 0) return '0s';
  if (nanoseconds < 0) return `-${formatGoDuration(-nanoseconds)}`;
  for (const [unit, size, below] of [
    ['ns', 1, 1e3],
    ['µs', 1e3, 1e6],
    ['ms', 1e6, 1e9],
  ] as const) {
    if (nanoseconds < below) return `${nanoseconds / size}${unit}`;
  }
  const hours = Math.floor(nanoseconds / 3600e9);
  const minutes = Math.floor((nanoseconds % 3600e9) / 60e9);
  const seconds = (nanoseconds % 60e9) / 1e9;
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`;
}

/** As nsc shows times: `2026-11-22 02:18:37 UTC`, or nothing for none. */
export function shownTime(seconds: number | undefined): string {
  if (!seconds) return '';
  return `${new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** As go-humanize's `Bytes`: 1.0 MB, 64 MB. */
export function shownBytes(count: number): string {
  const names = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB'];
  if (count < 10) return `${count} B`;
  const power = Math.min(Math.floor(Math.log10(count) / 3 + 1e-12), names.length - 1);
  const value = Math.floor((count / 1000 ** power) * 10 + 0.5) / 10;
  return `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ${names[power]}`;
}

/** A list with more in it, each once. */
export function withItems(
  list: readonly string[] | null | undefined,
  more: readonly string[] = [],
): string[] {
  return [...new Set([...(list ?? []), ...more])];
}

export function withoutItems(list: readonly string[], fewer: readonly string[] = []): string[] {
  return list.filter((item) => !fewer.includes(item));
}
