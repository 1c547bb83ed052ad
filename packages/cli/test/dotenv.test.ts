import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { formatDotenv, parseDotenv } from '../src/transfer/dotenv.js';

function parse(text: string | Uint8Array): Record<string, string> {
  const entries = parseDotenv(Buffer.from(text), 'app.env');
  return Object.fromEntries(entries.map(({ key, value }) => [key, Buffer.from(value).toString()]));
}

describe('a .env file', () => {
  test.each([
    ['A=1\nB=2\n', { A: '1', B: '2' }],
    ['A=1', { A: '1' }],
    ['', {}],
    ['\uFEFF# a comment\n\n  \t\n#A=1\nB=2', { B: '2' }],
    ['export A=1\nexport\tB=2\nexport=3', { A: '1', B: '2', export: '3' }],
    ['A = 1 \n  B=\t2', { A: '1', B: '2' }],
    ['A=\nB= \nC=""\nD=\'\'', { A: '', B: '', C: '', D: '' }],
    ['A=one two # three\nB=one#two\nC=#one\nD= # one', { A: 'one two', B: 'one#two', C: '#one', D: '' }],
    ['A=a=b==', { A: 'a=b==' }],
    ['A=it\'s "so"', { A: 'it\'s "so"' }],
    ['A=\' a # \\n "b" \'  # c', { A: ' a # \\n "b" ' }],
    ['A="a\\nb\\tc\\rd\\"e\\\\f\\$g\\`h\\qi"', { A: 'a\nb\tc\rd"e\\f$g`h\\qi' }],
    ['A="ends with \\\\"\nB=2', { A: 'ends with \\', B: '2' }],
    ['A="one\ntwo # no comment\nthree"\nB=\'4\n5\'', { A: 'one\ntwo # no comment\nthree', B: '4\n5' }],
    ['A=1\r\nB="two\r\nlines"\r\nC=\'3\'\r\n', { A: '1', B: 'two\nlines', C: '3' }],
    ['A=$HOME\nB="$\u007bHOME}"\nC=$(id)\nD=\'$X\'', { A: '$HOME', B: '$\u007bHOME}', C: '$(id)', D: '$X' }],
    ['my.key-1=Ключ', { 'my.key-1': 'Ключ' }],
  ])('%j', (text, entries) => {
    expect(parse(text)).toEqual(entries);
  });

  test('bytes that are no text stay as they are', () => {
    const value = Buffer.from([0xff, 0x00, 0xfe, 0x80]);
    const file = Buffer.concat([Buffer.from('A='), value, Buffer.from('\nB="'), value, Buffer.from('"')]);
    expect(parseDotenv(file, 'x').map((each) => Buffer.from(each.value))).toEqual([value, value]);
  });

  test('the values are not those of the file, which is wiped', () => {
    const file = Buffer.from('A=bare\nB="double"\nC=\'single\'');
    const entries = parseDotenv(file, 'x');
    file.fill(0);
    expect(entries.map(({ value }) => Buffer.from(value).toString())).toEqual(['bare', 'double', 'single']);
  });

  test.each([
    ['A=1\nA=2', 'app.env:2: "A" is set at line 1 already'],
    ['A=1\n\nB', 'app.env:3: no = follows: write KEY=value, and a value of several lines in quotes'],
    ['export A', 'app.env:1: no = follows: write KEY=value, and a value of several lines in quotes'],
    ['1A=1', 'app.env:1: this is no KEY=value: a key is letters, digits, _, . and -'],
    ['=1', 'app.env:1: this is no KEY=value: a key is letters, digits, _, . and -'],
    ['A="1\n2\n', 'app.env:1: the closing " is missing'],
    ['\nA="1\\"', 'app.env:2: the closing " is missing'],
    ["A='1", "app.env:1: the closing ' is missing"],
    ['A="x\ny"z', 'app.env:2: something follows the closing quote'],
    ["A='it\\'s'", 'app.env:1: something follows the closing quote'],
    ['A=`1`', 'app.env:1: backticks mean different things'],
  ])('%j is refused, by file and line', (text, sentence) => {
    expect(() => parse(text)).toThrow(sentence);
  });

  test('no part of a value shows in an error', () => {
    for (const text of [
      'A=-----BEGIN KEY-----\nMIIEsecret\n',
      'A="secret\n"secret',
      'A=`secret`',
      'A=secret\nA=secret',
    ]) {
      const refusal = (() => {
        try {
          parse(text);
        } catch (error) {
          return String(error);
        }
      })();
      expect(refusal).toMatch(/app\.env:\d: /);
      expect(refusal).not.toContain('secret');
    }
  });
});

describe('a .env file that coffer writes', () => {
  /** Made of what quoting must get right. */
  const awkward = fc.oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({
      unit: fc.constantFrom("'", '"', '\\', '$', '`', '#', ' ', '\n', '\r', '\t', '=', 'n', 'é', '\u{1F600}'),
    }),
  );
  const values = fc.dictionary(fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_.-]*$/), awkward);
  const format = (entries: Record<string, string>) =>
    formatDotenv(Object.entries(entries).map(([key, value]) => ({ key, value: Buffer.from(value) })));

  test('is read as it was', () => {
    fc.assert(
      fc.property(values, (entries) => {
        expect({ ...parse(format(entries)) }).toEqual({ ...entries });
      }),
      { numRuns: 2000 },
    );
  });

  test('means the same to a shell, but for carriage returns', () => {
    const folder = mkdtempSync(join(tmpdir(), 'coffer-dotenv-'));
    const words = fc.sample(awkward, 300).filter((word) => !/[\r\0]/.test(word));
    const entries = Object.fromEntries(words.map((word, index) => [`V${index}`, word]));
    writeFileSync(join(folder, 'env'), format(entries));
    const print = 'set -a; . "$0"; "$1" -e "process.stdout.write(JSON.stringify(process.env))"';
    const stdout = execFileSync('sh', ['-c', print, join(folder, 'env'), process.execPath], { env: {} });
    rmSync(folder, { recursive: true });
    expect(JSON.parse(stdout.toString())).toMatchObject(entries);
  });
});
