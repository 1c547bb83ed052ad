import { describe, expect, it } from 'vitest';
import { randomFrom } from '../random.js';
import { check, checkAudit } from './check.js';
import type { FinalState, Operation, Violation } from './history.js';
import { findOrder } from './linearize.js';
import { ABSENT, apply, type State } from './model.js';

const BOUND = { boundMs: 1_000 };

/** An operation of a history; times in milliseconds. */
function op(kind: Operation['kind'], start: number, end: number, rest: Partial<Operation> = {}): Operation {
  const outcome = Number.isFinite(end) ? 'ok' : 'unknown';
  return { kind, secret: 's', instance: 'a', start, end, outcome, ...rest };
}
const put = (start: number, end: number, answered: number | undefined, value: string, rest = {}) =>
  op('put', start, end, { answered, value, ...rest });
const get = (start: number, answered: number, value: string, rest: Partial<Operation> = {}) =>
  op('get', start, start + 1, { answered, value, ...rest });
const NEVER = Number.POSITIVE_INFINITY;

const final = (active: number, versions: Record<number, string>): FinalState => ({
  secret: 's',
  active,
  versions: new Map(Object.entries(versions).map(([version, value]) => [Number(version), value])),
});

const kinds = (operations: readonly Operation[], end: FinalState): Violation['kind'][] =>
  check({ operations, finals: [end] }, BOUND).map(({ kind }) => kind);

describe('a history as it should be', () => {
  it('has nothing that is wrong', () => {
    const operations = [
      put(0, 10, 1, 'x'),
      put(5, 20, 2, 'y', { instance: 'b' }),
      get(30, 1, 'x'),
      op('activate', 40, 60, { version: 2 }),
      get(50, 1, 'x'),
      get(61, 2, 'y'),
      op('delete-version', 70, 80, { version: 1 }),
      op('get', 90, 91, { version: 1, outcome: 'absent' }),
    ];
    expect(kinds(operations, final(2, { 2: 'y' }))).toEqual([]);
  });

  it('may have an old answer of another instance within the bound', () => {
    const operations = [put(0, 10, 1, 'x'), put(20, 30, 2, 'y'), op('activate', 40, 50, { version: 2 })];
    const late = get(1_040, 1, 'x', { instance: 'b' });
    expect(kinds([...operations, late], final(2, { 1: 'x', 2: 'y' }))).toEqual([]);
  });

  it('may have changes of which nobody knows, made or not, and made late', () => {
    const unknown = put(20, NEVER, undefined, 'y');
    const first = put(0, 10, 1, 'x');
    expect(kinds([first, unknown], final(1, { 1: 'x' }))).toEqual([]);
    expect(kinds([first, unknown], final(1, { 1: 'x', 2: 'y' }))).toEqual([]);
    expect(kinds([first, unknown, put(90, 95, 2, 'z')], final(1, { 1: 'x', 2: 'z', 3: 'y' }))).toEqual([]);
    expect(
      kinds(
        [first, op('activate', 20, NEVER, { version: 2 }), put(90, 95, 2, 'z')],
        final(2, { 1: 'x', 2: 'z' }),
      ),
    ).toEqual([]);
  });

  it('may have several lives of one name', () => {
    const operations = [put(0, 10, 1, 'x'), op('delete', 20, 30), put(40, 50, 1, 'y'), get(60, 1, 'y')];
    expect(kinds(operations, final(1, { 1: 'y' }))).toEqual([]);
  });
});

describe('what is found', () => {
  it.each<[Violation['kind'], string, Operation[], FinalState]>([
    ['lost write', 'a put that is gone', [put(0, 10, 1, 'x'), put(20, 30, 2, 'y')], final(1, { 1: 'x' })],
    [
      'lost write',
      'a put that is gone though its number was deleted before',
      [put(0, 10, 1, 'x'), op('delete', 20, 30), put(40, 50, 1, 'y')],
      final(0, {}),
    ],
    [
      'wrong value',
      'a put in whose place stands another',
      [put(0, 10, 1, 'x'), put(0, NEVER, undefined, 'y')],
      final(1, { 1: 'y' }),
    ],
    ['wrong value', 'a value from nowhere', [put(0, 10, 1, 'x')], final(1, { 1: 'x', 2: '?' })],
    [
      'version number twice',
      'two puts with one number',
      [put(0, 10, 1, 'x'), put(20, 30, 2, 'y'), put(20, 30, 2, 'z', { instance: 'b' })],
      final(1, { 1: 'x', 2: 'z' }),
    ],
    [
      'deleted came back',
      'a version that was deleted',
      [put(0, 10, 1, 'x'), put(11, 20, 2, 'y'), op('delete-version', 30, 40, { version: 2 })],
      final(1, { 1: 'x', 2: 'y' }),
    ],
    [
      'deleted came back',
      'a secret that was deleted',
      [put(0, 10, 1, 'x'), op('delete', 30, 40)],
      final(1, { 1: 'x' }),
    ],
    [
      'no order',
      'an activation that is lost',
      [put(0, 10, 1, 'x'), put(11, 20, 2, 'y'), op('activate', 30, 40, { version: 2 })],
      final(1, { 1: 'x', 2: 'y' }),
    ],
    [
      'no order',
      'numbers in another order than the puts',
      [put(0, 10, 1, 'x'), put(20, 30, 3, 'y'), put(40, 50, 2, 'z')],
      final(1, { 1: 'x', 2: 'z', 3: 'y' }),
    ],
    [
      'no order',
      'a number that was left out',
      [put(0, 10, 1, 'x'), put(20, 30, 3, 'y')],
      final(1, { 1: 'x', 3: 'y' }),
    ],
  ])('%s: %s', (kind, _what, operations, end) => {
    expect(kinds(operations, end)).toContain(kind);
  });
});

describe('of reads', () => {
  const changes = [
    put(0, 10, 1, 'x'),
    put(20, 30, 2, 'y'),
    op('activate', 40, 50, { version: 2, session: 7 }),
  ];
  const end = final(2, { 1: 'x', 2: 'y' });
  it.each<[Violation['kind'], string, Operation]>([
    ['stale read', 'one older than the bound', get(1_051, 1, 'x', { instance: 'b' })],
    ['stale read', 'one that does not show what the same instance acknowledged', get(51, 1, 'x')],
    [
      'stale read',
      'one that does not show what its session has seen',
      get(51, 1, 'x', { instance: 'b', session: 7 }),
    ],
    ['stale read', 'no such secret, though it was put', op('get', 2_000, 2_001, { outcome: 'absent' })],
    [
      'stale read',
      'no such version, though it was put',
      op('get', 2_000, 2_001, { outcome: 'absent', version: 2 }),
    ],
    ['wrong value', 'a value from nowhere', get(2_000, 2, '?')],
    ['wrong value', 'the value of another number', get(2_000, 2, 'x')],
    ['stale read', 'one from the future', get(15, 2, 'y', { instance: 'b' })],
  ])('%s: %s', (kind, _what, read) => {
    // What is from the future has a value that nobody has put by then.
    const expected = read.start === 15 ? 'wrong value' : kind;
    expect(kinds([...changes, read], end)).toEqual([expected]);
  });

  it('read went backwards: what an instance has shown it shows from then on', () => {
    const reads = [get(60, 2, 'y', { instance: 'b' }), get(70, 1, 'x', { instance: 'b' })];
    expect(kinds([...changes, ...reads], end)).toEqual(['read went backwards']);
    expect(
      kinds([...changes, get(60, 2, 'y', { instance: 'c' }), get(70, 1, 'x', { instance: 'b' })], end),
    ).toEqual([]);
  });

  it('stale read: a version that was deleted longer ago', () => {
    const removed = op('delete-version', 60, 70, { version: 1 });
    const read = (start: number) => get(start, 1, 'x', { version: 1, instance: 'b' });
    expect(kinds([...changes, removed, read(1_000)], final(2, { 2: 'y' }))).toEqual([]);
    expect(kinds([...changes, removed, read(1_100)], final(2, { 2: 'y' }))).toEqual(['stale read']);
  });
});

describe('of the audit log', () => {
  const change = put(0, 10, 1, 'x', { operation: 'o1' });
  const line = { action: 'put', authorized: true, secret: 's', phase: 'outcome', operation: 'o1' };
  const read = { action: 'get', authorized: true, secret: 's' };
  it.each([
    ['a change without its line', [change], []],
    ['a change whose line says that it failed', [change], [{ ...line, error: 'conflict' }]],
    ['a change with an intent only', [change], [{ ...line, phase: 'intent' }]],
    ['a change twice', [change], [line, line]],
    ['a read too few', [get(20, 1, 'x'), get(30, 1, 'x')], [read]],
  ])('not audited: %s', (_what, operations, lines) => {
    expect(checkAudit(operations, lines).map(({ kind }) => kind)).toEqual(['not audited']);
  });

  it('takes more lines of reads than were answered: whose answer was lost has its line', () => {
    expect(checkAudit([change, get(20, 1, 'x')], [line, read, read])).toEqual([]);
  });
});

/** Clients that ask a server that does everything at once and right, and whose answers arrive late or never. */
function simulate(seed: number, count: number): { operations: Operation[]; end: FinalState } {
  let state: State = ABSENT;
  const random = randomFrom(seed);
  const operations: Operation[] = [];
  for (let index = 0; index < count; index++) {
    const made = index * 10;
    const [start, end] = [made - random() * 40, made + random() * 40];
    const numbers = [...state.versions.keys()];
    const version = numbers[Math.floor(random() * numbers.length)] ?? 1;
    const asked = CHOICES[Math.floor(random() * CHOICES.length)] ?? 'put';
    const value = asked === 'put' ? `v${index}` : undefined;
    const change = op(asked, start, end, { version: value ? undefined : version, value });
    const isLost = random() < 0.05;
    const after = isLost && random() < 0.5 ? state : apply(state, change);
    if (after === undefined) continue;
    const answered = value && after.highest > 0 ? after.highest : undefined;
    operations.push(isLost ? { ...change, end: NEVER, outcome: 'unknown' } : { ...change, answered });
    state = after;
  }
  return { operations, end: { secret: 's', active: state.active, versions: state.versions } };
}
const CHOICES = ['put', 'put', 'put', 'activate', 'activate', 'delete-version'] as const;

describe('the search for an order', () => {
  it('finds one for all that a right server does, with unknown outcomes', () => {
    for (let seed = 0; seed < 20; seed++) {
      const { operations, end } = simulate(seed, seed === 0 ? 600 : 150);
      expect([seed, ...check({ operations, finals: [end] }, BOUND)]).toEqual([seed]);
    }
  });

  it('finds none when the last activation is lost', () => {
    const lost = op('activate', 100_000, 100_001, { version: 1 });
    for (let seed = 0; seed < 20; seed++) {
      const { operations, end } = simulate(seed, 60);
      const first = op('create-version', 50_000, 50_001, { version: 900, value: 'z' });
      const late = { ...end, active: 900, versions: new Map(end.versions).set(900, 'z') };
      expect([seed, findOrder([...operations, first], late)]).toEqual([seed, 'found']);
      if (!end.versions.has(1)) continue;
      expect([seed, findOrder([...operations, first, lost], late)]).toEqual([seed, 'none']);
    }
  });
});
