import { describe, expect, it } from 'vitest';
import { endOfHours, type UserConditions, whyNot } from '../src/trust/conditions.js';

const NOON = new Date('2026-06-10T12:00:00.500Z');

const letsIn = (user: UserConditions, address = '192.0.2.7', now = NOON): boolean =>
  whyNot(user, address, now) === undefined;

const hours = (start: string, end: string, locale?: string): UserConditions => ({
  times: [{ start, end }],
  locale: locale ?? 'UTC',
});

describe('the networks of a user', () => {
  it.each([
    ['192.0.2.0/24', '192.0.2.7', true],
    ['192.0.2.99/24', '192.0.2.7', true],
    ['192.0.2.7/32', '192.0.2.7', true],
    ['192.0.2.8/32', '192.0.2.7', false],
    ['0.0.0.0/0', '192.0.2.7', true],
    ['::/0', '192.0.2.7', false],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['2001:db8::/32', '2001:db8:1::1', true],
    ['2001:db8::/33', '2001:db8:8000::1', false],
    ['fe80::/10', 'fe80::1%eth0', false],
    ['0.0.0.0/0', 'unix', false],
  ])('%s let in %s: %s', (network, address, expected) => {
    expect(letsIn({ src: [network] }, address)).toBe(expected);
  });

  it('count one after the other, and one that is none lets nobody in who is not in before', () => {
    expect(letsIn({ src: ['198.51.100.0/24', '192.0.2.0/24'] })).toBe(true);
    expect(letsIn({ src: ['192.0.2.0/24', 'nonsense'] })).toBe(true);
    expect(letsIn({ src: ['nonsense', '192.0.2.0/24'] })).toBe(false);
    for (const network of ['192.0.2.7', '192.0.2.0/33', '192.0.2/24', '::/129', '192.0.2.0/-1', '']) {
      expect(letsIn({ src: [network] })).toBe(false);
    }
    expect(letsIn({ src: [] })).toBe(true);
  });
});

describe('the hours of a user', () => {
  it.each([
    ['11:00:00', '13:00:00', true],
    ['12:00:00', '13:00:00', true],
    ['12:00:01', '13:00:00', false],
    ['11:00:00', '12:00:00', false],
    ['22:00:00', '12:30:00', true],
    ['22:00:00', '06:00:00', false],
    ['11:59:59', '06:00:00', true],
    ['12:00:00', '12:00:00', false],
    ['9:00:00', '13:00:00', true],
    ['24:00:00', '13:00:00', false],
    ['11:00', '13:00:00', false],
    ['', '13:00:00', false],
  ])('from %s to %s hold at noon: %s', (start, end, expected) => {
    expect(letsIn(hours(start, end))).toBe(expected);
  });

  it('are those of the place that the token names, in summer and in winter', () => {
    const evening = hours('13:30:00', '14:30:00', 'Europe/Berlin');
    expect(letsIn(evening)).toBe(true);
    expect(letsIn(evening, '192.0.2.7', new Date('2026-01-10T12:00:00Z'))).toBe(false);
    expect(letsIn(evening, '192.0.2.7', new Date('2026-01-10T13:00:00Z'))).toBe(true);
    expect(letsIn(hours('00:00:00', '23:59:59', 'Middle/Earth'))).toBe(false);
    expect(letsIn(hours('00:00:00', '23:59:59', '+01:00'))).toBe(false);
  });

  it('are several ranges, of which one that cannot be read lets nobody in', () => {
    const ranges = (...times: [string, string][]): UserConditions => ({
      times: times.map(([start, end]) => ({ start, end })),
      locale: 'UTC',
    });
    expect(letsIn(ranges(['08:00:00', '09:00:00'], ['11:00:00', '13:00:00']))).toBe(true);
    expect(letsIn(ranges(['11:00:00', '13:00:00'], ['11:00:00', 'later']))).toBe(false);
  });

  it('end what began in them', () => {
    expect(endOfHours(hours('11:00:00', '13:00:00'), NOON)).toEqual(new Date('2026-06-10T13:00:00.000Z'));
    expect(endOfHours(hours('22:00:00', '12:30:00'), NOON)).toEqual(new Date('2026-06-10T12:30:00.000Z'));
    const night = new Date('2026-06-10T23:00:00Z');
    expect(endOfHours(hours('22:00:00', '06:00:00'), night)).toEqual(new Date('2026-06-11T06:00:00.000Z'));
    expect(endOfHours({}, NOON)).toBeUndefined();
  });
});

describe('the connection types of a user', () => {
  it.each([
    [undefined, true],
    [[], true],
    [['HTTP'], true],
    [['standard', 'http'], true],
    [['STANDARD', 'WEBSOCKET'], false],
  ])('%j let in over HTTP: %s', (connectionTypes, expected) => {
    expect(letsIn({ connectionTypes })).toBe(expected);
  });
});
