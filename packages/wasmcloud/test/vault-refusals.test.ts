import { expect, it } from 'vitest';
import { SourceReason } from '../src/backend/source-reason.js';
import { SecretsError } from '../src/protocol/errors.js';
import { Refusals } from '../src/vault/refusals.js';

const BOUNDS = { owners: 2, atOnePlace: 2, ofOne: 3, forMs: 60_000 };

/** Counts log-ins, which all fail in this way. */
function failing(refusals: Refusals, error = refused()) {
  const counted = { times: 0 };
  const logIn = async () => {
    counted.times++;
    throw error;
  };
  const at = async (owner: string, place: string) =>
    refusals.unlessTooMany(owner, place, logIn).catch((thrown: unknown) => thrown);
  return { counted, at };
}

const refused = () =>
  new SecretsError('Unauthorized', '', { cause: new SourceReason('Vault refuses the log-in: no') });

it('one whose log-ins are refused again and again has no other tried there, nor anywhere after some more', async () => {
  const { counted, at } = failing(new Refusals(BOUNDS));
  for (const _ of [1, 2]) await at('a', 'here');
  const thrown = (await at('a', 'here')) as SecretsError;
  expect([thrown.code, (thrown.cause as Error).message]).toEqual([
    'Unauthorized',
    expect.stringMatching(/too many log-ins .*: Vault refuses the log-in: no$/),
  ]);
  expect(counted.times).toBe(2);
  for (const place of ['there', 'elsewhere']) await at('a', place);
  expect(counted.times).toBe(3);
  await at('b', 'here');
  expect(counted.times).toBe(4);
});

it('is asked for again when the time is over, and what is Vault’s failure counts for nobody', async () => {
  const over = failing(new Refusals({ ...BOUNDS, forMs: 0 }));
  const ours = failing(new Refusals(BOUNDS), new SecretsError('UpstreamError', 'Vault is sealed'));
  for (const { at } of [over, ours]) for (const _ of [1, 2, 3, 4]) await at('a', 'here');
  expect([over.counted.times, ours.counted.times]).toEqual([4, 4]);
});

it('are remembered of so many', async () => {
  const { counted, at } = failing(new Refusals(BOUNDS));
  for (const owner of ['a', 'a', 'b', 'c', 'a']) await at(owner, 'here');
  expect(counted.times).toBe(5);
});
