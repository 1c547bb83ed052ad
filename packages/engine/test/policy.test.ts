import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ACTIONS, type Action, type Caller, canonical, type Engine, type Grant } from '../src/index.js';
import { matches, Pattern } from '../src/patterns.js';
import { auditEntries } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, token } from './support.js';

const alice = token('alice');
const bob = token('bob');

const grant = (to: string, actions: Action[], ...secrets: string[]): Grant => ({
  to: [to],
  actions,
  secrets,
});

/** Tells whether a caller may put, without leaving anything behind. */
const may = async (engine: Engine, caller: Caller, name: string): Promise<boolean> => {
  const error = await engine.activate(caller, name, 77).then(
    () => undefined,
    (failure: { code: string }) => failure.code,
  );
  return error === 'not_found';
};

describe('a pattern', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '/', '.', '\u{1f600}', '\n'), maxLength: 8 });
  const pattern = fc.string({
    unit: fc.constantFrom('a', 'b', '/', '.', '\u{1f600}', '\n', '*'),
    maxLength: 8,
  });
  const reference = (source: string) =>
    new RegExp(
      `^${source
        .split('*')
        .map((part) => part.replace(/[.\\]/g, '\\$&'))
        .join('.*')}$`,
      'su',
    );

  it('matches what the regular expression with .* for each star does', () => {
    fc.assert(
      fc.property(pattern, text, (source, name) => {
        expect(matches(source, name)).toBe(reference(source).test(name));
      }),
      { numRuns: 5_000 },
    );
  });

  it('with its stars filled in is matched', () => {
    fc.assert(
      fc.property(
        fc.array(text, { minLength: 1, maxLength: 5 }),
        fc.array(text, { maxLength: 4 }),
        (parts, fills) => {
          const name = parts
            .map((part, index) => (index === 0 ? part : `${fills[index - 1] ?? ''}${part}`))
            .join('');
          expect(matches(parts.join('*'), name)).toBe(true);
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('is a literal but for the star', () => {
    for (const literal of ['a.c', 'a?c', 'a[b]c', 'a\\c', '(a|b)', '^a$', 'a+']) {
      expect(matches(literal, literal)).toBe(true);
      expect(matches(literal, 'abc')).toBe(false);
      expect(matches(literal, 'a')).toBe(false);
    }
  });

  it('takes no long time over many stars', () => {
    const started = performance.now();
    expect(matches(`${'*a'.repeat(300)}*b`, 'a'.repeat(1_024))).toBe(false);
    expect(performance.now() - started).toBeLessThan(1_000);
  });

  it('covers another one exactly if it matches all that the other matches', () => {
    // For patterns this short over two letters, texts of up to six with a third one tell every difference.
    const letters = 'abc';
    let texts = [''];
    for (let length = 1, last = ['']; length <= 6; length++) {
      last = last.flatMap((head) => [...letters].map((letter) => head + letter));
      texts = [...texts, ...last];
    }
    const short = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 4 });
    fc.assert(
      fc.property(short, short, (outer, inner) => {
        const all = texts.every((name) => !matches(inner, name) || matches(outer, name));
        expect(new Pattern(outer).covers(inner)).toBe(all);
      }),
      { numRuns: 3_000 },
    );
  });
});

describe('a grant', () => {
  it('of nothing is the default: every verb is denied', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    const attempts = [
      engine.info(alice, 'a'),
      engine.get(alice, 'a'),
      engine.getIfChanged(alice, 'a', 1),
      engine.put(alice, 'a', bytes('w')),
      engine.createVersion(alice, 'a', 5, bytes('w')),
      engine.activate(alice, 'a', 1),
      engine.deleteVersion(alice, 'a', 1),
      engine.delete(alice, 'a'),
      engine.createToken(alice, { name: 'x' }),
      engine.listTokens(alice),
      engine.revokeToken(alice, '0123456789abcdef'),
      engine.policy(alice),
      engine.applyPolicy(alice, []),
      engine.applyPolicy(alice, [], { dryRun: true }),
    ];
    const codes = await Promise.all(attempts.map(codeOf));
    expect(codes).toEqual(attempts.map(() => 'access_denied'));
    expect(await engine.list(alice)).toEqual([]);
    expect(engine.whoami(alice).grants).toEqual([]);
  });

  it('to any of a caller’s principals counts', async () => {
    const { engine } = await openEngine();
    await engine.applyPolicy(admin, [grant('token:group', ['activate'], 'shared/*')]);
    const member: Caller = {
      principals: [...alice.principals, { id: 'token:group', kind: 'nats' }],
      address: '192.0.2.1',
    };
    expect(await may(engine, member, 'shared/x')).toBe(true);
    expect(await may(engine, member, 'other')).toBe(false);
    expect(await may(engine, alice, 'shared/x')).toBe(false);
  });

  it('goes by ids, never by display names', async () => {
    const { engine } = await openEngine();
    await engine.applyPolicy(admin, [grant('token:alice', ['activate'], '*')]);
    const impostor: Caller = {
      principals: [{ id: 'token:mallory', kind: 'token', name: 'token:alice' }],
      address: '192.0.2.1',
    };
    expect(await may(engine, impostor, 'a')).toBe(false);
  });

  it('may be to a pattern of principals', async () => {
    const { engine } = await openEngine();
    await engine.applyPolicy(admin, [grant('token:a*', ['activate'], '*')]);
    expect(await may(engine, alice, 'x')).toBe(true);
    expect(await may(engine, bob, 'x')).toBe(false);
  });

  it('does not mix the actions of one with the secrets of another', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    await engine.put(admin, 'b', bytes('v'));
    await engine.applyPolicy(admin, [
      grant('token:alice', ['get'], 'a'),
      grant('token:alice', ['info'], 'b'),
    ]);
    await engine.get(alice, 'a');
    await engine.info(alice, 'b');
    expect(await codeOf(engine.get(alice, 'b'))).toBe('access_denied');
    expect(await codeOf(engine.info(alice, 'a'))).toBe('access_denied');
  });

  it('of admin gives no right on the secrets themselves', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    await engine.applyPolicy(admin, [grant('token:alice', ['admin'], '*')]);
    expect(await codeOf(engine.get(alice, 'a'))).toBe('access_denied');
    expect(await codeOf(engine.put(alice, 'a', bytes('w')))).toBe('access_denied');
    expect(await engine.list(alice)).toEqual([]);
  });

  it.each<[string, Grant]>([
    ['nobody', { to: [], actions: ['get'], secrets: ['*'] }],
    ['no action', { to: ['token:a'], actions: [], secrets: ['*'] }],
    ['no secret', { to: ['token:a'], actions: ['get'], secrets: [] }],
    ['an empty principal', { to: [''], actions: ['get'], secrets: ['*'] }],
    ['an empty pattern', { to: ['token:a'], actions: ['get'], secrets: ['*', ''] }],
    ['an unknown action', { to: ['token:a'], actions: ['read' as Action], secrets: ['*'] }],
  ])('with %s is refused, and with it the whole policy', async (_, bad) => {
    const { engine } = await openEngine();
    const good = grant('token:alice', ['get'], '*');
    expect(await codeOf(engine.applyPolicy(admin, [good, bad]))).toBe('invalid_policy');
    expect((await engine.policy(admin)).grants).toEqual([]);
  });

  it('is the same in any order and with repetitions', async () => {
    const { engine } = await openEngine();
    const one: Grant = { to: ['token:b', 'token:a'], actions: ['put', 'get'], secrets: ['y', 'x'] };
    const same: Grant = {
      to: ['token:a', 'token:b', 'token:a'],
      actions: ['get', 'put'],
      secrets: ['x', 'y', 'y'],
    };
    await engine.applyPolicy(admin, [one]);
    const again = await engine.applyPolicy(admin, [same, one, same]);
    expect(again).toEqual({ added: [], removed: [], unchanged: 1, generation: 1 });
    expect((await engine.policy(admin)).grants).toEqual([canonical(one)]);
  });
});

describe('applying a policy', () => {
  it('replaces the grants, tells the difference, and takes effect at once', async () => {
    const { engine } = await openEngine();
    const [first, second, third] = ['a', 'b', 'c'].map((name) =>
      grant('token:alice', ['activate'], name),
    ) as [Grant, Grant, Grant];
    expect(await engine.applyPolicy(admin, [first, second])).toEqual({
      added: [first, second],
      removed: [],
      unchanged: 0,
      generation: 1,
    });
    expect(await may(engine, alice, 'a')).toBe(true);
    expect(await engine.applyPolicy(admin, [second, third])).toEqual({
      added: [third],
      removed: [first],
      unchanged: 1,
      generation: 2,
    });
    expect([
      await may(engine, alice, 'a'),
      await may(engine, alice, 'b'),
      await may(engine, alice, 'c'),
    ]).toEqual([false, true, true]);
  });

  it('survives a restart', async () => {
    const { engine, folder } = await openEngine();
    const one = grant('token:alice', ['activate'], 'a');
    await engine.applyPolicy(admin, [one, grant('token:bob', ['get'], 'b')]);
    await engine.applyPolicy(admin, [one]);
    await engine.close();
    const { engine: reopened } = await openEngine(folder);
    expect(await reopened.policy(admin)).toEqual({ grants: [one], generation: 2 });
    expect(await may(reopened, alice, 'a')).toBe(true);
  });

  it('refuses a bad operation id in a dry run too', async () => {
    const { engine } = await openEngine();
    const trial = engine.applyPolicy(admin, [], { dryRun: true }, { operation: 'with spaces' });
    expect(await codeOf(trial)).toBe('invalid_argument');
  });

  it('in a dry run answers the difference and changes nothing', async () => {
    const { engine } = await openEngine();
    const [old, young] = [grant('token:alice', ['get'], 'a'), grant('token:alice', ['get'], 'b')];
    await engine.applyPolicy(admin, [old]);
    expect(await engine.applyPolicy(admin, [young], { dryRun: true })).toEqual({
      added: [young],
      removed: [old],
      unchanged: 0,
      generation: 1,
    });
    expect(await engine.policy(admin)).toEqual({ grants: [old], generation: 1 });
  });

  it('is refused when the policy is not at the expected generation', async () => {
    const { engine } = await openEngine();
    const [one, other] = [grant('token:alice', ['get'], 'a'), grant('token:alice', ['get'], 'b')];
    await engine.applyPolicy(admin, [one], { expectedGeneration: 0 });
    expect(await codeOf(engine.applyPolicy(admin, [other], { expectedGeneration: 0 }))).toBe(
      'policy_changed',
    );
    expect((await engine.policy(admin)).grants).toEqual([one]);
    await engine.applyPolicy(admin, [other], { expectedGeneration: 1 });
    expect((await engine.policy(admin)).grants).toEqual([other]);
  });

  it('lets one of two that expect the same generation win', async () => {
    const { engine } = await openEngine();
    const outcomes = await Promise.allSettled(
      ['a', 'b', 'c'].map((name) =>
        engine.applyPolicy(admin, [grant('token:alice', ['get'], name)], { expectedGeneration: 0 }),
      ),
    );
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    expect((await engine.policy(admin)).grants).toHaveLength(1);
  });

  it('with an operation id is done once', async () => {
    const { engine } = await openEngine();
    const [one, other] = [grant('token:alice', ['get'], 'a'), grant('token:alice', ['get'], 'b')];
    await engine.applyPolicy(admin, [one], {}, { operation: 'op' });
    await engine.applyPolicy(admin, [other]);
    expect(await engine.applyPolicy(admin, [one], {}, { operation: 'op' })).toMatchObject({
      added: [],
      removed: [],
    });
    expect((await engine.policy(admin)).grants).toEqual([other]);
  });

  it('with an operation id that was used for other grants is refused', async () => {
    const { engine } = await openEngine();
    const [one, other] = [grant('token:alice', ['get'], 'a'), grant('token:alice', ['get'], 'b')];
    await engine.applyPolicy(admin, [one], {}, { operation: 'op' });
    expect(await codeOf(engine.applyPolicy(admin, [other], {}, { operation: 'op' }))).toBe(
      'operation_reused',
    );
    expect((await engine.policy(admin)).grants).toEqual([one]);
  });

  it('takes a permission away from changes that still wait for their turn', async () => {
    const { engine } = await openEngine();
    await engine.applyPolicy(admin, [grant('token:alice', ['put'], 'a')]);
    await engine.put(alice, 'a', bytes('first'));
    const puts = Array.from({ length: 100 }, (_, index) => engine.put(alice, 'a', bytes(`value ${index}`)));
    const settled = Promise.allSettled(puts);
    await engine.applyPolicy(admin, []);
    const { versions } = await engine.info(admin, 'a');
    await settled;
    // One may have been under way.
    expect((await engine.info(admin, 'a')).versions.length).toBeLessThanOrEqual(versions.length + 1);
    expect(versions.length).toBeLessThan(100);
  });
});

describe('who administers a part', () => {
  const team = grant('token:alice', ['admin'], 'team/*');
  const theirs = grant('token:bob', ['activate'], 'team/a');
  const others = grant('token:bob', ['activate'], 'other');
  const mixed = grant('token:bob', ['get'], 'other', 'team/b');

  const withScopedAdmin = async () => {
    const opened = await openEngine();
    await opened.engine.applyPolicy(admin, [team, theirs, others, mixed]);
    return opened;
  };

  it('sees the grants within it only', async () => {
    const { engine } = await withScopedAdmin();
    expect((await engine.policy(alice)).grants).toEqual(expect.arrayContaining([team, theirs]));
    expect((await engine.policy(alice)).grants).toHaveLength(2);
  });

  it('replaces the grants within it only', async () => {
    const { engine } = await withScopedAdmin();
    const added = grant('token:carol', ['get', 'put'], 'team/c/*');
    const difference = await engine.applyPolicy(alice, [team, added]);
    expect(difference).toMatchObject({ added: [added], removed: [theirs], unchanged: 1 });
    expect((await engine.policy(admin)).grants).toHaveLength(4);
    expect(await may(engine, bob, 'team/a')).toBe(false);
    expect(await may(engine, bob, 'other')).toBe(true);
  });

  it('may grant nothing beyond it', async () => {
    const { engine } = await withScopedAdmin();
    const beyond = ['*', 'team*', 'team', 'Team/a', 'teams/a', '*team/*', 'other', '*/x', 'tea*'];
    for (const pattern of beyond) {
      for (const options of [{}, { dryRun: true }]) {
        const attempt = engine.applyPolicy(
          alice,
          [team, grant('token:alice', ['get'], 'team/x', pattern)],
          options,
        );
        expect(await codeOf(attempt)).toBe('access_denied');
      }
    }
    expect((await engine.policy(admin)).grants).toHaveLength(4);
  });

  it('is denied alike whether what it reaches for exists or not', async () => {
    const { engine } = await withScopedAdmin();
    const answers = await Promise.allSettled([
      engine.applyPolicy(alice, [others]),
      engine.applyPolicy(alice, [grant('token:nobody', ['get'], 'nowhere')]),
    ]);
    const sentences = answers.map((answer) => (answer as PromiseRejectedResult).reason.message);
    expect(sentences).toEqual(['access denied', 'access denied']);
  });

  it('makes no tokens and sees none', async () => {
    const { engine } = await withScopedAdmin();
    expect(await codeOf(engine.createToken(alice, { name: 'x' }))).toBe('access_denied');
    expect(await codeOf(engine.listTokens(alice))).toBe('access_denied');
    expect(await codeOf(engine.revokeToken(alice, '0123456789abcdef'))).toBe('access_denied');
  });

  it('may hand its part or a part of it on, and lose it', async () => {
    const { engine } = await withScopedAdmin();
    await engine.applyPolicy(alice, [team, grant('token:bob', ['admin'], 'team/sub/*')]);
    const further = grant('token:carol', ['get'], 'team/sub/x');
    expect(
      (await engine.applyPolicy(bob, [grant('token:bob', ['admin'], 'team/sub/*'), further])).added,
    ).toEqual([further]);
    expect(await codeOf(engine.applyPolicy(bob, [grant('token:bob', ['get'], 'team/x')]))).toBe(
      'access_denied',
    );
    await engine.applyPolicy(alice, []);
    expect(await codeOf(engine.policy(alice))).toBe('access_denied');
    expect(await codeOf(engine.policy(bob))).toBe('access_denied');
  });

  it('cannot give back to itself what is being taken away', async () => {
    const { engine } = await withScopedAdmin();
    const taken = engine.applyPolicy(admin, []);
    const regained = Promise.allSettled(Array.from({ length: 5 }, () => engine.applyPolicy(alice, [team])));
    await taken;
    await regained;
    expect((await engine.policy(admin)).grants).toEqual([]);
    expect(await codeOf(engine.policy(alice))).toBe('access_denied');
  });

  it('administers everything with the pattern *, tokens included', async () => {
    const { engine } = await openEngine();
    await engine.applyPolicy(admin, [grant('token:alice', ['admin'], '*')]);
    const { info } = await engine.createToken(alice, { name: 'made by alice' });
    expect(info.createdBy).toBe('token:alice');
    await engine.applyPolicy(alice, [grant('token:alice', [...ACTIONS], '*')]);
    expect(await may(engine, alice, 'x')).toBe(true);
  });
});

describe('whoami', () => {
  it('tells a caller its own grants and not whom else they are to', async () => {
    const { engine } = await openEngine();
    await engine.applyPolicy(admin, [
      { to: ['token:alice', 'token:bob', 'token:a*'], actions: ['get'], secrets: ['a', 'b'] },
      grant('token:bob', ['get'], 'c'),
    ]);
    expect(engine.whoami(alice)).toEqual({
      principals: alice.principals,
      grants: [{ to: ['token:a*', 'token:alice'], actions: ['get'], secrets: ['a', 'b'] }],
    });
  });
});

describe('the audit of administration', () => {
  it('has an intent and an outcome for each change, and one entry for what changes nothing', async () => {
    const { engine, stateDir } = await openEngine();
    const one = grant('token:alice', ['get'], 'a');
    await engine.applyPolicy(admin, [one]);
    await engine.applyPolicy(admin, [one]);
    await engine.applyPolicy(admin, [], { dryRun: true });
    await codeOf(engine.applyPolicy(admin, [], { expectedGeneration: 7 }));
    await engine.policy(admin);
    await codeOf(engine.applyPolicy(alice, []));
    const told = (await auditEntries(stateDir)).map(({ action, phase, authorized, error }) => [
      action,
      phase ?? '',
      authorized,
      error ?? '',
    ]);
    expect(told).toEqual([
      ['apply-policy', 'intent', true, ''],
      ['apply-policy', 'outcome', true, ''],
      ['apply-policy', '', true, ''],
      ['apply-policy', '', true, ''],
      ['apply-policy', '', true, 'policy_changed'],
      ['show-policy', '', true, ''],
      ['apply-policy', '', false, ''],
    ]);
  });
});

describe('a policy too large', () => {
  const grant = { to: ['token:a'], actions: ['get'], secrets: ['*'] } as const;

  it.each([
    ['a pattern of more than 1,024 bytes', [{ ...grant, secrets: ['x'.repeat(1_025)] }]],
    [
      'a list of more than 1,000 entries',
      [{ ...grant, to: Array.from({ length: 1_001 }, (_, index) => `t${index}`) }],
    ],
    [
      'more than 10,000 grants',
      Array.from({ length: 10_001 }, (_, index) => ({ ...grant, secrets: [`s${index}`] })),
    ],
  ])('because of %s is refused', async (_, grants) => {
    const { engine } = await openEngine();
    expect(await codeOf(engine.applyPolicy(admin, grants))).toBe('invalid_policy');
  });
});
