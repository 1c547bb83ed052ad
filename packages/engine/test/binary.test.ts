import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Engine, Grant } from '../src/index.js';
import { auditEntries } from './audit-file.js';
import { backupTo, restoreIn } from './backup-support.js';
import { admin, bytes, codeOf, openEngine, text, token } from './support.js';

const alice = token('alice');
const binary = { binary: true };

/** Of each version, in order. */
async function kindsOf(engine: Engine, name: string): Promise<boolean[]> {
  const { versions } = await engine.info(admin, name);
  const values = await Promise.all(versions.map((version) => engine.get(admin, name, version)));
  return values.map((value) => value.binary);
}

describe('a value that is put as binary', () => {
  it('is told from text of the same bytes, and is another version', async () => {
    const { engine } = await openEngine();
    expect(await engine.put(admin, 'a', bytes('v'))).toBe(1);
    expect(await engine.put(admin, 'a', bytes('v'), undefined, binary)).toBe(2);
    expect(await engine.put(admin, 'a', bytes('v'), undefined, binary)).toBe(2);
    expect(await engine.put(admin, 'a', bytes('v'), undefined, { binary: false })).toBe(3);
    await engine.createVersion(admin, 'a', 7, bytes('v'));
    expect(await kindsOf(engine, 'a')).toEqual([false, true, false, false]);
  });

  it('is binary to everybody who reads it, in whatever way', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('v'), undefined, binary);
    expect((await engine.get(admin, 'a')).binary).toBe(true);
    expect((await engine.getIfChanged(admin, 'a', 9))?.binary).toBe(true);
    expect(await engine.getMany(admin, [{ name: 'a' }])).toMatchObject([{ binary: true }]);
  });

  it('is binary after a restart, another version, a change of the data key and a restore', async () => {
    const { engine, folder } = await openEngine();
    await engine.put(admin, 'a', bytes('v'), undefined, binary);
    await engine.put(admin, 'a', bytes('w'));
    await engine.activate(admin, 'a', 2);
    await engine.rotateKeys(admin);
    await expect.poll(() => engine.rotation(admin)).toBeUndefined();
    expect(await kindsOf(engine, 'a')).toEqual([true, false]);
    const path = await backupTo(engine, folder);
    await engine.close();
    const { engine: again } = await openEngine(folder);
    expect(await kindsOf(again, 'a')).toEqual([true, false]);
    await restoreIn(folder, path);
    const { engine: restored } = await openEngine(folder, { stateDir: join(folder, 'restored') });
    expect(await kindsOf(restored, 'a')).toEqual([true, false]);
  });

  it('is another request than text of the same bytes, where an operation id comes again', async () => {
    const { engine } = await openEngine();
    const change = { operation: 'op' };
    expect(await engine.put(admin, 'a', bytes('v'), change, binary)).toBe(1);
    expect(await engine.put(admin, 'a', bytes('v'), change, binary)).toBe(1);
    expect(await codeOf(engine.put(admin, 'a', bytes('v'), change))).toBe('operation_reused');
  });
});

/** An engine where alice has these rights, and a secret `a` of two versions, the first active. */
async function withRights(...actions: Grant['actions'][number][]) {
  const opened = await openEngine();
  if (actions.length > 0) {
    await opened.engine.applyPolicy(admin, [{ to: ['token:alice'], actions, secrets: ['*'] }]);
  }
  await opened.engine.put(admin, 'a', bytes('one'));
  await opened.engine.put(admin, 'a', bytes('two'));
  return opened;
}

describe('a value that is put and activated', () => {
  it('is a new version, active at once, in one change', async () => {
    const { engine, stateDir } = await withRights();
    expect(await engine.putAndActivate(admin, 'a', bytes('three'), undefined, binary)).toBe(3);
    const { value, version, binary: kind } = await engine.get(admin, 'a');
    expect([text(value), version, kind]).toEqual(['three', 3, true]);
    expect(await engine.putAndActivate(admin, 'new', bytes('v'))).toBe(1);
    const entries = (await auditEntries(stateDir)).filter(({ action }) => action === 'put-and-activate');
    expect(entries.map(({ secret, phase, error }) => [secret, phase, error])).toEqual([
      ['a', 'intent', undefined],
      ['a', 'outcome', undefined],
      ['new', 'intent', undefined],
      ['new', 'outcome', undefined],
    ]);
  });

  it('that is the highest version already is only activated, or nothing changes', async () => {
    const { engine } = await withRights();
    expect(await engine.putAndActivate(admin, 'a', bytes('two'))).toBe(2);
    expect(await engine.info(admin, 'a')).toMatchObject({ versions: [1, 2], activeVersion: 2 });
    expect(await engine.putAndActivate(admin, 'a', bytes('two'))).toBe(2);
    expect(await engine.putAndActivate(admin, 'a', bytes('two'), undefined, binary)).toBe(3);
    expect(await engine.putAndActivate(admin, 'a', bytes('one'))).toBe(4);
    expect(await engine.info(admin, 'a')).toMatchObject({ versions: [1, 2, 3, 4], activeVersion: 4 });
  });

  it('takes both rights where there is something to take out of use, and only "put" for a new name', async () => {
    for (const [rights, ofKnown, ofNew] of [
      [['put', 'activate'], 'made', 'made'],
      [['put'], 'access_denied', 'made'],
      [['activate'], 'access_denied', 'access_denied'],
    ] as const) {
      const { engine, stateDir } = await withRights(...rights);
      const outcome = (name: string) =>
        engine.putAndActivate(alice, name, bytes('new')).then(
          () => 'made',
          ({ code }) => code,
        );
      expect([rights, await outcome('a'), await outcome('new')]).toEqual([rights, ofKnown, ofNew]);
      const refused = (await auditEntries(stateDir)).filter(({ authorized }) => !authorized);
      const expected = [ofKnown, ofNew].filter((code) => code === 'access_denied');
      expect(refused.map(({ action }) => action)).toEqual(expected.map(() => 'put-and-activate'));
      if (ofKnown !== 'made') expect((await engine.info(admin, 'a')).versions).toEqual([1, 2]);
    }
  });

  it('is a name’s first again once the name was deleted', async () => {
    const { engine } = await withRights('put');
    await engine.delete(admin, 'a');
    expect(await engine.putAndActivate(alice, 'a', bytes('v'))).toBe(1);
  });

  it('is one change when it is asked for again, though others came in between', async () => {
    const { engine } = await withRights('put');
    const change = { operation: 'op' };
    expect(await engine.putAndActivate(alice, 'b', bytes('v'), change)).toBe(1);
    await engine.putAndActivate(admin, 'b', bytes('w'));
    expect(await engine.putAndActivate(alice, 'b', bytes('v'), change)).toBe(1);
    expect(await engine.info(admin, 'b')).toMatchObject({ versions: [1, 2], activeVersion: 2 });
    expect(await codeOf(engine.putAndActivate(alice, 'b', bytes('x'), change))).toBe('operation_reused');
    expect(await codeOf(engine.put(alice, 'b', bytes('v'), change))).toBe('operation_reused');
  });

  it('loses none of many that are put at the same moment, and the last one is active', async () => {
    const { engine } = await openEngine();
    const numbers = await Promise.all(
      Array.from({ length: 20 }, (_, index) => engine.putAndActivate(admin, 'a', bytes(`${index}`))),
    );
    expect(new Set(numbers).size).toBe(20);
    expect((await engine.info(admin, 'a')).activeVersion).toBe(20);
  });
});
