import { describe, expect, it } from 'vitest';
import { generationOf } from '../src/crypto/records.js';
import { CofferError, type Engine, type KeysInfo, parseRootKey } from '../src/index.js';
import { HEAD_PREFIX } from '../src/keys.js';
import { auditEntries } from './audit-file.js';
import { Instances, type TestInstance } from './instances.js';
import { admin, bytes, codeOf, text, token } from './support.js';

const reader = token('reader');
const grant = { to: ['token:reader'], actions: ['get'], secrets: ['*'] } as const;

describe('several instances on one store', () => {
  it('read what any of them has written', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    expect(text((await b.engine.get(admin, 'db')).value)).toBe('one');
    expect(await b.engine.put(admin, 'db', bytes('two'))).toBe(2);
    await b.engine.activate(admin, 'db', 2);
    expect(text((await a.engine.get(admin, 'db')).value)).toBe('two');
    expect(await a.engine.list(admin)).toEqual(await b.engine.list(admin));
  });

  it('lose none of the changes that they make at the same moment', async () => {
    const instances = await Instances.make();
    const [a, b, c] = await instances.openAll('a', 'b', 'c');
    const values = Array.from({ length: 30 }, (_, index) => `value ${index}`);
    const made = await Promise.all(
      values.map((value, index) => [a, b, c][index % 3]?.engine.put(admin, 'hot', bytes(value))),
    );
    expect(new Set(made).size).toBe(30);
    for (const [index, version] of made.entries()) {
      const found = await b.engine.get(admin, 'hot', version);
      expect(text(found.value)).toBe(values[index]);
    }
  });

  it('open again on their own replicas, and catch up on what they missed', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    await b.engine.close();
    await a.engine.put(admin, 'db', bytes('two'));
    await a.engine.activate(admin, 'db', 2);
    await a.engine.put(admin, 'new', bytes('x'));
    await a.engine.applyPolicy(admin, [grant]);
    const again = await instances.open('b');
    await again.storage.passed();
    expect(text((await again.engine.get(reader, 'db')).value)).toBe('two');
    expect((await again.engine.list(admin)).map(({ name }) => name)).toEqual(['db', 'new']);
  });

  it('have the same grants, tokens and revocations', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    expect(await codeOf(b.engine.get(reader, 'db'))).toBe('access_denied');
    await a.engine.applyPolicy(admin, [grant]);
    expect(text((await b.engine.get(reader, 'db')).value)).toBe('one');
    await b.engine.applyPolicy(admin, []);
    expect(await codeOf(a.engine.get(reader, 'db'))).toBe('access_denied');
    const made = await a.engine.createToken(admin, { name: 'ci' });
    expect(b.engine.authenticateToken(made.token)?.id).toBe(`token:${made.info.id}`);
    await b.engine.revokeToken(admin, made.info.id);
    expect(a.engine.authenticateToken(made.token)).toBeUndefined();
    const { id } = await a.engine.revoke(admin, { jti: 'JTI1' });
    expect(b.engine.tokenRevoked('JTI1')).toBe(true);
    await b.engine.liftRevocation(admin, id);
    expect(a.engine.tokenRevoked('JTI1')).toBe(false);
  });

  it('change the policy at the same moment one after the other', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    const tokens = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        [a, b][index % 2]?.engine.createToken(admin, { name: `t${index}` }),
      ),
    );
    for (const made of tokens) {
      for (const { engine } of [a, b]) expect(engine.authenticateToken(made?.token ?? '')).toBeDefined();
    }
    expect(await a.engine.listTokens(admin)).toHaveLength(10);
  });

  it('make an operation once that is asked for at two of them', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    const operation = 'the-same';
    b.storage.hold();
    expect(await a.engine.put(admin, 'db', bytes('one'), { operation })).toBe(1);
    const again = b.engine.put(admin, 'db', bytes('one'), { operation });
    await b.storage.release();
    expect(await again).toBe(1);
    await a.engine.put(admin, 'db', bytes('two'));
    expect(await b.engine.put(admin, 'db', bytes('one'), { operation })).toBe(1);
    expect((await b.engine.info(admin, 'db')).versions).toEqual([1, 2]);
    b.storage.hold();
    await a.engine.createToken(admin, { name: 'ci' }, { operation });
    const twice = codeOf(b.engine.createToken(admin, { name: 'ci' }, { operation }));
    await b.storage.release();
    expect(await twice).toBe('operation_reused');
  });

  it('begin a new life of a secret that was deleted at another one', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('old'));
    await a.engine.put(admin, 'db', bytes('older'));
    b.storage.hold();
    await a.engine.delete(admin, 'db');
    const anew = b.engine.put(admin, 'db', bytes('new'));
    await b.storage.release();
    expect(await anew).toBe(1);
    expect(await a.engine.info(admin, 'db')).toEqual({ name: 'db', versions: [1], activeVersion: 1 });
    expect(text((await a.engine.get(admin, 'db')).value)).toBe('new');
  });
});

describe('two instances that make the same store', () => {
  it('make one', async () => {
    const instances = await Instances.make();
    const [a, b] = await Promise.all([instances.open('a'), instances.open('b')]);
    expect(a.engine.serverKey).toBe(b.engine.serverKey);
    await a.engine.put(admin, 'db', bytes('one'));
    expect(text((await b.engine.get(admin, 'db')).value)).toBe('one');
  });
});

describe('an instance that is cut off', () => {
  it('answers nothing that is too old, and refuses nobody for it', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    await a.engine.applyPolicy(admin, [grant]);
    b.storage.goStale();
    for (const refused of [
      b.engine.get(admin, 'db'),
      b.engine.getIfChanged(admin, 'db', 1),
      b.engine.getMany(admin, [{ name: 'db' }]),
      b.engine.list(admin),
      b.engine.info(admin, 'none'),
      b.engine.get(token('nobody'), 'db'),
      b.engine.policy(admin),
      b.engine.listTokens(admin),
      b.engine.put(admin, 'db', bytes('one')),
    ]) {
      expect(await codeOf(refused)).toBe('stale');
    }
    b.storage.freshen();
    expect(text((await b.engine.get(reader, 'db')).value)).toBe('one');
  });

  it('says of no change that there is nothing to do, as far as it knows', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    const give = { to: ['token:reader'], actions: ['get'], secrets: ['*'] } as const;
    for (const value of ['one', 'two']) await a.engine.put(admin, 'db', bytes(value));
    await a.engine.put(admin, 'same', bytes('same'));
    await b.storage.passed();
    b.storage.hold();
    await a.engine.activate(admin, 'db', 2);
    await a.engine.delete(admin, 'same');
    await a.engine.put(admin, 'new', bytes('new'));
    await a.engine.applyPolicy(admin, [give]);
    let ofB = 0;
    instances.store.onCommit = (name) => {
      if (name === 'b') ofB++;
    };
    const asked = Promise.all([
      b.engine.activate(admin, 'db', 1),
      b.engine.put(admin, 'same', bytes('same')),
      b.engine.delete(admin, 'new'),
      b.engine.applyPolicy(admin, []),
    ]);
    await expect.poll(() => ofB).toBe(4);
    await b.storage.release();
    await asked;
    await a.storage.passed();
    expect((await a.engine.info(admin, 'db')).activeVersion).toBe(1);
    expect(text((await a.engine.get(admin, 'same')).value)).toBe('same');
    expect(await codeOf(a.engine.get(admin, 'new'))).toBe('not_found');
    expect((await a.engine.policy(admin)).grants).toEqual([]);
  });

  it('lets no answer leave that has become too old while its line was written into the log', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    b.storage.goStaleMeanwhile();
    for (const ask of [
      () => b.engine.get(admin, 'db'),
      () => b.engine.getIfChanged(admin, 'db', 0),
      () => b.engine.getMany(admin, [{ name: 'db' }]),
      () => b.engine.get(token('nobody'), 'db'),
      () => b.engine.list(admin),
    ]) {
      expect(await codeOf(ask())).toBe('stale');
    }
    b.storage.freshen();
    expect(text((await b.engine.get(admin, 'db')).value)).toBe('one');
  });

  it('keeps what is deleted from being forgotten until it has heard of it', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    await b.engine.close();
    await a.engine.delete(admin, 'db');
    await a.engine.close();
    const heads = ({ storage }: TestInstance) => [...storage.scan(HEAD_PREFIX)].length;
    const inTwoDays = { now: () => new Date(Date.now() + 48 * 60 * 60 * 1_000) };
    const again = await instances.open('a', inTwoDays);
    expect(heads(again)).toBe(1);
    const back = await instances.open('b', inTwoDays);
    await back.storage.passed();
    await Promise.all([again.engine.close(), back.engine.close()]);
    expect(heads(await instances.open('a', inTwoDays))).toBe(0);
  });

  it('has each life of a secret above those before, though nobody remembers them', async () => {
    const instances = await Instances.make();
    const a = await instances.open('a');
    const names = Array.from({ length: 8 }, (_, index) => `db/${index}`);
    const generations = ({ storage }: TestInstance) =>
      [...storage.scan(HEAD_PREFIX)].map(([, { bytes }]) => generationOf(Buffer.from(bytes)));
    for (const name of names) await a.engine.put(admin, name, bytes('first life'));
    for (const name of names) await a.engine.put(admin, name, bytes('and more'));
    const first = generations(a);
    for (const name of names) await a.engine.delete(admin, name);
    await a.engine.close();
    const now = () => new Date(Date.now() + 48 * 60 * 60 * 1_000);
    const forgetful = await instances.open('a', { now });
    expect(generations(forgetful)).toEqual([]);
    for (const name of names) await forgetful.engine.put(admin, name, bytes('second life'));
    const second = generations(forgetful);
    for (const [index, generation] of first.entries()) expect(second[index]).toBeGreaterThan(generation);
    expect(second.every(Number.isSafeInteger)).toBe(true);
  });

  it('shows its own audit log when it is cut off, to who came in by the machine itself', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.applyPolicy(admin, [{ to: ['token:auditor'], actions: ['admin'], secrets: ['*'] }]);
    b.storage.goStale();
    expect((await b.engine.auditHead(admin)).head.seq).toBeGreaterThan(0);
    const lines: string[] = [];
    for await (const piece of b.engine.audit(admin, {})) lines.push(text(piece));
    expect(lines.join('')).toContain('"action":"read-audit"');
    // Whoever was given its right may have lost it since.
    expect(await codeOf(b.engine.auditHead(token('auditor')))).toBe('stale');
    expect(await codeOf(b.engine.audit(token('auditor'), {}).next())).toBe('stale');
  });

  it('forgets no member and moves no store for whoever may have lost the right to, which it does not know', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.applyPolicy(admin, [{ to: ['token:leaver'], actions: ['admin'], secrets: ['*'] }]);
    b.storage.goStale();
    expect(await codeOf(b.engine.forgetMember(token('leaver'), 'a'))).toBe('stale');
    expect(await codeOf(b.engine.setStorageReplicas(token('leaver'), 1))).toBe('stale');
    // What answers here is that the fixture has no servers.
    expect(await codeOf(b.engine.forgetMember(admin, 'a'))).toBe('unavailable');
  });

  it('answers 503 at once to who changes something while the store is away', async () => {
    const instances = await Instances.make();
    const [a] = await instances.openAll('a');
    await a.engine.put(admin, 'db', bytes('one'));
    instances.store.outage = new CofferError('unavailable', 'no servers are here');
    expect(await codeOf(a.engine.put(admin, 'db', bytes('two')))).toBe('unavailable');
    expect(text((await a.engine.get(admin, 'db')).value)).toBe('one');
    instances.store.outage = undefined;
    expect(await a.engine.put(admin, 'db', bytes('two'))).toBe(2);
  });
});

describe('a watch at one instance', () => {
  it('is told once of each change that another one makes, and of its own', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    const events = b.engine.watch(admin);
    const next = async () => (await events.next()).value;
    expect(await next()).toMatchObject({ kind: 'ready' });
    await a.engine.put(admin, 'db', bytes('one'));
    expect(await next()).toMatchObject({ kind: 'change', secret: { name: 'db', versions: [1] } });
    await b.engine.put(admin, 'own', bytes('x'));
    expect(await next()).toMatchObject({ kind: 'change', secret: { name: 'own' } });
    await a.engine.delete(admin, 'db');
    expect(await next()).toMatchObject({ kind: 'delete', name: 'db' });
    await a.engine.put(admin, 'last', bytes('x'));
    expect(await next()).toMatchObject({ kind: 'change', secret: { name: 'last' } });
  });

  it('ends when its right is taken away at another one', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.applyPolicy(admin, [grant]);
    const events = b.engine.watch(reader);
    expect((await events.next()).value).toMatchObject({ kind: 'ready' });
    const end = events.next();
    await a.engine.applyPolicy(admin, []);
    expect((await end).value).toMatchObject({ kind: 'end', code: 'access_denied' });
  });
});

describe('a watch at an instance that is cut off', () => {
  it('ends when there would be something to say', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    const events = b.engine.watch(admin, { heartbeatMs: 50 });
    expect((await events.next()).value).toMatchObject({ kind: 'ready' });
    expect((await events.next()).value).toMatchObject({ kind: 'heartbeat' });
    b.storage.goStale();
    expect((await events.next()).value).toMatchObject({ kind: 'end', code: 'stale' });
    expect(await codeOf(b.engine.watch(admin).next())).toBe('stale');
    void a;
  });
});

describe('keys', () => {
  const settled = (...engines: Engine[]) =>
    expect
      .poll(async () => (await Promise.all(engines.map((engine) => engine.keys(admin)))).map(keysLeft), {
        timeout: 20_000,
      })
      .toEqual(engines.map(() => 1));
  const keysLeft = ({ dataKeys }: KeysInfo) => dataKeys.length;

  it('are rotated while all serve, and the old one is destroyed when nothing is under it', async () => {
    const instances = await Instances.make();
    const [a, b, c] = await instances.openAll('a', 'b', 'c');
    for (let index = 0; index < 50; index++) await a.engine.put(admin, `s${index}`, bytes(`value ${index}`));
    await b.engine.rotateKeys(admin);
    const failed: unknown[] = [];
    let serving = true;
    const load = [a, b, c].map(async ({ engine }, which) => {
      for (let index = 0; serving; index++) {
        const name = `s${(index * 7 + which) % 50}`;
        try {
          if (index % 5 === 0) await engine.put(admin, name, bytes(`at ${which} ${index}`));
          await engine.get(admin, name);
        } catch (error) {
          failed.push(error);
        }
      }
    });
    await settled(a.engine, b.engine, c.engine);
    serving = false;
    await Promise.all(load);
    expect(failed).toEqual([]);
    const { dataKeys, rotation } = await c.engine.keys(admin);
    expect(dataKeys).toMatchObject([{ id: 2, state: 'active' }]);
    expect(rotation).toBeUndefined();
    for (const { engine } of [a, b, c])
      expect(text((await engine.get(admin, 's3', 1)).value)).toBe('value 3');
  });

  it('are rotated to the end by another instance when the one that does it goes', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    for (let index = 0; index < 300; index++) await a.engine.put(admin, `s${index}`, bytes(`value ${index}`));
    await b.engine.rotateKeys(admin);
    await a.engine.close();
    instances.store.forget('a');
    await settled(b.engine);
    expect(text((await b.engine.get(admin, 's7')).value)).toBe('value 7');
  });

  it('are kept as long as an instance is away whose replica is under them', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    await b.engine.close();
    await a.engine.rotateKeys(admin);
    const counts = async () => (await a.engine.keys(admin)).dataKeys.map(({ records }) => records);
    await expect.poll(counts, { timeout: 10_000 }).toEqual([0, 3]);
    await a.engine.put(admin, 'more', bytes('x'));
    expect(await counts()).toHaveLength(2);
    const again = await instances.open('b');
    await settled(a.engine, again.engine);
    expect(text((await again.engine.get(admin, 'db')).value)).toBe('one');
  });

  it('that came while an instance was away open what came before them', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    await a.engine.createToken(admin, { name: 'ci' });
    await b.engine.close();
    instances.store.forgetConfirmation('b');
    await a.engine.rotateKeys(admin);
    await settled(a.engine);
    await a.engine.put(admin, 'db', bytes('two'));
    const again = await instances.open('b');
    await again.storage.passed();
    expect(text((await again.engine.get(admin, 'db', 2)).value)).toBe('two');
    expect(await again.engine.listTokens(admin)).toHaveLength(1);
    await again.engine.put(admin, 'db', bytes('three'));
    expect(text((await a.engine.get(admin, 'db', 3)).value)).toBe('three');
    await again.engine.close();
    await instances.open('b');
  });

  it('changed at the same moment at two instances are changed one after the other', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await Promise.all([a.engine.rotateKeys(admin), b.engine.rotateKeys(admin)]);
    await settled(a.engine, b.engine);
    expect((await a.engine.keys(admin)).dataKeys).toMatchObject([{ id: 3 }]);
  });
});

describe('a root key that is changed at one instance', () => {
  it('leaves the others at work, which say so, and is found where it is given to them', async () => {
    const instances = await Instances.make();
    const a = await instances.open('a', { rootKey: await instances.ownRootKey('a') });
    const b = await instances.open('b', { rootKey: await instances.ownRootKey('b') });
    await a.engine.put(admin, 'db', bytes('one'));
    await a.engine.rotateKeys(admin, { root: true });
    expect(b.notices.join()).toContain('root key of this store was changed at another instance');
    expect((await b.engine.keys(admin)).lacksRootKey).toBe(true);
    expect((await a.engine.keys(admin)).lacksRootKey).toBe(false);
    expect(await b.engine.put(admin, 'db', bytes('two'))).toBe(2);
    expect(text((await b.engine.get(admin, 'db')).value)).toBe('one');
    expect(await codeOf(b.engine.rotateKeys(admin))).toBe('conflict');
    await instances.giveRootKey('a', 'b');
    await a.engine.rotateKeys(admin);
    await a.engine.put(admin, 'new', bytes('under the new key'));
    await b.storage.passed();
    expect(text((await b.engine.get(admin, 'new')).value)).toBe('under the new key');
    await b.engine.rotateKeys(admin);
  });
});

describe('an instance without the root key', () => {
  it('reads nothing newer when the data keys are others, too, and can be closed', async () => {
    const instances = await Instances.make();
    const a = await instances.open('a', { rootKey: await instances.ownRootKey('a') });
    const b = await instances.open('b', { rootKey: await instances.ownRootKey('b') });
    await a.engine.put(admin, 'db', bytes('one'));
    await a.engine.rotateKeys(admin, { root: true });
    await a.engine.rotateKeys(admin);
    await expect.poll(() => b.notices.join()).toContain('nothing newer is read here');
    expect(text((await b.engine.get(admin, 'db')).value)).toBe('one');
    await b.engine.close();
    expect(await codeOf(instances.open('b', { rootKey: parseRootKey(`file:${b.stateDir}.key`) }))).toBe(
      'wrong_root_key',
    );
  });
});

describe('an instance that died', () => {
  it('finds what became of its changes when it comes back, though others went on', async () => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'made', bytes('one'));
    await a.engine.put(admin, 'not made', bytes('one'));
    // The change of one comes into the stream, and that of the other does not; neither hears of it.
    const before = instances.store.length;
    const never = () => new Promise<void>(() => undefined);
    instances.store.onCommit = (_, { put = [] }) => (put.length === 0 ? never() : undefined);
    instances.store.onCommitted = never;
    const ends = [
      a.engine.put(admin, 'made', bytes('two')),
      a.engine.delete(admin, 'not made'),
      a.engine.createToken(admin, { name: 'made' }),
    ].map(codeOf);
    await expect.poll(() => instances.store.length).toBe(before + 2);
    await expect.poll(async () => (await auditEntries(a.stateDir)).at(-1)?.phase).toBe('intent');
    await instances.kill(a);
    instances.store.onCommit = () => undefined;
    instances.store.onCommitted = () => undefined;
    for (let index = 0; index < 5; index++) await b.engine.put(admin, 'made', bytes(`later ${index}`));
    const again = await instances.open('a');
    const recovered = async () =>
      (await auditEntries(again.stateDir))
        .filter((entry) => entry.recovered)
        .map(({ action, secret, error }) => [action, secret, error]);
    await expect.poll(async () => (await recovered()).length, { timeout: 10_000 }).toBe(3);
    expect((await recovered()).toSorted()).toEqual([
      ['create-token', undefined, undefined],
      ['delete', 'not made', 'not_made'],
      ['put', 'made', undefined],
    ]);
    expect(await Promise.all(ends)).toEqual(['stopped', 'stopped', 'stopped']);
  });
});

describe('a change of which nobody knows whether it came true', () => {
  it.each([
    ['is in the log as made', true, undefined],
    ['is in the log as not made', false, 'not_made'],
  ])('%s when the heads tell', async (_, comes, error) => {
    const instances = await Instances.make();
    const [a, b] = await instances.openAll('a', 'b');
    await a.engine.put(admin, 'db', bytes('one'));
    const lost = () => {
      throw new CofferError('in_doubt', 'the answer was lost');
    };
    if (comes) instances.store.onCommitted = lost;
    else instances.store.onCommit = lost;
    expect(await codeOf(a.engine.put(admin, 'db', bytes('two')))).toBe('in_doubt');
    instances.store.onCommitted = () => undefined;
    instances.store.onCommit = () => undefined;
    const [intent] = (await auditEntries(a.stateDir)).slice(-1);
    expect(intent).toMatchObject({ action: 'put', phase: 'intent' });
    await b.engine.put(admin, 'db', bytes('three'));
    const outcome = async () =>
      (await auditEntries(a.stateDir)).find((entry) => entry.intent === intent?.seq) as object;
    await expect.poll(outcome, { timeout: 10_000 }).toBeDefined();
    expect(await outcome()).toMatchObject({ phase: 'outcome', ...(error && { error }) });
    expect('error' in (await outcome())).toBe(error !== undefined);
  });
});
