import { isUtf8 } from 'node:buffer';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Failure, systemReason } from './failure.js';
import { HiddenPrompt } from './hidden-prompt.js';
import { counted } from './numbers.js';
import { note } from './output.js';
import { quote } from './quote.js';

/** Where a new value comes from, and what may be done to it; on `put` and `create-version`. */
export interface ValueOptions {
  readonly fromFile?: string;
  readonly emptyOk?: boolean;
  readonly verbatim?: boolean;
  readonly trimSpace?: boolean;
  /** A length as written, when the value is to be made up. */
  readonly generate?: string;
}

const MIN_LENGTH = 8;
const MAX_LENGTH = 4096;
/** Neither quotes nor escapes anywhere, URLs and shells included: 32 of them are worth 190 bits. */
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789';
/** Every code point that Go's unicode.IsSpace names, since setec trims those. */
const SPACES = [
  ...[0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x20, 0x85, 0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000],
  ...Array.from({ length: 11 }, (_, index) => 0x2000 + index),
].map((code) => Buffer.from(String.fromCodePoint(code)));

/**
 * Makes the value up, or reads it from a file, the terminal or standard input. The caller wipes it.
 *
 * @param maxBytes of standard input
 */
export async function readValue(
  options: ValueOptions,
  maxBytes = Number.POSITIVE_INFINITY,
): Promise<Uint8Array> {
  if (options.generate !== undefined) return generate(options);
  if (options.fromFile !== undefined) return checked(fromFile(options.fromFile), options);
  if (process.stdin.isTTY) return fromTerminal(options);
  const value = checked(await readStandardInput(maxBytes), options);
  await note(`Read ${counted(value.length, 'byte')} from stdin`);
  return value;
}

function generate(options: ValueOptions): Uint8Array {
  const text = options.generate ?? '';
  if (options.fromFile !== undefined) throw new Failure('use either --generate or --from-file');
  const length = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (!(length >= MIN_LENGTH && length <= MAX_LENGTH)) {
    throw new Failure(
      `invalid length ${quote(text)}: --generate takes ${MIN_LENGTH} to ${MAX_LENGTH} characters`,
    );
  }
  return Uint8Array.from({ length }, () => ALPHABET.charCodeAt(randomInt(ALPHABET.length)));
}

function fromFile(path: string): Uint8Array {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Failure(`cannot read --from-file ${path}: ${systemReason(error)}`);
  }
}

/** All of it, to its end. The caller wipes it. @throws Failure where it is longer than `maxBytes` */
export async function readStandardInput(maxBytes = Number.POSITIVE_INFINITY): Promise<Uint8Array> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxBytes)
        throw new Failure(`standard input is too large: it has more than ${maxBytes} bytes`);
    }
  } catch (error) {
    if (error instanceof Failure) {
      for (const chunk of chunks) chunk.fill(0);
      throw error;
    }
    throw new Failure(`cannot read standard input: ${systemReason(error)}`);
  }
  const value = Buffer.concat(chunks);
  for (const chunk of chunks) chunk.fill(0);
  return value;
}

async function fromTerminal(options: ValueOptions): Promise<Uint8Array> {
  // Not into a file that standard output may be.
  const prompt = new HiddenPrompt(process.stdin, process.stdout.isTTY ? process.stdout : process.stderr);
  try {
    const value = await prompt.ask('Enter secret: ');
    if (value.length === 0 && !options.emptyOk) throw new Failure('no secret provided, aborting');
    const again = await prompt.ask('Confirm secret: ');
    const same = Buffer.from(value.buffer).equals(again);
    again.fill(0);
    if (!same) throw new Failure('secrets do not match, aborting');
    return value;
  } finally {
    prompt.close();
  }
}

/** setec's rule: text with white space around it is taken only when the user has said what to do with that. */
function checked(value: Uint8Array, options: ValueOptions): Uint8Array {
  const kept = isUtf8(value) && !options.verbatim ? trimmed(value) : value;
  if (kept.length !== value.length && !options.trimSpace) {
    throw new Failure(
      'text value has surrounding whitespace, specify --verbatim to keep the space or --trim-space to remove it',
    );
  }
  if (kept.length === 0 && !options.emptyOk) {
    throw new Failure('empty secret value, specify --empty-ok to save it');
  }
  return kept;
}

function trimmed(value: Uint8Array): Uint8Array {
  let rest = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  for (;;) {
    const space = SPACES.find((each) => rest.subarray(0, each.length).equals(each));
    if (space === undefined) break;
    rest = rest.subarray(space.length);
  }
  for (;;) {
    const space = SPACES.find(
      (each) => rest.length >= each.length && rest.subarray(-each.length).equals(each),
    );
    if (space === undefined) return rest;
    rest = rest.subarray(0, -space.length);
  }
}
