import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Engine, RetentionRule, WatchEvent } from '../src/index.js';
import { auditEntries, auditPath, verifyLog } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, temporaryFolder, text } from './support.js';

const DAY = 24 * 60 * 60 * 1_000;

/** An engine whose clock the test moves. */
async function withClock(
  retention: readonly RetentionRule[] = [],
  folder?: string,
  time = Date.UTC(2026, 0, 1),
) {
  const clock = { time, uptime: 0 };
  const opened = await openEngine(folder, {
    retention,
    now: () => new Date(clock.time),
    uptime: () => clock.uptime,
  });
  const pass = (days: number) => {
    clock.time += days * DAY;
    clock.uptime += days * DAY;
  };
  return { ...opened, clock, pass };
}

/** So many versions, of which one is active, a day between each two. */
async function putVersions(
  { engine, pass }: { engine: Engine; pass: (days: number) => void },
  name: string,
  count: number,
  active = 1,
) {
  for (let number = 1; number <= count; number++) {
    await engine.put(admin, name, bytes(`${name} ${number}`));
    pass(1);
  }
  if (active !== 1) await engine.activate(admin, name, active);
}

const versionsOf = async (engine: Engine, name: string) => (await engine.info(admin, name)).versions;

describe('versions', () => {
  it('are kept for ever where no rule says otherwise', async () => {
    const opened = await withClock();
    await putVersions(opened, 'a', 5);
    opened.pass(10_000);
    await opened.engine.applyRetention();
    expect(await versionsOf(opened.engine, 'a')).toEqual([1, 2, 3, 4, 5]);
  });

  it.each([
    ['of the newest', { keepVersions: 2 }, 1, [1, 5, 6]],
    ['of the newest, the active one among them', { keepVersions: 2 }, 6, [5, 6]],
    ['that are young', { keepDays: 2.5 }, 3, [3, 5, 6]],
    ['that are young, to the millisecond', { keepDays: 3 }, 1, [1, 5, 6]],
    ['that are new or young', { keepVersions: 1, keepDays: 3.5 }, 2, [2, 4, 5, 6]],
    ['that are young or new', { keepVersions: 4, keepDays: 1.5 }, 1, [1, 3, 4, 5, 6]],
    ['none but the active one', { keepDays: 0.001 }, 4, [4]],
    ['all, where there are fewer', { keepVersions: 100 }, 1, [1, 2, 3, 4, 5, 6]],
  ] as const)('are kept: %s', async (_, rule, active, kept) => {
    const opened = await withClock();
    await putVersions(opened, 'a', 6, active);
    opened.engine.setRetention([{ secrets: ['*'], ...rule }]);
    await opened.engine.applyRetention();
    expect(await versionsOf(opened.engine, 'a')).toEqual(kept);
    for (const version of kept) {
      expect(text((await opened.engine.get(admin, 'a', version)).value)).toBe(`a ${version}`);
    }
  });

  it('are decided by the first rule that matches, and by none where none does', async () => {
    const opened = await withClock();
    for (const name of ['prod/a', 'prod/keep/a', 'other', 'b']) await putVersions(opened, name, 4, 4);
    opened.engine.setRetention([
      { secrets: ['prod/keep/*', 'nowhere'], keepVersions: 3 },
      { secrets: ['prod/*', 'b'], keepVersions: 1 },
      { secrets: ['prod/*'], keepVersions: 4 },
    ]);
    await opened.engine.applyRetention();
    const versions = (await opened.engine.list(admin)).map(({ name, versions }) => [name, versions]);
    expect(Object.fromEntries(versions)).toEqual({
      'prod/a': [4],
      'prod/keep/a': [2, 3, 4],
      other: [1, 2, 3, 4],
      b: [4],
    });
  });

  it('that were dropped give their numbers to no other, over a restart too', async () => {
    const opened = await withClock();
    await putVersions(opened, 'a', 4, 2);
    opened.engine.setRetention([{ secrets: ['*'], keepDays: 0.5 }]);
    await opened.engine.applyRetention();
    expect(await versionsOf(opened.engine, 'a')).toEqual([2]);
    await opened.engine.close();
    const { engine } = await openEngine(opened.folder);
    for (const number of [1, 3, 4]) {
      expect(await codeOf(engine.createVersion(admin, 'a', number, bytes('x')))).toBe('version_taken');
    }
    expect(await engine.put(admin, 'a', bytes('a 4'))).toBe(5);
  });
});

describe('a rule of the wrong form', () => {
  it.each([
    [{ secrets: ['*'] }],
    [{ secrets: [], keepVersions: 1 }],
    [{ secrets: [''], keepVersions: 1 }],
    [{ secrets: ['*'], keepVersions: 0 }],
    [{ secrets: ['*'], keepVersions: 1.5 }],
    [{ secrets: ['*'], keepDays: 0 }],
    [{ secrets: ['*'], keepDays: Number.NaN }],
  ])('%j is refused, and those before it stay', async (rule) => {
    const opened = await withClock([{ secrets: ['*'], keepVersions: 1 }]);
    expect(() => opened.engine.setRetention([rule])).toThrow(
      expect.objectContaining({ code: 'invalid_argument' }),
    );
    await putVersions(opened, 'a', 3, 3);
    await opened.engine.applyRetention();
    expect(await versionsOf(opened.engine, 'a')).toEqual([3]);
    await expect(openEngine(await temporaryFolder(), { retention: [rule] })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
  });
});

describe('dropping versions', () => {
  it('is one change of the server’s, with its numbers in the log, and watchers hear of it', async () => {
    const opened = await withClock();
    const { engine, stateDir } = opened;
    await putVersions(opened, 'a', 9, 4);
    const events = engine.watch(admin);
    await events.next();
    const before = (await auditEntries(stateDir)).length;
    engine.setRetention([{ secrets: ['a'], keepVersions: 2 }]);
    await engine.applyRetention();
    const entries = (await auditEntries(stateDir)).slice(before);
    const entry = {
      principal: { id: 'server', kind: 'server', user: 'server' },
      action: 'prune',
      authorized: true,
      secret: 'a',
      target: 'versions 1-3,5-7',
    };
    expect(entries).toMatchObject([
      { ...entry, phase: 'intent' },
      { ...entry, phase: 'outcome', intent: entries[0]?.seq },
    ]);
    const told = (await events.next()).value as WatchEvent;
    expect(told).toMatchObject({
      kind: 'change',
      secret: { name: 'a', versions: [4, 8, 9], activeVersion: 4 },
    });
    await events.return();
    await engine.close();
    expect(await verifyLog(auditPath(stateDir), engine)).toMatchObject({ openIntents: [] });
  });

  it('happens at the start, after other rules, and a moment after a change', async () => {
    const first = await withClock();
    await putVersions(first, 'a', 4, 4);
    await first.engine.close();
    const opened = await withClock([{ secrets: ['*'], keepVersions: 3 }], first.folder);
    const { engine } = opened;
    await expect.poll(() => versionsOf(engine, 'a')).toEqual([2, 3, 4]);
    engine.setRetention([{ secrets: ['*'], keepVersions: 2 }]);
    await expect.poll(() => versionsOf(engine, 'a')).toEqual([3, 4]);
    await engine.put(admin, 'a', bytes('five'));
    await expect.poll(() => versionsOf(engine, 'a')).toEqual([4, 5]);
    await engine.put(admin, 'a', bytes('six'));
    await expect.poll(() => versionsOf(engine, 'a')).toEqual([4, 5, 6]);
    await engine.activate(admin, 'a', 6);
    await expect.poll(() => versionsOf(engine, 'a')).toEqual([5, 6]);
  });

  it('takes many versions in several changes, and makes room on a disk that is full', async () => {
    const { engine: before, folder } = await openEngine();
    for (let n = 1; n <= 300; n++) await before.put(admin, 'a', bytes(`${n}`));
    await before.close();
    const full = { storage: { minFreeBytes: Number.MAX_SAFE_INTEGER } };
    const { engine, stateDir } = await openEngine(folder, full);
    engine.setRetention([{ secrets: ['*'], keepVersions: 1 }]);
    await engine.applyRetention();
    expect(await versionsOf(engine, 'a')).toEqual([1, 300]);
    const targets = (await auditEntries(stateDir))
      .filter(({ action, phase }) => action === 'prune' && phase === 'outcome')
      .map(({ target, error }) => [target, error]);
    expect(targets).toEqual([
      ['versions 2-257', undefined],
      ['versions 258-299', undefined],
    ]);
  });

  it('goes on beside a rotation of keys, and both come to their end', async () => {
    const { engine } = await withClock();
    const names = Array.from({ length: 60 }, (_, n) => `n${n}`);
    await Promise.all(
      names.map(async (name) => {
        for (let n = 1; n <= 6; n++) await engine.put(admin, name, bytes(`${name} ${n}`));
      }),
    );
    engine.setRetention([{ secrets: ['*'], keepVersions: 2 }]);
    await Promise.all([engine.rotateKeys(admin), engine.applyRetention()]);
    await expect.poll(async () => (await engine.keys(admin)).rotation, { timeout: 10_000 }).toBeUndefined();
    for (const { name, versions } of await engine.list(admin)) {
      expect([name, versions]).toEqual([name, [1, 5, 6]]);
      for (const version of versions) {
        expect(text((await engine.get(admin, name, version)).value)).toBe(`${name} ${version}`);
      }
    }
  });

  it('never meets the active one, whoever activates what at the same moment', async () => {
    const opened = await withClock();
    const { engine } = opened;
    for (let round = 0; round < 15; round++) {
      const name = `n${round}`;
      for (let n = 1; n <= 8; n++) await engine.put(admin, name, bytes(`${name} ${n}`));
      engine.setRetention([{ secrets: [name], keepVersions: 1 }]);
      const outcomes = await Promise.all([
        engine.applyRetention(),
        ...[2, 3, 4, 5, 6].map((n) => engine.activate(admin, name, n).catch((error) => error.code)),
        engine.applyRetention(),
      ]);
      expect(outcomes.filter((code) => code !== undefined && code !== 'not_found')).toEqual([]);
      const { activeVersion } = await engine.info(admin, name);
      const { value, version } = await engine.get(admin, name);
      expect([version, text(value)]).toEqual([activeVersion, `${name} ${activeVersion}`]);
    }
  });
});

describe('a clock that jumps ahead', () => {
  const rules = [
    { secrets: ['few'], keepVersions: 1 },
    { secrets: ['*'], keepVersions: 1, keepDays: 30 },
  ];
  const ahead = (notices: readonly string[]) => notices.filter((each) => each.startsWith('The clock says '));

  it('makes nothing old for a day; it is told once, and a clock set right is believed again', async () => {
    const opened = await withClock(rules);
    const { engine, clock, pass, notices } = opened;
    await putVersions(opened, 'a', 3, 3);
    await putVersions(opened, 'few', 3, 3);
    clock.time += 400 * DAY;
    await engine.applyRetention();
    pass(0.9);
    await engine.applyRetention();
    expect(await versionsOf(engine, 'a')).toEqual([1, 2, 3]);
    expect(await versionsOf(engine, 'few')).toEqual([3]);
    expect(ahead(notices)).toHaveLength(1);
    clock.time -= 400 * DAY;
    await engine.applyRetention();
    pass(40);
    await engine.applyRetention();
    expect(await versionsOf(engine, 'a')).toEqual([3]);
    expect(ahead(notices)).toHaveLength(1);
  });

  it('is believed when it has gone on so for a day', async () => {
    const opened = await withClock(rules);
    await putVersions(opened, 'a', 3, 3);
    opened.clock.time += 400 * DAY;
    await opened.engine.applyRetention();
    opened.pass(1.1);
    await opened.engine.applyRetention();
    expect(await versionsOf(opened.engine, 'a')).toEqual([3]);
  });

  it('is noticed at a start, by the last line of the audit log', async () => {
    const first = await withClock();
    await putVersions(first, 'a', 3, 3);
    await first.engine.close();
    const later = await withClock(rules, first.folder, Date.UTC(2027, 5, 1));
    await later.engine.applyRetention();
    expect(await versionsOf(later.engine, 'a')).toEqual([1, 2, 3]);
    expect(ahead(later.notices)).toHaveLength(1);
  });
});

/** What there should be, said as simply as it can be. */
interface Modelled {
  active: number;
  readonly used: Set<number>;
  readonly createdAt: Map<number, number>;
}

function expectedOf(secret: Modelled, rule: RetentionRule | undefined, now: number): void {
  if (!rule) return;
  const newest = [...secret.createdAt.keys()].sort((a, b) => b - a).slice(0, rule.keepVersions ?? 0);
  for (const [number, made] of [...secret.createdAt]) {
    const young = rule.keepDays !== undefined && now - made < rule.keepDays * DAY;
    if (number !== secret.active && !newest.includes(number) && !young) secret.createdAt.delete(number);
  }
}

const rule: fc.Arbitrary<RetentionRule> = fc
  .record({
    secrets: fc.constantFrom(['*'], ['a'], ['b*']),
    reasons: fc.constantFrom(
      { keepVersions: 1 },
      { keepVersions: 3 },
      { keepDays: 2 },
      { keepVersions: 2, keepDays: 1 },
    ),
  })
  .map(({ secrets, reasons }) => ({ secrets, ...reasons }));

const name = fc.constantFrom('a', 'b', 'bb');
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('put' as const), name }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('create' as const),
      name,
      number: fc.integer({ min: 1, max: 30 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('activate' as const),
      name,
      number: fc.integer({ min: 1, max: 12 }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('pass' as const), days: fc.constantFrom(0.3, 1, 2) }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('rules' as const), rules: fc.array(rule, { maxLength: 3 }) }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('prune' as const) }) },
);

it('random histories keep exactly what the rules keep, with its values, and use no number twice', async () => {
  const { engine, clock, pass } = await withClock();
  let counter = 0;
  const matches = (rule: RetentionRule, name: string) =>
    rule.secrets.some(
      (pattern) => pattern === name || (pattern.endsWith('*') && name.startsWith(pattern.slice(0, -1))),
    );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
      engine.setRetention([]);
      for (const { name } of await engine.list(admin)) await engine.delete(admin, name);
      const model = new Map<string, Modelled>();
      let rules: readonly RetentionRule[] = [];
      const prune = async () => {
        await engine.applyRetention();
        for (const [name, secret] of model) {
          expectedOf(
            secret,
            rules.find((rule) => matches(rule, name)),
            clock.time,
          );
        }
      };
      for (const one of steps) {
        if (one.do === 'pass') pass(one.days);
        else if (one.do === 'prune') await prune();
        else if (one.do === 'rules') {
          rules = one.rules;
          engine.setRetention(rules);
          await prune();
        } else {
          const known = model.get(one.name);
          const secret = known ?? {
            active: 0,
            used: new Set<number>(),
            createdAt: new Map<number, number>(),
          };
          const value = bytes(`${one.name} ${++counter}`);
          if (one.do === 'put') {
            const number = await engine.put(admin, one.name, value);
            expect(number).toBe(Math.max(0, ...secret.used) + 1);
            secret.used.add(number);
            secret.createdAt.set(number, clock.time);
            if (!known) secret.active = number;
          } else if (one.do === 'create') {
            const made = engine.createVersion(admin, one.name, one.number, value);
            if (secret.used.has(one.number)) {
              expect(await codeOf(made)).toBe('version_taken');
              continue;
            }
            await made;
            secret.used.add(one.number);
            secret.createdAt.set(one.number, clock.time);
            secret.active = one.number;
          } else if (secret.createdAt.has(one.number)) {
            await engine.activate(admin, one.name, one.number);
            secret.active = one.number;
          } else {
            expect(await codeOf(engine.activate(admin, one.name, one.number))).toBe('not_found');
            continue;
          }
          model.set(one.name, secret);
          await prune();
        }
      }
      await prune();
      const found = await engine.list(admin);
      expect(found).toEqual(
        [...model.keys()].sort().map((name) => {
          const { active, createdAt } = model.get(name) as Modelled;
          return { name, versions: [...createdAt.keys()].sort((a, b) => a - b), activeVersion: active };
        }),
      );
      for (const { name, versions } of found) {
        for (const version of versions) {
          expect(text((await engine.get(admin, name, version)).value).split(' ')[0]).toBe(name);
        }
      }
    }),
    { numRuns: 40 },
  );
});
