import { isUtf8 } from 'node:buffer';
import { MalformedBody } from './scanner.js';

const REPLACEMENT = '\ufffd';

/**
 * The text of a JSON string, from the bytes between its quotes, as Go reads it: each byte of invalid UTF-8 and each
 * escaped surrogate without its pair becomes U+FFFD. The syntax of the escapes has been checked before.
 */
export function stringText(bytes: Buffer, escaped: boolean): string {
  let text = bytes.toString();
  if (text.includes(REPLACEMENT) && !isUtf8(bytes)) text = replaceInvalidBytes(bytes);
  return escaped ? unescapeText(text) : text;
}

/** Undoes the escapes of a JSON string's inside, natively. */
export function unescapeText(text: string): string {
  try {
    const plain: string = JSON.parse(`"${text}"`);
    return plain.toWellFormed();
  } catch {
    throw new MalformedBody();
  }
}

/** Node joins the bytes of a cut sequence into one U+FFFD, Go makes one of each byte. */
function replaceInvalidBytes(bytes: Buffer): string {
  const parts: string[] = [];
  let valid = 0;
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    if (length > 0) {
      at += length;
      continue;
    }
    parts.push(bytes.toString('utf8', valid, at), REPLACEMENT);
    valid = ++at;
  }
  parts.push(bytes.toString('utf8', valid));
  return parts.join('');
}

/** Length of the well-formed UTF-8 sequence that begins at `at`, or 0. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at] as number;
  const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  return at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)) ? length : 0;
}
