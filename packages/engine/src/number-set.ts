/**
 * A set of version numbers as ascending, disjoint, closed ranges: it stays small however many numbers are gone, as
 * long as they are neighbours.
 */
export type NumberSet = readonly (readonly [from: number, to: number])[];

export const hasNumber = (set: NumberSet, number: number): boolean =>
  set.some(([from, to]) => from <= number && number <= to);

export function addNumber(set: NumberSet, number: number): NumberSet {
  if (hasNumber(set, number)) return set;
  const merged: [number, number][] = [];
  const ranges = [...set, [number, number] as const].sort(([a], [b]) => a - b);
  for (const [from, to] of ranges) {
    const last = merged.at(-1);
    if (last && last[1] + 1 >= from) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}
