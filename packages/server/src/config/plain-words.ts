import type { z } from 'zod';

const TYPES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'keys with values (KEY: VALUE)',
  record: 'keys with values (KEY: VALUE)',
};

/** What is wrong with a setting, as who writes YAML would say it. Where the schema has words of its own, they count. */
export function inPlainWords(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.input === undefined) return 'is missing';
      const expected = TYPES[issue.expected] ?? issue.expected;
      if (issue.input === null) return `is empty, and must be ${expected}`;
      return `must be ${expected}, and is ${typeOf(issue.input)}`;
    }
    case 'invalid_value':
      return `must be ${issue.values.length === 1 ? '' : 'one of '}${issue.values.map(String).join(', ')}`;
    case 'too_small':
      if (!(issue.origin in UNITS))
        return `must be ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}`;
      return issue.minimum === 1
        ? 'must not be empty'
        : `must have at least ${issue.minimum} ${UNITS[issue.origin]}`;
    case 'too_big':
      if (!(issue.origin in UNITS))
        return `must be ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}`;
      return `must have at most ${issue.maximum} ${UNITS[issue.origin]}`;
    default:
      return undefined;
  }
}

const UNITS: Readonly<Record<string, string>> = { string: 'characters', array: 'entries' };

function typeOf(input: unknown): string {
  if (Array.isArray(input)) return 'a list';
  if (typeof input === 'number' && !Number.isInteger(input)) return 'a number with a fraction';
  return TYPES[typeof input] ?? typeof input;
}
