import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { createKeyPair } from '@coffer/identity';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { seedKey } from '../src/crypto/seed-key.js';
import { publicXkeyOf, xkeySeedBytes } from '../src/crypto/xkey.js';
import { type CofferError, parseRootKey } from '../src/index.js';
import { inspectRootKey } from '../src/inspect/root-key.js';
import { backupTo, verifyIn } from './backup-support.js';
import { storedHeader } from './store-file.js';
import { admin, bytes, codeOf, openEngine, temporaryFolder, text } from './support.js';

/** The seed of the bytes 1 to 32, its public key, and what two HMACs in Python make of it. */
const VECTOR = {
  seed: 'SXAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC6WE',
  publicKey: 'XAD2G7F4CQQJHSFXKXOBWEHINS2CMN2K2FVKQU7NBPP4BMVYNUOHZWPX',
  rootKey: 'feb6fdfc04caf9880f132c7966c888409961e652dd27d02d5c99f6a3f3098dad',
};
const NAME = 'COFFER_TEST_SEED';
const fromEnvironment = { rootKey: parseRootKey(`xkey-seed:env:${NAME}`) };

const newSeed = () => Buffer.from(createKeyPair('curve').seed()).toString();

const sentenceOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no error',
    (error: CofferError) => `${error.code}: ${error.message}`,
  );

afterEach(() => {
  vi.unstubAllEnvs();
});

/** A closed store with one secret, under the seed in the environment. */
async function closedStore(seed = newSeed()) {
  vi.stubEnv(NAME, seed);
  const { engine, folder, stateDir, notices } = await openEngine(undefined, fromEnvironment);
  await engine.put(admin, 'a', bytes('v'));
  const { rootKey } = await engine.keys(admin);
  await engine.close();
  return { folder, stateDir, notices, rootKey };
}

async function reads(folder: string, overrides: Parameters<typeof openEngine>[1]): Promise<void> {
  const { engine } = await openEngine(folder, overrides);
  expect(text((await engine.get(admin, 'a')).value)).toBe('v');
  await engine.close();
}

describe('a root key from the seed of an xkey', () => {
  it('is what HKDF-SHA256 makes of its bytes', async () => {
    const seed = xkeySeedBytes(bytes(VECTOR.seed)) as Buffer;
    expect([...seed]).toEqual(Array.from({ length: 32 }, (_, index) => index + 1));
    expect(publicXkeyOf(seed)).toBe(VECTOR.publicKey);
    const context = {
      stateDir: '/none',
      development: false,
      env: { S: VECTOR.seed },
      onNotice: () => undefined,
    };
    expect((await seedKey({ from: 'env', name: 'S' }, context)).toString('hex')).toBe(VECTOR.rootKey);
  });

  it('reads the seeds and makes the public keys that the identity package makes', () => {
    for (let count = 0; count < 50; count++) {
      const pair = createKeyPair('curve');
      const seed = xkeySeedBytes(pair.seed());
      expect(seed && publicXkeyOf(seed)).toBe(pair.publicKey);
    }
  });

  it('opens the store at each start, from the environment or from a file, and is told by its fingerprint', async () => {
    const seed = newSeed();
    const { folder, stateDir, notices, rootKey } = await closedStore(seed);
    expect(rootKey).toMatchObject({ kind: 'xkey-seed', id: expect.stringMatching(/^[0-9a-f]{16}$/) });
    expect(notices.join()).toMatch(/Losing the xkey seed loses every secret/);
    expect((await storedHeader(stateDir)).rootKey).toEqual({
      kind: 'xkey-seed',
      id: rootKey.id,
      since: expect.any(String),
    });
    await reads(folder, fromEnvironment);
    vi.unstubAllEnvs();
    await reads(folder, { ...fromEnvironment, env: { [NAME]: seed } });
    const file = join(folder, 'seed');
    await writeFile(file, `${seed}\n`, { mode: 0o600 });
    const rootKeyFile = parseRootKey(`xkey-seed:file:${file}`);
    await reads(folder, { rootKey: rootKeyFile });
    expect(await inspectRootKey(rootKeyFile, { stateDir, development: false })).toEqual({
      found: true,
      id: rootKey.id,
    });
  });

  it('that is absent or another is refused, and the sentence says which it is and never the seed', async () => {
    const { folder, rootKey } = await closedStore();
    const other = newSeed();
    vi.stubEnv(NAME, other);
    const wrong = await sentenceOf(openEngine(folder, fromEnvironment));
    expect(wrong).toMatch(/^wrong_root_key: /);
    expect(wrong).toMatch(`the store's is ${rootKey.id}; find the xkey seed of that key`);
    expect(wrong).not.toContain(other);
    vi.stubEnv(NAME, undefined);
    expect(await sentenceOf(openEngine(folder, fromEnvironment))).toBe(
      `no_root_key: the environment variable ${NAME} with the xkey seed is not set`,
    );
    expect(await sentenceOf(openEngine(folder))).toMatch(
      /^wrong_root_key: this store was sealed with a root key of kind xkey-seed:, not file:, since 2/,
    );
  });

  it.each([
    ['nothing', ''],
    ['a user’s seed', Buffer.from(createKeyPair('user').seed()).toString()],
    ['a public key', createKeyPair('curve').publicKey],
    ['a seed that was mistyped', `${VECTOR.seed.slice(0, -1)}A`],
    ['a seed in lower case', VECTOR.seed.toLowerCase()],
    ['a seed with more behind it', `${VECTOR.seed}AA`],
    ['a seed with a space before it', ` ${VECTOR.seed}`],
  ])('is not made of %s, which is not repeated', async (_, value) => {
    vi.stubEnv(NAME, value);
    const sentence = await sentenceOf(openEngine(undefined, fromEnvironment));
    expect(sentence).toBe(
      `no_root_key: the environment variable ${NAME} holds no seed of an xkey, which has 58 characters and begins with SX`,
    );
  });

  it('is not read from a file that others can read, is in the state folder, or is not there', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'state'));
    const open = async (path: string, mode: number) => {
      await writeFile(path, newSeed(), { mode });
      return codeOf(openEngine(folder, { rootKey: parseRootKey(`xkey-seed:file:${path}`) }));
    };
    expect(await open(join(folder, 'readable'), 0o644)).toBe('insecure_root_key');
    expect(await open(join(folder, 'state', 'seed'), 0o600)).toBe('insecure_root_key');
    const none = parseRootKey(`xkey-seed:file:${join(folder, 'none')}`);
    expect(await sentenceOf(openEngine(folder, { rootKey: none }))).toMatch(
      /^no_root_key: the xkey seed file .*none cannot be read \(ENOENT\)$/,
    );
  });

  it('gives way to a key file, and a file to it, and neither opens the store any more', async () => {
    const { folder } = await closedStore();
    const { engine, notices } = await openEngine(folder, fromEnvironment);
    expect(await sentenceOf(engine.rotateKeys(admin, { root: true }))).toMatch(
      /^conflict: .*derived from an xkey seed.*"to": "file:PATH"/,
    );
    const file = join(folder, 'root.key');
    const { rootKey } = await engine.rotateKeys(admin, { root: true, to: `file:${file}` });
    expect(rootKey).toMatchObject({ kind: 'file' });
    expect(notices.at(-1)).toMatch(/Backups made until now need the former root key, [0-9a-f]{16}: keep it/);
    await engine.close();
    expect(await codeOf(openEngine(folder, fromEnvironment))).toBe('wrong_root_key');

    const { engine: again } = await openEngine(folder);
    vi.stubEnv('COFFER_TEST_OTHER_SEED', newSeed());
    await again.rotateKeys(admin, { root: true, to: 'xkey-seed:env:COFFER_TEST_OTHER_SEED' });
    await again.close();
    expect(await codeOf(openEngine(folder))).toBe('wrong_root_key');
    expect(await codeOf(openEngine(folder, fromEnvironment))).toBe('wrong_root_key');
    await reads(folder, { rootKey: parseRootKey('xkey-seed:env:COFFER_TEST_OTHER_SEED') });
  });

  it('opens a backup, and another key does not', async () => {
    const { folder } = await closedStore();
    const { engine } = await openEngine(folder, fromEnvironment);
    const path = await backupTo(engine, folder);
    expect((await verifyIn(folder, path, fromEnvironment)).rootKey.kind).toBe('xkey-seed');
    vi.stubEnv(NAME, newSeed());
    expect(await sentenceOf(verifyIn(folder, path, fromEnvironment))).toMatch(
      /^wrong_root_key: .*made on .* under the root key of an xkey seed [0-9a-f]{16}, and this one is [0-9a-f]{16}/,
    );
  });

  it.each(['xkey-seed:', 'xkey-seed:prompt', 'xkey-seed:env:', `xkey-seed:${VECTOR.seed}`])(
    'is not called %s',
    (spec) => {
      expect(() => parseRootKey(spec)).toThrow(/xkey-seed:file:PATH or xkey-seed:env:NAME$/);
    },
  );
});
