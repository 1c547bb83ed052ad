import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { type Action, type Engine, type Grant, MAX_VERSION } from '../src/index.js';
import { admin, bytes, codeOf, openEngine, text, token } from './support.js';

const alice = token('alice');

/** An engine where alice has these rights and no other. */
async function withGrants(...grants: Omit<Grant, 'to'>[]): Promise<Engine> {
  const { engine } = await openEngine();
  await engine.applyPolicy(
    admin,
    grants.map((grant) => ({ to: ['token:alice'], ...grant })),
  );
  return engine;
}

const read = async (engine: Engine, name: string, version?: number) => {
  const got = await engine.get(admin, name, version);
  return { value: text(got.value), version: got.version };
};

/** Each verb on a name, with arguments that would otherwise be right. */
const VERBS: Record<
  string,
  { action: Action; writes: boolean; run: (e: Engine, name: string) => Promise<unknown> }
> = {
  info: { action: 'info', writes: false, run: (e, name) => e.info(alice, name) },
  get: { action: 'get', writes: false, run: (e, name) => e.get(alice, name) },
  'get of a version': { action: 'get', writes: false, run: (e, name) => e.get(alice, name, 1) },
  getIfChanged: { action: 'get', writes: false, run: (e, name) => e.getIfChanged(alice, name, 1) },
  put: { action: 'put', writes: true, run: (e, name) => e.put(alice, name, bytes('v')) },
  createVersion: {
    action: 'create-version',
    writes: true,
    run: (e, name) => e.createVersion(alice, name, 9, bytes('v')),
  },
  activate: { action: 'activate', writes: true, run: (e, name) => e.activate(alice, name, 2) },
  deleteVersion: { action: 'delete', writes: true, run: (e, name) => e.deleteVersion(alice, name, 2) },
  delete: { action: 'delete', writes: true, run: (e, name) => e.delete(alice, name) },
};

describe('put', () => {
  it('makes version 1 of a new name, active', async () => {
    const { engine } = await openEngine();
    expect(await engine.put(admin, 'a', bytes('one'))).toBe(1);
    expect(await engine.info(admin, 'a')).toEqual({ name: 'a', versions: [1], activeVersion: 1 });
    expect(await read(engine, 'a')).toEqual({ value: 'one', version: 1 });
  });

  it('makes later versions without activating them', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    expect(await engine.put(admin, 'a', bytes('two'))).toBe(2);
    expect(await engine.info(admin, 'a')).toEqual({ name: 'a', versions: [1, 2], activeVersion: 1 });
    expect(await read(engine, 'a')).toEqual({ value: 'one', version: 1 });
    expect(await read(engine, 'a', 2)).toEqual({ value: 'two', version: 2 });
  });

  it('answers the highest number for its value and makes nothing', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    expect(await engine.put(admin, 'a', bytes('two'))).toBe(2);
    expect((await engine.info(admin, 'a')).versions).toEqual([1, 2]);
  });

  it('compares with the highest number only, not with the active or an older one', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    expect(await engine.put(admin, 'a', bytes('one'))).toBe(3);
  });

  it('compares with the highest number even if it was made with create-version', async () => {
    const { engine } = await openEngine();
    await engine.createVersion(admin, 'a', 7, bytes('seven'));
    expect(await engine.put(admin, 'a', bytes('seven'))).toBe(7);
    expect(await engine.put(admin, 'a', bytes('more'))).toBe(8);
  });

  it('does not take a value for the one of a deleted highest version', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await engine.deleteVersion(admin, 'a', 2);
    expect(await engine.put(admin, 'a', bytes('two'))).toBe(3);
    expect((await engine.info(admin, 'a')).versions).toEqual([1, 3]);
  });

  it('does not take an empty value for a deleted highest version, as setec does', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await engine.deleteVersion(admin, 'a', 2);
    expect(await engine.put(admin, 'a', bytes(''))).toBe(3);
    expect(await read(engine, 'a', 3)).toEqual({ value: '', version: 3 });
  });

  it('takes an empty value, and an equal empty value for the same', async () => {
    const { engine } = await openEngine();
    expect(await engine.put(admin, 'a', bytes(''))).toBe(1);
    expect(await engine.put(admin, 'a', bytes(''))).toBe(1);
    expect(await engine.put(admin, 'a', bytes('\0'))).toBe(2);
    expect((await engine.get(admin, 'a')).value).toHaveLength(0);
  });

  it('keeps any bytes', async () => {
    const { engine } = await openEngine();
    const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await engine.put(admin, 'a', every);
    expect(Uint8Array.from((await engine.get(admin, 'a')).value)).toEqual(every);
  });

  it('keeps a value that is a part of a larger buffer', async () => {
    const { engine } = await openEngine();
    const large = new TextEncoder().encode('before value after');
    await engine.put(admin, 'a', large.subarray(7, 12));
    expect(await read(engine, 'a')).toEqual({ value: 'value', version: 1 });
    expect(await engine.put(admin, 'a', large.subarray(7, 12))).toBe(1);
  });

  it('numbers concurrent puts one after the other and loses none', async () => {
    const { engine } = await openEngine();
    const numbers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => engine.put(admin, 'a', bytes(`value ${index}`))),
    );
    expect([...numbers].sort((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
    for (const [index, number] of numbers.entries()) {
      expect(await read(engine, 'a', number)).toEqual({ value: `value ${index}`, version: number });
    }
  });

  it('accepts a value at the limit and refuses one a byte longer', async () => {
    const { engine } = await openEngine(undefined, { limits: { valueBytes: 10 } });
    expect(await engine.put(admin, 'a', bytes('0123456789'))).toBe(1);
    expect(await codeOf(engine.put(admin, 'a', bytes('0123456789a')))).toBe('value_too_large');
    expect(await codeOf(engine.createVersion(admin, 'a', 5, bytes('0123456789a')))).toBe('value_too_large');
    expect((await engine.info(admin, 'a')).versions).toEqual([1]);
  });

  it('accepts a mebibyte by default and not a byte more', async () => {
    const { engine } = await openEngine();
    expect(await engine.put(admin, 'a', Buffer.alloc(1024 * 1024, 1))).toBe(1);
    expect((await engine.get(admin, 'a')).value).toHaveLength(1024 * 1024);
    expect(await codeOf(engine.put(admin, 'a', Buffer.alloc(1024 * 1024 + 1)))).toBe('value_too_large');
  });
});

describe('version numbers', () => {
  it('go on above the highest one ever used, even if it was deleted', async () => {
    const { engine } = await openEngine();
    await engine.createVersion(admin, 'a', 10, bytes('ten'));
    await engine.createVersion(admin, 'a', 3, bytes('three'));
    await engine.deleteVersion(admin, 'a', 10);
    expect(await engine.put(admin, 'a', bytes('eleven'))).toBe(11);
  });

  it('start anew after delete, and numbers used before may come again', async () => {
    const { engine } = await openEngine();
    await engine.createVersion(admin, 'a', 10, bytes('ten'));
    await engine.put(admin, 'a', bytes('eleven'));
    await engine.deleteVersion(admin, 'a', 11);
    await engine.delete(admin, 'a');
    expect(await engine.put(admin, 'a', bytes('ten'))).toBe(1);
    await engine.createVersion(admin, 'a', 11, bytes('again'));
    expect(await read(engine, 'a')).toEqual({ value: 'again', version: 11 });
    expect(await codeOf(engine.get(admin, 'a', 10))).toBe('not_found');
  });

  it('end at 2³²−1: an equal value is still answered, another one is refused', async () => {
    const { engine } = await openEngine();
    await engine.createVersion(admin, 'a', MAX_VERSION, bytes('last'));
    expect(await read(engine, 'a')).toEqual({ value: 'last', version: 4_294_967_295 });
    expect(await engine.put(admin, 'a', bytes('last'))).toBe(MAX_VERSION);
    expect(await codeOf(engine.put(admin, 'a', bytes('more')))).toBe('versions_exhausted');
    await engine.createVersion(admin, 'a', 1, bytes('low'));
    await engine.deleteVersion(admin, 'a', MAX_VERSION);
    expect(await codeOf(engine.put(admin, 'a', bytes('last')))).toBe('versions_exhausted');
    expect(await engine.info(admin, 'a')).toEqual({ name: 'a', versions: [1], activeVersion: 1 });
  });

  it('are what they were after the store was opened again', async () => {
    const { engine, folder } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await engine.put(admin, 'a', bytes('three'));
    await engine.activate(admin, 'a', 2);
    await engine.deleteVersion(admin, 'a', 3);
    await engine.put(admin, 'gone', bytes('x'));
    await engine.delete(admin, 'gone');
    await engine.close();
    const { engine: reopened } = await openEngine(folder);
    expect(await reopened.list(admin)).toEqual([{ name: 'a', versions: [1, 2], activeVersion: 2 }]);
    expect(await codeOf(reopened.createVersion(admin, 'a', 3, bytes('x')))).toBe('version_taken');
    expect(await reopened.put(admin, 'a', bytes('three'))).toBe(4);
    expect(await reopened.put(admin, 'gone', bytes('x'))).toBe(1);
  });
});

describe('create-version', () => {
  it('makes a new name and activates the number at once', async () => {
    const { engine } = await openEngine();
    await engine.createVersion(admin, 'a', 5, bytes('five'));
    expect(await engine.info(admin, 'a')).toEqual({ name: 'a', versions: [5], activeVersion: 5 });
  });

  it('takes unused numbers below the highest one and activates them', async () => {
    const { engine } = await openEngine();
    await engine.createVersion(admin, 'a', 5, bytes('five'));
    await engine.createVersion(admin, 'a', 2, bytes('two'));
    expect(await engine.info(admin, 'a')).toEqual({ name: 'a', versions: [2, 5], activeVersion: 2 });
    expect(await engine.put(admin, 'a', bytes('six'))).toBe(6);
  });

  it.each([
    ['in use', 1],
    ['deleted', 2],
  ])('refuses a number that is %s, whatever the value', async (_, version) => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await engine.deleteVersion(admin, 'a', 2);
    expect(await codeOf(engine.createVersion(admin, 'a', version, bytes('new')))).toBe('version_taken');
    expect(await codeOf(engine.createVersion(admin, 'a', version, bytes('one')))).toBe('version_taken');
    expect(await engine.info(admin, 'a')).toEqual({ name: 'a', versions: [1], activeVersion: 1 });
  });

  it('lets exactly one of concurrent callers have a number', async () => {
    const { engine } = await openEngine();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, (_, index) => engine.createVersion(admin, 'a', 4, bytes(`${index}`))),
    );
    const winners = outcomes.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []));
    expect(winners).toHaveLength(1);
    expect(await read(engine, 'a')).toEqual({ value: `${winners[0]}`, version: 4 });
  });

  it('refuses 0 before it looks at permissions', async () => {
    const { engine } = await openEngine();
    expect(await codeOf(engine.createVersion(alice, 'a', 0, bytes('v')))).toBe('invalid_version');
  });
});

describe('activate', () => {
  it('changes the active version, back and forth', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await engine.activate(admin, 'a', 2);
    expect(await read(engine, 'a')).toEqual({ value: 'two', version: 2 });
    await engine.activate(admin, 'a', 2);
    await engine.activate(admin, 'a', 1);
    expect(await read(engine, 'a')).toEqual({ value: 'one', version: 1 });
  });

  it('finds neither unknown names nor unknown, deleted or later versions', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await engine.deleteVersion(admin, 'a', 2);
    expect(await codeOf(engine.activate(admin, 'a', 2))).toBe('not_found');
    expect(await codeOf(engine.activate(admin, 'a', 3))).toBe('not_found');
    expect(await codeOf(engine.activate(admin, 'b', 1))).toBe('not_found');
  });
});

describe('delete-version', () => {
  it('removes a version and leaves the others', async () => {
    const { engine } = await openEngine();
    for (const value of ['one', 'two', 'three']) await engine.put(admin, 'a', bytes(value));
    await engine.deleteVersion(admin, 'a', 2);
    expect((await engine.info(admin, 'a')).versions).toEqual([1, 3]);
    expect(await codeOf(engine.get(admin, 'a', 2))).toBe('not_found');
    expect(await read(engine, 'a', 3)).toEqual({ value: 'three', version: 3 });
  });

  it('refuses the active version and changes nothing', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    expect(await codeOf(engine.deleteVersion(admin, 'a', 1))).toBe('active_version');
    expect(await read(engine, 'a')).toEqual({ value: 'one', version: 1 });
  });

  it('finds neither unknown names nor versions that are gone', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await engine.deleteVersion(admin, 'a', 2);
    expect(await codeOf(engine.deleteVersion(admin, 'a', 2))).toBe('not_found');
    expect(await codeOf(engine.deleteVersion(admin, 'a', 9))).toBe('not_found');
    expect(await codeOf(engine.deleteVersion(admin, 'b', 1))).toBe('not_found');
  });
});

describe('delete', () => {
  it('removes everything and is no error for an unknown name', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await engine.delete(admin, 'a');
    expect(await codeOf(engine.get(admin, 'a'))).toBe('not_found');
    expect(await codeOf(engine.get(admin, 'a', 2))).toBe('not_found');
    expect(await codeOf(engine.info(admin, 'a'))).toBe('not_found');
    expect(await codeOf(engine.activate(admin, 'a', 1))).toBe('not_found');
    expect(await codeOf(engine.deleteVersion(admin, 'a', 2))).toBe('not_found');
    expect(await engine.list(admin)).toEqual([]);
    await engine.delete(admin, 'a');
    await engine.delete(admin, 'never');
    expect(await engine.list(admin)).toEqual([]);
  });
});

describe('get', () => {
  it('answers a stated version, and the active one for 0', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    expect(await read(engine, 'a', 0)).toEqual({ value: 'one', version: 1 });
    expect(await read(engine, 'a', 2)).toEqual({ value: 'two', version: 2 });
    expect(await codeOf(engine.get(admin, 'a', 3))).toBe('not_found');
    expect(await codeOf(engine.get(admin, 'b'))).toBe('not_found');
  });

  it('gives out bytes of its own, which may be wiped', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    (await engine.get(admin, 'a')).value.fill(0);
    expect(await read(engine, 'a')).toEqual({ value: 'one', version: 1 });
  });

  it('is never mistaken for tampering while versions and names are deleted', async () => {
    const { engine } = await openEngine();
    const codes = new Set<string>();
    let changing = true;
    const reader = async () => {
      while (changing) {
        await engine.get(admin, 'a', 1).catch((error: { code: string }) => codes.add(error.code));
        await new Promise(setImmediate);
      }
    };
    const readers = Array.from({ length: 8 }, reader);
    for (let round = 0; round < 60; round++) {
      await engine.put(admin, 'a', bytes('one'));
      await engine.createVersion(admin, 'a', 2, bytes('two'));
      await engine.deleteVersion(admin, 'a', 1);
      await engine.delete(admin, 'a');
    }
    changing = false;
    await Promise.all(readers);
    expect([...codes]).toEqual(['not_found']);
  });
});

describe('getIfChanged', () => {
  it('answers the active version unless it is the known one', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    expect(await engine.getIfChanged(admin, 'a', 1)).toBeUndefined();
    expect((await engine.getIfChanged(admin, 'a', 2))?.version).toBe(1);
    expect((await engine.getIfChanged(admin, 'a', 77))?.version).toBe(1);
    await engine.activate(admin, 'a', 2);
    expect((await engine.getIfChanged(admin, 'a', 1))?.version).toBe(2);
  });

  it('finds no unknown or deleted name', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.delete(admin, 'a');
    expect(await codeOf(engine.getIfChanged(admin, 'a', 1))).toBe('not_found');
    expect(await codeOf(engine.getIfChanged(admin, 'a', 0))).toBe('not_found');
    expect(await codeOf(engine.getIfChanged(admin, 'b', 1))).toBe('not_found');
  });
});

describe('list', () => {
  it('is empty where there is nothing, or nothing that the caller may see', async () => {
    const engine = await withGrants({ actions: ['get', 'put', 'delete'], secrets: ['*'] });
    expect(await engine.list(admin)).toEqual([]);
    await engine.put(admin, 'a', bytes('one'));
    expect(await engine.list(alice)).toEqual([]);
  });

  it('shows only what the caller may info', async () => {
    const engine = await withGrants({ actions: ['info'], secrets: ['mine/*', 'one'] });
    for (const name of ['mine/a', 'mine', 'one', 'other', 'mine/b/c']) {
      await engine.put(admin, name, bytes('v'));
    }
    expect((await engine.list(alice)).map(({ name }) => name)).toEqual(['mine/a', 'mine/b/c', 'one']);
  });

  it('sorts versions as numbers', async () => {
    const { engine } = await openEngine();
    for (const version of [10, 9, 100, 1, MAX_VERSION]) {
      await engine.createVersion(admin, 'a', version, bytes('v'));
    }
    expect((await engine.info(admin, 'a')).versions).toEqual([1, 9, 10, 100, MAX_VERSION]);
  });

  it('sorts names by their bytes, where UTF-16 would sort otherwise', async () => {
    const { engine } = await openEngine();
    // U+FF21 comes before U+1F600 in UTF-8, after its surrogates in UTF-16.
    const names = [
      '\u{1f600}',
      '\uff21',
      'z',
      'a\u{1f600}',
      'a\uff21',
      'a',
      '\ud7ff',
      '\ue000',
      '\u{10ffff}',
    ];
    for (const name of names) await engine.put(admin, name, bytes('v'));
    const inBytes = [...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    expect(inBytes).not.toEqual([...names].sort());
    expect((await engine.list(admin)).map(({ name }) => name)).toEqual(inBytes);
  });

  it('sorts any names by their bytes', async () => {
    const { engine } = await openEngine();
    const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(name, { minLength: 2, maxLength: 8 }), async (names) => {
        await Promise.all(names.map((one) => engine.put(admin, one, bytes('v'))));
        const listed = (await engine.list(admin)).map((info) => Buffer.from(info.name));
        expect(listed).toEqual([...listed].sort(Buffer.compare));
        expect(listed).toHaveLength(names.length);
        await Promise.all(names.map((one) => engine.delete(admin, one)));
      }),
      { numRuns: 25 },
    );
  });
});

describe('names', () => {
  it('are counted in bytes of UTF-8', async () => {
    const { engine } = await openEngine(undefined, { limits: { nameBytes: 12 } });
    for (const fits of ['x'.repeat(12), 'é'.repeat(6), '€'.repeat(4), '😀'.repeat(3)]) {
      expect(await engine.put(admin, fits, bytes('v'))).toBe(1);
    }
    for (const long of ['x'.repeat(13), `${'é'.repeat(6)}x`, '€'.repeat(5), `${'😀'.repeat(3)}x`]) {
      expect(await codeOf(engine.put(admin, long, bytes('v')))).toBe('name_too_long');
    }
  });

  it('have up to 1,024 bytes by default', async () => {
    const { engine } = await openEngine();
    for (const fits of ['x'.repeat(1_024), '😀'.repeat(256), `${'€'.repeat(341)}x`]) {
      expect(await engine.put(admin, fits, bytes('v'))).toBe(1);
      expect((await engine.info(admin, fits)).name).toBe(fits);
    }
    for (const long of ['x'.repeat(1_025), `${'😀'.repeat(256)}x`, `${'€'.repeat(341)}é`]) {
      expect(await codeOf(engine.put(admin, long, bytes('v')))).toBe('name_too_long');
    }
  });

  it.each(Object.entries(VERBS))('are checked by %s before permissions', async (_, { run }) => {
    const { engine } = await openEngine();
    expect(await codeOf(run(engine, ''))).toBe('invalid_name');
    expect(await codeOf(run(engine, 'x'.repeat(1_025)))).toBe('name_too_long');
    expect(await codeOf(run(engine, 'half \ud800 character'))).toBe('invalid_name');
  });

  it('are not interpreted', async () => {
    const { engine } = await openEngine();
    const names = [
      'a',
      'A',
      ' a',
      'a ',
      '/a',
      'a/',
      '../a',
      './a',
      'a\0',
      '\0',
      'a\n',
      '*',
      '\u00e9',
      'e\u0301',
      '__proto__',
    ];
    for (const [index, name] of names.entries()) await engine.put(admin, name, bytes(`${index}`));
    for (const [index, name] of names.entries()) {
      expect(await read(engine, name)).toEqual({ value: `${index}`, version: 1 });
    }
  });

  it('under the reserved prefix are refused by every write, and merely not found by reads', async () => {
    const engine = await withGrants({
      actions: ['get', 'info', 'put', 'create-version', 'activate', 'delete'],
      secrets: ['*'],
    });
    for (const { run, writes } of Object.values(VERBS)) {
      expect(await codeOf(run(engine, '_internal/x'))).toBe(writes ? 'reserved_name' : 'not_found');
    }
    expect(await engine.put(alice, '_internal', bytes('v'))).toBe(1);
    expect(await engine.put(alice, 'a/_internal/x', bytes('v'))).toBe(1);
  });
});

describe('permissions', () => {
  it.each(Object.entries(VERBS))('of %s are its own and imply no other', async (_, { action, run }) => {
    const engine = await withGrants({ actions: [action], secrets: ['s'] });
    await engine.put(admin, 's', bytes('one'));
    await engine.put(admin, 's', bytes('two'));
    await run(engine, 's');
    for (const other of Object.values(VERBS)) {
      if (other.action !== action) expect(await codeOf(other.run(engine, 's'))).toBe('access_denied');
    }
  });

  it.each(Object.entries(VERBS))(
    'are asked by %s before existence, of an administrator too',
    async (_, { run }) => {
      const engine = await withGrants(
        { actions: ['get', 'info', 'put'], secrets: ['elsewhere/*'] },
        {
          actions: ['admin'],
          secrets: ['*'],
        },
      );
      await engine.put(admin, 'known', bytes('one'));
      await engine.put(admin, 'known', bytes('two'));
      const answer = (name: string) =>
        run(engine, name).then(
          () => 'allowed',
          (error: Error & { code: string }) => `${error.code}: ${error.message}`,
        );
      expect(await answer('known')).toBe('access_denied: access denied');
      expect(await answer('unknown')).toBe(await answer('known'));
    },
  );
});

describe('wrong numbers', () => {
  it.each([0, -1, 0.5, 2 ** 32, Number.NaN, Number.POSITIVE_INFINITY])(
    'such as %s are no version',
    async (version) => {
      const { engine } = await openEngine();
      await engine.put(admin, 'a', bytes('one'));
      expect(await codeOf(engine.createVersion(admin, 'a', version, bytes('v')))).toBe('invalid_version');
      expect(await codeOf(engine.activate(admin, 'a', version))).toBe('invalid_version');
      expect(await codeOf(engine.deleteVersion(admin, 'a', version))).toBe('invalid_version');
      if (version !== 0) expect(await codeOf(engine.get(admin, 'a', version))).toBe('invalid_version');
      expect(await engine.info(admin, 'a')).toEqual({ name: 'a', versions: [1], activeVersion: 1 });
    },
  );
});
