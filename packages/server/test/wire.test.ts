import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeBase64 } from '../src/wire/base64.js';
import { type FieldName, type Fields, readFields } from '../src/wire/fields.js';
import { MalformedBody } from '../src/wire/scanner.js';

const ALL: readonly FieldName[] = ['Name', 'Version', 'Value', 'UpdateIfChanged'];
const ZEROS = { Name: '', Version: 0, Value: '', UpdateIfChanged: false };

interface Vector {
  /** base64 */
  readonly body: string;
  /** What Go's decoder made of it, name and value in base64; null for an error. */
  readonly go: { name: string; version: number; value: string; updateIfChanged: boolean } | null;
}

const vectors: Vector[] = JSON.parse(readFileSync(new URL('vectors/go-json.json', import.meta.url), 'utf8'));

function read(body: string | Buffer, wanted: readonly FieldName[] = ALL) {
  const fields = readFields(Buffer.from(body as string), wanted);
  return { ...fields, Value: fields.Value.toString('base64') };
}

function readOrRefuse(body: Buffer): Fields | undefined {
  try {
    return readFields(body, ALL);
  } catch (error) {
    if (error instanceof MalformedBody) return undefined;
    throw error;
  }
}

describe('a request body', () => {
  it('is read as Go reads it, accepted or refused, in every recorded case', () => {
    expect(vectors.length).toBeGreaterThan(300);
    for (const { body, go } of vectors) {
      const fields = readOrRefuse(Buffer.from(body, 'base64'));
      const found = fields && {
        name: Buffer.from(fields.Name).toString('base64'),
        version: fields.Version,
        value: fields.Value.toString('base64'),
        updateIfChanged: fields.UpdateIfChanged,
      };
      expect(found ?? null, Buffer.from(body, 'base64').toString('latin1')).toEqual(go);
    }
  });

  it('is refused for a name of more than 64 KiB, unread', () => {
    const withName = (length: number) => Buffer.from(`{"Name":"${'x'.repeat(length)}"}`);
    expect(readOrRefuse(withName(64 * 1024))?.Name).toHaveLength(64 * 1024);
    expect(readOrRefuse(withName(64 * 1024 + 1))).toBeUndefined();
  });

  it('has its fields’ names in any form, the longest included, and may have longer ones that are none', () => {
    const escaped = [...'UpdateIfChanged'].map((c) => `\\u00${c.charCodeAt(0).toString(16)}`).join('');
    expect(read(`{"${escaped}":true}`).UpdateIfChanged).toBe(true);
    expect(read(`{"${escaped}x":true}`)).toEqual(ZEROS);
    expect(() => read(`{"${escaped}\\x":true}`)).toThrow(MalformedBody);
  });

  it('has every field at its zero when it is {} or null, whatever follows', () => {
    for (const body of ['{}', 'null', ' \n{} x', 'nullx', '{}{"Name":"no"}'])
      expect(read(body)).toEqual(ZEROS);
  });

  it.each([
    '',
    ' ',
    '[]',
    '""',
    '1',
    'true',
    'nul',
    '{',
    '{"Name"}',
    '{"Name":"a",}',
    "{'Name':'a'}",
    '\ufeff{}',
  ])('is refused when it is %j', (body) => {
    expect(() => read(body)).toThrow(MalformedBody);
  });

  it('takes whole numbers from 0 to 2³²−1 as versions and no other spelling of them', () => {
    for (const version of ['0', '7', '4294967295']) {
      expect(read(`{"Version":${version}}`).Version).toBe(Number(version));
    }
    for (const version of [
      '-0',
      '-1',
      '1.0',
      '1e0',
      '01',
      '4294967296',
      '99999999999999999999',
      '"1"',
      'true',
      '[1]',
    ]) {
      expect(() => read(`{"Version":${version}}`), version).toThrow(MalformedBody);
    }
  });

  it('ignores fields that the method does not have, whatever their type', () => {
    expect(read('{"Name":"a","Value":5,"Version":"x"}', ['Name']).Name).toBe('a');
  });

  it('may nest unknown values up to 10,000 levels and no deeper', () => {
    const nested = (levels: number) => `{"x":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`;
    expect(read(nested(10_000))).toEqual(ZEROS);
    expect(() => read(nested(10_001))).toThrow(MalformedBody);
    expect(() => read('[{"a":'.repeat(500_000))).toThrow(MalformedBody);
  });

  it('makes one U+FFFD of each byte of invalid UTF-8 and of each surrogate without its pair', () => {
    const name = (bytes: number[]) =>
      read(Buffer.concat([Buffer.from('{"Name":"'), Buffer.from(bytes), Buffer.from('"}')])).Name;
    expect(name([0xe2, 0x82])).toBe('\ufffd\ufffd');
    expect(name([0x61, 0xff, 0x62])).toBe('a\ufffdb');
    expect(read('{"Name":"\\ud800\\ud83d\\ude00\\udc00"}').Name).toBe('\ufffd\u{1f600}\ufffd');
  });

  it('is read back whole, however its keys, strings, numbers and spaces are written', () => {
    fc.assert(
      fc.property(fields(), fc.infiniteStream(fc.nat(1000)), (expected, random) => {
        const body = Buffer.from(write(expected, () => random.next().value as number));
        expect(read(body)).toEqual({ ...expected, Value: Buffer.from(expected.Value).toString('base64') });
      }),
    );
  });

  it('never makes the reader fail in another way than by refusing it', () => {
    const pieces = fc.constantFrom(
      '"',
      '\\',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      'null',
      '-',
      '0',
      '1e',
      '\\ud800',
      '"Name":',
      '"Value":',
    );
    const anything = fc.oneof(
      pieces.map(Buffer.from as (text: string) => Buffer),
      fc.uint8Array({ maxLength: 4 }).map(Buffer.from),
    );
    fc.assert(
      fc.property(fc.array(anything, { maxLength: 40 }), (parts) => {
        readOrRefuse(Buffer.concat([Buffer.from('{"Name":'), ...parts]));
        readOrRefuse(Buffer.concat(parts));
      }),
      { numRuns: 2000 },
    );
  });
});

describe('base64', () => {
  it('decodes what was encoded, with line breaks anywhere', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.nat(), (bytes, at) => {
        const text = Buffer.from(bytes).toString('base64');
        const broken = `${text.slice(0, at % (text.length + 1))}\r\n${text.slice(at % (text.length + 1))}`;
        expect(decodeBase64(broken)).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it('refuses every character outside the standard alphabet, wherever it stands', () => {
    const text = Buffer.alloc(9, 'x').toString('base64');
    const outside = fc
      .integer({ min: 0, max: 0xffff })
      .map((unit) => String.fromCharCode(unit))
      .filter((c) => !/[A-Za-z0-9+/\r\n]/.test(c));
    fc.assert(
      fc.property(outside, fc.nat(text.length - 3), (character, at) => {
        expect(decodeBase64(text.slice(0, at) + character + text.slice(at + 1))).toBeUndefined();
      }),
    );
  });

  it('refuses wrong padding', () => {
    for (const text of ['YQ', 'YQ=', 'YQ===', '=', '====', 'Y===', 'YQ==YQ==', '=YQ=']) {
      expect(decodeBase64(text), text).toBeUndefined();
    }
  });
});

function fields() {
  return fc.record({
    Name: fc.string({ unit: 'grapheme' }),
    Version: fc.integer({ min: 0, max: 0xffff_ffff }),
    Value: fc.uint8Array({ maxLength: 100 }),
    UpdateIfChanged: fc.boolean(),
  });
}

/** One of the many ways to write the fields down; `choose` decides which. */
function write(
  of: { Name: string; Version: number; Value: Uint8Array; UpdateIfChanged: boolean },
  choose: () => number,
): string {
  const space = () => ['', ' ', '\n', '\t\r'][choose() % 4];
  const recase = (key: string) =>
    [...key]
      .map((c) => (choose() % 2 ? c.toUpperCase() : c.toLowerCase()))
      .join('')
      .replace(/s/g, () => (choose() % 4 ? 's' : 'ſ'));
  const spell = (text: string) =>
    JSON.stringify(text).replace(/[a-z/]/g, (c) =>
      choose() % 5 ? c : `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
  const plain = (text: string) => (/\\/.test(JSON.stringify(text)) ? JSON.stringify(text) : spell(text));
  const base64 = Buffer.from(of.Value).toString('base64');
  const entries = [
    [recase('Name'), plain(of.Name)],
    [recase('Version'), String(of.Version)],
    [recase('Value'), choose() % 2 ? JSON.stringify([...of.Value]) : spell(base64)],
    [recase('UpdateIfChanged'), String(of.UpdateIfChanged)],
    ['other', '{"Name":[null,-1.5e+3,"\\"}"],"x":{}}'],
    [recase('Name').slice(1), 'false'],
  ];
  const start = choose() % entries.length;
  const turned = [...entries.slice(start), ...entries.slice(0, start)];
  return `${space()}{${turned.map(([key, value]) => `${space()}"${key}"${space()}:${space()}${value}${space()}`).join(',')}}`;
}
