import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { open } from 'lmdb';
import { describe, expect, test } from 'vitest';

import { type CofferError, Engine } from '../src/index.js';
import { admin, bytes, engineOptions, openEngine, text } from './support.js';

type Records = Map<string, Buffer>;

/** A closed store with two secrets of two versions each, a token and a grant; `play` runs on the way. */
async function closedStore(play: (engine: Engine) => Promise<void> = async () => undefined): Promise<string> {
  const { engine, folder } = await openEngine();
  for (const name of ['first', 'second']) {
    await engine.put(admin, name, bytes(`${name} one`));
    await engine.put(admin, name, bytes(`${name} two`));
  }
  await engine.createToken(admin, { name: 'token' });
  await engine.applyPolicy(admin, [{ to: ['token:x'], actions: ['get'], secrets: ['first'] }]);
  await play(engine);
  await engine.close();
  return folder;
}

/** Reads and writes records under the engine, as one who has the disk would. */
async function withRecords<T>(folder: string, use: (records: Records) => T): Promise<T> {
  const db = open<Buffer, Buffer>({
    path: join(folder, 'state', 'store', 'data.mdb'),
    noSubdir: true,
    encoding: 'binary',
    keyEncoding: 'binary',
  });
  const before: Records = new Map();
  for (const { key, value } of db.getRange()) before.set(key.toString('hex'), Buffer.from(value));
  const after: Records = new Map([...before].map(([key, value]) => [key, Buffer.from(value)]));
  const result = use(after);
  await db.batch(() => {
    for (const key of before.keys()) if (!after.has(key)) db.remove(Buffer.from(key, 'hex'));
    for (const [key, value] of after) db.put(Buffer.from(key, 'hex'), value);
  });
  await db.close();
  return result;
}

const kind = (key: string) => Buffer.from(key.slice(0, 2), 'hex').toString();
const keysOf = (records: Records, letter: string) =>
  [...records.keys()].filter((key) => kind(key) === letter);

/** What a reader of the whole store meets: values, or the error. */
async function readAll(folder: string): Promise<{ values: string[]; error?: CofferError }> {
  const values: string[] = [];
  try {
    const engine = await Engine.open(engineOptions(folder));
    try {
      for (const { name, versions } of await engine.list(admin)) {
        for (const version of versions) values.push(text((await engine.get(admin, name, version)).value));
        values.push(text((await engine.get(admin, name)).value));
      }
      return { values };
    } finally {
      await engine.close();
    }
  } catch (error) {
    return { values, error: error as CofferError };
  }
}

const TRUE_VALUES = new Set(['first one', 'first two', 'second one', 'second two']);

describe('a flipped bit', () => {
  test('in any record is an error or harms nothing, and no wrong value ever comes out', {
    timeout: 120_000,
  }, async () => {
    const folder = await closedStore();
    const original = await withRecords(folder, (records) => new Map(records));
    for (const [key, value] of original) {
      // The first byte, the last, and some between: header, nonce, ciphertext and tag of every record.
      const places = new Set([0, 8, 9, 13, 17, 25, 40, value.length - 17, value.length - 1]);
      for (const at of [...places].filter((place) => place >= 0 && place < value.length)) {
        await withRecords(folder, (records) => {
          const changed = records.get(key) as Buffer;
          changed[at] = (changed[at] as number) ^ 0x10;
        });
        const { values, error } = await readAll(folder);
        for (const one of values) expect(TRUE_VALUES).toContain(one);
        // Only the driver's own prefix (a revision; sequence, bytes used) is not authenticated.
        const ofDriver = key === '00' ? at < 33 : at < 8;
        if (!ofDriver)
          expect([key, at, error?.code]).toEqual([
            key,
            at,
            expect.stringMatching(/tampered|wrong_root_key|newer_format/),
          ]);
        if (error && ['s', 'v', 'p', 'm'].includes(kind(key)) && !ofDriver)
          expect(error.message).toContain(key);
        await withRecords(folder, (records) => records.set(key, Buffer.from(value)));
      }
    }
    expect((await readAll(folder)).error).toBeUndefined();
  });
});

describe('a record copied', () => {
  test('over another of its kind is an error that names the blinded key', async () => {
    for (const letter of ['s', 'v', 'p']) {
      const folder = await closedStore();
      const target = await withRecords(folder, (records) => {
        const [from, to] = keysOf(records, letter) as [string, string];
        records.set(to, records.get(from) as Buffer);
        return to;
      });
      const { error } = await readAll(folder);
      expect([letter, error?.code]).toEqual([letter, 'tampered']);
      expect(error?.message).toContain(target);
    }
  });

  test('from one version of a secret over its next version is an error, not the older value', async () => {
    const folder = await closedStore();
    const target = await withRecords(folder, (records) => {
      const [one, two] = keysOf(records, 'v').filter((key, _, all) =>
        all.some((other) => other !== key && other.startsWith(key.slice(0, 66))),
      ) as [string, string];
      records.set(two, records.get(one) as Buffer);
      return two;
    });
    const { error } = await readAll(folder);
    expect(error?.code).toBe('tampered');
    expect(error?.message).toContain(target);
  });

  test.each([
    ['an activation', (engine: Engine) => engine.activate(admin, 'first', 2)],
    ['a put', (engine: Engine) => engine.put(admin, 'first', bytes('first three'))],
    [
      'several changes',
      async (engine: Engine) => {
        for (let i = 0; i < 20; i++) await engine.activate(admin, 'first', 1 + (i % 2 === 0 ? 1 : 0));
      },
    ],
    [
      'a revocation',
      async (engine: Engine) => {
        const [token] = await engine.listTokens(admin);
        await engine.revokeToken(admin, token?.id ?? '');
      },
    ],
  ])('over its own successor, undoing %s, is found at open and named', async (_, change) => {
    const folder = await closedStore();
    const before = await withRecords(folder, (records) => new Map(records));
    const { engine } = await openEngine(folder);
    await change(engine);
    await engine.close();
    const after = await withRecords(folder, (records) => new Map(records));
    const heads = [...before.keys()].filter(
      (key) => ['s', 'p', 'm'].includes(kind(key)) && !before.get(key)?.equals(after.get(key) as Buffer),
    );
    expect(heads.length).toBeGreaterThan(0);
    for (const key of heads) {
      await withRecords(folder, (records) => records.set(key, before.get(key) as Buffer));
      const { error, values } = await readAll(folder);
      expect([kind(key), error?.code, values]).toEqual([kind(key), 'tampered', []]);
      // A grant or a token is guarded by the manifest, which is what does not fit any more.
      const named = kind(key) === 'p' ? (keysOf(after, 'm')[0] as string) : key;
      expect(error?.message).toContain(named);
      await withRecords(folder, (records) => records.set(key, after.get(key) as Buffer));
    }
    expect((await readAll(folder)).error).toBeUndefined();
  });

  test('back after its secret was deleted is found at open and named', async () => {
    const folder = await closedStore();
    const before = await withRecords(folder, (records) => new Map(records));
    const { engine } = await openEngine(folder);
    await engine.delete(admin, 'first');
    await engine.close();
    const brought = await withRecords(folder, (records) => {
      const changed = keysOf(before, 's').find(
        (key) => !before.get(key)?.equals(records.get(key) as Buffer),
      ) as string;
      for (const key of [changed, ...keysOf(before, 'v')]) records.set(key, before.get(key) as Buffer);
      return changed;
    });
    const { error, values } = await readAll(folder);
    expect([error?.code, values]).toEqual(['tampered', []]);
    expect(error?.message).toContain(brought);
  });

  test('from another store under the same root key is an error', async () => {
    const one = await closedStore();
    const two = await closedStore();
    await writeFile(join(two, 'root.key'), await readFile(join(one, 'root.key')));
    const foreign = await withRecords(
      one,
      (records) => records.get(Buffer.from('header').toString('hex')) as Buffer,
    );
    await withRecords(two, (records) => records.set(Buffer.from('header').toString('hex'), foreign));
    expect((await readAll(two)).error?.code).toBe('wrong_root_key');
  });
});

describe('a record taken away', () => {
  test.each(['s', 'v', 'p', 'm', 'h'])(
    'of kind %s is found, before or when its value is asked for',
    async (letter) => {
      const folder = await closedStore();
      await withRecords(folder, (records) => records.delete(keysOf(records, letter)[0] as string));
      const { error, values } = await readAll(folder);
      expect(error?.code).toBe('tampered');
      for (const one of values) expect(TRUE_VALUES).toContain(one);
    },
  );
});

test('a wrong root key is told apart, and nothing comes out', async () => {
  const folder = await closedStore();
  const other = await closedStore();
  await writeFile(join(folder, 'root.key'), await readFile(join(other, 'root.key')));
  const { error, values } = await readAll(folder);
  expect([error?.code, values]).toEqual(['wrong_root_key', []]);
  expect(error?.message).toContain('find the file with that key');
});

describe('a record changed under a running server', () => {
  const write = (folder: string, change: (records: Records) => void) => withRecords(folder, change);

  test('with another generation stated in clear does not slip through the next commit', async () => {
    const folder = await closedStore();
    const before = await withRecords(folder, (records) => new Map(records));
    const { engine } = await openEngine(folder);
    const [token] = await engine.listTokens(admin);
    await engine.revokeToken(admin, token?.id ?? '');
    await write(folder, (records) => {
      const manifest = records.get(keysOf(records, 'm')[0] as string) as Buffer;
      // Revision (8), format (1), data key (4), version (4), then the generation (8).
      manifest.writeBigUInt64BE(manifest.readBigUInt64BE(17) + 1n, 17);
    });
    const grant = { to: ['token:y'], actions: ['get'], secrets: ['*'] } as const;
    await engine.applyPolicy(admin, [grant]).catch(() => undefined);
    await engine.close();
    await write(folder, (records) => {
      for (const key of records.keys()) if (kind(key) === 'p') records.delete(key);
      for (const [key, value] of before) if (['p', 'm'].includes(kind(key))) records.set(key, value);
    });
    expect((await readAll(folder)).error?.code).toBe('tampered');
  });

  test('to state the generation of the next change is an error of that change', async () => {
    const folder = await closedStore();
    const { engine } = await openEngine(folder);
    const before = await withRecords(folder, (records) => new Map(records));
    await write(folder, (records) => {
      for (const key of keysOf(records, 's')) {
        const head = records.get(key) as Buffer;
        head.writeBigUInt64BE(head.readBigUInt64BE(17) + 1n, 17);
      }
    });
    // What took a change of the same generation for a record sealed anew would count the old one on.
    await expect(engine.activate(admin, 'first', 2)).rejects.toMatchObject({ code: 'tampered' });
    await engine.close();
    await write(folder, (records) => {
      for (const key of keysOf(records, 's')) records.set(key, before.get(key) as Buffer);
    });
    expect((await readAll(folder)).error).toBeUndefined();
  });

  test.each([
    [
      'm',
      'a revocation',
      async (engine: Engine) => {
        const [token] = await engine.listTokens(admin);
        await engine.revokeToken(admin, token?.id ?? '');
      },
    ],
    ['h', 'a new data key', (engine: Engine) => engine.rotateKeys(admin)],
  ] as const)(
    'to state the generation of the next change (%s) is an error of %s',
    async (letter, _, change) => {
      const folder = await closedStore();
      const { engine } = await openEngine(folder);
      const before = await withRecords(folder, (records) => new Map(records));
      await write(folder, (records) => {
        for (const key of keysOf(records, letter)) {
          const record = records.get(key) as Buffer;
          if (letter === 'h') {
            const header = JSON.parse(record.subarray(8).toString());
            const ahead = bytes(JSON.stringify({ ...header, generation: header.generation + 1 }));
            records.set(key, Buffer.concat([record.subarray(0, 8), ahead]));
          } else {
            record.writeBigUInt64BE(record.readBigUInt64BE(17) + 1n, 17);
          }
        }
      });
      await expect(change(engine)).rejects.toMatchObject({ code: 'tampered' });
      await engine.close();
      await write(folder, (records) => {
        for (const [key, value] of before) if ([letter, 'p'].includes(kind(key))) records.set(key, value);
      });
      expect((await readAll(folder)).error).toBeUndefined();
    },
  );

  test('back to its past is an error of the next change, not a new beginning from there', async () => {
    const folder = await closedStore();
    const before = await withRecords(folder, (records) => new Map(records));
    const { engine } = await openEngine(folder);
    await engine.activate(admin, 'first', 2);
    await write(folder, (records) => {
      for (const key of keysOf(records, 's')) records.set(key, before.get(key) as Buffer);
    });
    await expect(engine.put(admin, 'first', bytes('new'))).rejects.toMatchObject({ code: 'tampered' });
    expect(text((await engine.get(admin, 'first')).value)).toBe('first two');
  });
});
