import type { z } from 'zod';

/** One sentence for a person about what zod found wrong, its path first: `grants[0].to: …`. No value is quoted. */
export function describeIssue(issue: z.core.$ZodIssue | undefined): string {
  if (issue === undefined) return 'it has the wrong form';
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((key) => describePath([...issue.path, key]));
    return `${keys.join(', ')}: unknown key`;
  }
  const where = describePath(issue.path);
  const what = issue.message.replace(/^Invalid input: /, '');
  return where === '' ? what : `${where}: ${what}`;
}

/** `['grants', 0, 'to']` as people write it: `grants[0].to`. */
export function describePath(path: readonly PropertyKey[]): string {
  return path
    .map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`))
    .join('')
    .replace(/^\./, '');
}
