import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Caller, Engine } from '../src/index.js';
import { auditEntries } from './audit-file.js';
import { recordSizes } from './store-file.js';
import { admin, bytes, codeOf, openEngine, text, token } from './support.js';

const change = (operation: string) => ({ operation });
const alice = token('alice');
const bob = token('bob');

async function withAliceAndBob() {
  const opened = await openEngine();
  await opened.engine.applyPolicy(admin, [
    {
      to: ['token:*'],
      actions: ['get', 'info', 'put', 'create-version', 'activate', 'delete'],
      secrets: ['*'],
    },
  ]);
  return opened;
}

/** Bytes of the head of a store's only secret. */
const headBytes = async (stateDir: string) => (await recordSizes(stateDir, 's'))[0];

const versions = async (engine: Engine, name = 'a') => (await engine.info(admin, name)).versions;

describe('an operation id', () => {
  it('makes a second put answer as the first did and change nothing', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    expect(await engine.put(admin, 'a', bytes('two'), change('op'))).toBe(2);
    await engine.put(admin, 'a', bytes('three'));
    expect(await engine.put(admin, 'a', bytes('two'), change('op'))).toBe(2);
    expect(await versions(engine)).toEqual([1, 2, 3]);
  });

  it('makes a second create-version succeed, which without it is refused', async () => {
    const { engine } = await openEngine();
    await engine.createVersion(admin, 'a', 5, bytes('five'), change('op'));
    await engine.createVersion(admin, 'a', 6, bytes('six'));
    await engine.createVersion(admin, 'a', 5, bytes('five'), change('op'));
    expect(await engine.info(admin, 'a')).toEqual({ name: 'a', versions: [5, 6], activeVersion: 6 });
    expect(await codeOf(engine.createVersion(admin, 'a', 5, bytes('five')))).toBe('version_taken');
  });

  it('makes a second activate leave alone what was activated since', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await engine.activate(admin, 'a', 2, change('op'));
    await engine.activate(admin, 'a', 1);
    await engine.activate(admin, 'a', 2, change('op'));
    expect((await engine.info(admin, 'a')).activeVersion).toBe(1);
  });

  it('makes a second delete-version succeed, which without it finds nothing', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await engine.deleteVersion(admin, 'a', 2, change('op'));
    await engine.deleteVersion(admin, 'a', 2, change('op'));
    expect(await codeOf(engine.deleteVersion(admin, 'a', 2))).toBe('not_found');
  });

  it('makes a second delete spare the name’s next life', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.delete(admin, 'a', change('op'));
    await engine.put(admin, 'a', bytes('next life'));
    await engine.delete(admin, 'a', change('op'));
    expect(text((await engine.get(admin, 'a')).value)).toBe('next life');
  });

  it('is remembered through a delete: a late retry of a put does not bring the secret back', async () => {
    const { engine } = await openEngine();
    expect(await engine.put(admin, 'a', bytes('one'), change('op'))).toBe(1);
    await engine.delete(admin, 'a');
    expect(await engine.put(admin, 'a', bytes('one'), change('op'))).toBe(1);
    expect(await codeOf(engine.info(admin, 'a'))).toBe('not_found');
  });

  it('is remembered when the store is opened again', async () => {
    const { engine, folder } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'), change('put'));
    await engine.put(admin, 'b', bytes('one'));
    await engine.delete(admin, 'b', change('delete'));
    await engine.close();
    const { engine: reopened } = await openEngine(folder);
    await reopened.put(admin, 'a', bytes('three'));
    expect(await reopened.put(admin, 'a', bytes('two'), change('put'))).toBe(2);
    expect(await versions(reopened)).toEqual([1, 2, 3]);
    await reopened.put(admin, 'b', bytes('next life'));
    await reopened.delete(admin, 'b', change('delete'));
    expect(await versions(reopened, 'b')).toEqual([1]);
  });

  it('makes concurrent retries one change with one answer', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('zero'));
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => engine.put(admin, 'a', bytes('value'), change('op'))),
    );
    expect(new Set(answers)).toEqual(new Set([2]));
    const others = await Promise.all([
      ...Array.from({ length: 5 }, () => engine.createVersion(admin, 'b', 3, bytes('b'), change('op'))),
    ]);
    expect(others).toHaveLength(5);
    expect(await versions(engine)).toEqual([1, 2]);
    expect(await versions(engine, 'b')).toEqual([3]);
  });

  it('of another principal is another operation', async () => {
    const { engine } = await withAliceAndBob();
    expect(await engine.put(alice, 'a', bytes('by alice'), change('op'))).toBe(1);
    expect(await engine.put(bob, 'a', bytes('by bob'), change('op'))).toBe(2);
    expect(await engine.put(alice, 'a', bytes('by alice'), change('op'))).toBe(1);
    expect(await engine.put(bob, 'a', bytes('by bob'), change('op'))).toBe(2);
    expect(await versions(engine)).toEqual([1, 2]);
  });

  it('belongs to the caller itself, not to what the caller belongs to', async () => {
    const { engine } = await withAliceAndBob();
    const group = { id: 'token:group', kind: 'nats' } as const;
    const member = ({ principals }: Caller): Caller => ({
      principals: [principals[0], group],
      address: '::1',
    });
    await engine.put(member(alice), 'a', bytes('by alice'), change('op'));
    expect(await engine.put(member(bob), 'a', bytes('by bob'), change('op'))).toBe(2);
  });

  it.each<[string, (engine: Engine) => Promise<unknown>]>([
    ['another value', (e) => e.put(admin, 'a', bytes('other'), change('op'))],
    ['an empty value', (e) => e.put(admin, 'a', bytes(''), change('op'))],
    ['another verb', (e) => e.delete(admin, 'a', change('op'))],
    ['another verb with a version', (e) => e.createVersion(admin, 'a', 1, bytes('value'), change('op'))],
  ])('that comes again with %s is refused and changes nothing', async (_, again) => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('value'), change('op'));
    expect(await codeOf(again(engine))).toBe('operation_reused');
    expect(await engine.info(admin, 'a')).toEqual({ name: 'a', versions: [1], activeVersion: 1 });
  });

  it('that comes again with another version is refused', async () => {
    const { engine } = await openEngine();
    for (const value of ['one', 'two', 'three']) await engine.put(admin, 'a', bytes(value));
    await engine.activate(admin, 'a', 2, change('op'));
    expect(await codeOf(engine.activate(admin, 'a', 3, change('op')))).toBe('operation_reused');
    expect((await engine.info(admin, 'a')).activeVersion).toBe(2);
  });

  it('of one secret may be used for another', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('value'), change('op'));
    expect(await engine.put(admin, 'b', bytes('value'), change('op'))).toBe(1);
  });

  it('gives no right: a retry of who lost the permission is denied', async () => {
    const { engine } = await withAliceAndBob();
    await engine.put(alice, 'a', bytes('one'), change('op'));
    await engine.applyPolicy(admin, []);
    expect(await codeOf(engine.put(alice, 'a', bytes('one'), change('op')))).toBe('access_denied');
  });

  it('of a change that had no effect is remembered as well', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    expect(await engine.put(admin, 'a', bytes('one'), change('op'))).toBe(1);
    await engine.put(admin, 'a', bytes('two'));
    expect(await engine.put(admin, 'a', bytes('one'), change('op'))).toBe(1);
    expect(await versions(engine)).toEqual([1, 2]);
  });

  it('of a deletion that found nothing does not delete what came later', async () => {
    const { engine } = await openEngine();
    await engine.delete(admin, 'a', change('op'));
    await engine.put(admin, 'a', bytes('one'));
    await engine.delete(admin, 'a', change('op'));
    expect(text((await engine.get(admin, 'a')).value)).toBe('one');
  });

  it('of a policy that was in force already does not bring it back', async () => {
    const { engine } = await openEngine();
    const grants = [{ to: ['token:a'], actions: ['get'], secrets: ['*'] }] as const;
    await engine.applyPolicy(admin, grants);
    await engine.applyPolicy(admin, grants, {}, change('op'));
    await engine.applyPolicy(admin, []);
    await engine.applyPolicy(admin, grants, {}, change('op'));
    expect((await engine.policy(admin)).grants).toEqual([]);
  });

  it('of a refused change may be tried again', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    expect(await codeOf(engine.activate(admin, 'a', 2, change('op')))).toBe('not_found');
    await engine.put(admin, 'a', bytes('two'));
    await engine.activate(admin, 'a', 2, change('op'));
    expect((await engine.info(admin, 'a')).activeVersion).toBe(2);
  });

  it.each(['', ' ', 'a b', 'é', 'a\n', 'a\u007f', 'x'.repeat(129)])(
    'such as %j is refused',
    async (operation) => {
      const { engine } = await openEngine();
      expect(await codeOf(engine.put(admin, 'a', bytes('v'), change(operation)))).toBe('invalid_argument');
      expect(await codeOf(engine.info(admin, 'a'))).toBe('not_found');
    },
  );

  it('is any printable ASCII', async () => {
    const { engine } = await openEngine();
    const printable = fc.string({
      unit: fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code)),
      minLength: 1,
      maxLength: 128,
    });
    await fc.assert(
      fc.asyncProperty(printable, fc.uuid(), async (operation, name) => {
        const made = await engine.put(admin, name, bytes('v'), change(operation));
        expect(await engine.put(admin, name, bytes('v'), change(operation))).toBe(made);
      }),
      { numRuns: 20 },
    );
  });

  it('is in the audit log, with the entry of a retry too', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.put(admin, 'a', bytes('one'), change('op-1'));
    await engine.put(admin, 'a', bytes('one'), change('op-1'));
    const entries = (await auditEntries(stateDir)).filter(({ action }) => action === 'put');
    expect(entries.map(({ phase, operation }) => [phase, operation])).toEqual([
      ['intent', 'op-1'],
      ['outcome', 'op-1'],
      [undefined, 'op-1'],
    ]);
  });
});

describe('the memory of operations', () => {
  it('holds the last 16 ids that callers gave, however many other changes there are', async () => {
    const { engine } = await openEngine();
    for (let index = 0; index < 16; index++) {
      await engine.put(admin, 'a', bytes(`given ${index}`), change(`op-${index}`));
      await engine.put(admin, 'a', bytes(`not given ${index}`));
    }
    for (let index = 0; index < 16; index++) {
      expect(await engine.put(admin, 'a', bytes(`given ${index}`), change(`op-${index}`))).toBe(
        2 * index + 1,
      );
    }
    expect(await versions(engine)).toHaveLength(32);
  });

  it('holds the last 16 of a caller, however many another one gives', async () => {
    const { engine } = await withAliceAndBob();
    for (let index = 0; index < 16; index++) {
      await engine.put(alice, 'a', bytes(`of alice ${index}`), change(`op-${index}`));
    }
    for (let index = 0; index < 40; index++) {
      await engine.put(bob, 'a', bytes(`of bob ${index}`), change(`op-${index}`));
    }
    for (let index = 0; index < 16; index++) {
      expect(await engine.put(alice, 'a', bytes(`of alice ${index}`), change(`op-${index}`))).toBe(index + 1);
    }
    expect(await versions(engine)).toHaveLength(56);
  });

  it('is bounded, however many callers there are', async () => {
    const { engine, stateDir } = await withAliceAndBob();
    for (let index = 0; index < 80; index++) {
      const caller = token(`${index % 40}`.padStart(16, '0'));
      await engine.put(caller, 'a', bytes('v'), change(`${index}`.padEnd(128, 'x')));
    }
    expect(await headBytes(stateDir)).toBeLessThan(8_192);
  });

  it('is bounded: a record grows no more with operations', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    const id = (index: number) => `${index}`.padStart(6, '0').padEnd(128, 'x');
    for (let index = 0; index < 40; index++)
      await engine.activate(admin, 'a', 1 + (index % 2), change(id(index)));
    const settled = await headBytes(stateDir);
    for (let index = 40; index < 120; index++) {
      await engine.activate(admin, 'a', 1 + (index % 2), change(id(index)));
    }
    expect(await headBytes(stateDir)).toBe(settled);
    expect(settled).toBeLessThan(8_192);
  });

  it('does not grow with concurrent changes that have no id', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    const flip = () => Promise.all([1, 2, 1, 2, 1, 2].map((version) => engine.activate(admin, 'a', version)));
    for (let round = 0; round < 5; round++) await flip();
    await engine.activate(admin, 'a', 2);
    await engine.activate(admin, 'a', 1);
    const settled = await headBytes(stateDir);
    for (let round = 0; round < 10; round++) await flip();
    await engine.activate(admin, 'a', 2);
    await engine.activate(admin, 'a', 1);
    expect(await headBytes(stateDir)).toBe(settled);
  });

  it('of a deleted secret ends a day later, and nothing of the secret is left', async () => {
    let now = new Date('2026-01-01T00:00:00Z');
    const clock = { now: () => now };
    const { engine, folder, stateDir } = await openEngine(undefined, clock);
    for (let index = 0; index < 300; index++) await engine.put(admin, `a${index}`, bytes('v'));
    await Promise.all(
      Array.from({ length: 300 }, (_, index) => engine.delete(admin, `a${index}`, change('op'))),
    );
    await engine.put(admin, 'a0', bytes('next life'));
    await engine.close();
    expect(await recordSizes(stateDir, 's')).toHaveLength(300);
    expect(await recordSizes(stateDir, 'v')).toHaveLength(1);

    now = new Date('2026-01-01T23:59:00Z');
    const { engine: soon } = await openEngine(folder, clock);
    await soon.delete(admin, 'a0', change('op'));
    expect(await versions(soon, 'a0')).toEqual([1]);
    await soon.close();
    expect(await recordSizes(stateDir, 's')).toHaveLength(300);

    now = new Date('2026-01-02T00:01:00Z');
    const { engine: later } = await openEngine(folder, clock);
    expect((await later.list(admin)).map(({ name }) => name)).toEqual(['a0']);
    await later.close();
    expect(await recordSizes(stateDir, 's')).toHaveLength(1);
    const { engine: last } = await openEngine(folder, clock);
    expect(text((await last.get(admin, 'a0')).value)).toBe('next life');
    expect(await last.put(admin, 'a1', bytes('v'))).toBe(1);
  });
});
