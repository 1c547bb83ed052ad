import { isUtf8 } from 'node:buffer';
import type { z } from 'zod';

/**
 * Reads a message from its bytes, as serde_json reads it into a type: UTF-8 without a byte-order mark, exactly one value.
 *
 * @returns undefined for what is not such a message
 */
export function readJson<S extends z.ZodType>(schema: S, bytes: Uint8Array): z.output<S> | undefined {
  if (!isUtf8(bytes)) return undefined;
  const parsed = parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8'));
  if (parsed === undefined) return undefined;
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
