import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request as onward } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FakeTicker } from '@coffer/testing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeCache } from '../../packages/client/src/cache/content.js';
import {
  Client,
  type CofferClientError,
  FileCache,
  MemoryCache,
  Store,
  type StoreOptions,
} from '../../packages/client/src/index.js';
import { canary, expectNoCanary } from '../support/canary.mjs';
import { LIMITED, TARGETS, type Target } from './targets.js';

const NOWHERE = 'http://127.0.0.1:1';
const bytes = (text: string) => new TextEncoder().encode(text);

/** The store has to be the same to a program over each of them, but for how soon it hears of a change. */
describe.each(TARGETS)('a store over $name', ({ start }) => {
  let target: Target;
  let admin: Client;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'coffer-store-'));
    target = await start();
    admin = new Client({ server: target.url });
  });
  afterAll(async () => {
    await admin?.[Symbol.asyncDispose]();
    await target?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const put = (name: string, value: string) => admin.put(name, bytes(value));
  const rotate = async (name: string, value: string) => admin.activate(name, await put(name, value));

  /** A store with a ticker, its client and what it told. */
  async function opened(options: Partial<StoreOptions> & { url?: string } = {}) {
    const { url: server = target.url, ...rest } = options;
    const client = new Client({ server });
    const ticker = new FakeTicker();
    const errors: CofferClientError[] = [];
    const onError = (error: CofferClientError) => void errors.push(error);
    const store = await Store.open<string, boolean>({ client, ticker, onError, ...rest });
    const updates: string[] = [];
    store.on('update', ({ name, version }) => updates.push(`${name} ${version}`));
    const secret = (name: string) => store.secret(name) as NonNullable<ReturnType<typeof store.secret>>;
    /** What was reported, but for setec's not telling of changes. */
    const codes = () => errors.map(({ code }) => code).filter((code) => code !== 'unsupported');
    return {
      store,
      secret,
      tick: () => ticker.tick(),
      errors,
      codes,
      updates,
      async [Symbol.asyncDispose]() {
        await store.close();
        await client[Symbol.asyncDispose]();
      },
    };
  }
  type Opened = Awaited<ReturnType<typeof opened>>;

  /** When the store may know of a change: at once where it is pushed, else when it polls. */
  const noticed = async ({ tick }: Opened, condition: () => unknown, expected: unknown) => {
    if (target.kind === 'setec') await tick();
    await expect.poll(condition).toEqual(expected);
  };

  it('opens with the values of all that is declared', async () => {
    await put('start/a', canary('a'));
    await put('start/b', 'b1');
    await rotate('start/b', 'b2');
    await put('start/b', 'b3');
    await using program = await opened({ secrets: ['start/a', 'start/b', 'start/a'] });
    const { secret } = program;
    expect([secret('start/a').reveal(), secret('start/a').version]).toEqual([canary('a'), 1]);
    expect([secret('start/b').reveal(), secret('start/b').version]).toEqual(['b2', 2]);
    expect(program.codes()).toEqual([]);
    expect(program.store.metrics()).toMatchObject({ secrets: 2, polls: 0, pollErrors: 0, updates: 0 });
    expect(() => program.store.secret('start/c')).toThrow(expect.objectContaining({ code: 'undeclared' }));
    await expect(program.store.lookup('start/c')).rejects.toMatchObject({ code: 'undeclared' });
  });

  it('waits for what is not there yet', async () => {
    await put('late/a', 'a');
    const errors: CofferClientError[] = [];
    const opening = opened({ secrets: ['late/a', 'late/b'], onError: (error) => void errors.push(error) });
    await expect.poll(() => errors.map(({ code }) => code)).toContain('not_found');
    await put('late/b', 'b');
    await using program = await opening;
    expect(program.secret('late/b').reveal()).toBe('b');
    const missing = errors.filter(({ code }) => code === 'not_found');
    expect(missing.map(({ message }) => message)).toEqual([expect.stringContaining('late/b')]);
  });

  it('gives up waiting when it is told to', async () => {
    const stop = new AbortController();
    const opening = opened({ secrets: ['never'], signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(opening).rejects.toMatchObject({ code: 'not_opened', cause: { message: 'enough' } });
  });

  it('gives a new value when it is active, and not before', async () => {
    await put('refresh', 'one');
    await using program = await opened({ secrets: ['refresh'], watch: false });
    const secret = program.secret('refresh');
    await put('refresh', 'two');
    await program.store.refresh();
    expect([secret.reveal(), secret.version]).toEqual(['one', 1]);
    await admin.activate('refresh', 2);
    expect([secret.reveal(), secret.version]).toEqual(['one', 1]);
    await program.store.refresh();
    expect([secret.reveal(), secret.version]).toEqual(['two', 2]);
    await admin.activate('refresh', 1);
    await program.tick();
    expect([secret.reveal(), secret.version]).toEqual(['one', 1]);
    expect(program.updates).toEqual(['refresh 2', 'refresh 1']);
    expect(program.store.metrics()).toMatchObject({ polls: 3, pollErrors: 0, updates: 2, watching: false });
  });

  it('is told of changes where the server can, and polls where it cannot', async () => {
    await put('pushed/a', 'a1');
    await put('pushed/b', 'b1');
    await using program = await opened({ secrets: ['pushed/a', 'pushed/b'] });
    const watches = target.kind === 'coffer';
    await expect.poll(() => program.store.metrics().watching).toBe(watches);
    await rotate('pushed/b', 'b2');
    await noticed(program, () => program.secret('pushed/b').reveal(), 'b2');
    expect(program.updates).toEqual(['pushed/b 2']);
    expect(program.secret('pushed/a').reveal()).toBe('a1');
    expect(program.store.metrics().polls).toBe(watches ? 0 : 1);
    const untold = program.errors.filter(({ code }) => code === 'unsupported');
    expect(untold.length).toBe(watches ? 0 : 1);
  });

  it('learns once what the server cannot do', async () => {
    await put('asked/a', 'a');
    await put('asked/b', 'b');
    await using way = await recorded(target.url);
    await using program = await opened({ url: way.url, secrets: ['asked/a', 'asked/b'] });
    const watches = target.kind === 'coffer';
    await expect.poll(() => program.store.metrics().watching || program.errors.length > 0).toBe(true);
    for (let refreshes = 0; refreshes < 3; refreshes++) await program.store.refresh();
    const times = (path: string) => way.paths.filter((asked) => asked.startsWith(path)).length;
    expect(times('/api/watch')).toBe(1);
    if (watches) expect(times('/api/get-many')).toBeLessThanOrEqual(5);
    else expect(times('/api/get-many')).toBe(1);
    expect(times('/api/get') - times('/api/get-many')).toBe(watches ? 0 : 8);
  });

  it('keeps the value of a secret that is deleted, says so once, and takes one that is made anew', async () => {
    await put('gone', canary('old'));
    await put('stays', 'one');
    await using program = await opened({ secrets: ['gone', 'stays'] });
    await admin.delete('gone');
    await noticed(program, program.codes, ['not_found']);
    expect(program.secret('gone').reveal()).toBe(canary('old'));
    await rotate('stays', 'two');
    await expect(program.store.refresh()).rejects.toMatchObject({ code: 'not_found' });
    expect(program.secret('stays').reveal()).toBe('two');
    expect(program.codes()).toEqual(['not_found']);
    // setec gives the version the same number again.
    await put('gone', 'new');
    await noticed(program, () => program.secret('gone').reveal(), 'new');
    await program.store.refresh();
    expectNoCanary(program.errors.map(({ stack }) => stack).join(), 'an error');
  });

  it('looks secrets up where that is allowed', async () => {
    await put('looked/up', 'one');
    await using program = await opened({ allowLookup: true });
    const { store } = program;
    expect(store.secret('looked/up')).toBeUndefined();
    await expect(store.lookup('looked/none')).rejects.toMatchObject({ code: 'not_found' });
    const [secret, same] = await Promise.all([store.lookup('looked/up'), store.lookup('looked/up')]);
    expect([secret.reveal(), same.reveal(), store.secret('looked/up')?.reveal()]).toEqual([
      'one',
      'one',
      'one',
    ]);
    await rotate('looked/up', 'two');
    await noticed(program, () => secret.reveal(), 'two');
  });

  it('gives versions by number, makes them, and has no more of one that the server deleted', async () => {
    await put('numbered', 'one');
    await using program = await opened({ allowLookup: true });
    const { store } = program;
    const numbered = store.versioned('numbered');
    expect((await numbered.get(1)).reveal()).toBe('one');
    await expect(numbered.get(7)).rejects.toMatchObject({ code: 'not_found' });
    await numbered.create(7, bytes('seven'));
    expect((await numbered.get(7)).reveal()).toBe('seven');
    expect(store.secret('numbered')?.reveal()).toBe('seven');
    await expect(numbered.create(7, bytes('other'))).rejects.toMatchObject({ code: 'version_taken' });
    expect((await admin.get('numbered')).version).toBe(7);
    await admin.deleteVersion('numbered', 1);
    const codeOf1 = () =>
      numbered.get(1).then(
        () => 'held',
        ({ code }) => code,
      );
    await noticed(program, codeOf1, 'not_found');
    expect((await numbered.get(7)).reveal()).toBe('seven');
  });

  it('keeps a keyring of all versions current', async () => {
    await put('ring', 'one');
    await put('ring', 'two');
    await using program = await opened({ secrets: ['ring'] });
    const ring = await program.store.keyring('ring');
    const all = () => ring.all().map(({ version, value }) => [version, value.reveal()]);
    expect(all()).toEqual([
      [1, 'one'],
      [2, 'two'],
    ]);
    await rotate('ring', 'three');
    const rotated = [
      [3, 'three'],
      [2, 'two'],
      [1, 'one'],
    ];
    await noticed(program, all, rotated);
    await admin.deleteVersion('ring', 1);
    await noticed(program, all, rotated.slice(0, 2));
    expect([ring.active.version, ring.versions, ring.get(1)]).toEqual([3, [2, 3], undefined]);
    expect(program.codes()).toEqual([]);
  });

  it('starts from its cache without the server, and goes on with it when it is there', async () => {
    await put('cached/a', canary('a1'));
    await put('cached/b', 'b1');
    const path = join(folder, 'cache.json');
    const secrets = ['cached/a', 'cached/b'];
    await (await opened({ secrets, cache: new FileCache(path) }))[Symbol.asyncDispose]();
    await rotate('cached/b', 'b2');
    {
      await using away = await opened({ secrets, cache: new FileCache(path), url: NOWHERE });
      expect(secrets.map((name) => away.secret(name).reveal())).toEqual([canary('a1'), 'b1']);
      await expect(away.store.refresh()).rejects.toMatchObject({ code: 'unreachable' });
      expect(secrets.map((name) => away.secret(name).reveal())).toEqual([canary('a1'), 'b1']);
    }
    await using back = await opened({ secrets, cache: new FileCache(path) });
    await expect.poll(() => back.secret('cached/b').reveal()).toBe('b2');
    expect(back.codes()).toEqual([]);
  });

  it.each([
    ['cannot be read', { read: () => Promise.reject(new Error('bad cache')), write: () => {} }],
    ['is no JSON', new MemoryCache('{"bad":JSON*#$&(@')],
    ['is of no store', new MemoryCache('{"bad-cache":{"Value":"blah", "Version":100}}')],
  ])('does without a cache that %s', async (_, cache) => {
    await put('bad-cache', 'good');
    await using program = await opened({ secrets: ['bad-cache'], cache });
    expect(program.secret('bad-cache').reveal()).toBe('good');
    expect(program.codes()).toEqual(['bad_cache']);
  });

  it('takes out of the cache what the server refuses, and keeps what it gave', async ({ skip }) => {
    if (target.limitedUrl === undefined) return skip('with --dev there is but one caller');
    expect(LIMITED).toContainEqual({ actions: ['info'], secrets: ['info-only/*'] });
    await put('shared/mine', 'mine');
    await put('info-only/theirs', canary('theirs'));
    const secrets = ['shared/mine', 'info-only/theirs'];
    const cache = new MemoryCache();
    await (await opened({ secrets, cache }))[Symbol.asyncDispose]();
    const cached = () => [...decodeCache(cache.read() as Uint8Array).keys()];
    expect(cached()).toEqual(secrets);
    await using program = await opened({ secrets, cache, url: target.limitedUrl });
    await expect.poll(cached).toEqual(['shared/mine']);
    expect(program.codes()).toEqual(['access_denied']);
    expect(program.secret('info-only/theirs').reveal()).toBe(canary('theirs'));
    await rotate('shared/mine', 'mine too');
    await noticed(program, () => program.secret('shared/mine').reveal(), 'mine too');
  });

  it('keeps its values when the server goes away', async () => {
    await using other = await start();
    await using client = new Client({ server: other.url });
    await client.put('kept', bytes('value'));
    await using program = await opened({ url: other.url, secrets: ['kept'] });
    await other[Symbol.asyncDispose]();
    await program.tick();
    // Ours takes leave of those that watch.
    expect(program.codes().filter((code) => code !== 'stopped')).toEqual(['unreachable']);
    expect(program.secret('kept').reveal()).toBe('value');
    await expect(program.store.refresh()).rejects.toMatchObject({ code: 'unreachable' });
  });
});

/** A way to a server on which what is asked for is written down. */
async function recorded(url: string) {
  const to = new URL(url);
  const paths: string[] = [];
  const server = createServer((request, response) => {
    const { method, headers, url: path = '/' } = request;
    paths.push(path);
    const passed = onward({ host: to.hostname, port: to.port, method, headers, path }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    passed.on('error', () => response.destroy());
    response.on('close', () => passed.destroy());
    request.pipe(passed);
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const here = new URL(url);
  here.port = String((server.address() as AddressInfo).port);
  return {
    url: here.href,
    paths,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
