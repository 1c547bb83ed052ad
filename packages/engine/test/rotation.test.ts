import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it, vi } from 'vitest';

import type { Engine } from '../src/index.js';
import { auditEntries, auditPath, verifyLog } from './audit-file.js';
import { allRecords, replaceRecords, rewriteRecord } from './store-file.js';
import { admin, bytes, codeOf, openEngine, text, token } from './support.js';

/** Resolves when all records are under one key. */
const rotated = (engine: Engine) =>
  vi.waitFor(async () => expect(await engine.rotation(admin)).toBeUndefined(), {
    timeout: 20_000,
    interval: 10,
  });

/** Some secrets, one of them deleted, a token and a grant; `values` holds what is to be read, by name and version. */
async function filled(secrets = 5): Promise<Awaited<ReturnType<typeof openEngine>> & { values: Values }> {
  const opened = await openEngine();
  const { engine } = opened;
  const values: Values = new Map();
  for (let i = 0; i < secrets; i++) {
    for (const version of [1, 2, 3]) {
      await engine.put(admin, `s/${i}`, bytes(`value ${version} of ${i}`));
      values.set(`s/${i}@${version}`, `value ${version} of ${i}`);
    }
    if (i % 2 === 1) await engine.activate(admin, `s/${i}`, 3);
  }
  await engine.put(admin, 'gone', bytes('v'));
  await engine.delete(admin, 'gone', { operation: 'kept in the tombstone'.replaceAll(' ', '-') });
  await engine.createToken(admin, { name: 'token' });
  await engine.applyPolicy(admin, [{ to: ['token:x'], actions: ['get'], secrets: ['s/*'] }]);
  return { ...opened, values };
}

type Values = Map<string, string>;

async function readAll(engine: Engine): Promise<Values> {
  const values: Values = new Map();
  for (const { name, versions } of await engine.list(admin)) {
    for (const version of versions) {
      values.set(`${name}@${version}`, text((await engine.get(admin, name, version)).value));
    }
  }
  return values;
}

/** What a record states of itself: revision (8 bytes), format (1), data key (4), version (4), generation (8). */
const statedOf = (record: Buffer) => ({
  dataKey: record.readUInt32BE(9),
  version: record.readUInt32BE(13),
  generation: record.readBigUInt64BE(17),
});

/** What all records but the driver's and the header state, by key. */
async function statedRecords(stateDir: string) {
  const records = await allRecords(stateDir);
  return new Map(
    records
      .filter(([key]) => key !== 'header' && key !== '\0')
      .map(([key, record]) => [key, statedOf(record)] as const),
  );
}

/** A change to every value of the secret, as one who has the disk would make it. */
const damage = (record: Buffer): Buffer => {
  record[record.length - 1] = (record[record.length - 1] as number) ^ 1;
  return record;
};

describe('a new data key', () => {
  it('seals new records at once, then all others as they are, and the old one is destroyed', async () => {
    const { engine, stateDir, values, folder } = await filled();
    const before = await statedRecords(stateDir);
    const infos = await engine.list(admin);
    const { grants, generation } = await engine.policy(admin);

    const answer = await engine.rotateKeys(admin);
    expect(answer.dataKeys.map(({ id, state }) => [id, state])).toEqual([
      [1, 'retiring'],
      [2, 'active'],
    ]);
    await rotated(engine);
    await engine.put(admin, 'new', bytes('v'));

    const { dataKeys, rotation } = await engine.keys(admin);
    expect(dataKeys).toEqual([
      { id: 2, createdAt: expect.any(Date), state: 'active', records: before.size + 2 },
    ]);
    expect(rotation).toBeUndefined();
    expect(await readAll(engine)).toEqual(new Map([...values, ['new@1', 'v']]));
    expect((await engine.list(admin)).filter(({ name }) => name !== 'new')).toEqual(infos);
    expect(await engine.policy(admin)).toEqual({ grants, generation });
    await engine.close();

    const after = await statedRecords(stateDir);
    const kinds = new Set([...before.keys()].map((key) => key[0]));
    expect(kinds).toEqual(new Set(['s', 'v', 'p', 'm']));
    for (const [key, stated] of before)
      expect([key, after.get(key)]).toEqual([key, { ...stated, dataKey: 2 }]);
    const { engine: again } = await openEngine(folder);
    expect(await readAll(again)).toEqual(new Map([...values, ['new@1', 'v']]));
    expect((await again.keys(admin)).dataKeys.map(({ id }) => id)).toEqual([2]);
  });

  it('is counted exactly, record by record', async () => {
    const { engine } = await filled(7);
    // Heads, their versions, the tombstone, a token, a grant, the manifest.
    const records = 7 + 7 * 3 + 1 + 1 + 1 + 1;
    expect((await engine.keys(admin)).dataKeys).toMatchObject([{ id: 1, state: 'active', records }]);
    await engine.deleteVersion(admin, 's/0', 2);
    expect((await engine.keys(admin)).dataKeys).toMatchObject([{ id: 1, records: records - 1 }]);
  });

  it('takes over values of any size and number, in several commits', async () => {
    const { engine } = await openEngine();
    const values = Array.from({ length: 12 }, (_, i) => Buffer.alloc(100_000, `large ${i}`));
    for (const value of values) await engine.put(admin, 'large', value);
    await engine.put(admin, 'empty', bytes(''));
    await engine.rotateKeys(admin);
    await rotated(engine);
    for (const [i, value] of values.entries()) {
      expect(value.equals((await engine.get(admin, 'large', i + 1)).value)).toBe(true);
    }
    expect((await engine.get(admin, 'empty')).value).toHaveLength(0);
    expect((await engine.keys(admin)).dataKeys).toMatchObject([{ id: 2, records: 12 + 1 + 2 + 1 }]);
  });

  it('may come while another is being put in force, and ids are never used twice', async () => {
    const { engine, values } = await filled(40);
    await Promise.all([engine.rotateKeys(admin), engine.rotateKeys(admin)]);
    const { dataKeys } = await engine.rotateKeys(admin);
    expect(dataKeys.at(-1)).toMatchObject({ id: 4, state: 'active' });
    await rotated(engine);
    expect((await engine.keys(admin)).dataKeys.map(({ id }) => id)).toEqual([4]);
    await engine.rotateKeys(admin);
    await rotated(engine);
    expect((await engine.keys(admin)).dataKeys.map(({ id }) => id)).toEqual([5]);
    expect(await readAll(engine)).toEqual(values);
  });

  it('disturbs no writer: what they do meanwhile comes out as they did it', async () => {
    const { engine, folder } = await openEngine();
    let rotating = true;
    const expected: Values = new Map();
    const writer = async (name: string) => {
      let version = 0;
      for (let i = 0; rotating || i < 10; i++) {
        version = await engine.put(admin, name, bytes(`${name} ${i}`));
        expected.set(`${name}@${version}`, `${name} ${i}`);
        if (i % 3 === 1) await engine.activate(admin, name, version);
        // The first version of a life is its active one.
        if (i % 3 === 2 && version > 1) {
          await engine.deleteVersion(admin, name, version);
          expected.delete(`${name}@${version}`);
        }
        if (i % 10 === 9) {
          await engine.delete(admin, name);
          for (const key of [...expected.keys()]) if (key.startsWith(`${name}@`)) expected.delete(key);
        }
        const info = await engine.info(admin, name).catch(() => undefined);
        expect(info?.versions.includes(version) ?? false).toBe(expected.has(`${name}@${version}`));
      }
    };
    const writers = Array.from({ length: 8 }, (_, i) => writer(`w${i}`));
    for (let i = 0; i < 12; i++) {
      await engine.rotateKeys(admin);
      await rotated(engine);
    }
    rotating = false;
    await Promise.all(writers);
    expect(await readAll(engine)).toEqual(expected);
    expect((await engine.keys(admin)).dataKeys.map(({ id }) => id)).toEqual([13]);
    await engine.close();
    expect(await readAll((await openEngine(folder)).engine)).toEqual(expected);
  });

  it('goes on at the next start, wherever the last one ended', async () => {
    const { engine: first, folder, values } = await filled(60);
    await first.rotateKeys(admin);
    await first.close();
    for (let round = 0; ; round++) {
      const { engine } = await openEngine(folder);
      const ended = (await engine.rotation(admin)) === undefined;
      expect(round).toBeLessThan(200);
      for (let read = 0; read < round; read++) await engine.list(admin);
      await engine.close();
      if (ended) break;
    }
    const { engine } = await openEngine(folder);
    expect((await engine.keys(admin)).dataKeys.map(({ id }) => id)).toEqual([2]);
    expect(await readAll(engine)).toEqual(values);
  });

  it('leaves an old one in force while a record under it cannot be opened, and says so', async () => {
    const { engine: before, folder, stateDir, values } = await filled();
    await before.close();
    const [victim] = (await allRecords(stateDir)).find(([key]) => key.startsWith('v')) ?? [''];
    await rewriteRecord(stateDir, Buffer.from(victim, 'latin1'), damage);
    const { engine, notices } = await openEngine(folder);
    await engine.rotateKeys(admin);
    await vi.waitFor(
      async () => expect((await engine.rotation(admin))?.problem?.code).toBe('tampered'),
      10_000,
    );
    expect(notices.join()).toContain(Buffer.from(victim, 'latin1').toString('hex'));
    expect(await engine.rotation(admin)).toMatchObject({ remaining: 1 });
    expect((await engine.keys(admin)).dataKeys).toMatchObject([{ id: 1, records: 1 }, { id: 2 }]);

    let bad: [string, number] | undefined;
    for (const key of values.keys()) {
      const [name, version] = [key.split('@')[0] as string, Number(key.split('@')[1])];
      const outcome = await engine.get(admin, name, version).catch(({ code }) => code);
      if (outcome === 'tampered') bad = [name, version];
      else expect(text(outcome.value)).toBe(values.get(key));
    }
    expect(bad).toBeDefined();
    const [name, version] = bad as [string, number];
    const other = version === 3 ? 2 : 3;
    await engine.activate(admin, name, other);
    await engine.deleteVersion(admin, name, version);
    await engine.rotateKeys(admin);
    await rotated(engine);
    expect((await engine.keys(admin)).dataKeys.map(({ id }) => id)).toEqual([3]);
  });
});

describe('one who can write the disk', () => {
  /** Keeps a closed store as it is; what is answered brings it back. */
  async function keep(folder: string): Promise<() => Promise<void>> {
    const [state, kept] = [join(folder, 'state'), join(folder, 'kept')];
    // The lock is a socket.
    await cp(state, kept, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
    return async () => {
      await rm(state, { recursive: true });
      await cp(kept, state, { recursive: true });
    };
  }

  it('cannot put a record under a destroyed key back, though nothing else of it has changed', async () => {
    const { engine: first, folder, stateDir } = await filled(2);
    await first.close();
    const before = new Map(await allRecords(stateDir));
    const { engine } = await openEngine(folder);
    await engine.rotateKeys(admin);
    await rotated(engine);
    await engine.close();
    const bringBack = await keep(folder);
    for (const [key, record] of before) {
      if (key === '\0' || key === 'header') continue;
      await replaceRecords(stateDir, [[key, record]]);
      const attempt = await openEngine(folder).then(
        async ({ engine }) => {
          const codes = new Set<string>();
          for (const { name, versions } of await engine.list(admin)) {
            for (const version of versions) {
              await engine.get(admin, name, version).catch(({ code }) => codes.add(code));
            }
          }
          await engine.close();
          return [...codes];
        },
        ({ code }) => [code],
      );
      expect([key[0], attempt]).toEqual([key[0], ['tampered']]);
      await bringBack();
    }
    await replaceRecords(stateDir, [['header', before.get('header') as Buffer]]);
    expect(await codeOf(openEngine(folder))).toBe('tampered');
  });

  it('finds no weaker store while a rotation is under way', async () => {
    const { engine: first, folder, stateDir, values } = await filled(2);
    const activated = new Map(await allRecords(stateDir));
    await first.activate(admin, 's/0', 2);
    const beforeRotation = new Map(await allRecords(stateDir));
    await first.rotateKeys(admin);
    await first.close();
    const middle = new Map(await allRecords(stateDir));
    const keys = new Set([...(await statedRecords(stateDir)).values()].map(({ dataKey }) => dataKey));
    // Some are under the new key and some are not, and the header knows both.
    expect(keys).toEqual(new Set([1, 2]));
    const bringBack = await keep(folder);
    const attempt = async () => {
      const read: Values = new Map();
      const codes = new Set<string>();
      try {
        const { engine } = await openEngine(folder);
        for (const { name, versions } of await engine.list(admin)) {
          for (const version of versions) {
            await engine.get(admin, name, version).then(
              ({ value }) => read.set(`${name}@${version}`, text(value)),
              ({ code }) => codes.add(code),
            );
          }
        }
        await engine.close();
      } catch (error) {
        codes.add((error as { code: string }).code);
      }
      return { read, codes: [...codes] };
    };
    // The past of one head, and each record with a bit changed, in its header, its nonce and its tag.
    const [head] = [...activated].find(
      ([key, record]) => key[0] === 's' && !record.equals(middle.get(key) as Buffer),
    ) ?? [''];
    const attacks: [string, Buffer][] = [[head, activated.get(head) as Buffer]];
    for (const [key, record] of middle) {
      if (key === '\0') continue;
      for (const at of [8, 12, 13, 24, 30, record.length - 1]) {
        const changed = Buffer.from(record);
        changed[at] = (changed[at] as number) ^ 3;
        attacks.push([key, changed]);
      }
    }
    for (const [key, record] of attacks) {
      await replaceRecords(stateDir, [[key, record]]);
      const { read, codes } = await attempt();
      expect([key[0], codes]).toEqual([key[0], [expect.stringMatching(/^(tampered|wrong_root_key)$/)]]);
      for (const [at, value] of read) expect(value).toBe(values.get(at));
      await bringBack();
    }
    // A record as it was before it was re-encrypted says the same as after: it is taken, and re-encrypted again.
    const rewritten = [...middle].filter(([key, record]) => key[0] === 'm' && statedOf(record).dataKey === 2);
    expect(rewritten).toHaveLength(1);
    await replaceRecords(
      stateDir,
      rewritten.map(([key]) => [key, beforeRotation.get(key) as Buffer]),
    );
    const { engine } = await openEngine(folder);
    await rotated(engine);
    expect(await readAll(engine)).toEqual(values);
    expect((await engine.info(admin, 's/0')).activeVersion).toBe(2);
  });
});

describe('keys', () => {
  it('are for who administers everything', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.applyPolicy(admin, [{ to: ['token:part'], actions: ['admin', 'get'], secrets: ['part/*'] }]);
    for (const caller of [token('none'), token('part')]) {
      expect(await codeOf(engine.keys(caller))).toBe('access_denied');
      expect(await codeOf(engine.rotation(caller))).toBe('access_denied');
      expect(await codeOf(engine.rotateKeys(caller))).toBe('access_denied');
      expect(await codeOf(engine.rotateKeys(caller, { root: true }))).toBe('access_denied');
    }
    expect((await engine.keys(admin)).dataKeys.map(({ id }) => id)).toEqual([1]);
    const denied = (await auditEntries(stateDir)).filter(({ authorized }) => !authorized);
    expect(denied.map(({ action }) => action)).toEqual(
      Array(2).fill(['list-keys', 'list-keys', 'rotate-data-key', 'rotate-root-key']).flat(),
    );
    await engine.applyPolicy(admin, [{ to: ['token:all'], actions: ['admin'], secrets: ['*'] }]);
    // Where the root key lies is for those to say who have the machine.
    const elsewhere = { root: true, to: 'file:/nowhere/root.key' };
    expect(await codeOf(engine.rotateKeys(token('all'), elsewhere))).toBe('access_denied');
    await engine.rotateKeys(token('all'));
    expect((await engine.keys(token('all'))).dataKeys.at(-1)?.id).toBe(2);
  });

  it('are changed in the sight of the audit log, and the server destroys in its own name', async () => {
    const { engine, stateDir, notices } = await openEngine();
    await engine.rotateKeys(admin, {}, { operation: 'op-1' });
    await rotated(engine);
    await engine.rotateKeys(admin, { root: true }, { operation: 'op-2' });
    await engine.keys(admin);
    await engine.close();
    const entries = (await auditEntries(stateDir)).filter(
      ({ action }) => action.endsWith('-key') || action === 'list-keys',
    );
    const told = entries.map(({ action, phase, principal, operation, target }) => [
      action,
      phase,
      principal.id,
      operation?.startsWith('op-') ? operation : undefined,
      target,
    ]);
    expect(told.filter(([action]) => action !== 'list-keys')).toEqual([
      ['rotate-data-key', 'intent', 'socket', 'op-1', '2'],
      ['rotate-data-key', 'outcome', 'socket', 'op-1', '2'],
      ['destroy-data-key', 'intent', 'server', undefined, '1'],
      ['destroy-data-key', 'outcome', 'server', undefined, '1'],
      ['rotate-root-key', 'intent', 'socket', 'op-2', undefined],
      ['rotate-root-key', 'outcome', 'socket', 'op-2', undefined],
    ]);
    expect(told.at(-1)).toEqual(['list-keys', undefined, 'socket', undefined, undefined]);
    expect(notices.join()).toMatch('the data key 1 any more; it is destroyed');
    expect(await verifyLog(auditPath(stateDir), engine)).toMatchObject({ openIntents: [] });
  });

  it('are changed once, however often the same operation is sent', async () => {
    const { engine, folder } = await openEngine();
    const change = { operation: 'once' };
    await Promise.all([1, 2, 3].map(() => engine.rotateKeys(admin, {}, change)));
    await rotated(engine);
    const { engine: again } = await engine.close().then(() => openEngine(folder));
    const { dataKeys } = await again.rotateKeys(admin, {}, change);
    expect(dataKeys.map(({ id }) => id)).toEqual([2]);
    expect(await codeOf(again.rotateKeys(admin, { root: true }, change))).toBe('operation_reused');
  });
});
