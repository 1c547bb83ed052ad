import { randomBytes } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';

import { describe, expect, it } from 'vitest';

import { Catalog } from '../src/catalog.js';
import { CofferError, type Engine, type ManyAnswer } from '../src/index.js';
import { auditEntries } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, text, token } from './support.js';

const alice = token('alice');
const MIB = 1024 * 1024;

/** Answers with their values as text. */
const readable = (answers: ManyAnswer[]) =>
  answers.map((answer) => {
    if (!('value' in answer)) return answer;
    const { binary: _, ...rest } = answer;
    return { ...rest, value: text(answer.value) };
  });

/** `open/a` and `open/b`, which alice may get, and `closed`, which she may not. */
async function withSecrets(): Promise<{
  engine: Engine;
  stateDir: string;
  entries: () => Promise<unknown[]>;
}> {
  const { engine, stateDir } = await openEngine();
  await engine.applyPolicy(admin, [{ to: ['token:alice'], actions: ['get'], secrets: ['open/*'] }]);
  for (const name of ['open/a', 'open/b', 'closed']) {
    await engine.put(admin, name, bytes(`${name} one`));
    await engine.put(admin, name, bytes(`${name} two`));
  }
  const before = (await auditEntries(stateDir)).length;
  const entries = async () =>
    (await auditEntries(stateDir))
      .slice(before)
      .map(({ action, authorized, secret, secretVersion, error }) => [
        action,
        authorized,
        secret,
        ...(secretVersion === undefined ? [] : [secretVersion]),
        ...(error === undefined ? [] : [error]),
      ]);
  return { engine, stateDir, entries };
}

describe('many gets at once', () => {
  it('answer in their order, each decided and logged as a get of its own', async () => {
    const { engine, entries } = await withSecrets();
    const answers = await engine.getMany(alice, [
      { name: 'open/b' },
      { name: 'closed' },
      { name: 'open/none' },
      { name: 'open/a', version: 2 },
      { name: 'open/a', version: 9 },
      { name: 'open/b', known: 1 },
      { name: 'open/b', known: 2 },
      { name: 'closed', known: 1 },
      { name: 'closed/none' },
      { name: 'open/none', known: 1 },
      { name: 'open/b', version: 0 },
    ]);
    expect(readable(answers)).toEqual([
      { name: 'open/b', version: 1, value: 'open/b one' },
      { name: 'closed', error: 'access_denied' },
      { name: 'open/none', error: 'not_found' },
      { name: 'open/a', version: 2, value: 'open/a two' },
      { name: 'open/a', error: 'not_found' },
      { name: 'open/b', version: 1, unchanged: true },
      { name: 'open/b', version: 1, value: 'open/b one' },
      { name: 'closed', error: 'access_denied' },
      { name: 'closed/none', error: 'access_denied' },
      { name: 'open/none', error: 'not_found' },
      { name: 'open/b', version: 1, value: 'open/b one' },
    ]);
    expect(await entries()).toEqual([
      ['get', true, 'open/b'],
      ['get', false, 'closed'],
      ['get', true, 'open/none', 'not_found'],
      ['get', true, 'open/a', 2],
      ['get', true, 'open/a', 9, 'not_found'],
      ['get', true, 'open/b'],
      ['get', false, 'closed'],
      ['get', false, 'closed/none'],
      ['get', true, 'open/none', 'not_found'],
      ['get', true, 'open/b'],
    ]);
  });

  it('answer as single gets do, with the same entries in the log', async () => {
    const { engine, entries } = await withSecrets();
    const names = ['open/a', 'closed', 'open/none', 'open/a'];
    const single = [];
    for (const name of names) single.push(await engine.get(alice, name).catch((error) => error.code));
    const logged = await entries();
    const many = await engine.getMany(
      alice,
      names.map((name) => ({ name })),
    );
    expect(
      many.map((one) =>
        'value' in one
          ? { value: one.value, version: one.version, binary: one.binary }
          : 'error' in one && one.error,
      ),
    ).toEqual(single);
    expect(await entries()).toEqual([...logged, ...logged]);
  });

  it('wait for one sync together', async () => {
    const { engine } = await withSecrets();
    const syncs = () => process.getActiveResourcesInfo().filter((kind) => kind === 'FSReqCallback').length;
    expect(syncs()).toBe(0);
    const answered = engine.getMany(
      alice,
      Array.from({ length: 256 }, () => ({ name: 'open/a' })),
    );
    await turn();
    expect(syncs()).toBe(1);
    expect(await answered).toHaveLength(256);
  });

  it('are in the file before anything is answered', async () => {
    const { engine, entries } = await withSecrets();
    const answered = engine.getMany(alice, [{ name: 'open/a' }, { name: 'open/b' }]);
    expect(await answered.then(entries)).toHaveLength(2);
  });
});

describe('an answer of many values', () => {
  it('is filled up to its size; what does not fit is logged without effect, what comes after is not looked at', async () => {
    const { engine, entries } = await withSecrets();
    const sizes = [3, 4, 4, 1];
    for (const [index, size] of sizes.entries()) await engine.put(admin, `open/${index}`, randomBytes(size));
    const before = (await entries()).length;
    const requests = sizes.map((_, index) => ({ name: `open/${index}` }));
    const answers = await engine.getMany(
      alice,
      [...requests, { name: 'closed' }, { name: 'open/a', known: 1 }],
      {
        maxBytes: 10,
      },
    );
    expect(
      answers.map((one) => ('value' in one ? one.value.length : 'error' in one ? one.error : 'same')),
    ).toEqual([3, 4, 'too_large', 'too_large', 'access_denied', 'same']);
    expect((await entries()).slice(before)).toEqual([
      ['get', true, 'open/0'],
      ['get', true, 'open/1'],
      ['get', true, 'open/2', 'too_large'],
      ['get', false, 'closed'],
    ]);
  });

  it('holds one value at least, however large', async () => {
    const { engine } = await withSecrets();
    await engine.put(admin, 'open/0', bytes(''));
    await engine.put(admin, 'open/large', randomBytes(MIB));
    const answers = await engine.getMany(
      alice,
      [{ name: 'open/0' }, { name: 'open/large' }, { name: 'open/a' }],
      {
        maxBytes: 1,
      },
    );
    expect(answers.map((one) => ('value' in one ? one.value.length : 'error' in one && one.error))).toEqual([
      0,
      MIB,
      'too_large',
    ]);
  });

  it('is 8 MiB of values unless it is said otherwise', async () => {
    const { engine } = await withSecrets();
    await engine.put(admin, 'open/large', randomBytes(MIB));
    const answers = await engine.getMany(
      alice,
      Array.from({ length: 9 }, () => ({ name: 'open/large' })),
    );
    expect(answers.filter((one) => 'value' in one)).toHaveLength(8);
    expect(answers[8]).toEqual({ name: 'open/large', error: 'too_large' });
  });

  it.each(['get', 'getMany'])('asks for room by its size before %s reveals anything', async (verb) => {
    const { engine, entries } = await withSecrets();
    const asked: number[] = [];
    const room = {
      reserve(valueBytes: number) {
        asked.push(valueBytes);
        if (asked.length > 1) throw new CofferError('stopped', 'no room');
      },
    };
    const get = () =>
      verb === 'get'
        ? engine.get(alice, 'open/a', 1, room)
        : engine.getMany(alice, [{ name: 'closed' }, { name: 'open/a' }, { name: 'open/b' }], { room });
    await get();
    const logged = await entries();
    expect(await codeOf(get())).toBe('stopped');
    const size = 'open/a one'.length * (verb === 'get' ? 1 : 2);
    expect(asked).toEqual([size, size]);
    // Of many, what was refused stays in the log, and what was allowed came to nothing.
    const refused =
      verb === 'get'
        ? []
        : [
            ['get', false, 'closed'],
            ['get', true, 'open/a', 'stopped'],
            ['get', true, 'open/b', 'stopped'],
          ];
    expect(await entries()).toEqual([...logged, ...refused]);
  });
});

describe('many gets of which one fails for a reason of our own', () => {
  it('leave in the log what was refused, and no value in memory', async () => {
    const { engine, entries } = await withSecrets();
    const opened: Uint8Array[] = [];
    const restore = failingOpen(opened);
    try {
      const requests = [{ name: 'open/a' }, { name: 'closed' }, { name: 'open/b' }];
      await expect(engine.getMany(alice, requests)).rejects.toThrow('no memory');
    } finally {
      restore();
    }
    expect(opened.map((value) => text(value))).toEqual(['\0'.repeat('open/a one'.length)]);
    expect(await entries()).toEqual([
      ['get', true, 'open/a', 'io'],
      ['get', false, 'closed'],
      ['get', true, 'open/b', 'io'],
    ]);
  });
});

/** From the second value on, opening one fails as it does where memory runs out. */
function failingOpen(opened: Uint8Array[]): () => void {
  const { openValue } = Catalog.prototype;
  Catalog.prototype.openValue = function (...args) {
    if (opened.length === 1) throw new CofferError('io', 'no memory');
    const value = openValue.apply(this, args);
    opened.push(value);
    return value;
  };
  return () => {
    Catalog.prototype.openValue = openValue;
  };
}

describe('many requests', () => {
  it.each([
    [[], 'invalid_argument'],
    [Array.from({ length: 257 }, () => ({ name: 'open/a' })), 'invalid_argument'],
    [[{ name: 'open/a' }, { name: '' }], 'invalid_name'],
    [[{ name: 'x'.repeat(1025) }], 'name_too_long'],
    [[{ name: 'open/a', version: -1 }], 'invalid_version'],
    [[{ name: 'open/a', version: 1, known: 1 }], 'invalid_argument'],
  ])('of the wrong form are refused as one, and leave no trace', async (requests, code) => {
    const { engine, entries } = await withSecrets();
    expect(await codeOf(engine.getMany(alice, requests))).toBe(code);
    expect(await entries()).toEqual([]);
  });
});
