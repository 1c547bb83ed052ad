import { describe, expect, it } from 'vitest';

import { CofferError } from '../src/index.js';
import { Instances } from './instances.js';
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
