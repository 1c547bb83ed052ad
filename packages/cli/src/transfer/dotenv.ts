import { Failure } from '../failure.js';
import { quote } from '../quote.js';

/** A line of a `.env` file. The value is bytes of its own, which the reader wipes. */
export interface Entry {
  readonly key: string;
  readonly value: Uint8Array;
  /** The line that it begins at, from 1. */
  readonly line: number;
  /** It holds a `$` that some programs would replace by a variable's value. */
  readonly dollar: boolean;
}

/**
 * Reads a `.env` file: `KEY=value` lines, `export` before them, comments, blank lines.
 *
 * A value without quotes ends with its line or before white space and a `#`; white space around it is dropped. In
 * single quotes everything stands for itself, over several lines too. In double quotes, which may span lines as
 * well, `\n`, `\r`, `\t`, `\"`, `\\`, `\$` and a backslash before a backtick are escapes, and any other backslash
 * stands for itself. Nothing is expanded: `$NAME` and `$(command)` stand for themselves. CR LF counts as LF.
 *
 * The syntax is ASCII, so that values may be bytes of any kind. Errors name file and line, and never show a value.
 */
export function parseDotenv(file: Uint8Array, name: string): Entry[] {
  return new Parser(file, name).entries();
}

class Parser {
  readonly #bytes: Uint8Array;
  readonly #name: string;
  #at = 0;
  #line = 1;

  constructor(bytes: Uint8Array, name: string) {
    // As it says: a Buffer's `slice` would not copy, and what is read is wiped.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#name = name;
    if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) this.#at = 3;
  }

  entries(): Entry[] {
    const entries = new Map<string, Entry>();
    try {
      for (;;) {
        this.#skip(isSpace);
        if (this.#at >= this.#bytes.length) return [...entries.values()];
        if (this.#peek() === HASH) {
          this.#skip(isInLine);
          continue;
        }
        const entry = this.#entry();
        const before = entries.get(entry.key);
        if (before !== undefined) {
          entry.value.fill(0);
          throw this.#error(`${quote(entry.key)} is set at line ${before.line} already`, entry.line);
        }
        entries.set(entry.key, entry);
      }
    } catch (error) {
      for (const { value } of entries.values()) value.fill(0);
      throw error;
    }
  }

  #entry(): Entry {
    const line = this.#line;
    let key = this.#word();
    if (key === 'export' && isBlank(this.#peek())) {
      this.#skip(isBlank);
      key = this.#word();
    }
    this.#skip(isBlank);
    if (!KEY.test(key)) throw this.#error('this is no KEY=value: a key is letters, digits, _, . and -', line);
    // The key is not shown: it may be a line of a value that lacks its quotes.
    if (this.#peek() !== EQUALS)
      throw this.#error('no = follows: write KEY=value, and a value of several lines in quotes', line);
    this.#at++;
    this.#skip(isBlank);
    return { key, line, ...this.#value(line) };
  }

  /** Up to a blank, a `=` or the line's end. */
  #word(): string {
    const start = this.#at;
    this.#skip((byte) => isInLine(byte) && !isBlank(byte) && byte !== EQUALS && byte !== RETURN);
    return Buffer.from(this.#bytes.subarray(start, this.#at)).toString('latin1');
  }

  #value(line: number): Pick<Entry, 'value' | 'dollar'> {
    const first = this.#peek();
    if (first === BACKTICK) {
      throw this.#error('backticks mean different things to different programs: use \'…\' or "…"', line);
    }
    if (first !== SINGLE && first !== DOUBLE) return this.#bare();
    const quoted = first === SINGLE ? this.#singleQuoted(line) : this.#doubleQuoted(line);
    this.#skip(isBlank);
    const next = this.#peek();
    if (next === HASH) this.#skip(isInLine);
    else if (next !== undefined && next !== RETURN && next !== LINE_FEED) {
      quoted.value.fill(0);
      throw this.#error(
        'something follows the closing quote: in a value in quotes write \\" or use the other quotes',
      );
    }
    return quoted;
  }

  #bare(): Pick<Entry, 'value' | 'dollar'> {
    const start = this.#at;
    this.#skip((byte, at) => isInLine(byte) && !(byte === HASH && isBlank(this.#bytes[at - 1])));
    let end = this.#at;
    while (end > start && isSpace(this.#bytes[end - 1])) end--;
    this.#skip(isInLine);
    const value = this.#bytes.slice(start, end);
    return { value, dollar: value.includes(DOLLAR) };
  }

  #singleQuoted(line: number): Pick<Entry, 'value' | 'dollar'> {
    const start = ++this.#at;
    this.#skip((byte) => byte !== SINGLE);
    if (this.#peek() === undefined) throw this.#error("the closing ' is missing", line);
    const value = withLineFeeds(this.#bytes.slice(start, this.#at++));
    return { value, dollar: false };
  }

  #doubleQuoted(line: number): Pick<Entry, 'value' | 'dollar'> {
    const start = ++this.#at;
    this.#skip((byte, at) => byte !== DOUBLE || isEscaped(this.#bytes, start, at));
    if (this.#peek() === undefined) throw this.#error('the closing " is missing', line);
    const raw = withLineFeeds(this.#bytes.slice(start, this.#at++));
    const { value, dollar } = unescaped(raw);
    raw.fill(0);
    return { value, dollar };
  }

  #peek(): number | undefined {
    return this.#bytes[this.#at];
  }

  #skip(while_: (byte: number, at: number) => boolean): void {
    for (; this.#at < this.#bytes.length; this.#at++) {
      const byte = this.#bytes[this.#at] as number;
      if (!while_(byte, this.#at)) return;
      if (byte === LINE_FEED) this.#line++;
    }
  }

  #error(sentence: string, line = this.#line): Failure {
    return new Failure(`${this.#name}:${line}: ${sentence}`);
  }
}

const KEY = /^[A-Za-z_][A-Za-z0-9_.-]*$/;
const TAB = 0x09;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const DOUBLE = 0x22;
const HASH = 0x23;
const DOLLAR = 0x24;
const SINGLE = 0x27;
const EQUALS = 0x3d;
const BACKSLASH = 0x5c;
const BACKTICK = 0x60;
/** What follows a backslash in double quotes, and what the two stand for. */
const ESCAPES = new Map([
  [0x6e, LINE_FEED],
  [0x72, RETURN],
  [0x74, TAB],
  [DOUBLE, DOUBLE],
  [BACKSLASH, BACKSLASH],
  [DOLLAR, DOLLAR],
  [BACKTICK, BACKTICK],
]);

/** What is escaped in double quotes; a line feed need not be, and shells know no escape for it. */
const WRITTEN = new Map([
  [RETURN, 0x72],
  [DOUBLE, DOUBLE],
  [BACKSLASH, BACKSLASH],
  [DOLLAR, DOLLAR],
  [BACKTICK, BACKTICK],
]);
const PLAIN = new Set(
  Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:@%+,='),
);

const isBlank = (byte: number | undefined) => byte === SPACE || byte === TAB;
const isSpace = (byte: number | undefined) => isBlank(byte) || byte === LINE_FEED || byte === RETURN;
const isInLine = (byte: number) => byte !== LINE_FEED;

/** Is an odd number of backslashes before it? */
function isEscaped(bytes: Uint8Array, start: number, at: number): boolean {
  let before = at;
  while (before > start && bytes[before - 1] === BACKSLASH) before--;
  return (at - before) % 2 === 1;
}

function unescaped(raw: Uint8Array): Pick<Entry, 'value' | 'dollar'> {
  const room = new Uint8Array(raw.length);
  let length = 0;
  let dollar = false;
  for (let at = 0; at < raw.length; at++) {
    const byte = raw[at] as number;
    const letter = byte === BACKSLASH ? ESCAPES.get(raw[at + 1] ?? -1) : undefined;
    dollar ||= byte === DOLLAR;
    room[length++] = letter ?? byte;
    if (letter !== undefined) at++;
  }
  const value = room.slice(0, length);
  room.fill(0);
  return { value, dollar };
}

/**
 * Writes a `.env` file that {@link parseDotenv} reads as it was: as it is what needs no quotes; in single quotes, which
 * shells and all the programs that read such files agree on, what holds none; and in double quotes the rest.
 * The caller wipes it.
 */
export function formatDotenv(entries: readonly Pick<Entry, 'key' | 'value'>[]): Uint8Array {
  const lines = entries.map(({ key, value }) => [Buffer.from(`${key}=`), quoted(value), Buffer.from('\n')]);
  const file = Buffer.concat(lines.flat());
  for (const line of lines) line[1]?.fill(0);
  return file;
}

function quoted(value: Uint8Array): Uint8Array {
  if (value.every((byte) => PLAIN.has(byte))) return Uint8Array.from(value);
  const single = !value.includes(SINGLE) && !value.includes(RETURN);
  const room = new Uint8Array(2 * value.length + 2);
  const mark = single ? SINGLE : DOUBLE;
  let length = 0;
  room[length++] = mark;
  for (const byte of value) {
    const letter = single ? undefined : WRITTEN.get(byte);
    if (letter !== undefined) room[length++] = BACKSLASH;
    room[length++] = letter ?? byte;
  }
  room[length++] = mark;
  const text = room.slice(0, length);
  room.fill(0);
  return text;
}

/** Turns CR LF into LF, in place, and wipes what it was given if that is not the answer. */
function withLineFeeds(bytes: Uint8Array): Uint8Array {
  let length = 0;
  for (const [at, byte] of bytes.entries()) {
    if (byte !== RETURN || bytes[at + 1] !== LINE_FEED) bytes[length++] = byte;
  }
  if (length === bytes.length) return bytes;
  const shorter = bytes.slice(0, length);
  bytes.fill(0);
  return shorter;
}
