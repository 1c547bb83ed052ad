import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';

import {
  type Action,
  type Caller,
  type Conditions,
  type Engine,
  type Grant,
  NATS_PERMISSION,
  type When,
} from '../src/index.js';
import { Policy } from '../src/policy.js';
import { auditEntries, auditPath, verifyLog } from './audit-file.js';
import { admin, bytes, codeOf, newTransitKey, openEngine, text, token } from './support.js';

const alice = token('alice');

/** Alice, as a request comes that claims this. */
const claiming = (conditions: Conditions, caller: Caller = alice): Caller => ({ ...caller, conditions });

const conditional = (when: When, ...secrets: string[]): Grant => ({
  to: ['token:alice'],
  actions: ['get'],
  secrets,
  when,
});

async function withSecrets(...grants: Grant[]): Promise<Engine> {
  const { engine } = await openEngine();
  for (const name of ['a', 'b']) await engine.put(admin, name, bytes(`value of ${name}`));
  await engine.applyPolicy(admin, grants);
  return engine;
}

const mayGet = (engine: Engine, caller: Caller, name: string): Promise<string> =>
  engine.get(caller, name).then(
    ({ value }) => text(value),
    (error: { code: string }) => error.code,
  );

describe('a grant with conditions', () => {
  it('holds for who claims what they ask for, of each list one', async () => {
    const engine = await withSecrets(
      conditional({ application: ['shop', 'shop-*'], host: ['NHOST1', 'NHOST2'] }, 'a'),
    );
    expect(await mayGet(engine, claiming({ application: 'shop', host: 'NHOST2' }), 'a')).toBe('value of a');
    expect(await mayGet(engine, claiming({ application: 'shop-eu', host: 'NHOST1' }), 'a')).toBe(
      'value of a',
    );
  });

  it.each<[string, Conditions | undefined]>([
    ['nothing is claimed', undefined],
    ['of nothing in particular', {}],
    ['the application is another', { application: 'shops', host: 'NHOST1' }],
    ['the host is another', { application: 'shop', host: 'NHOST3' }],
    ['no application is claimed', { host: 'NHOST1' }],
    ['no host is claimed', { application: 'shop' }],
    ['each is claimed for the other', { application: 'NHOST1', host: 'shop' }],
    ['the application is empty', { application: '', host: 'NHOST1' }],
  ])('does not hold where %s', async (_, conditions) => {
    const engine = await withSecrets(conditional({ application: ['shop'], host: ['NHOST1'] }, 'a'));
    const caller = conditions ? claiming(conditions) : alice;
    expect(await mayGet(engine, caller, 'a')).toBe('access_denied');
  });

  it('asks for some application with *, and not for none', async () => {
    const engine = await withSecrets(conditional({ application: ['*'] }, 'a'));
    expect(await mayGet(engine, claiming({ application: 'any' }), 'a')).toBe('value of a');
    expect(await mayGet(engine, claiming({ host: 'NHOST1' }), 'a')).toBe('access_denied');
    expect(await mayGet(engine, alice, 'a')).toBe('access_denied');
  });

  it('lends its conditions to no other grant, nor its secrets to other conditions', async () => {
    const engine = await withSecrets(
      conditional({ application: ['shop'] }, 'a'),
      conditional({ host: ['NHOST1'] }, 'b'),
    );
    const shop = claiming({ application: 'shop' });
    expect(await mayGet(engine, shop, 'a')).toBe('value of a');
    expect(await mayGet(engine, shop, 'b')).toBe('access_denied');
  });

  it('takes nothing from a grant without: what any grant allows is allowed', async () => {
    const engine = await withSecrets(conditional({ application: ['shop'] }, 'a'), {
      to: ['token:alice'],
      actions: ['get'],
      secrets: ['a'],
    });
    expect(await mayGet(engine, claiming({ application: 'other' }), 'a')).toBe('value of a');
    expect(await mayGet(engine, alice, 'a')).toBe('value of a');
  });

  it('counts in every way of getting, and in no other right', async () => {
    const engine = await withSecrets(conditional({ application: ['shop'] }, 'a', 'b'));
    const shop = claiming({ application: 'shop' });
    expect(await engine.getIfChanged(shop, 'a', 9)).toBeDefined();
    expect(await codeOf(engine.getIfChanged(alice, 'a', 9))).toBe('access_denied');
    expect(await engine.getMany(shop, [{ name: 'a' }])).toMatchObject([{ name: 'a', version: 1 }]);
    expect(await engine.getMany(alice, [{ name: 'a' }])).toEqual([{ name: 'a', error: 'access_denied' }]);
    expect(await engine.list(shop)).toEqual([]);
    const others = [
      engine.info(shop, 'a'),
      engine.put(shop, 'a', bytes('x')),
      engine.activate(shop, 'a', 1),
      engine.delete(shop, 'a'),
      engine.policy(shop),
      engine.listTokens(shop),
    ];
    expect(await Promise.all(others.map(codeOf))).toEqual(others.map(() => 'access_denied'));
  });

  it('lets watch those for whom its conditions hold', async () => {
    const engine = await withSecrets(conditional({ application: ['shop'] }, 'a'));
    for (const caller of [alice, claiming({ application: 'other' })]) {
      expect(await codeOf(engine.watch(caller).next())).toBe('access_denied');
    }
    const events = engine.watch(claiming({ application: 'shop' }));
    onTestFinished(async () => void (await events.return()));
    expect((await events.next()).value).toMatchObject({ kind: 'ready' });
    await engine.put(admin, 'b', bytes('x'));
    await engine.put(admin, 'a', bytes('x'));
    expect((await events.next()).value).toMatchObject({ kind: 'change', secret: { name: 'a' } });
  });

  it('ends the watch that it let in when it goes', async () => {
    const engine = await withSecrets(conditional({ application: ['shop'] }, 'a'));
    const events = engine.watch(claiming({ application: 'shop' }));
    onTestFinished(async () => void (await events.return()));
    await events.next();
    await engine.applyPolicy(admin, [conditional({ application: ['other'] }, 'a')]);
    expect((await events.next()).value).toMatchObject({ kind: 'end', code: 'access_denied' });
  });

  it('is shown by whoami with its conditions, whether they hold or not', async () => {
    const grant = conditional({ application: ['shop'], host: ['N*'] }, 'a');
    const engine = await withSecrets(grant);
    expect(engine.whoami(alice).grants).toEqual([grant]);
    expect(engine.whoami(claiming({ application: 'shop', host: 'N' })).grants).toEqual([grant]);
  });

  it('is the same in any order and with repetitions, and not the same with other conditions', async () => {
    const { engine } = await openEngine();
    const one = conditional({ host: ['h2', 'h1'], application: ['y', 'x'] }, 'a');
    const same = conditional({ application: ['x', 'y', 'x'], host: ['h1', 'h2', 'h2'] }, 'a');
    await engine.applyPolicy(admin, [one]);
    expect(await engine.applyPolicy(admin, [same, one])).toMatchObject({
      added: [],
      removed: [],
      unchanged: 1,
    });
    const { when: _, ...without } = same;
    const others = [
      without,
      conditional({ application: ['x', 'y'] }, 'a'),
      conditional({ host: ['x', 'y'] }, 'a'),
      conditional({ host: ['h1', 'h2'] }, 'a'),
    ];
    const { added, removed } = await engine.applyPolicy(admin, others);
    expect([added.length, removed.length]).toEqual([4, 1]);
    const { grants } = await engine.policy(admin);
    expect(grants).toHaveLength(4);
    expect(grants).toEqual(expect.arrayContaining(others));
  });

  it('survives a restart', async () => {
    const { engine, folder } = await openEngine();
    const grant = conditional({ application: ['shop'], host: ['NHOST1'] }, 'a');
    await engine.put(admin, 'a', bytes('value of a'));
    await engine.applyPolicy(admin, [grant]);
    await engine.close();
    const { engine: later } = await openEngine(folder);
    expect((await later.policy(admin)).grants).toEqual([grant]);
    expect(await later.applyPolicy(admin, [grant])).toMatchObject({ added: [], removed: [] });
    expect(await mayGet(later, claiming({ application: 'shop', host: 'NHOST1' }), 'a')).toBe('value of a');
    expect(await mayGet(later, claiming({ application: 'shop' }), 'a')).toBe('access_denied');
  });

  it.each<[string, Action[], unknown]>([
    ['on more than get', ['get', 'info'], { application: ['a'] }],
    ['on something else', ['put'], { application: ['a'] }],
    ['on admin', ['admin'], { application: ['a'] }],
    ['that state nothing', ['get'], {}],
    ['that are empty', ['get'], { application: [] }],
    ['of which one is empty', ['get'], { application: ['a'], host: [] }],
    ['with an empty pattern', ['get'], { host: [''] }],
    ['with a pattern that is too long', ['get'], { host: ['x'.repeat(1_025)] }],
    ['that are too many', ['get'], { host: Array.from({ length: 1_001 }, (_, index) => `h${index}`) }],
    ['that nobody knows', ['get'], { application: ['a'], lattice: ['x'] }],
  ])('%s is refused, and with it the whole policy', async (_, actions, when) => {
    const { engine } = await openEngine();
    const bad = { to: ['token:alice'], actions, secrets: ['*'], when: when as When };
    expect(await codeOf(engine.applyPolicy(admin, [bad]))).toBe('invalid_policy');
    expect((await engine.policy(admin)).grants).toEqual([]);
  });

  it('of get and get again is one of get', async () => {
    const engine = await withSecrets({
      ...conditional({ application: ['shop'] }, 'a'),
      actions: ['get', 'get'],
    });
    expect(await mayGet(engine, claiming({ application: 'shop' }), 'a')).toBe('value of a');
  });
});

describe('what grants and conditions allow', () => {
  const word = fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 3 });
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 3 });
  const patterns = fc.array(pattern, { minLength: 1, maxLength: 2 });
  const grant = fc.record(
    {
      to: patterns,
      actions: fc.constantFrom<Action[]>(['get'], ['get', 'info'], ['put']),
      secrets: patterns,
      when: fc.record({ application: patterns, host: patterns }, { requiredKeys: [] }),
    },
    { requiredKeys: ['to', 'actions', 'secrets'] },
  );
  const grants = fc.array(
    grant.map((one): Grant => {
      const { when, ...rest } = one as Grant;
      return when && Object.keys(when).length > 0 ? { ...rest, actions: ['get'], when } : rest;
    }),
    { maxLength: 5 },
  );
  const claims = fc.option(fc.record({ application: word, host: word }, { requiredKeys: [] }), {
    nil: undefined,
  });

  /** One pattern after the other, by regular expressions. */
  const some = (sources: readonly string[], name: string | undefined) =>
    sources.some(
      (source) => name !== undefined && new RegExp(`^${source.replaceAll('*', '.*')}$`).test(name),
    );

  it('is what one grant after the other says, in a model without any index', () => {
    fc.assert(
      fc.property(
        grants,
        fc.uniqueArray(word, { minLength: 1, maxLength: 3 }),
        claims,
        fc.constantFrom<Action>('get', 'info', 'put'),
        word,
        (given, ids, conditions, action, name) => {
          const [first = '', ...more] = ids;
          const caller: Caller = {
            principals: [{ id: first, kind: 'nats' }, ...more.map((id) => ({ id, kind: 'nats' }) as const)],
            address: 'nats',
            ...(conditions && { conditions }),
          };
          const holds = ({ when }: Grant) =>
            (when?.application === undefined || some(when.application, conditions?.application)) &&
            (when?.host === undefined || some(when.host, conditions?.host));
          const mine = given.filter(
            (one) => ids.some((id) => some(one.to, id)) && one.actions.includes(action),
          );
          const held = mine.filter(holds);
          const policy = new Policy(given);
          expect(policy.allows(caller, action, name)).toBe(held.some(({ secrets }) => some(secrets, name)));
          // Asked again, it answers from what it has kept.
          expect(policy.allows(caller, action, name)).toBe(held.some(({ secrets }) => some(secrets, name)));
          expect(policy.patternsOf(caller, action)).toEqual(
            [...new Set(held.flatMap(({ secrets }) => secrets))].sort(),
          );
        },
      ),
      { numRuns: 5_000 },
    );
  });

  it('is nothing else than get, even in a grant that nobody could have given', () => {
    const policy = new Policy([{ ...conditional({ application: ['*'] }, '*'), actions: ['put', 'admin'] }]);
    const shop = claiming({ application: 'shop' });
    for (const action of ['get', 'put', 'admin'] as const)
      expect(policy.allows(shop, action, 'a')).toBe(false);
    expect(policy.isSomeAdministrator(shop)).toBe(false);
  });
});

describe('the principal nats-permission', () => {
  const permitted: Caller = { principals: [NATS_PERMISSION], address: 'nats' };

  it('may put and activate every secret', async () => {
    const { engine } = await openEngine();
    expect(await engine.put(permitted, 'x/y', bytes('1'))).toBe(1);
    expect(await engine.put(permitted, 'x/y', bytes('2'))).toBe(2);
    await engine.activate(permitted, 'x/y', 2);
    expect(await engine.putAndActivate(permitted, 'x/y', bytes('3'))).toBe(3);
    expect(await engine.info(admin, 'x/y')).toMatchObject({ activeVersion: 3 });
    expect(engine.whoami(permitted).grants).toEqual([
      { to: ['nats-permission'], actions: ['put', 'activate'], secrets: ['*'] },
    ]);
  });

  it('may do nothing else, whatever is granted to everybody', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    await engine.applyPolicy(admin, [
      {
        to: ['*', 'nats-permission', 'nats*'],
        actions: ['get', 'info', 'create-version', 'delete', 'admin', 'metrics'],
        secrets: ['*'],
      },
      { to: ['*'], actions: ['get'], secrets: ['*'], when: { application: ['*'] } },
    ]);
    const caller = claiming({ application: 'shop', host: 'N' }, permitted);
    const attempts = [
      engine.get(caller, 'a'),
      engine.getIfChanged(caller, 'a', 7),
      engine.info(caller, 'a'),
      engine.createVersion(caller, 'a', 5, bytes('w')),
      engine.deleteVersion(caller, 'a', 1),
      engine.delete(caller, 'a'),
      engine.watch(caller).next(),
      engine.createToken(caller, { name: 'x' }),
      engine.listTokens(caller),
      engine.revokeToken(caller, '0123456789abcdef'),
      engine.policy(caller),
      engine.applyPolicy(caller, []),
      engine.applyPolicy(caller, [], { dryRun: true }),
      engine.revoke(caller, { jti: 'x' }),
      engine.revocations(caller),
      engine.liftRevocation(caller, '0123456789abcdef'),
      engine.mappings(caller),
      engine.addTransitKey(caller, newTransitKey()),
      engine.retireTransitKey(caller, newTransitKey()),
      engine.listTransitKeys(caller),
      engine.keys(caller),
      engine.rotation(caller),
      engine.rotateKeys(caller),
      engine.backup(caller).next(),
      engine.audit(caller, {}).next(),
      engine.auditHead(caller),
      engine.authoriseMetrics(caller),
    ];
    expect(await Promise.all(attempts.map(codeOf))).toEqual(attempts.map(() => 'access_denied'));
    expect(await engine.list(caller)).toEqual([]);
    expect(engine.whoami(caller).grants).toHaveLength(1);
    expect(await engine.getMany(caller, [{ name: 'a' }])).toEqual([{ name: 'a', error: 'access_denied' }]);
  });
});

describe('the audit log of a request that claims something', () => {
  it('says what it claims, in whatever characters, and holds', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    const nasty = 'shop", "action":"x\\\u009b\u202e\n';
    for (const conditions of [{ application: nasty, host: 'NHOST' }, { host: 'NHOST' }, {}]) {
      await codeOf(engine.get(claiming(conditions), 'a'));
    }
    await codeOf(engine.get(alice, 'a'));
    const entries = (await auditEntries(stateDir)).filter(({ action }) => action === 'get');
    const who = { id: 'token:alice', kind: 'nats', user: 'name of alice' };
    expect(entries.map(({ principal, authorized }) => ({ principal, authorized }))).toEqual([
      { principal: { ...who, application: nasty, host: 'NHOST', ip: '192.0.2.7' }, authorized: false },
      { principal: { ...who, host: 'NHOST', ip: '192.0.2.7' }, authorized: false },
      { principal: { ...who, ip: '192.0.2.7' }, authorized: false },
      { principal: { ...who, ip: '192.0.2.7' }, authorized: false },
    ]);
    await engine.close();
    expect((await verifyLog(auditPath(stateDir), engine)).broken).toBeUndefined();
  });

  it('is not filled by a long claim', async () => {
    const { engine, stateDir } = await openEngine();
    await codeOf(engine.get(claiming({ application: 'x'.repeat(100_000), host: 'h'.repeat(256) }), 'a'));
    const [entry] = await auditEntries(stateDir);
    expect(entry?.principal).toMatchObject({ application: `${'x'.repeat(256)}…`, host: 'h'.repeat(256) });
  });

  it('can be searched for them', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    for (const application of ['shop', 'shop-eu', 'bank']) {
      await codeOf(engine.get(claiming({ application, host: `N${application}` }), 'a'));
    }
    const found = async (query: object) => {
      const pieces = [];
      for await (const piece of engine.audit(admin, query)) pieces.push(Buffer.from(piece));
      const lines = Buffer.concat(pieces).toString().split('\n').slice(0, -1);
      return lines.map((line) => JSON.parse(line).principal.application);
    };
    expect(await found({ application: 'shop*' })).toEqual(['shop', 'shop-eu']);
    expect(await found({ host: 'Nbank' })).toEqual(['bank']);
    expect(await found({ application: 'shop*', host: 'Nshop' })).toEqual(['shop']);
    expect(await found({ application: 'none' })).toEqual([]);
  });
});
