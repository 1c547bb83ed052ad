import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, expectTypeOf, onTestFinished, test } from 'vitest';
import { canary, expectNoCanary } from '../../../test/support/canary.mjs';
import { type Secret, StaticFile, StaticSecret } from '../src/index.js';

const bytes = (text: string) => new TextEncoder().encode(text);

function file(content: string | Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), 'coffer-static-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'secret'), content);
  return join(folder, 'secret');
}

describe('a static secret', () => {
  test('has its value for ever, in the place of a handle', () => {
    const value = bytes('malus');
    const secret: Secret = new StaticSecret(value, 'apple');
    value.fill(0);
    secret.get().wipe();
    expect([secret.name, secret.version, secret.reveal()]).toEqual(['apple', 0, 'malus']);
    expect([...new StaticSecret('ä').get()]).toEqual([0xc3, 0xa4]);
    expectTypeOf<StaticSecret>().toExtend<Secret>();
  });

  test('shows its name, not its value', () => {
    expect(`${new StaticSecret('x', 'apple')}`).toBe('apple (version 0)');
    const secret = new StaticSecret(canary('static'), 'apple');
    const shown = [
      inspect(secret, { showHidden: true }),
      inspect(secret, { customInspect: false }),
      JSON.stringify(secret),
      `${secret}`,
    ].join();
    expectNoCanary(shown, 'what it shows');
    expect(shown).toContain('apple');
  });

  test('says when it is no text', () => {
    const secret = new StaticSecret(Uint8Array.of(0xff));
    expect(() => secret.reveal()).toThrow(expect.objectContaining({ code: 'not_text' }));
  });
});

describe('a static file', () => {
  test('has the file’s content as it was when it was read', () => {
    const path = file(' a b\r\n');
    const secret = new StaticFile(path);
    writeFileSync(path, 'other');
    expect([secret.name, secret.reveal()]).toEqual([path, ' a b\r\n']);
  });

  test.each([
    [' \t a\n b \r\n\v\f', 'a\n b'],
    ['ab', 'ab'],
    ['\u00a0a\u00a0', '\u00a0a\u00a0'],
    [' \n', ''],
    ['', ''],
  ])('is without the white space at both ends of %j if that is wanted', (content, trimmed) => {
    expect(new StaticFile(file(content), { trim: true }).reveal()).toBe(trimmed);
  });

  test('cannot be made of what cannot be read', () => {
    const missing = join(tmpdir(), 'coffer-no-such-file');
    for (const path of [missing, tmpdir()])
      expect(() => new StaticFile(path)).toThrow(expect.objectContaining({ code: 'bad_file' }));
    expect(() => new StaticFile(missing)).toThrow(`${missing} cannot be read (ENOENT)`);
  });
});
