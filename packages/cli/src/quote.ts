import { masked } from '@coffer/identity/masked';

const SHORT: Record<string, string> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
};
const PRINTABLE = /^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u;

/** Quotes text as Go's `%q` does, in which setec's messages show names; but no seed or token that stands in place of a name. */
export function quote(text: string): string {
  return `"${Array.from(masked(text), quoteCharacter).join('')}"`;
}

/** A name as it is, or quoted when it holds what a terminal would obey or a table could not hold; no seed or token either. */
export function displayName(text: string): string {
  return displayText(masked(text));
}

/** The same for what may be secret. */
export function displayText(name: string): string {
  return [...name].every((character) => PRINTABLE.test(character)) ? name : quote(name);
}

/** JSON in which what JSON leaves as it is, and a terminal may obey, is escaped: C1 controls and marks of writing direction. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    /[\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    escaped,
  );
}

/** A line of JSON as it came, but for what is in no line that is honest: it means the same, and no terminal obeys it. */
export function jsonLine(line: string): string {
  return line.replace(/[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu, escaped);
}

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

function quoteCharacter(character: string): string {
  const short = SHORT[character];
  if (short !== undefined) return short;
  if (PRINTABLE.test(character)) return character;
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`;
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`;
  return `\\U${code.toString(16).padStart(8, '0')}`;
}
