import { expect, test } from 'vitest';
import { checkConfirmation } from '../src/confirmation.js';

/** Made by setec's own CLI at 2026-11-22T11:15:45Z. */
const TOKEN = '1c89485.31c79bc91d2dc77f';
const MINUTE = Date.parse('2026-11-22T11:15:01Z');

test('the token is the one that setec makes', () => {
  const refusal = () => checkConfirmation('delete-secret:prod/db', undefined, MINUTE + 44_000);
  expect(refusal).toThrow(`confirmation required for "delete-secret:prod/db", use token "${TOKEN}"`);
});

test('a token holds for a minute at least and two at most', () => {
  const at = (seconds: number) => () =>
    checkConfirmation('delete-secret:prod/db', TOKEN, MINUTE + seconds * 1000);
  expect(at(0)).not.toThrow();
  expect(at(119)).not.toThrow();
  expect(at(120)).toThrow('incorrect confirmation');
  expect(at(-1)).toThrow('incorrect confirmation');
});
