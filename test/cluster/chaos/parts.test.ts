import { expect, it } from 'vitest';
import { TemporaryFolder } from '../../support/processes.mjs';
import { check } from '../checker/check.js';
import type { Operation } from '../checker/history.js';
import { randomFrom } from '../random.js';
import { Deck } from './deck.js';
import { tooLittle } from './enough.js';
import { keepHistory, readHistory } from './kept-history.js';

it('a deck deals each card once before any comes again, in an order of the seed', () => {
  const cards = Array.from({ length: 19 }, (_, index) => index);
  const dealt = (seed: number, count: number) => {
    const deck = new Deck(cards, randomFrom(seed));
    const all = Array.from({ length: count }, () => deck.deal());
    return { all, rounds: deck.rounds };
  };
  const { all, rounds } = dealt(7, 57);
  for (const from of [0, 19, 38]) expect(new Set(all.slice(from, from + 19)).size).toBe(19);
  expect(rounds).toBe(3);
  expect(dealt(7, 18).rounds).toBe(0);
  expect(dealt(7, 57).all).toEqual(all);
  expect(dealt(8, 57).all).not.toEqual(all);
});

const change = (kind: Operation['kind'], instance: string): Operation => ({
  kind,
  secret: 's',
  instance,
  start: 1,
  end: 2,
  outcome: 'ok',
});

it('a run in which hardly anything was answered is none', () => {
  const changes = (['put', 'activate', 'delete-version'] as const).flatMap((kind) => [
    change(kind, 'a'),
    change(kind, 'b'),
  ]);
  const gets = Array.from({ length: 20 }, () => change('get', 'a'));
  expect(tooLittle([...changes, ...gets], ['a', 'b'], 2)).toEqual([]);
  const refused = gets.map((get) => ({ ...get, outcome: 'refused' as const }));
  expect(tooLittle([...changes, ...refused], ['a', 'b'], 2)).toEqual(['0 gets in 2 s']);
  expect(tooLittle([...changes, ...gets], ['a', 'b', 'c'], 2)).toEqual(['0 changes at c']);
  expect(tooLittle([...changes.slice(0, 4), ...changes.slice(0, 2), ...gets], ['a'], 2)).toEqual([
    'no delete-version',
  ]);
  expect(tooLittle(gets, [], 2)).toContain('0 changes in 2 s');
});

it('a run that was kept is checked as it was', () => {
  using folder = new TemporaryFolder();
  const operations: Operation[] = [
    { ...change('put', 'a'), answered: 1, value: 'x' },
    { ...change('put', 'b'), value: 'y', outcome: 'unknown', end: Number.POSITIVE_INFINITY },
  ];
  const run = {
    seed: 5,
    faults: [{ what: 'kill a', start: 1, end: 2, instance: 'a' }],
    operations,
    finals: [{ secret: 's', active: 2, versions: new Map([[2, 'y']]) }],
  };
  const file = keepHistory(run, 'run', folder.join('kept'));
  expect(readHistory(file)).toEqual(run);
  const found = check(run, { boundMs: 1_000 });
  expect(found).toMatchObject([{ kind: 'lost write' }]);
  expect(check(readHistory(file), { boundMs: 1_000 })).toEqual(found);
});
