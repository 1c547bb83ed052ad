/** A bound that one lost packet exceeds refuses for nothing; one of minutes is no bound. */
const BOUND_MS = { least: 300, most: 600_000 };

/** What `storage.consistency` may be, for a person. */
export const CONSISTENCY =
  'latest, or bounded(TIME) with a time from 300ms to 600s, such as bounded(1s) or bounded(500ms)';

/** The bound in milliseconds, or `latest`; undefined for what is neither. */
export function parseConsistency(text: string): number | 'latest' | undefined {
  if (text === 'latest') return text;
  const [, digits, unit] = /^bounded\((\d+(?:\.\d+)?)(ms|s)\)$/.exec(text) ?? [];
  const bound = Number(digits) * (unit === 's' ? 1000 : 1);
  return bound >= BOUND_MS.least && bound <= BOUND_MS.most ? bound : undefined;
}

export const isConsistency = (text: string): boolean => parseConsistency(text) !== undefined;
