/**
 * What stands in JSON at a path of keys, as the bytes that it is written with there: no value becomes a string, which could not
 * be wiped, and no number loses digits. What Go writes as `\u003c`, `\u003e` and `\u0026` so that a browser does no harm with it is the character
 * itself again; white space outside of strings is left out.
 *
 * @returns a copy, for the receiver to wipe; undefined if nothing stands there, or this is no JSON
 */
export function jsonAt(bytes: Uint8Array, path: readonly string[]): Uint8Array | undefined {
  const part = partAt(bytes, path);
  return part && plainJson(part);
}

/** The same as it is written: a part of the same memory. */
export function partAt(bytes: Uint8Array, path: readonly string[]): Uint8Array | undefined {
  const walker = new Walker(bytes);
  try {
    for (const key of path) if (!walker.enter(key)) return undefined;
    const start = walker.at;
    walker.skip();
    return bytes.subarray(start, walker.at);
  } catch (error) {
    if (error instanceof NoJson) return undefined;
    throw error;
  }
}

/** What stands under each key of a JSON object, in its order, as it is written: parts of the same memory. Undefined for anything else. */
export function membersIn(object: Uint8Array): ReadonlyMap<string, Uint8Array> | undefined {
  const walker = new Walker(object);
  const members = new Map<string, Uint8Array>();
  try {
    for (const key of walker.keys()) {
      const start = walker.at;
      walker.skip();
      if (!members.has(key)) members.set(key, object.subarray(start, walker.at));
    }
    return members;
  } catch (error) {
    if (error instanceof NoJson) return undefined;
    throw error;
  }
}

/** Of a JSON string its text, in UTF-8; of anything else its JSON as it is: a copy, for the receiver to wipe. */
export function textOf(json: Uint8Array): Uint8Array {
  if (json[0] !== QUOTE) return Uint8Array.from(json);
  const out = Buffer.from(new ArrayBuffer(json.length));
  let length = 0;
  for (let at = 1; at < json.length - 1; at++) {
    const byte = json[at] as number;
    if (byte !== BACKSLASH) {
      out[length++] = byte;
      continue;
    }
    const letter = String.fromCharCode(json[++at] ?? 0);
    if (letter !== 'u') {
      out[length++] = ESCAPES.get(letter) ?? letter.charCodeAt(0);
      continue;
    }
    let character = String.fromCharCode(Number.parseInt(hexAt(json, at + 1), 16));
    at += 4;
    // Beyond the basic plane a character is two escapes.
    if (/[\ud800-\udbff]/.test(character) && json[at + 1] === BACKSLASH && json[at + 2] === U) {
      character += String.fromCharCode(Number.parseInt(hexAt(json, at + 3), 16));
      at += 6;
    }
    length += out.write(character, length);
  }
  const exact = Uint8Array.from(out.subarray(0, length));
  out.fill(0);
  return exact;
}

class NoJson extends Error {}

const [QUOTE, BACKSLASH, COLON, COMMA, OPEN, CLOSE, OPEN_LIST, CLOSE_LIST] = Buffer.from('"\\:,{}[]');

class Walker {
  at = 0;
  readonly #bytes: Buffer;

  constructor({ buffer, byteOffset, length }: Uint8Array) {
    this.#bytes = Buffer.from(buffer, byteOffset, length);
  }

  /** Goes to the value of a key of the object that begins here. */
  enter(key: string): boolean {
    for (const each of this.keys()) if (each === key) return true;
    return false;
  }

  /** Goes from key to key of the object that begins here, and stops at the value of each, which the caller may go behind. */
  *keys(): Generator<string> {
    if (this.#next() !== OPEN) throw new NoJson();
    this.at++;
    while (this.#next() !== CLOSE) {
      const key = this.#key();
      this.#take(COLON);
      this.#next();
      const value = this.at;
      yield key;
      if (this.at === value) this.skip();
      if (this.#next() === COMMA) this.at++;
    }
  }

  /** Goes behind the value that begins here. */
  skip(): void {
    let depth = 0;
    do {
      const byte = this.#next();
      if (byte === QUOTE) this.#string();
      else if (byte === OPEN || byte === OPEN_LIST) {
        depth++;
        this.at++;
      } else if (byte === CLOSE || byte === CLOSE_LIST) {
        depth--;
        this.at++;
      } else if (byte === COMMA || byte === COLON) {
        if (depth === 0) throw new NoJson();
        this.at++;
      } else this.#word();
    } while (depth > 0);
    if (depth < 0) throw new NoJson();
  }

  /** The next byte that is no white space. */
  #next(): number {
    for (;;) {
      const byte = this.#bytes[this.at];
      if (byte === undefined) throw new NoJson();
      if (byte > 0x20) return byte;
      this.at++;
    }
  }

  #key(): string {
    const start = this.at;
    this.#string();
    const written = this.#bytes.subarray(start, this.at);
    if (!written.includes(BACKSLASH as number)) return written.toString('utf8', 1, written.length - 1);
    return Buffer.from(textOf(written)).toString('utf8');
  }

  #take(byte: number | undefined): void {
    if (this.#next() !== byte) throw new NoJson();
    this.at++;
  }

  #string(): void {
    this.#take(QUOTE);
    for (;;) {
      const byte = this.#bytes[this.at++];
      if (byte === undefined) throw new NoJson();
      if (byte === QUOTE) return;
      if (byte === BACKSLASH) this.at++;
    }
  }

  /** A number, true, false or null. */
  #word(): void {
    const start = this.at;
    while (WORD.has(this.#bytes[this.at] as number)) this.at++;
    if (this.at === start) throw new NoJson();
  }
}

const WORD: ReadonlySet<number> = new Set(
  Buffer.from('0123456789.+-_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'),
);
const U = 0x75;
const ESCAPES = new Map([
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
  ['b', 0x08],
  ['f', 0x0c],
]);
const HARMLESS = new Map([
  ['003c', 0x3c],
  ['003e', 0x3e],
  ['0026', 0x26],
]);

/** JSON without white space outside of strings, and without the escapes that Go writes for browsers: a copy, for the receiver to wipe. */
export function plainJson(json: Uint8Array): Uint8Array {
  const out = Buffer.from(new ArrayBuffer(json.length));
  let length = 0;
  let inString = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at] as number;
    if (!inString && byte <= 0x20) continue;
    if (byte === QUOTE) inString = !inString;
    if (byte !== BACKSLASH) {
      out[length++] = byte;
      continue;
    }
    const escaped = json[at + 1] === U ? hexAt(json, at + 2) : undefined;
    const itself = escaped === undefined ? undefined : HARMLESS.get(escaped);
    if (itself !== undefined) {
      out[length++] = itself;
      at += 5;
    } else {
      out[length++] = byte;
      out[length++] = json[++at] as number;
    }
  }
  const exact = new Uint8Array(out.subarray(0, length));
  out.fill(0);
  return exact;
}

const hexAt = (json: Uint8Array, at: number): string =>
  String.fromCharCode(...json.subarray(at, at + 4)).toLowerCase();
