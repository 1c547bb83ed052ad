import { describe, expect, test } from 'vitest';
import { Watcher } from '../../src/index.js';
import { openRotatingStore } from '../store/rotating-store.js';

describe('a watcher', () => {
  test('has the secret’s value, and tells the next one', async () => {
    const { server, store } = await openRotatingStore({ green: 'eggs and ham' });
    using watcher = await Watcher.open(store, 'green');
    expect(watcher.secret.reveal()).toBe('eggs and ham');
    const next = watcher.next();
    await server.mustActivate('green', await server.mustPut('green', 'grow the rushes oh'));
    await store.refresh();
    expect((await next).reveal()).toBe('grow the rushes oh');
    expect(watcher.secret.reveal()).toBe('grow the rushes oh');
  });

  test('does not open for a secret that cannot be had', async () => {
    const { store } = await openRotatingStore({});
    await expect(Watcher.open(store, 'nonesuch')).rejects.toMatchObject({ code: 'not_found' });
  });

  test('tells of changes that nobody waited for once, by the newest value', async () => {
    const { store, rotate } = await openRotatingStore({ green: 'one', red: 'x' });
    using watcher = await Watcher.open(store, 'green');
    await store.lookup('red');
    await rotate('green', 'two');
    await rotate('green', 'three');
    expect((await watcher.next()).reveal()).toBe('three');

    let woken = false;
    const next = watcher.next().finally(() => {
      woken = true;
    });
    await store.refresh();
    await rotate('red', 'y');
    expect(woken).toBe(false);
    await rotate('green', 'four');
    expect((await next).reveal()).toBe('four');
  });

  test('tells each change to one of those who wait', async () => {
    const { store, rotate } = await openRotatingStore({ green: 'one' });
    using watcher = await Watcher.open(store, 'green');
    const both = [watcher.next(), watcher.next()];
    await rotate('green', 'two');
    expect((await Promise.race(both)).reveal()).toBe('two');
    await rotate('green', 'three');
    expect((await Promise.all(both)).map((value) => value.reveal()).sort()).toEqual(['three', 'two']);
  });

  test('gives up with the signal’s reason, and leaves the change to the next who asks', async () => {
    const { store, rotate } = await openRotatingStore({ green: 'one' });
    using watcher = await Watcher.open(store, 'green');
    const stop = new AbortController();
    const given = watcher.next({ signal: stop.signal });
    stop.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    await rotate('green', 'two');
    await expect(watcher.next({ signal: stop.signal })).rejects.toThrow('enough');
    expect((await watcher.next()).reveal()).toBe('two');
  });

  test.each(['watcher', 'store'])('ends its loops when the %s is closed', async (which) => {
    const { store, rotate } = await openRotatingStore({ green: 'one' });
    const watcher = await Watcher.open(store, 'green');
    const seen: string[] = [];
    const loop = (async () => {
      for await (const value of watcher) seen.push(value.reveal());
    })();
    const next = expect(watcher.next()).rejects.toMatchObject({ code: 'closed' });
    await rotate('green', 'two');
    await expect.poll(() => seen).toEqual(['two']);
    await (which === 'store' ? store : watcher).close();
    await loop;
    await next;
    await expect(watcher.next()).rejects.toMatchObject({ code: 'closed' });
    expect(seen).toEqual(['two']);
  });
});
