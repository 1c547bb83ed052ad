import { isUtf8 } from 'node:buffer';
import { SecretsError } from '@coffer/wasmcloud';
import { MalformedBody, Scanner, type StringSpan } from '../wire/scanner.js';
import { stringText } from '../wire/text.js';

const NOTHING = -1;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * One entry of a JSON object: of a string its text, of anything else its JSON without white space, digit by digit as it was. Of
 * several entries of one name the last counts.
 *
 * The bytes are looked through in place: nothing else of the secret becomes a string, which could not be wiped.
 *
 * @param value stays the caller's
 * @returns a copy, which is the receiver's to wipe
 * @throws SecretsError `InvalidRequest` for what is no JSON object, `SecretNotFound` where it has no such entry
 */
export function fieldOf(value: Uint8Array, field: string): Uint8Array {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  const span = isUtf8(bytes) ? find(bytes, field) : undefined;
  if (span === undefined) throw new SecretsError('InvalidRequest');
  if (span === null) throw new SecretsError('SecretNotFound');
  const { start, end, escaped } = span;
  const inside = bytes.subarray(start, end);
  if (escaped === undefined) return compact(inside);
  return escaped ? Buffer.from(stringText(inside, true)) : new Uint8Array(inside);
}

interface Found extends Omit<StringSpan, 'escaped'> {
  /** Undefined: no string. */
  readonly escaped?: boolean;
}

/** Undefined: this is no JSON object; null: it has no such entry. */
function find(bytes: Buffer, field: string): Found | null | undefined {
  const scanner = new Scanner(bytes);
  let found: Found | null = null;
  try {
    scanner.expect(0x7b);
    if (!scanner.accept(0x7d)) {
      do {
        const { start, end, escaped } = scanner.string();
        const isIt = stringText(bytes.subarray(start, end), escaped) === field;
        scanner.expect(0x3a);
        const entry = passOver(scanner);
        if (isIt) found = entry;
      } while (scanner.accept(0x2c));
      scanner.expect(0x7d);
    }
    return scanner.peek() === NOTHING ? found : undefined;
  } catch (error) {
    if (error instanceof MalformedBody) return undefined;
    throw error;
  }
}

function passOver(scanner: Scanner): Found {
  if (scanner.peek() === QUOTE) return scanner.string();
  const start = scanner.position;
  scanner.skipValue(1);
  return { start, end: scanner.position };
}

/** JSON without the white space that stands outside of strings. */
function compact(json: Buffer): Uint8Array {
  const out = Buffer.from(new ArrayBuffer(json.length));
  let length = 0;
  let inString = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number;
    if (!inString && byte <= 0x20) continue;
    out[length++] = byte;
    if (byte === QUOTE) inString = !inString;
    else if (byte === BACKSLASH) out[length++] = json[++at] as number;
  }
  return out.subarray(0, length);
}
