import { inspect } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { canary, expectNoCanary } from '../../../../test/support/canary.mjs';
import { Client, CofferClientError, Store, type StoreClient } from '../../src/index.js';
import { answering } from '../http-server.js';
import { Between, codes, gate, openStore, startBed } from './bed.js';

const code = (expected: string) => expect.objectContaining({ code: expected });

test('an open store has the values of the secrets that it was told of, and of no others', async () => {
  const { client } = await startBed({ alpha: 'ok', bravo: 'yes', other: 'x' });
  const { store, updates } = await openStore({ client, secrets: ['alpha', 'bravo'], watch: false });
  const alpha = store.secret('alpha');
  expect(alpha.reveal()).toBe('ok');
  expect(Buffer.from(store.secret('bravo').get()).toString()).toBe('yes');
  expect([alpha.name, alpha.version]).toEqual(['alpha', 1]);
  // @ts-expect-error it is not declared
  expect(() => store.secret('other')).toThrow(code('undeclared'));
  expect(updates).toEqual([]);
  expect(store.metrics()).toEqual({
    polls: 0,
    pollErrors: 0,
    latestPoll: undefined,
    confirmedAt: expect.any(Number),
    reads: 2,
    updates: 0,
    watching: false,
    secrets: 2,
  });
});

test('all secrets are fetched in one request, however often they are named', async () => {
  const { client } = await startBed({ alpha: 'ok', bravo: 'yes', charlie: 'no' });
  const between = new Between(client);
  const fields = { secrets: ['bravo', 'charlie'] };
  const { store } = await openStore({ client: between, secrets: ['alpha', 'alpha'], fields, watch: false });
  expect(between.asked).toEqual([[{ name: 'alpha' }, { name: 'bravo' }, { name: 'charlie' }]]);
  expect(store.secret('charlie')?.reveal()).toBe('no');
});

test('a store without a client, without secrets, or with what cannot be is not opened', async () => {
  const client = new Client();
  for (const options of [
    {},
    { client },
    { client, secrets: [] },
    { client, secrets: [''], allowLookup: true },
    { client, secrets: ['a'], pollInterval: 0 },
    { client, secrets: ['a'], maxAge: -1 },
    { client, secrets: ['a'], expiryAge: Number.NaN },
  ]) {
    await expect(Store.open(options as { client: Client })).rejects.toThrow(code('invalid_argument'));
  }
});

test('a store that allows lookups needs no secrets', async () => {
  const { client } = await startBed();
  const { store } = await openStore({ client, allowLookup: true });
  expect(store.secret('nonesuch')).toBe(undefined);
});

test('a store waits for what is missing until it is there, and says what is in the way once', async () => {
  const { server, client } = await startBed();
  const errors: CofferClientError[] = [];
  const between = new Between(client);
  let open = false;
  const opening = Store.open({
    client: between,
    secrets: ['minsc', 'boo'],
    watch: false,
    onError: (error) => errors.push(error),
  }).finally(() => {
    open = true;
  });
  await expect
    .poll(() => errors.map(({ message }) => message))
    .toEqual([
      '2 secrets failed: not found: there is no secret "minsc"; not found: there is no secret "boo"',
    ]);
  await server.mustPut('boo', 'go for the eyes');
  await expect.poll(() => between.asked.at(-1)).toEqual([{ name: 'minsc' }]);
  await server.mustPut('dynaheir', 'my spell has no effect');
  const tries = between.asked.length;
  await expect.poll(() => between.asked.length).toBeGreaterThan(tries);
  expect(open).toBe(false);
  await server.mustPut('minsc', 'full plate and packing steel');
  await using store = await opening;
  expect(store.secret('minsc').reveal()).toBe('full plate and packing steel');
  expect(store.secret('boo').reveal()).toBe('go for the eyes');
  expect(codes(errors)).toEqual(['not_found']);
});

test('what is missing is there at once when the server tells of it', async () => {
  const { server, client } = await startBed();
  const between = new Between(client);
  const opening = Store.open({ client: between, secrets: ['late'], onError: () => {} });
  // By then the pauses are longer than this test may take to see the change.
  await expect.poll(() => between.asked.length, { timeout: 10_000 }).toBeGreaterThan(11);
  const since = performance.now();
  await server.mustPut('late', 'x');
  await using store = await opening;
  expect(performance.now() - since).toBeLessThan(1_000);
  expect(store.secret('late').reveal()).toBe('x');
});

test('an opening ends with its signal', async () => {
  const { client } = await startBed();
  const stop = new AbortController();
  const between = new Between(client);
  const opening = Store.open({
    client: between,
    secrets: ['nonesuch'],
    signal: stop.signal,
    onError: () => stop.abort(new Error('enough')),
  });
  const failure = await opening.catch((error) => error);
  expect(failure).toMatchObject({ code: 'not_opened', cause: { message: 'enough' } });
  expect(failure.message).toBe(
    'the store was not opened before its signal ended it: there is no value yet of "nonesuch" (not found: there is no secret "nonesuch")',
  );
  const tries = between.asked.length;
  expect(between.watched[0]?.signal?.aborted).toBe(true);
  expect(between.asked.length).toBe(tries);
  const many = Array.from({ length: 12 }, (_, index) => `many/${index}`);
  const before = Store.open({ client, secrets: many, signal: AbortSignal.abort(new Error('before')) });
  await expect(before).rejects.toMatchObject({
    code: 'not_opened',
    message: expect.stringMatching(/no value yet of "many\/0", .*"many\/9" and 2 more$/),
    cause: { message: 'before' },
  });
});

test('an opening waits for a server that is away, and says so once', async () => {
  const { server, client } = await startBed({ alpha: 'ok' });
  await server.stop();
  const errors: CofferClientError[] = [];
  const between = new Between(client);
  const opening = Store.open({
    client: between,
    secrets: ['alpha'],
    onError: (error) => errors.push(error),
  });
  await expect.poll(() => between.asked.length).toBeGreaterThan(2);
  await server.start();
  await using store = await opening;
  expect(store.secret('alpha').reveal()).toBe('ok');
  expect(codes(errors)).toEqual(['unreachable']);
});

test('a client that will never have what it lacks is not waited for', async () => {
  const lacking: StoreClient = {
    fixed: true,
    get: async (name) => {
      throw new CofferClientError('not_found', `no ${name}`);
    },
    getIfChanged: async () => undefined,
  };
  const errors: CofferClientError[] = [];
  const onError = (error: CofferClientError) => errors.push(error);
  await expect(Store.open({ client: lacking, secrets: ['a', 'b'], onError })).rejects.toMatchObject({
    code: 'not_found',
    message: '2 secrets failed: no a; no b',
  });
  expect(errors).toEqual([]);
});

test('a client that says nothing about a secret, or that it is unchanged, is not believed', async () => {
  const never = () => Promise.reject(new Error('not asked for'));
  for (const answers of [
    [],
    [{ name: 'a', version: 1, unchanged: true }],
    [{ name: 'b', version: 1, unchanged: true }],
  ]) {
    const getMany = async () => answers as never;
    const client = { fixed: true, get: never, getIfChanged: never, getMany };
    await expect(Store.open({ client, secrets: ['a'] })).rejects.toMatchObject({
      code: 'bad_answer',
      message: 'there was no answer about "a"',
    });
  }
});

test('without a listener what is in the way becomes a warning of the process, once', async () => {
  const { server, client } = await startBed();
  const warnings: Error[] = [];
  const listener = (warning: Error) => warnings.push(warning);
  process.on('warning', listener);
  onTestFinished(() => void process.off('warning', listener));
  const between = new Between(client);
  const opening = Store.open({ client: between, secrets: ['late'], watch: false });
  await expect.poll(() => between.asked.length).toBeGreaterThan(3);
  await server.mustPut('late', 'x');
  await (await opening).close();
  const ours = warnings.filter((warning) => 'code' in warning && warning.code === 'COFFER_STORE');
  expect(ours.map(({ message }) => message)).toEqual(['not found: there is no secret "late"']);
});

test('a handle shows its name and version and never its value, and gives copies', async () => {
  const { client } = await startBed({ alpha: canary('shown') });
  const { store } = await openStore({ client, secrets: ['alpha'] });
  const alpha = store.secret('alpha');
  expect(store.secret('alpha')).toBe(alpha);
  expect(`${alpha}`).toBe('alpha (version 1)');
  expect(() => store.on('updated' as never, () => {})).toThrow(code('invalid_argument'));
  const shown = `${inspect(alpha, { showHidden: true, depth: 9 })} ${JSON.stringify({ alpha, store })} ${alpha}`;
  expect(shown).toContain("{ name: 'alpha', version: 1 }");
  expectNoCanary(`${shown} ${inspect(store, { showHidden: true, depth: 9 })}`, 'what it shows');
  alpha.get().wipe();
  expect(alpha.reveal()).toBe(canary('shown'));
});

test('a value that is no text is had as bytes', async () => {
  const { server, client } = await startBed();
  await server.mustPut('bytes', new Uint8Array([0xff, 0x00]));
  const { store } = await openStore({ client, secrets: ['bytes'] });
  expect([...store.secret('bytes').get()]).toEqual([0xff, 0x00]);
  expect(() => store.secret('bytes').reveal()).toThrow(code('not_text'));
});

test('a closed store refuses everything, its handles too, and the client goes on', async () => {
  const { client } = await startBed({ alpha: 'ok' });
  const { store, ticker } = await openStore({ client, secrets: ['alpha'], allowLookup: true });
  const alpha = store.secret('alpha');
  const told: string[] = [];
  store.on('close', () => told.push('close'));
  await Promise.all([store.close(), store.close()]);
  expect(told).toEqual(['close']);
  expect(() => alpha.get()).toThrow(code('closed'));
  expect(() => alpha.reveal()).toThrow(code('closed'));
  expect(() => alpha.version).toThrow(code('closed'));
  expect(inspect(alpha)).toContain('alpha');
  expect(() => store.secret('alpha')).toThrow(code('closed'));
  await expect(store.lookup('alpha')).rejects.toThrow(code('closed'));
  await expect(store.refresh()).rejects.toThrow(code('closed'));
  await ticker.tick();
  expect(store.metrics()).toMatchObject({ watching: false, secrets: 0, polls: 0 });
  expect((await client.get('alpha')).version).toBe(1);
});

test('what is under way when a store is closed ends, and nothing comes into it any more', async () => {
  const { client } = await startBed({ alpha: 'ok', bravo: 'yes' });
  const between = new Between(client);
  const { store, errors } = await openStore({ client: between, secrets: ['alpha'], allowLookup: true });
  const { opened, open } = gate();
  between.afterMany = opened;
  between.afterGet = opened;
  const refresh = expect(store.refresh()).rejects.toThrow(code('closed'));
  const lookup = expect(store.lookup('bravo')).rejects.toThrow(code('closed'));
  await expect.poll(() => between.looked).toEqual(['bravo']);
  await store.close();
  await Promise.all([refresh, lookup]);
  open();
  await new Promise(setImmediate);
  expect(store.metrics().secrets).toBe(0);
  expect(errors).toEqual([]);
});

test('an answer that is none of coffer’s is reported, and the opening goes on', async () => {
  await using garbler = await answering(200, '{"secrets":');
  const client = new Client({ server: garbler.url });
  onTestFinished(() => client.close());
  const stop = new AbortController();
  const errors: CofferClientError[] = [];
  await expect(
    Store.open({
      client,
      secrets: ['alpha'],
      watch: false,
      signal: stop.signal,
      onError: (error) => {
        errors.push(error);
        stop.abort(error);
      },
    }),
  ).rejects.toMatchObject({ code: 'not_opened', cause: { code: 'bad_answer' } });
  expect(codes(errors)).toEqual(['bad_answer']);
});
