import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  changing,
  createKeyPair,
  encodeJwt,
  newOperator,
  OperatorStore,
  rotateSigningKey,
} from '../src/index.js';
import { nscCopy, temporaryFolder } from './nsc-copy.js';

const READER = 'ADGQPAPTNSMWKD4YCZAIKW4ASYANMWXLCCY527TEC5MEPKMM32JABUDC';

/** Every change of the file system: at the chosen one the process is dead, and does nothing any more. */
const killed = vi.hoisted(() => ({ made: 0, deadFrom: Number.POSITIVE_INFINITY }));
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const mortal =
    (act: (...args: never[]) => unknown) =>
    (...args: never[]) => {
      if (++killed.made >= killed.deadFrom) throw new Error('killed');
      return act(...args);
    };
  const names = ['mkdirSync', 'renameSync', 'unlinkSync', 'writeSync', 'rmSync', 'rmdirSync'] as const;
  return { ...fs, ...Object.fromEntries(names.map((name) => [name, mortal(fs[name] as never)])) };
});
const alive = () => Object.assign(killed, { made: 0, deadFrom: Number.POSITIVE_INFINITY });
afterEach(() => void alive());

describe('an operator', () => {
  it('that was killed while it was made is there as a whole or not at all, and can be made again', () => {
    using pair = createKeyPair('operator');
    const token = encodeJwt(newOperator(pair.publicKey, 'O'), pair);
    let kills = 0;
    for (let at = 1; ; at++) {
      using folder = temporaryFolder();
      const stores = join(folder.path, 'stores');
      const make = () =>
        OperatorStore.create(stores, token, { name: 'O' }, (store) => {
          mkdirSync(join(store.folder, 'complete'));
        });
      Object.assign(killed, { made: 0, deadFrom: at });
      let ended = true;
      try {
        make();
      } catch {
        ended = false;
      }
      alive();
      const isThere = existsSync(join(stores, 'O'));
      expect(OperatorStore.list(stores)).toEqual(isThere ? ['O'] : []);
      if (!isThere) make();
      const store = OperatorStore.open(join(stores, 'O'));
      expect(store.operator().text).toBe(token);
      expect(readdirSync(store.folder).sort()).toEqual(['.nsc', 'O.jwt', 'accounts', 'complete']);
      OperatorStore.removeUnfinished(stores);
      expect(readdirSync(stores)).toEqual(['O']);
      if (ended) break;
      kills++;
    }
    expect(kills).toBeGreaterThan(5);
  });

  it('is not hindered by empty folders, but by anything else', () => {
    using folder = temporaryFolder();
    using pair = createKeyPair('operator');
    const token = encodeJwt(newOperator(pair.publicKey, 'O'), pair);
    mkdirSync(join(folder.path, 'O', 'accounts'), { recursive: true });
    OperatorStore.create(folder.path, token, { name: 'O' });
    expect(OperatorStore.list(folder.path)).toEqual(['O']);
    rmSync(join(folder.path, 'O', '.nsc'));
    expect(() => OperatorStore.create(folder.path, token, { name: 'O' })).toThrow(/in the way.*move it away/);
  });
});

describe('what a killed command left of a seed', () => {
  const draftOf = (path: string) => join(dirname(path), `.${basename(path)}.abcdef012345`);

  it('is removed by the next that changes the store', async () => {
    using copy = nscCopy();
    const context = copy.open();
    const files = [context.keys.pathOf(READER), context.keys.credsPath('demoO', 'demoA', 'demoU')];
    for (const file of files) copyFileSync(file, draftOf(file));
    await changing(context, () => {});
    for (const file of files) expect([existsSync(file), existsSync(draftOf(file))]).toEqual([true, false]);
  });

  it('goes with the key or the creds', () => {
    using copy = nscCopy();
    const { keys } = copy.open();
    const [nk, creds] = [keys.pathOf(READER), keys.credsPath('demoO', 'demoA', 'demoU')];
    for (const file of [nk, creds]) copyFileSync(file, draftOf(file));
    keys.remove(READER);
    keys.removeCreds('demoO', 'demoA', 'demoU');
    for (const file of [nk, creds])
      expect([existsSync(file), existsSync(draftOf(file))]).toEqual([false, false]);
  });
});

describe('a file of ours with a seed that others could read', () => {
  const mode = (path: string) => statSync(path).mode & 0o777;

  it('can be read by its owner alone once its key is kept or read', () => {
    using copy = nscCopy();
    const { keys } = copy.open();
    chmodSync(keys.pathOf(READER), 0o644);
    using pair = keys.read(READER);
    expect(mode(keys.pathOf(READER))).toBe(0o600);
    chmodSync(keys.pathOf(READER), 0o640);
    if (pair) keys.store(pair);
    expect(mode(keys.pathOf(READER))).toBe(0o600);
  });

  it('is put right where it holds the right creds already', async () => {
    using copy = nscCopy();
    await rotateSigningKey(copy.open(), { account: 'demoA', keepOld: true });
    const path = copy.open().keys.credsPath('demoO', 'demoA', 'demoU');
    chmodSync(path, 0o644);
    await rotateSigningKey(copy.open(), { account: 'demoA' });
    expect(mode(path)).toBe(0o600);
  });
});
