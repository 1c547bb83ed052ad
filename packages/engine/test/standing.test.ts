import { expect, test } from 'vitest';
import { commonOf, isBlank } from '../src/storage/jetstream/standing.js';

const NOTE = { name: 'a', version: '1', life: 1, epoch: 2, confirmed: 100, awaited: 0, at: new Date(0) };
const said = (sequence: number, more: object = {}) => ({ sequence, life: 1, note: { ...NOTE, ...more } });
const HERE = { epoch: 2, position: 100, life: 1 };

test('what an instance has of the stream is what it said behind it, be it said again since', () => {
  expect(commonOf(undefined)).toBe(0);
  expect(commonOf({ sequence: 101, life: 1, note: undefined })).toBe(0);
  expect(commonOf(said(101))).toBe(100);
  expect(commonOf(said(500, { since: 101 }))).toBe(100);
  // It was on its way when the stream was put back, and the stream has grown beyond it again.
  expect(commonOf(said(91))).toBe(0);
  expect(commonOf(said(500, { since: 91 }))).toBe(0);
  expect(commonOf(said(91, { since: 101 }))).toBe(0);
});

test('what a replica has counts for nothing when it was forgotten in the life that it is in, or has less than it said', () => {
  expect(isBlank(undefined, HERE)).toBe(false);
  expect(isBlank(said(101), HERE)).toBe(false);
  expect(isBlank(said(102, { confirmed: 101 }), HERE)).toBe(true);
  expect(isBlank(said(101, { epoch: 3, confirmed: 0 }), HERE)).toBe(true);
  expect(isBlank({ sequence: 101, life: 1, note: undefined }, HERE)).toBe(true);
  expect(isBlank({ sequence: 101, life: 0, note: undefined }, HERE)).toBe(false);
  expect(isBlank({ ...said(101, { confirmed: 1_000 }), life: 0 }, HERE)).toBe(false);
});
