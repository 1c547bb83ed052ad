/** The body is no JSON, or a field has a type that setec does not take. Answered `400 bad request`. */
export class MalformedBody extends Error {
  constructor() {
    super('bad request');
    this.name = 'MalformedBody';
  }
}

/** Levels of nesting that Go's encoding/json accepts, the outermost value included. */
const MAX_DEPTH = 10_000;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
/** What reading beyond the end answers: no byte, and equal to none. */
const END = -1;

/** Where a string stands in the body: from `start` up to, not including, `end`, the quotes left out. */
export interface StringSpan {
  readonly start: number;
  readonly end: number;
  readonly escaped: boolean;
}

/**
 * Walks over JSON in bytes, value by value, with the syntax of Go's encoding/json: strict RFC 8259, except that
 * invalid UTF-8 inside strings is let pass. Every method throws {@link MalformedBody} at a syntax error.
 */
export class Scanner {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** How many bytes are consumed. */
  get position(): number {
    return this.#at;
  }

  /** The next byte that is no white space, without consuming it; negative at the end. */
  peek(): number {
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined) return END;
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return byte;
      this.#at++;
    }
  }

  /** Consumes the next byte that is no white space if it is `byte`. */
  accept(byte: number): boolean {
    if (this.peek() !== byte) return false;
    this.#at++;
    return true;
  }

  expect(byte: number): void {
    if (!this.accept(byte)) throw new MalformedBody();
  }

  /** Consumes a literal such as `null`; what follows it is the caller's business, as it is in Go. */
  literal(word: string): void {
    this.peek();
    for (let i = 0; i < word.length; i++) {
      if (this.#bytes[this.#at++] !== word.charCodeAt(i)) throw new MalformedBody();
    }
  }

  /** A number token that is written as an integer from 0 to `max`: `1.0`, `1e0` and `-0` are none to Go. */
  integer(max: number): number {
    this.peek();
    const start = this.#at;
    this.#digits();
    if (this.#bytes[start] === ZERO && this.#at > start + 1) throw new MalformedBody();
    let value = 0;
    for (let i = start; i < this.#at && value <= max; i++)
      value = value * 10 + (this.#bytes[i] as number) - ZERO;
    if (value > max) throw new MalformedBody();
    return value;
  }

  /** How many bytes stand before the next `byte`, or before the end. */
  distanceTo(byte: number): number {
    const at = this.#bytes.indexOf(byte, this.#at);
    return (at === -1 ? this.#bytes.length : at) - this.#at;
  }

  /** A string, byte by byte: right for names and keys. */
  string(): StringSpan {
    this.expect(QUOTE);
    const start = this.#at;
    let escaped = false;
    for (;;) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined || byte < 0x20) throw new MalformedBody();
      if (byte === QUOTE) return { start, end: this.#at - 1, escaped };
      if (byte === BACKSLASH) {
        escaped = true;
        this.#escape();
      }
    }
  }

  /**
   * A string that may be very long, found by native searches. Its inside is not checked: whoever decodes it must
   * refuse control characters and unknown escapes.
   */
  longString(): StringSpan {
    this.expect(QUOTE);
    const start = this.#at;
    let end = this.#bytes.indexOf(QUOTE, start);
    while (end !== -1 && this.#isEscaped(start, end)) end = this.#bytes.indexOf(QUOTE, end + 1);
    if (end === -1) throw new MalformedBody();
    this.#at = end + 1;
    const backslash = this.#bytes.subarray(start, end).includes(BACKSLASH);
    return { start, end, escaped: backslash };
  }

  /** Checks any value and passes over it. `depth` is the number of levels that are open around it. */
  skipValue(depth: number): void {
    const open: number[] = [];
    do {
      const first = this.peek();
      if (first === OPEN_OBJECT || first === OPEN_ARRAY) {
        this.#at++;
        open.push(first === OPEN_OBJECT ? CLOSE_OBJECT : CLOSE_ARRAY);
        if (depth + open.length > MAX_DEPTH) throw new MalformedBody();
        if (this.peek() !== open.at(-1)) {
          if (first === OPEN_OBJECT) this.#key();
          continue;
        }
      } else {
        this.#skipScalar(first);
      }
      this.#closeUpTo(open);
    } while (open.length > 0);
  }

  /** After a value: closes what ends here, and stands before the next value, if one is open. */
  #closeUpTo(open: number[]): void {
    while (open.length > 0) {
      const close = open.at(-1) as number;
      if (this.accept(close)) {
        open.pop();
        continue;
      }
      this.expect(COMMA);
      if (close === CLOSE_OBJECT) this.#key();
      return;
    }
  }

  #skipScalar(first: number): void {
    if (first === QUOTE) this.string();
    else if (first === 0x74) this.literal('true');
    else if (first === 0x66) this.literal('false');
    else if (first === 0x6e) this.literal('null');
    else this.#number();
  }

  #number(): void {
    this.peek();
    if (this.#bytes[this.#at] === MINUS) this.#at++;
    if (this.#bytes[this.#at] === ZERO) this.#at++;
    else this.#digits();
    if (this.#bytes[this.#at] === 0x2e) {
      this.#at++;
      this.#digits();
    }
    if (this.#isOneOf(0x65, 0x45)) {
      this.#at++;
      if (this.#isOneOf(0x2b, MINUS)) this.#at++;
      this.#digits();
    }
  }

  #key(): void {
    this.string();
    this.expect(COLON);
  }

  #digits(): void {
    const start = this.#at;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte === undefined || byte < 0x30 || byte > 0x39) break;
      this.#at++;
    }
    if (this.#at === start) throw new MalformedBody();
  }

  #isOneOf(one: number, other: number): boolean {
    const byte = this.#bytes[this.#at];
    return byte === one || byte === other;
  }

  #escape(): void {
    const byte = this.#bytes[this.#at++];
    if (byte === 0x75) {
      for (let i = 0; i < 4; i++) if (!isHexDigit(this.#bytes[this.#at++])) throw new MalformedBody();
      return;
    }
    if (byte === undefined || !SIMPLE_ESCAPES.has(byte)) throw new MalformedBody();
  }

  #isEscaped(start: number, quote: number): boolean {
    let first = quote;
    while (first > start && this.#bytes[first - 1] === BACKSLASH) first--;
    return (quote - first) % 2 === 1;
  }
}

const SIMPLE_ESCAPES = new Set(Buffer.from('"\\/bfnrt'));

function isHexDigit(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}
