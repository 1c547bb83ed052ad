import { readdirSync, readFileSync } from 'node:fs';
import { FileCache } from '@coffer/client';
import { expect, test } from 'vitest';
import { run, TemporaryFolder } from '../support/processes.mjs';

const RENAME = '/^rename(at|at2)?$';
const WRITES = `
  import { FileCache } from '@coffer/client';
  await new FileCache(process.argv[1])
    .write(Buffer.from('new'))
    .catch((error) => console.log(error.message));`;

/** A folder with a cache that holds `former`; `write` writes `new` to it, in a process under strace with one thread for files. */
async function prepared() {
  const folder = new TemporaryFolder();
  const path = folder.join('cache.json');
  await new FileCache(path).write(Buffer.from('former'));
  return {
    [Symbol.dispose]: () => folder[Symbol.dispose](),
    path,
    files: () => readdirSync(folder.path),
    content: async () => Buffer.from((await new FileCache(path).read()) as Uint8Array).toString(),
    write: async (...strace: string[]) => {
      const node = [process.execPath, '--input-type=module', '-e', WRITES, path];
      const { stdout, signal } = await run('strace', ['-f', '-q', ...strace, ...node], {
        cwd: import.meta.dirname,
        env: { UV_THREADPOOL_SIZE: '1' },
      });
      return signal ?? stdout.toString();
    },
  };
}

test('a cache is on the disk before it takes the place of the former one, and that is then too', async () => {
  using cache = await prepared();
  using logs = new TemporaryFolder();
  const log = logs.join('strace');
  expect(await cache.write('-o', log, '-e', `trace=openat,fchmod,write,fsync,${RENAME},close`)).toBe('');
  const steps = readFileSync(log, 'utf8').replaceAll(/^\d+ +/gm, '');
  const [, draft, fd] =
    steps.match(/^openat\(AT_FDCWD, "(.*draft.*)", O_WRONLY\|O_CREAT\|O_EXCL.*, 0600\) = (\d+)$/m) ?? [];
  const folder = cache.path.replace(/\/[^/]*$/, '');
  const order = [
    `"${draft}", O_WRONLY|O_CREAT|O_EXCL`,
    `fchmod(${fd}, 0600)`,
    `write(${fd}, "new", 3)`,
    `fsync(${fd})`,
    `("${draft}", "${cache.path}")`,
    `"${folder}", O_RDONLY`,
    'fsync(',
  ];
  let at = 0;
  for (const step of order) {
    at = steps.indexOf(step, at);
    expect(at, `${step} in its place in\n${steps}`).toBeGreaterThanOrEqual(0);
    at += step.length;
  }
});

test.each([
  ['fchmod', 1],
  ['fsync', 1],
  [RENAME, 1],
  ['fsync', 2],
])('a process that is killed at %s, number %i, leaves the former cache or the new one', async (call, nth) => {
  using cache = await prepared();
  const filter = ['-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${nth}`];
  expect(await cache.write('-o', '/dev/null', ...filter)).toBe('SIGKILL');
  expect(['former', 'new']).toContain(await cache.content());
  await new FileCache(cache.path).write(Buffer.from('newest'));
  expect(await cache.content()).toBe('newest');
});

test.each([
  ['fsync', 'EIO'],
  [RENAME, 'ENOSPC'],
])(
  'when %s fails with %s, the write fails, and nothing but the former cache is there',
  async (call, code) => {
    using cache = await prepared();
    const filter = ['-e', `trace=${call}`, '-e', `inject=${call}:error=${code}:when=1`];
    expect(await cache.write('-o', '/dev/null', ...filter)).toBe(`the cache ${cache.path}: ${code}\n`);
    expect(await cache.content()).toBe('former');
    expect(cache.files()).toEqual(['cache.json']);
  },
);
