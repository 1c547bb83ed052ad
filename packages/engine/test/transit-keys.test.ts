import { describe, expect, it } from 'vitest';
import { publicSigningKeyOf } from '../src/crypto/signing-key.js';
import { type Engine, type NewTransitKey, SERVER } from '../src/index.js';
import { auditEntries } from './audit-file.js';
import { backupTo, restoreIn } from './backup-support.js';
import { allRecords, firstKey, removeRecord, replaceRecords } from './store-file.js';
import { admin, bytes, codeOf, newTransitKey, openEngine, token } from './support.js';

const alice = token('alice');
const FULL = { storage: { minFreeBytes: Number.MAX_SAFE_INTEGER } };

/** A ring with these keys, the last one current. */
async function withKeys(
  count: number,
): Promise<Awaited<ReturnType<typeof openEngine>> & { keys: NewTransitKey[] }> {
  const opened = await openEngine();
  const keys = Array.from({ length: count }, () => newTransitKey());
  for (const key of keys) await opened.engine.addTransitKey(SERVER, key);
  return { ...opened, keys };
}

const ringOf = (engine: Engine, backend = 'nats-kv') =>
  engine.transitKeys(backend).map(({ publicKey, seed }) => ({ publicKey, seed: Buffer.from(seed) }));

const pairOf = ({ publicKey, seed }: NewTransitKey) => ({ publicKey, seed });

describe('a ring of transit keys', () => {
  it('has the newest first, and is there after a restart', async () => {
    const { engine, folder, keys } = await withKeys(3);
    const expected = keys.toReversed().map(pairOf);
    expect(ringOf(engine)).toEqual(expected);
    await engine.close();
    const { engine: again } = await openEngine(folder);
    expect(ringOf(again)).toEqual(expected);
  });

  it('is the backend’s own, and empty where there is none', async () => {
    const { engine } = await openEngine();
    const [kv, vault] = [newTransitKey(), newTransitKey('vault')];
    await engine.addTransitKey(SERVER, kv);
    await engine.addTransitKey(SERVER, vault);
    expect([ringOf(engine), ringOf(engine, 'vault'), ringOf(engine, 'kube')]).toEqual([
      [pairOf(kv)],
      [pairOf(vault)],
      [],
    ]);
    const all = (await engine.listTransitKeys(admin)).map(({ backend, current }) => [backend, current]);
    expect(all).toEqual([
      ['nats-kv', true],
      ['vault', true],
    ]);
  });

  it('is listed without seeds: when each was made, by whom, and which hosts are told', async () => {
    const now = new Date('2031-01-01T00:00:00Z');
    const { engine } = await openEngine(undefined, { now: () => now });
    const [first, second] = [newTransitKey(), newTransitKey()];
    await engine.addTransitKey(SERVER, first);
    const made = await engine.addTransitKey(admin, second);
    const common = { backend: 'nats-kv', createdAt: now };
    expect(made).toEqual({ ...common, publicKey: second.publicKey, createdBy: 'socket', current: true });
    expect(await engine.listTransitKeys(admin, 'nats-kv')).toEqual([
      made,
      { ...common, publicKey: first.publicKey, createdBy: 'server', current: false },
    ]);
  });

  it('gives each asker a copy of the seeds, to be wiped', async () => {
    const { engine, keys } = await withKeys(1);
    for (const { seed } of engine.transitKeys('nats-kv')) seed.fill(0);
    expect(ringOf(engine)).toEqual(keys.map(pairOf));
  });

  it('loses a key that is retired, for good, whoever brings it again', async () => {
    const { engine, folder, keys } = await withKeys(2);
    const [old, current] = keys as [NewTransitKey, NewTransitKey];
    await engine.retireTransitKey(admin, old);
    expect(ringOf(engine)).toEqual([pairOf(current)]);
    await engine.retireTransitKey(admin, old);
    expect(await codeOf(engine.addTransitKey(SERVER, old))).toBe('conflict');
    await engine.close();
    const { engine: again } = await openEngine(folder);
    expect(ringOf(again)).toEqual([pairOf(current)]);
    expect(await codeOf(again.addTransitKey(admin, old))).toBe('conflict');
  });

  it('keeps its current key: that one is never retired', async () => {
    const { engine, keys } = await withKeys(2);
    const [old, current] = keys as [NewTransitKey, NewTransitKey];
    expect(await codeOf(engine.retireTransitKey(admin, current))).toBe('invalid_argument');
    await engine.retireTransitKey(admin, old);
    expect(await codeOf(engine.retireTransitKey(admin, current))).toBe('invalid_argument');
    expect(await codeOf(engine.retireTransitKey(admin, newTransitKey()))).toBe('not_found');
    expect(await codeOf(engine.retireTransitKey(admin, { ...old, backend: 'vault' }))).toBe('not_found');
  });

  it('has its first key from the server, and from nobody who mistypes a name', async () => {
    const { engine } = await openEngine();
    expect(await codeOf(engine.addTransitKey(admin, newTransitKey()))).toBe('not_found');
    await engine.addTransitKey(SERVER, newTransitKey());
    await engine.addTransitKey(admin, newTransitKey());
    expect(await codeOf(engine.addTransitKey(admin, newTransitKey('nats-vk')))).toBe('not_found');
    expect((await engine.listTransitKeys(admin)).map(({ backend }) => backend)).toEqual([
      'nats-kv',
      'nats-kv',
    ]);
  });

  it('takes the current key again without a change, and not one that was replaced', async () => {
    const { engine, stateDir, keys } = await withKeys(2);
    const [old, current] = keys as [NewTransitKey, NewTransitKey];
    const intents = async () =>
      (await auditEntries(stateDir)).filter(({ phase }) => phase === 'intent').length;
    const before = await intents();
    await engine.addTransitKey(admin, current);
    expect(await codeOf(engine.addTransitKey(admin, old))).toBe('conflict');
    expect(await intents()).toBe(before);
  });

  it('takes no more keys than a request can be tried with', async () => {
    const { engine, keys } = await withKeys(32);
    expect(await codeOf(engine.addTransitKey(admin, newTransitKey()))).toBe('conflict');
    await engine.retireTransitKey(admin, keys[0] as NewTransitKey);
    await engine.addTransitKey(admin, newTransitKey());
    expect(engine.transitKeys('nats-kv')).toHaveLength(32);
  });

  it('refuses a name that is no token of a subject, a key that is no xkey, and another key’s seed', async () => {
    const { engine } = await openEngine();
    const key = newTransitKey();
    const wrong: NewTransitKey[] = [
      ...['', 'a.b', 'a b', '>', '*', 'ä', 'a\n', 'a'.repeat(129)].map((backend) => ({ ...key, backend })),
      ...['', `U${'A'.repeat(55)}`, `SX${'A'.repeat(56)}`].map((publicKey) => ({ ...key, publicKey })),
      { ...key, seed: key.seed.subarray(1) },
      { ...key, seed: newTransitKey().seed },
    ];
    for (const one of wrong) expect(await codeOf(engine.addTransitKey(admin, one))).toBe('invalid_argument');
    expect(engine.transitKeys('nats-kv')).toEqual([]);
  });

  it('tells who listens of each change as it becomes true, and of nothing else', async () => {
    const { engine } = await openEngine();
    const seen: number[] = [];
    const end = engine.onTransitChange(() => seen.push(engine.transitKeys('nats-kv').length));
    const [old, current] = [newTransitKey(), newTransitKey()];
    await engine.addTransitKey(SERVER, old);
    await engine.addTransitKey(admin, current);
    await engine.addTransitKey(admin, current, { operation: 'changes-nothing' });
    await engine.revoke(admin, { jti: 'J' });
    await engine.retireTransitKey(admin, old);
    end();
    await engine.addTransitKey(admin, newTransitKey());
    expect(seen).toEqual([1, 2, 1]);
  });

  it('is for unscoped administrators and the server only, and all of it is logged, without a seed', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.applyPolicy(admin, [{ to: ['token:alice'], actions: ['admin'], secrets: ['prod/*'] }]);
    const [old, current] = [newTransitKey(), newTransitKey()];
    await engine.addTransitKey(SERVER, old);
    await engine.addTransitKey(admin, current);
    expect(await codeOf(engine.addTransitKey(alice, newTransitKey('vault')))).toBe('access_denied');
    expect(await codeOf(engine.retireTransitKey(alice, old))).toBe('access_denied');
    expect(await codeOf(engine.listTransitKeys(alice))).toBe('access_denied');
    await engine.listTransitKeys(admin, 'nats-kv');
    await engine.retireTransitKey(admin, old);
    const entries = (await auditEntries(stateDir)).filter(({ action }) => /transit/.test(action));
    const ofOld = `nats-kv ${old.publicKey}`;
    expect(
      entries.map(({ action, authorized, phase, target }) => [action, authorized, phase, target]),
    ).toEqual([
      ['add-transit-key', true, 'intent', ofOld],
      ['add-transit-key', true, 'outcome', ofOld],
      ['add-transit-key', true, 'intent', `nats-kv ${current.publicKey}`],
      ['add-transit-key', true, 'outcome', `nats-kv ${current.publicKey}`],
      ['add-transit-key', false, undefined, expect.stringMatching(/^vault X/)],
      ['retire-transit-key', false, undefined, ofOld],
      ['list-transit-keys', false, undefined, undefined],
      ['list-transit-keys', true, undefined, 'nats-kv'],
      ['retire-transit-key', true, 'intent', ofOld],
      ['retire-transit-key', true, 'outcome', ofOld],
    ]);
    const log = JSON.stringify(entries);
    for (const { seed } of [old, current]) {
      for (const form of ['base64', 'hex'] as const)
        expect(log).not.toContain(Buffer.from(seed).toString(form));
    }
  });

  it('has one new key when the same rotation is asked for again with another', async () => {
    const { engine } = await withKeys(1);
    const change = { operation: 'rotate' };
    const made = await engine.addTransitKey(admin, newTransitKey(), change);
    expect(await engine.addTransitKey(admin, newTransitKey(), change)).toEqual(made);
    expect(engine.transitKeys('nats-kv')).toHaveLength(2);
    expect(await codeOf(engine.addTransitKey(admin, newTransitKey('vault'), change))).toBe(
      'operation_reused',
    );
  });

  it('loses a key though the disk has less room than is to stay free', async () => {
    const { engine: before, folder, keys } = await withKeys(2);
    await before.close();
    const { engine } = await openEngine(folder, FULL);
    expect(await codeOf(engine.put(admin, 'a', bytes('v')))).toBe('storage_full');
    await engine.retireTransitKey(admin, keys[0] as NewTransitKey);
    expect(engine.transitKeys('nats-kv')).toHaveLength(1);
  });
});

describe('the seeds of transit keys', () => {
  it('are in no record in clear, and gone from the store with the key', async () => {
    const { engine, stateDir, keys } = await withKeys(2);
    const sizes = async () =>
      (await allRecords(stateDir)).filter(([key]) => key.startsWith('p')).map(([, { length }]) => length);
    const before = await sizes();
    await engine.retireTransitKey(admin, keys[0] as NewTransitKey);
    const after = await sizes();
    await engine.close();
    const content = (await allRecords(stateDir)).map(([, record]) => record.toString('latin1')).join('\n');
    for (const { seed, publicKey } of keys) {
      for (const form of ['latin1', 'base64', 'hex'] as const) {
        expect(content).not.toContain(Buffer.from(seed).toString(form));
      }
      expect(content).not.toContain(publicKey);
    }
    expect(before[0]).toBe(before[1]);
    const retiredAt = ',"retiredAt":"2031-01-01T00:00:00.000Z"'.length;
    expect(after.toSorted((a, b) => a - b)[1]).toBe((before[0] as number) - 33 + retiredAt);
  });

  it('survive a change of the data key, under which they are then', async () => {
    const { engine, folder, keys } = await withKeys(2);
    await engine.rotateKeys(admin);
    await expect.poll(() => engine.rotation(admin)).toBeUndefined();
    expect((await engine.keys(admin)).dataKeys).toMatchObject([{ id: 2, state: 'active' }]);
    const expected = keys.toReversed().map(pairOf);
    expect(ringOf(engine)).toEqual(expected);
    await engine.close();
    const { engine: again } = await openEngine(folder);
    expect(ringOf(again)).toEqual(expected);
  });

  it('are in a backup, and what was retired since is retired in what is restored', async () => {
    const { engine, folder, stateDir, keys } = await withKeys(3);
    const [first, second, third] = keys as [NewTransitKey, NewTransitKey, NewTransitKey];
    const path = await backupTo(engine, folder);
    const added = newTransitKey();
    await engine.addTransitKey(admin, added);
    await engine.retireTransitKey(admin, first);
    await engine.retireTransitKey(admin, third);
    await engine.close();

    const asItWas = await restoreIn(folder, path, { stateDir: `${folder}/as-it-was` });
    expect(asItWas.transitKeysRetired).toEqual([]);
    const { engine: old } = await openEngine(folder, { stateDir: `${folder}/as-it-was` });
    expect(ringOf(old)).toEqual(keys.toReversed().map(pairOf));

    for (const [name, mergeFrom] of Object.entries({ state: stateDir, log: `${stateDir}/audit` })) {
      const target = { stateDir: `${folder}/merged-with-${name}` };
      const merged = await restoreIn(folder, path, { ...target, mergeFrom: [mergeFrom] });
      expect(merged.transitKeysRetired.map(({ publicKey }) => publicKey).sort()).toEqual(
        [first.publicKey, third.publicKey].sort(),
      );
      const { engine: restored } = await openEngine(folder, target);
      expect(ringOf(restored)).toEqual([pairOf(second)]);
      expect(await codeOf(restored.addTransitKey(SERVER, third))).toBe('conflict');
    }
  });

  it('cannot be taken away, put back or exchanged by who has the disk', async () => {
    const { engine, folder, stateDir } = await withKeys(1);
    await engine.close();
    const before = await allRecords(stateDir);
    const key = await firstKey(stateDir, 'p');
    await removeRecord(stateDir, key);
    expect(await codeOf(openEngine(folder))).toBe('tampered');
    await replaceRecords(stateDir, before);

    const { engine: second } = await openEngine(folder);
    const [old] = second.transitKeys('nats-kv');
    await second.addTransitKey(admin, newTransitKey());
    await second.retireTransitKey(admin, { backend: 'nats-kv', publicKey: old?.publicKey as string });
    await second.close();
    const after = await allRecords(stateDir);
    const [, retired] = after.find(([one]) => one === key.toString('latin1')) as [string, Buffer];
    const [, live] = before.find(([one]) => one === key.toString('latin1')) as [string, Buffer];
    // The revision is not sealed: the record's own place in the order of changes must not matter.
    const revived = Buffer.concat([retired.subarray(0, 8), live.subarray(8)]);
    await replaceRecords(stateDir, [[key.toString('latin1'), revived]]);
    expect(await codeOf(openEngine(folder))).toBe('tampered');

    const other = after.find(([one]) => one.startsWith('p') && one !== key.toString('latin1'));
    await replaceRecords(stateDir, [[key.toString('latin1'), (other as [string, Buffer])[1]]]);
    expect(await codeOf(openEngine(folder))).toBe('tampered');
    await replaceRecords(stateDir, after);
    const { engine: whole } = await openEngine(folder);
    expect(whole.transitKeys('nats-kv')).toHaveLength(1);
  });
});

describe('keys with which a backend signs', () => {
  const signing = () => {
    const { backend, seed } = newTransitKey('vault');
    return { backend, seed, publicKey: publicSigningKeyOf(seed) };
  };
  const signersOf = (engine: Engine) => engine.signingKeys('vault').map(({ publicKey }) => publicKey);

  it('are a ring of their own, with letters and seeds that belong together', async () => {
    const { engine, folder } = await openEngine();
    const [sealing, first, second] = [newTransitKey('vault'), signing(), signing()];
    for (const key of [sealing, first]) await engine.addTransitKey(SERVER, key);
    expect(await engine.addTransitKey(admin, second)).toMatchObject({ current: true });
    const mixed = { ...first, publicKey: second.publicKey };
    expect(await codeOf(engine.addTransitKey(admin, mixed))).toBe('invalid_argument');
    expect(await codeOf(engine.retireTransitKey(admin, second))).toBe('invalid_argument');
    expect(await codeOf(engine.addTransitKey(alice, signing()))).toBe('access_denied');
    await engine.close();
    const { engine: again } = await openEngine(folder);
    expect(signersOf(again)).toEqual([second.publicKey, first.publicKey]);
    expect(again.signingKeys('vault').map(({ seed }) => Buffer.from(seed))).toEqual([
      Buffer.from(second.seed),
      Buffer.from(first.seed),
    ]);
    expect(ringOf(again, 'vault')).toEqual([pairOf(sealing)]);
    const listed = (await again.listTransitKeys(admin)).map(({ publicKey, current }) => [publicKey, current]);
    expect(listed).toEqual([
      [sealing.publicKey, true],
      [second.publicKey, true],
      [first.publicKey, false],
    ]);
  });

  it('are called so in the audit log, whatever is done with them', async () => {
    const { engine, stateDir } = await openEngine();
    const [first, second] = [signing(), signing()];
    await engine.addTransitKey(SERVER, first);
    await engine.addTransitKey(admin, second);
    await engine.listTransitKeys(admin, 'vault', 'signing');
    await engine.retireTransitKey(admin, first);
    expect(await codeOf(engine.addTransitKey(alice, signing()))).toBe('access_denied');
    const done = (await auditEntries(stateDir)).filter(
      ({ action, phase }) => /-keys?$/.test(action) && phase !== 'intent',
    );
    expect(done.map(({ action, target }) => [action, target])).toEqual([
      ['add-signing-key', `vault ${first.publicKey}`],
      ['add-signing-key', `vault ${second.publicKey}`],
      ['list-signing-keys', 'vault'],
      ['retire-signing-key', `vault ${first.publicKey}`],
      ['add-signing-key', expect.stringMatching(/^vault N/)],
    ]);
  });

  it('are in a backup, and what was retired since is retired in what is restored, by the log alone too', async () => {
    const { engine, folder, stateDir } = await openEngine();
    const [first, second] = [signing(), signing()];
    for (const key of [first, second]) await engine.addTransitKey(SERVER, key);
    const path = await backupTo(engine, folder);
    await engine.retireTransitKey(admin, first);
    await engine.close();
    for (const [name, mergeFrom] of Object.entries({ state: stateDir, log: `${stateDir}/audit` })) {
      const target = { stateDir: `${folder}/merged-with-${name}` };
      const merged = await restoreIn(folder, path, { ...target, mergeFrom: [mergeFrom] });
      expect(merged.transitKeysRetired).toEqual([{ backend: 'vault', publicKey: first.publicKey }]);
      const { engine: restored } = await openEngine(folder, target);
      expect(signersOf(restored)).toEqual([second.publicKey]);
    }
  });
});
