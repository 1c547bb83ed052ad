/** How many patterns a server takes, and how many bytes each may have. (Source: `WATCH_PATTERNS` of the engine.) */
const MOST = 32;
const PATTERN_BYTES = 1_024;
/** How much of a URL they may take. */
const ENCODED_BYTES = 4_096;

/**
 * Patterns that match all these names, and as few others as may be: the names themselves, or, where there are too many, what the
 * most alike of them begin with.
 */
export function watchPatterns(names: Iterable<string>): string[] {
  const sorted = [...new Set(names)].sort();
  // Those that have least in common with the one before them, least first: there a group begins.
  const starts = sorted
    .map((name, index) => ({ index, shared: index ? prefix(sorted[index - 1] as string, name).length : -1 }))
    .sort((a, b) => a.shared - b.shared)
    .slice(0, MOST);
  for (;;) {
    const indexes = starts.map(({ index }) => index).sort((a, b) => a - b);
    const patterns = indexes.map((index, at) =>
      pattern(sorted[index] as string, sorted[(indexes[at + 1] ?? sorted.length) - 1] as string),
    );
    const encoded = patterns.map((text) => `secrets=${encodeURIComponent(text)}`).join('&');
    if (starts.length <= 1 || encoded.length <= ENCODED_BYTES) return patterns;
    starts.pop();
  }
}

/** Whether one of such patterns is for this name. */
export const covers = (patterns: readonly string[], name: string): boolean =>
  patterns.some((text) => text === name || (text.endsWith('*') && name.startsWith(text.slice(0, -1))));

function pattern(first: string, last: string): string {
  if (first === last && Buffer.byteLength(first) <= PATTERN_BYTES) return first;
  let shared = prefix(first, last);
  while (Buffer.byteLength(shared) >= PATTERN_BYTES) shared = shared.slice(0, -1);
  // Not half a character.
  return `${shared.replace(/[\ud800-\udbff]$/, '')}*`;
}

function prefix(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return a.slice(0, length);
}
