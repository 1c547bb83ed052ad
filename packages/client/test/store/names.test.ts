import { expect, test } from 'vitest';
import { Client, MemoryCache, Store } from '../../src/index.js';
import { Events } from '../../src/store/events.js';
import { Holdings } from '../../src/store/holdings.js';
import { Watching } from '../../src/store/watching.js';
import { Between, codes, openStore, startBed } from './bed.js';

/** As `'a😀'.slice(0, 2)`. */
const CUT = 'a\ud83d';
const refused = expect.objectContaining({ code: 'invalid_argument' });

test('half a character in a name is refused before anybody is asked', async () => {
  const { client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const { store, errors } = await openStore({ client: between, secrets: ['alpha'], allowLookup: true });
  const asked = between.asked.length;
  await expect(store.lookup(CUT)).rejects.toEqual(refused);
  await expect(store.keyring(CUT)).rejects.toEqual(refused);
  expect(() => store.versioned(CUT)).toThrow(refused);
  await expect(Store.open({ client, secrets: [CUT] })).rejects.toEqual(refused);
  expect([between.looked, between.asked.length]).toEqual([[], asked]);
  expect(errors).toEqual([]);
});

test('half a character in a name of the cache is passed over', async () => {
  const { client } = await startBed({ alpha: 'one' });
  const entry = '{"secret":{"Value":"Zm9vYmFy","Version":1},"lastAccess":"0"}';
  const cache = new MemoryCache(`{"a\\ud83d":${entry},"alpha":${entry}}`);
  const { store, errors } = await openStore({ client, cache, secrets: ['alpha'], allowLookup: true });
  expect(store.metrics().secrets).toBe(1);
  await expect.poll(() => store.metrics().watching).toBe(true);
  expect(errors).toEqual([]);
});

test('a name that cannot be watched is told, rather than an end of the process', async () => {
  const client = new Client();
  const events = new Events();
  const holdings = new Holdings(events, Date.now);
  holdings.declare(CUT);
  const told: string[] = [];
  events.on('error', (error) => told.push(...codes([error])));
  const watching = new Watching(client, holdings, events, () => {});
  const run = watching.run();
  await expect.poll(() => told).toEqual(['internal']);
  watching.close();
  await run;
});
