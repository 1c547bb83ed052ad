import { chmod, link, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, describe, expect, it, vi } from 'vitest';

import { type CofferError, parseRootKey } from '../src/index.js';
import { rewriteRecord, storedHeader } from './store-file.js';
import { admin, bytes, codeOf, openEngine, temporaryFolder, text } from './support.js';

const exists = (path: string) =>
  stat(path).then(
    () => true,
    () => false,
  );

/** A closed store with one secret. */
async function closedStore(overrides: Parameters<typeof openEngine>[1] = {}) {
  const { engine, folder, stateDir } = await openEngine(undefined, overrides);
  await engine.put(admin, 'a', bytes('v'));
  await engine.close();
  return { folder, stateDir, keyFile: join(folder, 'root.key') };
}

const readsSecret = async (folder: string, overrides: Parameters<typeof openEngine>[1] = {}) => {
  const { engine, notices } = await openEngine(folder, overrides);
  const value = text((await engine.get(admin, 'a')).value);
  await engine.close();
  return { value, notices };
};

const sentenceOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: CofferError) => error.message,
  );

describe('a root key file', () => {
  it('is made for an empty store, for its owner only, whole, and with a sentence on losing it', async () => {
    const { folder, notices } = await openEngine();
    const path = join(folder, 'root.key');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readFile(path, 'latin1')).toMatch(/^coffer-root-key-v1:[A-Za-z0-9+/]{43}=\n$/);
    expect(notices.filter((notice) => notice.includes(path))).toHaveLength(1);
    expect(notices.join()).toMatch(/losing it loses every secret in this store.*keep a copy/);
    expect((await readdir(folder)).sort()).toEqual(['root.key', 'state']);
  });

  it('opens the store at the next start, without a sentence', async () => {
    const { folder } = await closedStore();
    const { value, notices } = await readsSecret(folder);
    expect(value).toBe('v');
    expect(notices.join()).not.toMatch(/root key/);
  });

  it('is made in folders that are not there yet, which others cannot enter', async () => {
    const folder = await temporaryFolder();
    await openEngine(folder, { rootKey: parseRootKey(`file:${join(folder, 'new', 'keys', 'root.key')}`) });
    expect((await stat(join(folder, 'new', 'keys'))).mode & 0o777).toBe(0o700);
  });

  it('that is there already is taken for an empty store, and not written', async () => {
    const { keyFile } = await closedStore();
    const before = await readFile(keyFile);
    const { engine, notices } = await openEngine(undefined, { rootKey: parseRootKey(`file:${keyFile}`) });
    await engine.put(admin, 'a', bytes('v'));
    expect(await readFile(keyFile)).toEqual(before);
    expect(notices.join()).not.toMatch(/was made/);
  });

  it('is made once for stores that are made with it at the same moment', async () => {
    const folder = await temporaryFolder();
    const rootKey = parseRootKey(`file:${join(folder, 'root.key')}`);
    const stores = ['one', 'two', 'three', 'four'].map((name) => join(folder, name));
    for (const { engine } of await Promise.all(stores.map((store) => openEngine(store, { rootKey })))) {
      await engine.put(admin, 'a', bytes('v'));
      await engine.close();
    }
    for (const store of stores) expect((await readsSecret(store, { rootKey })).value).toBe('v');
    expect((await readdir(folder)).filter((name) => name.startsWith('root.key'))).toEqual(['root.key']);
  });

  it('is made though a crash left a draft of one behind', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, `root.key.${process.pid}.new`), 'half a ke', { mode: 0o600 });
    await openEngine(folder);
    expect(await readFile(join(folder, 'root.key'), 'latin1')).toMatch(/^coffer-root-key-v1:/);
  });

  it.each([0o644, 0o640, 0o604, 0o620, 0o601])('of mode %o is refused, for a new store too', async (mode) => {
    const { folder, keyFile } = await closedStore();
    await chmod(keyFile, mode);
    expect(await codeOf(openEngine(folder))).toBe('insecure_root_key');
    expect(await sentenceOf(openEngine(folder))).toMatch(`chmod 600`);
    const fresh = openEngine(undefined, { rootKey: parseRootKey(`file:${keyFile}`) });
    expect(await codeOf(fresh)).toBe('insecure_root_key');
    await chmod(keyFile, 0o600);
    expect((await readsSecret(folder)).value).toBe('v');
  });

  it('that is missing is never made anew for a store that exists', async () => {
    const { folder, keyFile } = await closedStore();
    const copy = await readFile(keyFile);
    const elsewhere = join(folder, 'elsewhere.key');
    const missing = openEngine(folder, { rootKey: parseRootKey(`file:${elsewhere}`) });
    expect(await codeOf(missing)).toBe('no_root_key');
    expect(await exists(elsewhere)).toBe(false);
    await writeFile(elsewhere, copy, { mode: 0o600 });
    expect((await readsSecret(folder, { rootKey: parseRootKey(`file:${elsewhere}`) })).value).toBe('v');
  });

  it('of another store is refused, and the store goes on with its own', async () => {
    const { folder } = await closedStore();
    const { keyFile: other } = await closedStore();
    expect(await codeOf(openEngine(folder, { rootKey: parseRootKey(`file:${other}`) }))).toBe(
      'wrong_root_key',
    );
    expect((await readsSecret(folder)).value).toBe('v');
  });

  it.each<[string, (content: Buffer) => Buffer | string]>([
    ['empty', () => ''],
    ['cut off', (content) => content.subarray(0, -5)],
    ['too long', (content) => `${content}more`],
    ['of two lines', (content) => Buffer.concat([content, content])],
    ['without its beginning', (content) => content.subarray(19)],
    ['not base64', (content) => content.toString().replace(/:./, ':!')],
    ['of a newer kind', (content) => content.toString().replace('-v1:', '-v2:')],
  ])('that is %s is no root key', async (_, damage) => {
    const { folder, keyFile } = await closedStore();
    const content = await readFile(keyFile);
    await writeFile(keyFile, damage(content));
    expect(await codeOf(openEngine(folder))).toBe('no_root_key');
    expect(await sentenceOf(openEngine(folder))).not.toContain(content.toString().slice(19, 40));
    await writeFile(keyFile, content);
    expect((await readsSecret(folder)).value).toBe('v');
  });

  it('may have lost its final newline', async () => {
    const { folder, keyFile } = await closedStore();
    await writeFile(keyFile, (await readFile(keyFile, 'latin1')).trimEnd());
    expect((await readsSecret(folder)).value).toBe('v');
  });

  it('that is a folder is no root key', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'root.key'), { mode: 0o700 });
    expect(await codeOf(openEngine(folder))).toBe('no_root_key');
  });

  it('with a changed character opens nothing', async () => {
    const { folder, keyFile } = await closedStore();
    const content = await readFile(keyFile, 'latin1');
    for (const at of [19, 30, 50]) {
      const other = content[at] === 'A' ? 'B' : 'A';
      await writeFile(keyFile, content.slice(0, at) + other + content.slice(at + 1));
      expect(await codeOf(openEngine(folder))).toBe('wrong_root_key');
    }
  });
});

describe('a root key inside the state folder', () => {
  const inside = async (place: (stateDir: string, folder: string) => Promise<string> | string) => {
    const folder = await temporaryFolder();
    const stateDir = join(folder, 'state');
    await mkdir(stateDir, { mode: 0o700 });
    return { folder, stateDir, rootKey: parseRootKey(`file:${await place(stateDir, folder)}`) };
  };

  it.each<[string, Parameters<typeof inside>[0]]>([
    ['itself', (stateDir) => join(stateDir, 'root.key')],
    ['in a folder of it', (stateDir) => join(stateDir, 'keys', 'root.key')],
    ['in a folder whose name begins with dots', (stateDir) => join(stateDir, '..keys', 'root.key')],
    ['under a name that begins with dots', (stateDir) => join(stateDir, '..key')],
    [
      'through a linked folder',
      async (stateDir, folder) => {
        await symlink(stateDir, join(folder, 'link'));
        return join(folder, 'link', 'root.key');
      },
    ],
  ])('%s is refused, and not made', async (_, place) => {
    const { folder, stateDir, rootKey } = await inside(place);
    expect(await codeOf(openEngine(folder, { rootKey }))).toBe('insecure_root_key');
    const files = await readdir(stateDir, { recursive: true });
    expect(files.filter((file) => /key$/.test(file))).toEqual([]);
  });

  it('is refused for a store that exists', async () => {
    const { folder, stateDir, keyFile } = await closedStore();
    await link(keyFile, join(stateDir, 'root.key'));
    const rootKey = parseRootKey(`file:${join(stateDir, 'root.key')}`);
    expect(await codeOf(openEngine(folder, { rootKey }))).toBe('insecure_root_key');
    await symlink(join(stateDir, 'root.key'), join(folder, 'link.key'));
    const linked = parseRootKey(`file:${join(folder, 'link.key')}`);
    expect(await codeOf(openEngine(folder, { rootKey: linked }))).toBe('insecure_root_key');
  });

  it('is refused as a passphrase file as well', async () => {
    const { folder, stateDir } = await inside((dir) => dir);
    await writeFile(join(stateDir, 'passphrase'), 'correct horse', { mode: 0o600 });
    const rootKey = parseRootKey(`passphrase:file:${join(stateDir, 'passphrase')}`);
    expect(await codeOf(openEngine(folder, { rootKey }))).toBe('insecure_root_key');
  });

  it('is fine beside it, under a name that begins alike', async () => {
    const { folder, rootKey } = await inside((stateDir) => `${stateDir}-key`);
    await openEngine(folder, { rootKey });
  });

  it('is fine for a development store', async () => {
    const { folder, rootKey } = await inside((stateDir) => join(stateDir, 'root.key'));
    const { engine } = await openEngine(folder, { rootKey, development: true });
    expect(engine.development).toBe(true);
  });
});

describe('a passphrase', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  const prompt = (passphrase: string) => ({
    rootKey: parseRootKey('passphrase:prompt'),
    promptPassphrase: async () => bytes(passphrase),
  });

  it('opens the store from a prompt, a file and the environment alike, and no other one does', async () => {
    const { folder, stateDir } = await closedStore(prompt('correct horse'));
    const file = join(folder, 'passphrase');
    for (const content of ['correct horse', 'correct horse\n', 'correct horse\r\n']) {
      await writeFile(file, content, { mode: 0o600 });
      const fromFile = { rootKey: parseRootKey(`passphrase:file:${file}`) };
      expect((await readsSecret(folder, fromFile)).value).toBe('v');
    }
    vi.stubEnv('COFFER_TEST_PASSPHRASE', 'correct horse');
    const fromEnvironment = { rootKey: parseRootKey('passphrase:env:COFFER_TEST_PASSPHRASE') };
    expect((await readsSecret(folder, fromEnvironment)).value).toBe('v');
    for (const wrong of ['correct horse ', 'Correct horse', '\n']) {
      expect(await codeOf(openEngine(folder, prompt(wrong)))).toBe('wrong_root_key');
    }
    expect(await storedHeader(stateDir)).toMatchObject({
      rootKey: { kind: 'passphrase', passes: 3, memoryBytes: 256 * 1024 * 1024 },
    });
  });

  it('has a salt of its own in each store, and a sentence on losing it', async () => {
    const stores = [await openEngine(undefined, prompt('same')), await openEngine(undefined, prompt('same'))];
    const salts = await Promise.all(
      stores.map(async ({ stateDir }) => ((await storedHeader(stateDir)).rootKey as { salt: string }).salt),
    );
    expect(salts[0]).not.toBe(salts[1]);
    expect(Buffer.from(salts[0] as string, 'base64')).toHaveLength(16);
    expect(stores[0]?.notices.join()).toMatch(/passphrase loses every secret in this store: keep a copy/);
  });

  it('from a prompt is asked for twice where it seals a new store, and must be the same', async () => {
    const folder = await temporaryFolder();
    const asked = (...answers: string[]) => ({
      rootKey: parseRootKey('passphrase:prompt'),
      promptPassphrase: async () => bytes(answers.shift() ?? 'asked too often'),
    });
    expect(await sentenceOf(openEngine(folder, asked('correct horse', 'correct hrose')))).toMatch(/differ/);
    const { engine } = await openEngine(folder, asked('correct horse', 'correct horse'));
    await engine.close();
    await openEngine(folder, asked('correct horse'));
  });

  it('from a prompt is wiped after use', async () => {
    const given = bytes('correct horse');
    await openEngine(undefined, {
      rootKey: parseRootKey('passphrase:prompt'),
      promptPassphrase: async () => given,
    });
    expect(given).toEqual(Buffer.alloc(13));
  });

  it('that cannot be had is an error that says where it was sought', async () => {
    const folder = await temporaryFolder();
    const unset = openEngine(folder, { rootKey: parseRootKey('passphrase:env:COFFER_TEST_UNSET') });
    expect(await sentenceOf(unset)).toMatch('COFFER_TEST_UNSET');
    const missing = openEngine(folder, { rootKey: parseRootKey(`passphrase:file:${folder}/none`) });
    expect(await sentenceOf(missing)).toMatch(`${folder}/none`);
    const codes = [
      { rootKey: parseRootKey('passphrase:env:COFFER_TEST_UNSET') },
      { rootKey: parseRootKey(`passphrase:file:${folder}/none`) },
      { rootKey: parseRootKey('passphrase:prompt') },
      prompt(''),
    ].map((overrides) => codeOf(openEngine(undefined, overrides)));
    expect(await Promise.all(codes)).toEqual(codes.map(() => 'no_root_key'));
  });

  it('in a file that others can read is refused', async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, 'passphrase'), 'correct horse', { mode: 0o644 });
    const rootKey = parseRootKey(`passphrase:file:${join(folder, 'passphrase')}`);
    expect(await codeOf(openEngine(folder, { rootKey }))).toBe('insecure_root_key');
  });

  it('and a file do not stand in for each other', async () => {
    const { folder } = await closedStore();
    expect(await codeOf(openEngine(folder, prompt('x')))).toBe('wrong_root_key');
    const { folder: other } = await closedStore(prompt('x'));
    expect(await codeOf(openEngine(other))).toBe('wrong_root_key');
    expect(await exists(join(other, 'root.key'))).toBe(false);
  });
});

describe('the text of a root key', () => {
  it.each([
    '',
    'file',
    'file:',
    'passphrase',
    'passphrase:',
    'passphrase:x',
    'passphrase:env:',
    'kms:x',
    '/root.key',
  ])('such as %j is refused with what is accepted', (wrong) => {
    expect(() => parseRootKey(wrong)).toThrow(/file:PATH, passphrase:prompt/);
  });

  it('may hold colons and spaces in its path', () => {
    expect(parseRootKey('file:/a: b/c:d')).toEqual({ kind: 'file', path: '/a: b/c:d' });
  });
});

describe('a development store', () => {
  it('is never opened in production, nor the reverse', async () => {
    const { folder: development } = await closedStore({ development: true });
    const { folder: production } = await closedStore();
    expect(await codeOf(openEngine(development))).toBe('development_store');
    expect(await codeOf(openEngine(production, { development: true }))).toBe('development_store');
    expect((await readsSecret(development, { development: true })).value).toBe('v');
    expect((await readsSecret(production)).value).toBe('v');
  });

  it('cannot be made to look like the other by who has the disk', async () => {
    for (const development of [true, false]) {
      const { folder, stateDir } = await closedStore({ development });
      await rewriteRecord(stateDir, bytes('header'), (record) =>
        bytes(
          record.toString('latin1').replace(`"development":${development}`, `"development":${!development}`),
        ),
      );
      expect(await codeOf(openEngine(folder, { development: !development }))).toBe('wrong_root_key');
    }
  });
});

describe('a newer format', () => {
  it('of the storage is refused, and the store left as it is', async () => {
    const { folder, stateDir } = await closedStore();
    const setFormat = (format: number) =>
      rewriteRecord(stateDir, Buffer.of(0), (record) => {
        record[0] = format;
        return record;
      });
    await setFormat(2);
    expect(await codeOf(openEngine(folder))).toBe('newer_format');
    expect(await sentenceOf(openEngine(folder))).toMatch(/newer coffer/);
    await setFormat(1);
    expect((await readsSecret(folder)).value).toBe('v');
  });

  it('of the records is refused before the root key is asked for', async () => {
    const { folder, stateDir, keyFile } = await closedStore();
    await rewriteRecord(stateDir, bytes('header'), (record) =>
      Buffer.concat([
        record.subarray(0, 8),
        bytes(
          record
            .subarray(8)
            .toString()
            .replace(/"format":\d+/, '"format":99'),
        ),
      ]),
    );
    await writeFile(keyFile, 'anything');
    expect(await codeOf(openEngine(folder))).toBe('newer_format');
  });
});
