import { expect, it } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { type Caller, CofferError, type ForeignReference } from '../src/index.js';
import { Instances } from './instances.js';
import { admin, codeOf } from './support.js';

const reader: Caller = { principals: [{ id: 'component:A/M', kind: 'component' }], address: 'nats' };
const grant = { to: ['component:A/M'], actions: ['get'], secrets: ['vault/db'] } as const;
const reference: ForeignReference = { backend: 'vault', key: 'db' };

/** How a secret is fetched, and what has come of it. */
function fetching(meanwhile: () => unknown = () => {}, needsGrant = true) {
  const values: Buffer[] = [];
  const fetch = async () => {
    await meanwhile();
    const value = Buffer.from(canary('foreign'));
    values.push(value);
    return { value };
  };
  return { values, how: { needsGrant, fetch, codeOf: () => 'UpstreamError' } };
}

const isWiped = (value: Buffer | undefined) => value?.every((byte) => byte === 0);

it('fetches for nobody on what is older than may be answered, whoever decides', async () => {
  const instances = await Instances.make();
  const { engine, storage } = await instances.open('a');
  await engine.applyPolicy(admin, [grant]);
  storage.goStale();
  for (const needsGrant of [true, false]) {
    const { values, how } = fetching(() => {}, needsGrant);
    expect(await codeOf(engine.fetchForeign(reader, reference, how))).toBe('stale');
    expect(values).toEqual([]);
  }
  storage.freshen();
  const { values, how } = fetching();
  const { value } = await engine.fetchForeign(reader, reference, how);
  expect([value, isWiped(values[0])]).toEqual([values[0], false]);
});

it('lets nothing leave that has become too old while it was fetched, and wipes it', async () => {
  const instances = await Instances.make();
  const { engine, storage } = await instances.open('a');
  await engine.applyPolicy(admin, [grant]);
  const { values, how } = fetching(() => storage.goStale());
  expect(await codeOf(engine.fetchForeign(reader, reference, how))).toBe('stale');
  expect(values.map(isWiped)).toEqual([true]);
});

it('does not tell either what has become of the fetch by then', async () => {
  const instances = await Instances.make();
  const { engine, storage } = await instances.open('a');
  await engine.applyPolicy(admin, [grant]);
  const { how } = fetching(() => {
    storage.goStale();
    throw new CofferError('not_found', 'there is none');
  });
  expect(await codeOf(engine.fetchForeign(reader, reference, how))).toBe('stale');
  storage.freshen();
  const fetch = () => Promise.reject(new CofferError('not_found', 'there is none'));
  expect(await codeOf(engine.fetchForeign(reader, reference, { ...how, fetch }))).toBe('not_found');
});

it('gives nothing to who has lost the grant while it was fetched', async () => {
  const instances = await Instances.make();
  const { engine } = await instances.open('a');
  await engine.applyPolicy(admin, [grant]);
  const { values, how } = fetching(() => engine.applyPolicy(admin, []));
  expect(await codeOf(engine.fetchForeign(reader, reference, how))).toBe('access_denied');
  expect(values.map(isWiped)).toEqual([true]);
  expect(await codeOf(engine.fetchForeign(reader, reference, how))).toBe('access_denied');
  expect(values).toHaveLength(1);
});

it('takes a name as long as any other', async () => {
  const instances = await Instances.make();
  const { engine } = await instances.open('a');
  const { values, how } = fetching(() => {}, false);
  const long = { backend: 'vault', key: 'x'.repeat(1_024 - 'vault/'.length) };
  await engine.fetchForeign(reader, long, how);
  const longer = { ...long, key: `${long.key}x` };
  expect(await codeOf(engine.fetchForeign(reader, longer, how))).toBe('name_too_long');
  expect(values).toHaveLength(1);
});
