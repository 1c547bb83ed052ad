import { isUtf8 } from 'node:buffer';
import type { z } from 'zod';

/**
 * Reads a message from its bytes, as serde_json reads it into a type: UTF-8 without a byte-order mark, exactly one value, and no
 * member twice (in what serde passes over, neither: nobody writes that).
 *
 * @returns undefined for what is not such a message
 */
export function readJson<S extends z.ZodType>(schema: S, bytes: Uint8Array): z.output<S> | undefined {
  if (!isUtf8(bytes)) return undefined;
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  const parsed = parse(text);
  if (parsed === undefined || membersWritten(text) !== membersKept(parsed)) return undefined;
  const read = schema.safeParse(parsed);
  return read.success ? read.data : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** In a text that is JSON, each string before a colon is the name of a member. */
function membersWritten(json: string): number {
  let members = 0;
  for (let quote = json.indexOf('"'); quote >= 0; ) {
    let at = endOfString(json, quote);
    while (isBlank(json.charCodeAt(at))) at++;
    if (json[at] === ':') members++;
    quote = json.indexOf('"', at);
  }
  return members;
}

/** Behind the closing quote of the string that begins at `quote`. */
function endOfString(json: string, quote: number): number {
  let end = json.indexOf('"', quote + 1);
  while (isEscaped(json, end)) end = json.indexOf('"', end + 1);
  return end + 1;
}

function isEscaped(json: string, at: number): boolean {
  let backslashes = 0;
  while (json[at - backslashes - 1] === '\\') backslashes++;
  return backslashes % 2 === 1;
}

const isBlank = (char: number): boolean => char === 0x20 || char === 0x0a || char === 0x0d || char === 0x09;

/** Of a name that stands there twice, `JSON.parse` keeps the last member alone. However deep it is, it takes no stack. */
function membersKept(parsed: unknown): number {
  let members = 0;
  const inside = [parsed];
  for (let value = inside.pop(); value !== undefined; value = inside.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    const within: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
    if (!Array.isArray(value)) members += within.length;
    for (const one of within) if (typeof one === 'object' && one !== null) inside.push(one);
  }
  return members;
}
