import { link, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { type CofferError, type Engine, parseRootKey } from '../src/index.js';
import { storedHeader } from './store-file.js';
import { admin, bytes, codeOf, openEngine, temporaryFolder, text } from './support.js';

const toRoot = { root: true } as const;

/** A store with one secret, under `folder/root.key`. */
async function store(overrides: Parameters<typeof openEngine>[1] = {}) {
  const opened = await openEngine(undefined, overrides);
  await opened.engine.put(admin, 'a', bytes('v'));
  return { ...opened, path: join(opened.folder, 'root.key') };
}

const value = async (engine: Engine) => text((await engine.get(admin, 'a')).value);

/** Opens, reads the secret and closes. */
async function reads(folder: string, overrides: Parameters<typeof openEngine>[1] = {}): Promise<string[]> {
  const { engine, notices } = await openEngine(folder, overrides);
  expect(await value(engine)).toBe('v');
  await engine.close();
  return notices;
}

const sentenceOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: CofferError) => `${error.code}: ${error.message}`,
  );

const idOf = async (engine: Engine) => (await engine.keys(admin)).rootKey.id as string;

const keyFiles = async (folder: string) =>
  (await readdir(folder)).filter((name) => name.startsWith('root.key')).sort();

describe('a new root key in place of a file', () => {
  it('opens the store from then on; the former one is kept beside it and opens it no more', async () => {
    const { engine, folder, path, notices } = await store();
    const before = await readFile(path);
    const former = await idOf(engine);
    const { rootKey } = await engine.rotateKeys(admin, toRoot);
    expect(rootKey).toEqual({
      kind: 'file',
      id: expect.stringMatching(/^[0-9a-f]{16}$/),
      since: expect.any(Date),
    });
    expect(rootKey.id).not.toBe(former);
    expect(await value(engine)).toBe('v');
    await engine.put(admin, 'b', bytes('w'));
    await engine.close();

    const retired = `${path}.retired-${former}`;
    expect(await keyFiles(folder)).toEqual(['root.key', basename(retired)]);
    expect(await readFile(retired)).toEqual(before);
    expect(await readFile(path)).not.toEqual(before);
    for (const file of [path, retired]) expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(notices.at(-1)).toMatch(`${path} holds the new one, ${rootKey.id}`);
    expect(notices.at(-1)).toMatch(`${retired}: backups made until now need it`);

    await reads(folder);
    const old = sentenceOf(openEngine(folder, { rootKey: parseRootKey(`file:${retired}`) }));
    expect(await old).toMatch(/^wrong_root_key: /);
    expect(await old).toMatch(`it is ${former}`);
    expect(await old).toMatch(`the store's is ${rootKey.id}`);
  });

  it('comes as often as it is asked for, beside new data keys, one after the other', async () => {
    const { engine, folder } = await store();
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, i) => engine.rotateKeys(admin, { root: i % 2 === 0 })),
    );
    expect(new Set(results.map(({ rootKey }) => rootKey.id)).size).toBeLessThanOrEqual(3);
    await engine.close();
    expect(await keyFiles(folder)).toHaveLength(4);
    await reads(folder);
  });

  it('replaces the file that a link leads to, and leaves the link', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'keys'), { mode: 0o700 });
    await symlink('keys/real.key', join(folder, 'root.key'));
    // The link leads nowhere yet: the key is made where it leads.
    await writeFile(
      join(folder, 'keys', 'real.key'),
      `coffer-root-key-v1:${Buffer.alloc(32, 7).toString('base64')}\n`,
      {
        mode: 0o600,
      },
    );
    const { engine } = await openEngine(folder);
    await engine.put(admin, 'a', bytes('v'));
    await engine.rotateKeys(admin, toRoot);
    await engine.close();
    expect(await keyFiles(folder)).toEqual(['root.key']);
    expect(await readdir(join(folder, 'keys'))).toHaveLength(2);
    await reads(folder);
  });

  it.each<[string, (path: string) => Promise<unknown>]>([
    ['is gone', (path) => rm(path)],
    [
      'holds another key',
      (path) => writeFile(path, `coffer-root-key-v1:${Buffer.alloc(32, 9).toString('base64')}\n`),
    ],
    ['holds no key', (path) => writeFile(path, 'hello')],
  ])('is refused if the file %s, and nothing is changed', async (_, change) => {
    const { engine, folder, path } = await store();
    const copy = await readFile(path);
    const id = await idOf(engine);
    await change(path);
    expect(await codeOf(engine.rotateKeys(admin, toRoot))).toBe('conflict');
    expect(await idOf(engine)).toBe(id);
    await engine.close();
    await writeFile(path, copy, { mode: 0o600 });
    await reads(folder);
    expect(await keyFiles(folder)).toEqual(['root.key']);
  });

  it('tells another store that shared the file where its own key is', async () => {
    const { engine, path } = await store();
    const shared = { rootKey: parseRootKey(`file:${path}`) };
    const { engine: other, folder: otherFolder } = await store(shared);
    await other.close();
    const former = await idOf(engine);
    await engine.rotateKeys(admin, toRoot);
    const refused = await sentenceOf(openEngine(otherFolder, shared));
    expect(refused).toMatch(`that one is kept in ${path}.retired-${former}`);
    await reads(otherFolder, { rootKey: parseRootKey(`file:${path}.retired-${former}`) });
  });

  it('comes though a quota is used up: a danger may call for it', async () => {
    const { engine: before, folder } = await store();
    await before.close();
    const { engine } = await openEngine(folder, { storage: { minFreeBytes: 0, quotaBytes: 1 } });
    await engine.rotateKeys(admin, toRoot);
    await engine.close();
    await reads(folder);
  });
});

describe('a rotation of the key file that was cut short', () => {
  /** A store under a new root key, and what its key files held before and after. */
  async function rotated() {
    const { engine, folder, path } = await store();
    const former = await idOf(engine);
    const { rootKey } = await engine.rotateKeys(admin, toRoot);
    await engine.close();
    return { folder, path, pending: `${path}.new-${rootKey.id}`, retired: `${path}.retired-${former}` };
  }

  it('before the store was sealed anew leaves the present key in force, and the draft alone', async () => {
    const { engine, folder, path } = await store();
    await engine.close();
    const stale = `${path}.new-0123456789abcdef`;
    for (const content of ['half a ke', `coffer-root-key-v1:${Buffer.alloc(32, 3).toString('base64')}\n`]) {
      await writeFile(stale, content, { mode: 0o600 });
      await reads(folder);
      expect(await readFile(stale, 'utf8')).toBe(content);
    }
    const { engine: again } = await openEngine(folder);
    await again.rotateKeys(admin, toRoot);
    await again.close();
    await reads(folder);
    expect(await keyFiles(folder)).toHaveLength(3);
  });

  it('after it was sealed, and before any file was moved, is ended by the next start', async () => {
    const { folder, path, pending, retired } = await rotated();
    const newest = await readFile(path);
    await rename(path, pending);
    await rename(retired, path);
    const notices = await reads(folder);
    expect(notices.join()).toMatch(`${path} holds the new one`);
    expect(await readFile(path)).toEqual(newest);
    expect(await keyFiles(folder)).toEqual(['root.key', basename(retired)]);
    expect((await reads(folder)).join()).not.toMatch('root key');
  });

  it('after the former key got its second name is ended by the next start', async () => {
    const { folder, path, pending, retired } = await rotated();
    const newest = await readFile(path);
    await rename(path, pending);
    await link(retired, path);
    await reads(folder);
    expect(await readFile(path)).toEqual(newest);
    expect(await keyFiles(folder)).toEqual(['root.key', basename(retired)]);
  });

  it('is ended also when somebody took the former key away', async () => {
    const { folder, path, pending, retired } = await rotated();
    await rename(path, pending);
    await rm(retired);
    await reads(folder);
    expect(await keyFiles(folder)).toEqual(['root.key']);
  });

  it('opens the store though the files cannot be moved, and never loses the former key to it', async () => {
    const { folder, path, pending, retired } = await rotated();
    await rename(path, pending);
    await rename(retired, path);
    const foreign = `coffer-root-key-v1:${Buffer.alloc(32, 5).toString('base64')}\n`;
    await writeFile(retired, foreign, { mode: 0o600 });
    const former = await readFile(path);
    const notices = await reads(folder);
    expect(notices.join()).toMatch(`is in ${pending} and could not be moved`);
    expect(await readFile(path)).toEqual(former);
    expect(await readFile(retired, 'utf8')).toBe(foreign);
    await rm(retired);
    await reads(folder);
    expect(await readFile(retired)).toEqual(former);
  });
});

describe('a new root key elsewhere', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('is made in a file, and a start with the old one says what has happened', async () => {
    const { engine, folder, path, notices } = await store();
    const former = await idOf(engine);
    const other = join(folder, 'other.key');
    const { rootKey } = await engine.rotateKeys(admin, { root: true, to: `file:${other}` });
    expect(notices.at(-1)).toMatch(`sealed by file:${other} from now on (root key ${rootKey.id})`);
    expect(notices.at(-1)).toMatch(/Make that rootKey in the configuration.*need the former root key/);
    // From now on that file is the one that is replaced.
    const { rootKey: third } = await engine.rotateKeys(admin, toRoot);
    expect(await readdir(folder)).toContain(`other.key.retired-${rootKey.id}`);
    await engine.close();
    expect(await sentenceOf(openEngine(folder))).toMatch(
      new RegExp(
        `^wrong_root_key: .*it is ${former}, and since 2.*Z the store's is ${third.id}; find the file`,
      ),
    );
    expect(await keyFiles(folder)).toEqual([basename(path)]);
    await reads(folder, { rootKey: parseRootKey(`file:${other}`) });
  });

  it('may be a passphrase, and a file again', async () => {
    const { engine, folder } = await store();
    vi.stubEnv('COFFER_TEST_PASSPHRASE', 'correct horse');
    const { rootKey } = await engine.rotateKeys(admin, {
      root: true,
      to: 'passphrase:env:COFFER_TEST_PASSPHRASE',
    });
    expect(rootKey).toEqual({ kind: 'passphrase', since: expect.any(Date) });
    expect(await codeOf(engine.rotateKeys(admin, toRoot))).toBe('conflict');
    await engine.close();
    expect(await sentenceOf(openEngine(folder))).toMatch(
      /^wrong_root_key: .*of kind passphrase:, not file:, since 2/,
    );
    const fromEnvironment = { rootKey: parseRootKey('passphrase:env:COFFER_TEST_PASSPHRASE') };
    await reads(folder, fromEnvironment);

    const { engine: again } = await openEngine(folder, fromEnvironment);
    const file = join(folder, 'passphrase');
    await writeFile(file, 'battery staple\n', { mode: 0o600 });
    await again.rotateKeys(admin, { root: true, to: `passphrase:file:${file}` });
    await again.rotateKeys(admin, { root: true, to: `file:${join(folder, 'root.key')}` });
    await again.close();
    await reads(folder);
    expect(await codeOf(openEngine(folder, fromEnvironment))).toBe('wrong_root_key');
  });

  it('may be a new passphrase where the old one was read from', async () => {
    const folder = await temporaryFolder();
    const file = join(folder, 'passphrase');
    await writeFile(file, 'correct horse', { mode: 0o600 });
    const spec = `passphrase:file:${file}`;
    const { engine, stateDir, notices } = await openEngine(folder, { rootKey: parseRootKey(spec) });
    await engine.put(admin, 'a', bytes('v'));
    const salt = ((await storedHeader(stateDir)).rootKey as { salt: string }).salt;
    await writeFile(file, 'battery staple', { mode: 0o600 });
    await engine.rotateKeys(admin, { root: true, to: spec });
    expect(notices.at(-1)).not.toMatch('configuration');
    await engine.close();
    expect(((await storedHeader(stateDir)).rootKey as { salt: string }).salt).not.toBe(salt);
    await reads(folder, { rootKey: parseRootKey(spec) });
  });

  it.each<[string, (folder: string) => string, RegExp]>([
    ['a prompt', () => 'passphrase:prompt', /cannot ask/],
    ['a relative path', () => 'file:root2.key', /whole path/],
    ['a relative path of a passphrase', () => 'passphrase:file:p', /whole path/],
    ['the state folder', (folder) => `file:${folder}/state/root.key`, /inside the state folder/],
    [
      'a folder that is not there',
      (folder) => `file:${folder}/none/root.key`,
      /cannot be made there \(ENOENT\)/,
    ],
    ['a passphrase file that is not there', (folder) => `passphrase:file:${folder}/none`, /cannot be read/],
    ['a variable that is not set', () => 'passphrase:env:COFFER_TEST_UNSET', /not set/],
    ['the key that it has', (folder) => `file:${folder}/root.key`, /already/],
    ['what is no root key', () => 'kms:x', /file:PATH, passphrase/],
  ])('is refused for %s, in a sentence, and nothing is changed', async (_, spec, sentence) => {
    const { engine, folder } = await store();
    const header = await storedHeader(join(folder, 'state'));
    const refused = await sentenceOf(engine.rotateKeys(admin, { root: true, to: spec(folder) }));
    expect(refused).toMatch(/^(invalid_argument|conflict): /);
    expect(refused).toMatch(sentence);
    expect(await storedHeader(join(folder, 'state'))).toEqual(header);
    await engine.close();
    await reads(folder);
    expect(await readdir(folder)).toHaveLength(2);
  });

  it('needs to be asked for as such', async () => {
    const { engine, folder } = await store();
    expect(await codeOf(engine.rotateKeys(admin, { to: `file:${folder}/x` }))).toBe('invalid_argument');
  });
});
