import { decodeBase64 } from './base64.js';
import { MalformedBody, Scanner, type StringSpan } from './scanner.js';
import { stringText, unescapeText } from './text.js';

/** What setec's requests are made of. A field that the body leaves out has its zero. */
export interface Fields {
  Name: string;
  /** 0 … 2³²−1 */
  Version: number;
  /** The receiver wipes it after use. */
  Value: Buffer;
  UpdateIfChanged: boolean;
}

export type FieldName = keyof Fields;

const MAX_VERSION = 0xffff_ffff;
/** Decoding a name is slow where its UTF-8 is not valid; no name is as long as this. */
const MAX_NAME_SPAN = 64 * 1024;
/** The longest form of a field's name, with every letter escaped. A longer key is none, and need not be decoded. */
const MAX_FIELD_SPAN = 6 * 'UpdateIfChanged'.length;
const EMPTY = Buffer.alloc(0);

/**
 * Reads a request body as Go's `json.NewDecoder(body).Decode(&request)` does, where the request has the fields
 * `wanted`: one value, what follows it is not looked at; `null` is an empty request; names of fields match in any
 * case, the last one wins; other fields are only checked for syntax.
 *
 * Source: encoding/json of Go 1.26 (decode.go, scanner.go, fold.go); test/vectors/go-json.json holds its answers.
 *
 * @throws {@link MalformedBody} where Go's decoder reports any error.
 */
export function readFields(body: Buffer, wanted: readonly FieldName[]): Fields {
  const fields: Fields = { Name: '', Version: 0, Value: EMPTY, UpdateIfChanged: false };
  const scanner = new Scanner(body);
  if (scanner.peek() === 0x6e) {
    scanner.literal('null');
    return fields;
  }
  scanner.expect(0x7b);
  if (scanner.accept(0x7d)) return fields;
  do {
    const key = scanner.string();
    const field = readKey(body, key, wanted);
    scanner.expect(0x3a);
    if (field === undefined) scanner.skipValue(1);
    else readField(scanner, body, fields, field);
  } while (scanner.accept(0x2c));
  scanner.expect(0x7d);
  return fields;
}

function readField(scanner: Scanner, body: Buffer, fields: Fields, field: FieldName): void {
  const first = scanner.peek();
  if (first === 0x6e) {
    scanner.literal('null');
    // In Go null empties a slice and leaves everything else as an earlier field of the same name set it.
    if (field === 'Value') fields.Value = EMPTY;
    return;
  }
  switch (field) {
    case 'Name': {
      const span = scanner.string();
      if (span.end - span.start > MAX_NAME_SPAN) throw new MalformedBody();
      fields.Name = textOf(body, span);
      return;
    }
    case 'Version':
      fields.Version = scanner.integer(MAX_VERSION);
      return;
    case 'UpdateIfChanged':
      scanner.literal(first === 0x74 ? 'true' : 'false');
      fields.UpdateIfChanged = first === 0x74;
      return;
    case 'Value':
      fields.Value = first === 0x5b ? readByteArray(scanner, fields.Value) : readBase64(scanner, body);
  }
}

function readKey(body: Buffer, span: StringSpan, wanted: readonly FieldName[]): FieldName | undefined {
  return span.end - span.start > MAX_FIELD_SPAN ? undefined : findField(textOf(body, span), wanted);
}

function textOf(body: Buffer, { start, end, escaped }: StringSpan): string {
  return stringText(body.subarray(start, end), escaped);
}

/** Exact names first, then as Go folds them: simple Unicode case folding, which `iu` is (ſ is an s, ı is no i). */
function findField(key: string, wanted: readonly FieldName[]): FieldName | undefined {
  for (const name of wanted) if (key === name) return name;
  for (const name of wanted) if (FOLDED[name].test(key)) return name;
  return undefined;
}

const FOLDED: Readonly<Record<FieldName, RegExp>> = {
  Name: /^name$/iu,
  Version: /^version$/iu,
  Value: /^value$/iu,
  UpdateIfChanged: /^updateifchanged$/iu,
};

function readBase64(scanner: Scanner, body: Buffer): Buffer {
  const { start, end, escaped } = scanner.longString();
  const text = body.toString('latin1', start, end);
  // Raw line breaks are no JSON; only escaped ones may reach the decoder, which ignores them.
  if (!escaped && (text.includes('\n') || text.includes('\r'))) throw new MalformedBody();
  const bytes = decodeBase64(escaped ? unescapeText(text) : text);
  if (bytes === undefined) throw new MalformedBody();
  return bytes;
}

/**
 * `[1,2,3]`. A `null` in it leaves the byte as it was: Go decodes into the array of an earlier `Value`, if the body
 * has two.
 */
function readByteArray(scanner: Scanner, earlier: Buffer): Buffer {
  scanner.expect(0x5b);
  if (scanner.accept(0x5d)) return EMPTY;
  // Nothing but numbers may stand before the closing bracket, and each takes two bytes with its comma.
  const bytes = Buffer.alloc(Math.ceil((scanner.distanceTo(0x5d) + 1) / 2));
  let length = 0;
  do {
    if (scanner.peek() === 0x6e) {
      scanner.literal('null');
      bytes[length] = earlier[length] ?? 0;
    } else {
      bytes[length] = scanner.integer(0xff);
    }
    length++;
  } while (scanner.accept(0x2c));
  scanner.expect(0x5d);
  return bytes.subarray(0, length);
}
