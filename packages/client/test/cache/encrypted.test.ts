import { createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { chmod, chown, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { canary, findCanary } from '../../../../test/support/canary.mjs';
import { FileCache } from '../../src/cache/file-cache.js';
import type { KeySource } from '../../src/cache/key.js';
import { temporaryFolder } from '../folder.js';

const KEY = randomBytes(32);
const isRoot = process.getuid?.() === 0;
const CONTENT = Buffer.from(canary('content'));
const START = 'coffer-cache-v1\n'.length;

const folder = temporaryFolder();
let path: string;
let keyFile: string;
beforeEach(async () => {
  path = join(folder(), 'cache');
  keyFile = await keyFileOf(KEY);
});

const cacheWith = (key: KeySource) => new FileCache(path, { key });
const refusal = async (promise: Promise<unknown>) => {
  const error = await promise.then(
    () => undefined,
    (error: Error & { code: string }) => error,
  );
  expect(findCanary(`${error?.stack} ${JSON.stringify(error)} ${error?.cause}`)).toBeUndefined();
  return error;
};
const codeOf = async (promise: Promise<unknown>) => (await refusal(promise))?.code;

async function keyFileOf(content: string | Uint8Array, mode = 0o600): Promise<string> {
  const file = join(folder(), `key-${randomBytes(4).toString('hex')}`);
  await writeFile(file, content, { mode });
  return file;
}

describe('an encrypted cache', () => {
  test('gives what was written, and its file holds nothing of it', async () => {
    await cacheWith({ file: keyFile }).write(CONTENT);
    expect(await cacheWith({ file: keyFile }).read()).toEqual(CONTENT);
    expect(findCanary(await readFile(path))).toBeUndefined();
  });

  test('has the form that its documentation gives', async () => {
    await cacheWith({ file: keyFile }).write(CONTENT);
    const file = await readFile(path);
    const [header, salt] = [file.subarray(0, START), file.subarray(START, START + 32)];
    const derived = Buffer.from(hkdfSync('sha256', KEY, salt, header, 44));
    const decipher = createDecipheriv('aes-256-gcm', derived.subarray(0, 32), derived.subarray(32));
    decipher.setAuthTag(file.subarray(-16));
    expect(header.toString()).toBe('coffer-cache-v1\n');
    expect(Buffer.concat([decipher.update(file.subarray(START + 32, -16)), decipher.final()])).toEqual(
      CONTENT,
    );
  });

  test('is another each time', async () => {
    const cache = cacheWith({ file: keyFile });
    await cache.write(CONTENT);
    const first = await readFile(path);
    await cache.write(CONTENT);
    expect((await readFile(path)).subarray(START, START + 32)).not.toEqual(first.subarray(START, START + 32));
  });

  test('may be empty', async () => {
    await cacheWith({ file: keyFile }).write(new Uint8Array());
    expect(await cacheWith({ file: keyFile }).read()).toEqual(Buffer.alloc(0));
  });

  test('gives nothing when a byte of its file is another, wherever it is', async () => {
    const cache = cacheWith({ file: keyFile });
    await cache.write(CONTENT);
    const file = await readFile(path);
    for (let at = 0; at < file.length; at++) {
      const changed = Buffer.from(file);
      changed.writeUInt8(file.readUInt8(at) ^ 1, at);
      await writeFile(path, changed);
      expect(await codeOf(cache.read()), `byte ${at}`).toBe('bad_cache');
    }
  });

  test('gives nothing when its file is cut or longer, wherever that is', async () => {
    const cache = cacheWith({ file: keyFile });
    await cache.write(CONTENT);
    const file = await readFile(path);
    for (let length = 0; length < file.length; length++) {
      await writeFile(path, file.subarray(0, length));
      expect(await codeOf(cache.read()), `${length} bytes`).toBe('bad_cache');
    }
    await writeFile(path, Buffer.concat([file, Buffer.of(0)]));
    expect(await codeOf(cache.read())).toBe('bad_cache');
  });

  test('gives nothing with another key, and nothing without one', async () => {
    await cacheWith({ file: keyFile }).write(CONTENT);
    expect(await codeOf(cacheWith({ file: await keyFileOf(randomBytes(32)) }).read())).toBe('bad_cache');
    expect(await codeOf(new FileCache(path).read())).toBe('bad_cache');
  });

  test('does not believe a file that nobody encrypted', async () => {
    await new FileCache(path).write(CONTENT);
    expect(await codeOf(cacheWith({ file: keyFile }).read())).toBe('bad_cache');
  });
});

describe('the key of a cache', () => {
  beforeEach(() => cacheWith({ file: keyFile }).write(CONTENT));

  test.each([
    ['hexadecimal', KEY.toString('hex')],
    ['capital hexadecimal in a line', `${KEY.toString('hex').toUpperCase()}\n`],
    ['base64', KEY.toString('base64')],
    ['base64 in a line', `${KEY.toString('base64')}\r\n`],
    ['base64url', KEY.toString('base64url')],
  ])('may be %s', async (_, text) => {
    expect(await cacheWith({ file: await keyFileOf(text) }).read()).toEqual(CONTENT);
    expect(await cacheWith({ command: ['printf', '%s', text] }).read()).toEqual(CONTENT);
  });

  test('may be what a command prints, which is not run by a shell', async () => {
    expect(await cacheWith({ command: ['cat', keyFile] }).read()).toEqual(CONTENT);
    expect(await codeOf(cacheWith({ command: [`cat ${keyFile}`] }).read())).toBe('bad_key');
    expect(await codeOf(cacheWith({ command: ['echo', `$(cat ${keyFile})`] }).read())).toBe('bad_key');
  });

  test('is asked for once, and again after it could not be had', async () => {
    const count = join(folder(), 'count');
    const key = join(folder(), 'later');
    const cache = cacheWith({ command: ['sh', '-c', `echo >>${count}; cat ${key}`] });
    expect(await codeOf(cache.read())).toBe('bad_key');
    await writeFile(key, KEY);
    for (let reads = 0; reads < 3; reads++) expect(await cache.read()).toEqual(CONTENT);
    await cache.write(CONTENT);
    expect((await readFile(count)).length).toBe(2);
  });

  test.each(['640', '604', '620', '602', '610'])('is refused in a file of mode %s', async (mode) => {
    await chmod(keyFile, mode);
    if (isRoot) await chown(keyFile, 0, 1);
    const error = await refusal(cacheWith({ file: keyFile }).read());
    expect([error?.code, error?.message]).toEqual([
      'bad_key',
      expect.stringContaining(`chmod 600 ${keyFile}`),
    ]);
  });

  test.skipIf(!isRoot)(
    'may be in a credential of systemd: root’s, and readable by an access list',
    async () => {
      await chmod(keyFile, '440');
      await chown(keyFile, 0, 0);
      expect(await cacheWith({ file: keyFile }).read()).toEqual(CONTENT);
      await chmod(keyFile, '444');
      expect(await codeOf(cacheWith({ file: keyFile }).read())).toBe('bad_key');
    },
  );

  test.each([
    ['shorter', KEY.subarray(1)],
    ['longer', Buffer.concat([KEY, KEY.subarray(31)])],
    ['nothing', ''],
    ['something else', canary('key')],
    ['a text of 32 characters', 'correct horse battery staple ok!'],
    ['zeros', Buffer.alloc(32)],
    ['32 empty lines', '\n'.repeat(32)],
    ['hexadecimal of too few', KEY.toString('hex').slice(2)],
    ['a large file', Buffer.alloc(100_000)],
  ])('is refused when it is %s, and the file is neither read nor written', async (_, content) => {
    const cache = cacheWith({ file: await keyFileOf(content) });
    const file = await readFile(path);
    expect(await codeOf(cache.read())).toBe('bad_key');
    expect(await codeOf(cache.write(CONTENT))).toBe('bad_key');
    expect(await readFile(path)).toEqual(file);
  });

  test.each([
    ['a file that is not there', { file: '/nonexistent/key' }],
    ['a folder', { file: '/' }],
    ['a command that is not there', { command: ['/nonexistent/key'] }],
    ['a command that may not be run', { command: ['/etc/passwd'] }],
    ['a command that fails', { command: ['sh', '-c', `echo ${canary('output')}; exit 3`] }],
    [
      'a command that fails with an error',
      { command: ['sh', '-c', `echo '${canary('output')}' >&2; exit 3`] },
    ],
    ['a command that is killed', { command: ['sh', '-c', 'kill -9 $$'] }],
    ['a command that prints no key', { command: ['echo', canary('output')] }],
    ['a command that prints nothing', { command: ['true'] }],
    ['a command that does not stop printing', { command: ['yes', canary('output')] }],
    ['a command that fails while others hold its pipe', { command: ['sh', '-c', 'sleep 100 & exit 3'] }],
  ] as [string, KeySource][])('cannot be had from %s, and the error holds nothing of it', async (_, key) => {
    expect(await codeOf(cacheWith(key).read())).toBe('bad_key');
  });
});
