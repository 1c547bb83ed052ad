import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';

import {
  type Caller,
  type CofferError,
  type Engine,
  type Grant,
  type Mapping,
  NATS_PERMISSION,
} from '../src/index.js';
import { auditEntries, auditPath, verifyLog } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, text, token } from './support.js';

const key = (kind: string, letter: string) => kind + letter.repeat(55);
const [ACCOUNT, OTHER_ACCOUNT] = [key('A', 'A'), key('A', 'B')];
const shop = `component:${ACCOUNT}/${key('M', 'S')}`;
const cart = `component:self-issued/${key('M', 'C')}`;
const http = `provider:${ACCOUNT}/${key('V', 'H')}`;

/** As a host asks for it. */
const entity = (principal: string): Caller => ({
  principals: [{ id: principal, kind: principal.startsWith('component:') ? 'component' : 'provider' }],
  address: 'nats',
});
const permitted: Caller = { principals: [NATS_PERMISSION], address: 'nats' };
const alice = token('alice');

const grantOf = (principal: string, ...secrets: string[]): Grant => ({
  to: [principal],
  actions: ['get'],
  secrets,
});

const mayGet = (engine: Engine, principal: string, name: string): Promise<string> =>
  engine.get(entity(principal), name).then(
    ({ value }) => text(value),
    (error: CofferError) => error.code,
  );

const grantsOf = async (engine: Engine): Promise<Grant[]> => (await engine.policy(admin)).grants;

describe('mapping', () => {
  it('lets a component get what is named, at once, and nothing else', async () => {
    const { engine } = await openEngine();
    for (const name of ['a', 'a/b', 'b']) await engine.put(admin, name, bytes(`value of ${name}`));
    expect(await mayGet(engine, shop, 'a')).toBe('access_denied');
    await engine.mapEntity(admin, shop, ['a']);
    expect(await mayGet(engine, shop, 'a')).toBe('value of a');
    for (const name of ['a/b', 'b']) expect(await mayGet(engine, shop, name)).toBe('access_denied');
    for (const other of [shop.replace(ACCOUNT, OTHER_ACCOUNT), shop.replace(ACCOUNT, 'self-issued'), http]) {
      expect(await mayGet(engine, other, 'a')).toBe('access_denied');
    }
    expect(await codeOf(engine.info(entity(shop), 'a'))).toBe('access_denied');
    expect(await codeOf(engine.put(entity(shop), 'a', bytes('x')))).toBe('access_denied');
  });

  it('holds for a secret that comes later', async () => {
    const { engine } = await openEngine();
    await engine.mapEntity(admin, http, ['later']);
    expect(await mayGet(engine, http, 'later')).toBe('not_found');
    await engine.put(admin, 'later', bytes('here'));
    expect(await mayGet(engine, http, 'later')).toBe('here');
  });

  it('is one grant to an entity, sorted, however it was put together', async () => {
    const { engine } = await openEngine();
    await engine.mapEntity(admin, shop, ['b', 'a', 'b']);
    await engine.mapEntity(admin, shop, ['c', 'a']);
    await engine.mapEntity(admin, cart, ['b']);
    expect(await grantsOf(engine)).toEqual(
      expect.arrayContaining([grantOf(shop, 'a', 'b', 'c'), grantOf(cart, 'b')]),
    );
    expect(await grantsOf(engine)).toHaveLength(2);
  });

  it('of what is mapped changes nothing', async () => {
    const { engine } = await openEngine();
    await engine.mapEntity(admin, shop, ['a', 'b']);
    const { generation } = await engine.policy(admin);
    await engine.mapEntity(admin, shop, ['b']);
    await engine.unmapEntity(admin, shop, ['c']);
    await engine.unmapEntity(admin, cart, ['a']);
    expect(await engine.policy(admin)).toEqual({ grants: [grantOf(shop, 'a', 'b')], generation });
    // In whatever grants it stands.
    await engine.applyPolicy(admin, [grantOf(shop, 'a'), grantOf(shop, 'b')]);
    await engine.mapEntity(admin, shop, ['a', 'b']);
    expect(await engine.policy(admin)).toMatchObject({
      grants: [{ secrets: ['a'] }, { secrets: ['b'] }],
      generation: generation + 1,
    });
  });

  it('makes the policy another one, which an apply that expects the old one notices', async () => {
    const { engine } = await openEngine();
    const { generation } = await engine.policy(admin);
    await engine.mapEntity(admin, shop, ['a']);
    const late = engine.applyPolicy(admin, [], { expectedGeneration: generation });
    expect(await codeOf(late)).toBe('policy_changed');
    await engine.applyPolicy(admin, []);
    expect(await engine.mappings(admin)).toEqual([]);
  });

  it('leaves all other grants as they are', async () => {
    const { engine } = await openEngine();
    const others: Grant[] = [
      { ...grantOf(shop, 'a'), when: { application: ['x'] } },
      { ...grantOf(shop, 'a'), actions: ['get', 'info'] },
      { ...grantOf(shop, 'a'), to: [shop, cart].sort() },
      grantOf(shop, 'a', 'p/*'),
      { ...grantOf(shop, 'a'), actions: ['info'] },
      grantOf('token:alice', 'a'),
      grantOf(`component:${ACCOUNT}/*`, 'a'),
    ];
    await engine.applyPolicy(admin, others);
    await engine.mapEntity(admin, shop, ['a', 'b']);
    await codeOf(engine.unmapEntity(admin, shop, ['a', 'b']));
    const left = await grantsOf(engine);
    expect(left).toHaveLength(others.length);
    expect(left).toEqual(expect.arrayContaining(others));
  });

  it.each<[string, string]>([
    ['a token', 'token:alice'],
    ['a user', `nats:${ACCOUNT}/${key('U', 'A')}`],
    ['everybody', '*'],
    ['every component of an account', `component:${ACCOUNT}/*`],
    ['a component by the key of a provider', `component:${ACCOUNT}/${key('V', 'A')}`],
    ['a provider by the key of a component', `provider:${ACCOUNT}/${key('M', 'A')}`],
    ['a component of no account', `component:main/${key('M', 'A')}`],
    ['a bare key', key('M', 'A')],
    ['a component and something', `${shop}x`],
    ['something and a component', `x${shop}`],
    ['nobody', ''],
  ])('to %s is refused', async (_, principal) => {
    const { engine } = await openEngine();
    expect(await codeOf(engine.mapEntity(admin, principal, ['a']))).toBe('invalid_argument');
    expect(await codeOf(engine.unmapEntity(admin, principal, ['a']))).toBe('invalid_argument');
    expect(await grantsOf(engine)).toEqual([]);
  });

  it.each<[string, string[], string]>([
    ['nothing', [], 'invalid_argument'],
    ['everything', ['*'], 'invalid_argument'],
    ['a pattern beside a name', ['a', 'p/*'], 'invalid_argument'],
    ['an empty name', [''], 'invalid_name'],
    ['a name that is too long', ['x'.repeat(1_025)], 'name_too_long'],
    ['more than 1,000 names', Array.from({ length: 1_001 }, (_, index) => `n${index}`), 'invalid_argument'],
    [
      'names of more than 64 KiB',
      Array.from({ length: 65 }, (_, index) => `${index}`.padEnd(1_024, 'x')),
      'invalid_argument',
    ],
  ])('%s is refused', async (_, names, code) => {
    const { engine } = await openEngine();
    expect(await codeOf(engine.mapEntity(permitted, shop, names))).toBe(code);
    expect(await codeOf(engine.unmapEntity(permitted, shop, names))).toBe(code);
    expect(await grantsOf(engine)).toEqual([]);
  });

  it('goes on in further grants where one is full, and takes out of each', async () => {
    const { engine } = await openEngine();
    const names = Array.from({ length: 2_400 }, (_, index) => `n/${String(index).padStart(4, '0')}`);
    for (let start = 0; start < names.length; start += 800) {
      await engine.mapEntity(admin, shop, names.slice(start, start + 800));
    }
    const sizes = async () =>
      (await grantsOf(engine)).map(({ secrets }) => secrets.length).sort((a, b) => b - a);
    expect(await sizes()).toEqual([1_000, 1_000, 400]);
    expect((await engine.mappings(admin))[0]?.names).toEqual(names);
    const full = (await grantsOf(engine)).filter(({ secrets }) => secrets.length === 1_000);
    await engine.mapEntity(admin, shop, ['a']);
    // Those that are full stay as they are.
    expect(await grantsOf(engine)).toEqual(expect.arrayContaining(full));
    await engine.unmapEntity(admin, shop, ['a']);
    await engine.unmapEntity(admin, shop, ['n/0000', 'n/1500', 'n/2399']);
    const left = names.filter((name) => !['n/0000', 'n/1500', 'n/2399'].includes(name));
    expect((await engine.mappings(admin))[0]?.names).toEqual(left);
    await engine.mapEntity(admin, shop, ['m']);
    expect((await sizes()).every((size) => size <= 1_000)).toBe(true);
    expect((await engine.mappings(admin))[0]?.names).toEqual(['m', ...left]);
  });

  it('is refused where there would be too many grants', { timeout: 60_000 }, async () => {
    const { engine } = await openEngine();
    const full = Array.from({ length: 10_000 }, (_, index) => grantOf(`token:${index}`, 'a'));
    await engine.applyPolicy(admin, full);
    expect(await codeOf(engine.mapEntity(admin, shop, ['a']))).toBe('invalid_policy');
    await engine.applyPolicy(admin, full.slice(1));
    await engine.mapEntity(admin, shop, ['a']);
    await engine.mapEntity(admin, shop, ['b']);
    await engine.unmapEntity(admin, shop, ['a']);
    expect(await engine.mappings(admin)).toEqual([{ principal: shop, names: ['b'] }]);
  });
});

describe('unmapping', () => {
  it('takes the right away at once, from every grant that is a mapping', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('value'));
    await engine.applyPolicy(admin, [grantOf(shop, 'a'), grantOf(shop, 'a', 'b'), grantOf(shop, 'b', 'c')]);
    await engine.unmapEntity(permitted, shop, ['a', 'c']);
    expect(await mayGet(engine, shop, 'a')).toBe('access_denied');
    expect(await grantsOf(engine)).toEqual([grantOf(shop, 'b')]);
    await engine.unmapEntity(permitted, shop, ['b']);
    expect(await grantsOf(engine)).toEqual([]);
  });

  it('takes nothing from another entity of the same key', async () => {
    const { engine } = await openEngine();
    const other = shop.replace(ACCOUNT, OTHER_ACCOUNT);
    await engine.mapEntity(admin, shop, ['a']);
    await engine.mapEntity(admin, other, ['a']);
    await engine.unmapEntity(admin, shop, ['a']);
    expect(await engine.mappings(admin)).toEqual([{ principal: other, names: ['a'] }]);
  });

  it.each<[string, Grant, RegExp]>([
    ['to a pattern of principals', grantOf('component:*', 'x'), /a grant to a pattern of principals/],
    ['on a pattern of names', grantOf(shop, 'x*'), /a grant on a pattern of names/],
    ['with conditions', { ...grantOf(shop, 'x'), when: { host: ['N'] } }, /a grant with conditions/],
    ['of more actions', { ...grantOf(shop, 'x'), actions: ['get', 'info'] }, /several actions/],
    ['to more principals', { ...grantOf(shop, 'x'), to: [shop, cart] }, /several principals/],
  ])(
    'says so where a grant %s allows it all the same, when the mapping is gone',
    async (_, grant, sentence) => {
      const { engine } = await openEngine();
      await engine.applyPolicy(admin, [grantOf('component:*', 'z'), grant]);
      await engine.mapEntity(admin, shop, ['x', 'y']);
      const refused = engine.unmapEntity(permitted, shop, ['x', 'y']);
      await expect(refused).rejects.toMatchObject({
        code: 'conflict',
        message: expect.stringMatching(sentence),
      });
      expect(await grantsOf(engine)).toHaveLength(2);
      // Asked again, it is as true.
      expect(await codeOf(engine.unmapEntity(permitted, shop, ['x']))).toBe('conflict');
      await engine.unmapEntity(permitted, shop, ['y']);
      await engine.applyPolicy(admin, []);
      await engine.unmapEntity(permitted, shop, ['x']);
    },
  );

  it('says nothing of grants of something else, to others, or on other names', async () => {
    const { engine } = await openEngine();
    await engine.applyPolicy(admin, [
      { ...grantOf(shop, '*'), actions: ['info', 'put'] },
      grantOf('component:self-issued/*', '*'),
      grantOf(shop, 'y*'),
    ]);
    await engine.mapEntity(admin, shop, ['x']);
    await engine.unmapEntity(admin, shop, ['x']);
  });

  it('ends a watch that nothing else allows', async () => {
    const { engine } = await openEngine();
    await engine.mapEntity(admin, shop, ['a']);
    const events = engine.watch(entity(shop));
    onTestFinished(async () => void (await events.return()));
    await events.next();
    await engine.mapEntity(admin, shop, ['b']);
    expect((await events.next()).value).toMatchObject({ kind: 'reset' });
    await engine.unmapEntity(admin, shop, ['a', 'b']);
    expect((await events.next()).value).toMatchObject({ kind: 'end', code: 'access_denied' });
  });
});

describe('who maps', () => {
  it('administers each of the names, or is let through by NATS', async () => {
    const { engine } = await openEngine();
    await engine.applyPolicy(admin, [{ to: ['token:alice'], actions: ['admin'], secrets: ['team-a/*'] }]);
    await engine.mapEntity(alice, shop, ['team-a/x', 'team-a/y']);
    for (const names of [['team-b/x'], ['team-a/x', 'team-b/x']]) {
      expect(await codeOf(engine.mapEntity(alice, shop, names))).toBe('access_denied');
      expect(await codeOf(engine.unmapEntity(alice, shop, names))).toBe('access_denied');
    }
    await engine.mapEntity(permitted, shop, ['team-b/x']);
    await engine.unmapEntity(alice, shop, ['team-a/x']);
    expect(await engine.mappings(admin)).toEqual([{ principal: shop, names: ['team-a/y', 'team-b/x'] }]);
  });

  it.each(['get', 'info', 'put', 'create-version', 'activate', 'delete', 'metrics'] as const)(
    'is nobody by the right to %s',
    async (action) => {
      const { engine } = await openEngine();
      await engine.applyPolicy(admin, [{ to: ['token:alice'], actions: [action], secrets: ['*'] }]);
      expect(await codeOf(engine.mapEntity(alice, shop, ['a']))).toBe('access_denied');
      expect(await codeOf(engine.unmapEntity(alice, shop, ['a']))).toBe('access_denied');
      expect(await codeOf(engine.mappings(alice))).toBe('access_denied');
    },
  );

  it('is nobody who lost the right, or has ended, while the change waited for its turn', async () => {
    const { engine } = await openEngine();
    await engine.applyPolicy(admin, [{ to: ['token:alice'], actions: ['admin'], secrets: ['*'] }]);
    const [taken, ...late] = [
      engine.applyPolicy(admin, []),
      engine.mapEntity(alice, shop, ['a']),
      engine.unmapEntity(alice, shop, ['a']),
    ];
    expect(await Promise.all(late.map(codeOf))).toEqual(['access_denied', 'access_denied']);
    await taken;
    expect(await engine.mappings(admin)).toEqual([]);
    const ended: Caller = { ...permitted, session: { isLive: () => false } };
    expect(await codeOf(engine.mapEntity(ended, shop, ['a']))).toBe('access_denied');
    expect(await codeOf(engine.mappings({ ...admin, session: { isLive: () => false } }))).toBe(
      'access_denied',
    );
  });

  it('sees the mappings of the names that it administers, and by NATS’ permission none', async () => {
    const { engine } = await openEngine();
    await engine.applyPolicy(admin, [{ to: ['token:alice'], actions: ['admin'], secrets: ['team-a/*'] }]);
    await engine.mapEntity(admin, shop, ['team-b/x', 'team-a/x']);
    await engine.mapEntity(admin, cart, ['team-b/x']);
    await engine.mapEntity(admin, http, ['team-a/y']);
    expect(await engine.mappings(alice)).toEqual([
      { principal: shop, names: ['team-a/x'] },
      { principal: http, names: ['team-a/y'] },
    ]);
    expect((await engine.mappings(admin)).map(({ principal }) => principal)).toEqual([shop, cart, http]);
    expect(await codeOf(engine.mappings(permitted))).toBe('access_denied');
    expect(await codeOf(engine.mappings(entity(shop)))).toBe('access_denied');
  });
});

describe('a change of mappings', () => {
  it('with an operation id is made once', async () => {
    const { engine, folder } = await openEngine();
    const once = { operation: 'op-1' };
    await engine.mapEntity(permitted, shop, ['a'], once);
    await engine.unmapEntity(permitted, shop, ['a']);
    await engine.mapEntity(permitted, shop, ['a'], once);
    expect(await engine.mappings(admin)).toEqual([]);
    for (const another of [
      engine.mapEntity(permitted, shop, ['b'], once),
      engine.mapEntity(permitted, cart, ['a'], once),
      engine.unmapEntity(permitted, shop, ['a'], once),
    ]) {
      expect(await codeOf(another)).toBe('operation_reused');
    }
    await engine.mapEntity(admin, shop, ['a'], once);
    await engine.close();
    const { engine: later } = await openEngine(folder);
    await later.unmapEntity(admin, shop, ['a']);
    await later.mapEntity(permitted, shop, ['a'], once);
    expect(await later.mappings(admin)).toEqual([]);
  });

  it('with an operation id that removes what was not there does not remove what comes later', async () => {
    const { engine } = await openEngine();
    await engine.unmapEntity(permitted, shop, ['a'], { operation: 'op' });
    await engine.mapEntity(permitted, shop, ['a']);
    await engine.unmapEntity(permitted, shop, ['a'], { operation: 'op' });
    expect(await engine.mappings(admin)).toEqual([{ principal: shop, names: ['a'] }]);
  });

  it('is in the audit log with what it was about, as an intent and an outcome', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.mapEntity(permitted, shop, ['b', 'with space', 'a'], { operation: 'op' });
    await engine.mapEntity(permitted, shop, ['a']);
    await engine.unmapEntity(admin, shop, ['a']);
    await engine.mappings(admin);
    await codeOf(engine.mapEntity(alice, shop, ['a']));
    await codeOf(engine.unmapEntity(alice, shop, ['a']));
    await codeOf(engine.mappings(alice));
    const target = `${shop} a b "with space"`;
    const told = (await auditEntries(stateDir)).map(({ principal, action, phase, authorized, target }) => [
      principal.id,
      action,
      phase ?? '',
      authorized,
      target ?? '',
    ]);
    expect(told).toEqual([
      ['nats-permission', 'add-mapping', 'intent', true, target],
      ['nats-permission', 'add-mapping', 'outcome', true, target],
      ['nats-permission', 'add-mapping', '', true, `${shop} a`],
      ['socket', 'remove-mapping', 'intent', true, `${shop} a`],
      ['socket', 'remove-mapping', 'outcome', true, `${shop} a`],
      ['socket', 'list-mappings', '', true, ''],
      ['token:alice', 'add-mapping', '', false, `${shop} a`],
      ['token:alice', 'remove-mapping', '', false, `${shop} a`],
      ['token:alice', 'list-mappings', '', false, ''],
    ]);
    await engine.close();
    expect((await verifyLog(auditPath(stateDir), engine)).broken).toBeUndefined();
  });

  it('among many at once is lost by none', async () => {
    const { engine } = await openEngine();
    const names = Array.from({ length: 60 }, (_, index) => `n${index}`);
    await engine.mapEntity(permitted, shop, names.slice(30));
    const entities = [shop, cart, http];
    await Promise.all([
      ...names
        .slice(0, 30)
        .flatMap((name) => entities.map((one) => engine.mapEntity(permitted, one, [name]))),
      ...names.slice(30).map((name) => engine.unmapEntity(admin, shop, [name])),
      engine.applyPolicy(admin, [grantOf('token:alice', 'x')]).catch(() => undefined),
    ]);
    const left = (await engine.mappings(admin)).flatMap(({ names }) => names);
    // The policy that was applied in between took away what was there before it, and nothing that came later.
    expect(left.every((name) => names.indexOf(name) < 30)).toBe(true);
    const mapped = await Promise.all(names.slice(0, 30).map((name) => engine.mapEntity(admin, shop, [name])));
    expect(mapped).toHaveLength(30);
    expect((await engine.mappings(admin)).find(({ principal }) => principal === shop)?.names).toEqual(
      names.slice(0, 30).sort(),
    );
  });
});

describe('histories of mappings', () => {
  const entities = [shop, cart, http];
  const names = ['a', 'a/b', 'c d', 'ｚ', '😀'];
  const some = fc.uniqueArray(fc.constantFrom(...names), { minLength: 1, maxLength: 3 });
  const step = fc.oneof(
    {
      weight: 12,
      arbitrary: fc.record({
        verb: fc.constantFrom('map', 'unmap'),
        entity: fc.constantFrom(...entities),
        names: some,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ verb: fc.constant('reopen'), entity: fc.constant(shop), names: some }),
    },
  );

  it('end as sets of names do, whatever else a policy grants, over reopening too', {
    timeout: 60_000,
  }, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 40 }), async (history) => {
        let { engine, folder } = await openEngine();
        const others = [
          grantOf('token:alice', 'a'),
          { ...grantOf(shop, 'z'), actions: ['get', 'info'] } as Grant,
        ];
        await engine.applyPolicy(admin, others);
        const model = new Map(entities.map((one) => [one, new Set<string>()]));
        for (const { verb, entity: whose, names } of history) {
          const mine = model.get(whose) as Set<string>;
          if (verb === 'map') {
            await engine.mapEntity(permitted, whose, names);
            for (const name of names) mine.add(name);
          } else if (verb === 'unmap') {
            await engine.unmapEntity(permitted, whose, names);
            for (const name of names) mine.delete(name);
          } else {
            await engine.close();
            ({ engine, folder } = await openEngine(folder));
          }
          const expected: Mapping[] = entities
            .map((principal) => ({ principal, names: [...(model.get(principal) ?? [])].sort() }))
            .filter(({ names }) => names.length > 0);
          expect(await engine.mappings(admin)).toEqual(
            expected.sort((a, b) => (a.principal < b.principal ? -1 : 1)),
          );
        }
        const grants = await grantsOf(engine);
        expect(grants).toEqual(expect.arrayContaining(others));
        expect(grants).toHaveLength(
          others.length + [...model.values()].filter(({ size }) => size > 0).length,
        );
        for (const one of entities) {
          for (const name of names) {
            const allowed = (await mayGet(engine, one, name)) !== 'access_denied';
            expect(allowed).toBe(model.get(one)?.has(name));
          }
        }
        await engine.close();
      }),
      { numRuns: 15 },
    );
  });
});
