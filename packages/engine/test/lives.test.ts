import { expect, it } from 'vitest';

import { generationOf } from '../src/crypto/records.js';
import { HEAD_PREFIX, HEADER_KEY, VALUE_PREFIX } from '../src/keys.js';
import { Instances, type TestInstance } from './instances.js';
import { admin, bytes, codeOf, text } from './support.js';

const HOUR = 60 * 60 * 1_000;
const START = new Date('2031-02-03T04:05:06Z').getTime();
const at = (time: number) => ({ now: () => new Date(time) });

const recordsOf = ({ storage }: TestInstance, prefix: Uint8Array) =>
  [...storage.scan(prefix)].map(([key, { bytes }]) => ({ key: Buffer.from(key), bytes: Buffer.from(bytes) }));

it('a secret that was deleted is not brought back by a copy of what it was', async () => {
  const instances = await Instances.make();
  const { store } = instances;
  const [a, b] = await instances.openAll('a', 'b');
  await a.engine.put(admin, 'db', bytes('one'));
  const [head] = recordsOf(a, HEAD_PREFIX);
  const put = recordsOf(a, VALUE_PREFIX);
  await a.engine.delete(admin, 'db');
  if (!head) throw new Error('there is no head');
  const place = (key: Uint8Array) => store.revisionOf(Buffer.from(key).toString('latin1'));
  expect(store.add('x', place(HEADER_KEY), { head, expectedRevision: place(head.key), put })).toBeDefined();
  store.tellAll();
  for (const { storage, engine } of [a, b]) {
    await expect.poll(() => storage.refused).toMatchObject({ code: 'tampered' });
    expect(await codeOf(engine.get(admin, 'db'))).toBe('not_found');
  }
});

it('a new life is above the one before, though that is forgotten and the clock was set back', async () => {
  const instances = await Instances.make();
  const first = await instances.open('a', at(START));
  const away = await instances.open('b', at(START));
  await first.engine.put(admin, 'db', bytes('old'));
  await first.engine.delete(admin, 'db');
  for (const { engine } of [away, first]) await engine.close();
  let now = START + 25 * HOUR;
  const a = await instances.open('a', { now: () => new Date(now) });
  await expect.poll(() => recordsOf(a, HEAD_PREFIX)).toEqual([]);
  now = START - HOUR;
  await a.engine.put(admin, 'db', bytes('new'));
  // It never hears that the life before was forgotten.
  const b = await instances.open('b', at(START));
  expect(b.storage.refused).toBeUndefined();
  expect(text((await b.engine.get(admin, 'db')).value)).toBe('new');
});

it('a life is remembered until no clock can begin the next one below it', async () => {
  const instances = await Instances.make();
  const ahead = await instances.open('ahead', at(START + 48 * HOUR));
  await ahead.engine.put(admin, 'db', bytes('one'));
  await ahead.engine.close();
  instances.store.forgetConfirmation('ahead');
  const generations = (one: TestInstance) =>
    recordsOf(one, HEAD_PREFIX).map((head) => generationOf(head.bytes));
  for (const [hours, left] of [
    [0, 1],
    [25, 1],
    [48.5, 1],
    [50, 0],
  ] as const) {
    const a = await instances.open('a', at(START + hours * HOUR));
    if (hours === 0) await a.engine.delete(admin, 'db');
    await expect.poll(() => generations(a)).toHaveLength(left);
    await a.engine.close();
  }
});
