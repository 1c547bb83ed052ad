import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  chown,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FileCache } from '../../src/cache/file-cache.js';
import { temporaryFolder } from '../folder.js';

const utf8 = (text: string) => new TextEncoder().encode(text);
const textOf = (content: Uint8Array | undefined) => content && Buffer.from(content).toString();
const modeOf = async (path: string) => (await stat(path)).mode & 0o777;
const badFile = expect.objectContaining({ code: 'bad_file' });

const folder = temporaryFolder();
let path: string;
beforeEach(() => {
  path = join(folder(), 'state', 'cache.json');
});

describe('a file cache', () => {
  test('gives nothing before the first write, and then what was written last', async () => {
    const cache = new FileCache(path);
    expect(await cache.read()).toBeUndefined();
    await cache.write(utf8('xyzzy'));
    expect(textOf(await cache.read())).toBe('xyzzy');
    await cache.write(utf8('plugh'));
    expect(textOf(await cache.read())).toBe('plugh');
    expect(textOf(await new FileCache(path).read())).toBe('plugh');
    expect(await readdir(join(path, '..'))).toEqual(['cache.json']);
  });

  test('makes its folder when it is made itself, for the owner only', async () => {
    path = join(folder(), 'path/to/cache.json');
    new FileCache(path);
    expect(await modeOf(join(folder(), 'path/to'))).toBe(0o700);
    expect(await modeOf(join(folder(), 'path'))).toBe(0o700);
  });

  describe('whatever the umask', () => {
    const before = process.umask();
    afterEach(() => void process.umask(before));

    test.each(['000', '022', '277'])('of %s, is for its owner only', async (umask) => {
      const cache = new FileCache(path);
      process.umask(umask);
      await cache.write(utf8('xyzzy'));
      expect(await modeOf(path)).toBe(0o600);
    });
  });

  test('takes rights away from others when it writes to a file that was there', async () => {
    const cache = new FileCache(path);
    await writeFile(path, 'old', { mode: 0o644 });
    await cache.write(utf8('new'));
    expect(await modeOf(path)).toBe(0o600);
  });

  test('says at once that its folder cannot be made', async () => {
    await writeFile(join(folder(), 'blocker'), 'ok');
    expect(() => new FileCache(join(folder(), 'blocker/foo/cache.json'))).toThrow(badFile);
  });

  test('refuses a link, a folder and a pipe, at once and later', async () => {
    const cache = new FileCache(path);
    const others: [string, () => Promise<unknown>][] = [
      ['a link to nothing', () => symlink('whatever', path)],
      ['a link to a file', async () => symlink(await fileOf('elsewhere'), path)],
      ['a folder', () => mkdir(path)],
      ['a pipe', () => promisify(execFile)('mkfifo', [path])],
    ];
    for (const [kind, make] of others) {
      await make();
      expect(() => new FileCache(path), kind).toThrow(badFile);
      await expect(cache.read(), kind).rejects.toEqual(badFile);
      await expect(cache.write(utf8('xyzzy')), kind).rejects.toEqual(badFile);
      await promisify(execFile)('rm', ['-r', path]);
    }
    expect(textOf(await readFile(join(folder(), 'elsewhere')))).toBe('untouched');
    expect(await readdir(join(path, '..'))).toEqual([]);
  });

  test.runIf(process.getuid?.() === 0)('does not read what another user owns', async () => {
    const cache = new FileCache(path);
    await cache.write(utf8('evil'));
    await chown(path, 65534, 65534);
    await expect(cache.read()).rejects.toThrow(`the cache ${path}: it belongs to another user (uid 65534)`);
    await cache.write(utf8('own'));
    expect(textOf(await cache.read())).toBe('own');
  });

  test('does not read what others may write', async () => {
    const cache = new FileCache(path);
    await cache.write(utf8('evil'));
    await chmod(path, 0o602);
    await expect(cache.read()).rejects.toEqual(badFile);
    await expect(cache.read()).rejects.toThrow(`chmod 600 ${path}`);
    await chmod(path, 0o660);
    expect(textOf(await cache.read())).toBe('evil');
  });

  test.runIf(process.getuid?.() === 0)('does not read what a group that is not ours may write', async () => {
    const cache = new FileCache(path);
    await cache.write(utf8('evil'));
    await chown(path, 0, 65534);
    await chmod(path, 0o660);
    await expect(cache.read()).rejects.toEqual(badFile);
  });

  test('says which file cannot be read or written, and why', async () => {
    const cache = new FileCache(path);
    await promisify(execFile)('rm', ['-r', join(path, '..')]);
    expect(await cache.read()).toBeUndefined();
    await expect(cache.write(utf8('x'))).rejects.toThrow(`the cache ${path}: ENOENT`);
  });

  test('keeps what was written when a write cannot be finished', async () => {
    await new FileCache(path).write(utf8('former'));
    // No file may be longer than 64 KiB.
    const child = program('await cache.write(Buffer.alloc(1 << 20))', 'ulimit -f 64; exec "$@"');
    expect((await once(child, 'exit'))[0]).not.toBe(0);
    expect(textOf(await new FileCache(path).read())).toBe('former');
  });

  test('is whole at any moment, and after its process was killed', async () => {
    const large = "Buffer.alloc(1 << 20, 'ab'[n++ % 2])";
    const child = program(`for (let n = 0; ; ) { await cache.write(${large}); console.log(n) }`);
    const cache = new FileCache(path);
    await once(child.stdout, 'data');
    for (let reads = 0; reads < 50; reads++) {
      const content = (await cache.read()) as Buffer;
      expect([content.length, new Set(content).size]).toEqual([1 << 20, 1]);
    }
    child.kill('SIGKILL');
    await once(child, 'exit');
    const content = (await cache.read()) as Buffer;
    expect([content.length, new Set(content).size]).toEqual([1 << 20, 1]);
  });

  test('removes what killed processes left, and nothing of those that live', async () => {
    const cache = new FileCache(path);
    const drafts = ['left', 'new'].map((name) => join(path, '..', `.cache.json.draft-1-${name}`));
    const other = join(path, '..', '.other.json.draft-1-left');
    for (const file of [...drafts, other]) await writeFile(file, 'xyzzy');
    const twoMinutesAgo = Date.now() / 1000 - 120;
    for (const file of [drafts[0] as string, other]) await utimes(file, twoMinutesAgo, twoMinutesAgo);
    await cache.write(utf8('x'));
    expect((await readdir(join(path, '..'))).sort()).toEqual([
      '.cache.json.draft-1-new',
      '.other.json.draft-1-left',
      'cache.json',
    ]);
  });

  test('gives what it finds: an empty file is no error', async () => {
    const cache = new FileCache(path);
    await cache.write(utf8('x'));
    await truncate(path);
    await chmod(path, 0o400);
    expect(textOf(await cache.read())).toBe('');
  });
});

async function fileOf(name: string): Promise<string> {
  const file = join(folder(), name);
  await writeFile(file, 'untouched');
  return file;
}

/** A process that does something with `cache`. */
function program(body: string, shell = 'exec "$@"') {
  const code = `import { FileCache } from '@coffer/client'; const cache = new FileCache(process.argv[1]); ${body}`;
  const node = [process.execPath, '--input-type=module', '-e', code, path];
  return spawn('bash', ['-c', shell, 'bash', ...node], {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}
