import { setImmediate } from 'node:timers/promises';
import { describe, expect, expectTypeOf, onTestFinished, test, vi } from 'vitest';
import { type CofferClientError, type SecretBytes, StaticUpdater, Updater } from '../../src/index.js';
import { openStore } from '../store/bed.js';
import { LocalClient } from '../store/local-client.js';
import { openRotatingStore } from '../store/rotating-store.js';

class Closeable {
  closed = 0;
  constructor(readonly label: string) {}
  close() {
    this.closed++;
  }
}

const build = (value: SecretBytes) => new Closeable(value.reveal());

describe('an updater', () => {
  test('has a value built from the secret, and another one as soon as the secret changes', async () => {
    const { server, store, rotate } = await openRotatingStore({ label: 'malarkey' });
    await using updater = await Updater.open(store, 'label', build, { grace: 0 });
    const first = updater.get();
    expect(first).toMatchObject({ label: 'malarkey', closed: 0 });

    const second = await server.mustPut('label', 'dog-faced pony soldier');
    await server.mustActivate('label', second);
    await store.refresh();
    expect(updater.get().label).toBe('dog-faced pony soldier');
    await expect.poll(() => first.closed).toBe(1);

    const current = updater.get();
    await store.refresh();
    expect(updater.get()).toBe(current);
    await rotate('label', 'third');
    await expect.poll(() => current.closed).toBe(1);
    expect(first.closed).toBe(1);
  });

  test('builds within the store’s event, so that nobody sees the old value after it', async () => {
    const { store, rotate } = await openRotatingStore({ label: 'one' });
    await using updater = await Updater.open(store, 'label', (value) => value.reveal());
    const seen: string[] = [];
    store.on('update', () => seen.push(updater.get()));
    await rotate('label', 'two');
    expect(seen).toEqual(['two']);
  });

  test('keeps its value when a build fails, tells why, and builds again at the next change', async () => {
    const { store, rotate, errors } = await openRotatingStore({ number: '1' });
    const failure = new Error('not a number');
    const refuse = (value: SecretBytes) => {
      const number = Number(value.reveal());
      if (Number.isNaN(number)) throw failure;
      return number;
    };
    await using updater = await Updater.open(store, 'number', refuse);
    expect(updater.error).toBeUndefined();
    await rotate('number', 'one');
    expect(updater.get()).toBe(1);
    expect(updater.error?.thrown).toBe(failure);
    expect(errors).toEqual([expect.objectContaining({ code: 'update_failed', thrown: failure })]);
    expect(errors[0]?.message).toContain('"number"');
    expect(errors[0]?.message).not.toContain(failure.message);
    await rotate('number', '3');
    expect(updater.get()).toBe(3);
    expect(updater.error).toBeUndefined();
  });

  test('does not open when the first build fails, or the secret cannot be had', async () => {
    const { store, rotate, errors } = await openRotatingStore({ label: 'one' });
    const failure = new Error('no');
    const fails = vi.fn(() => Promise.reject(failure));
    await expect(Updater.open(store, 'label', fails)).rejects.toMatchObject({
      code: 'update_failed',
      message: 'the value made from "label" was not made',
      thrown: failure,
    });
    await expect(Updater.open(store, 'nonesuch', build)).rejects.toMatchObject({ code: 'not_found' });
    await rotate('label', 'two');
    expect(fails).toHaveBeenCalledTimes(1);
    expect(errors).toEqual([]);
  });

  test('waits for an async build, one at a time, and the newest value wins', async () => {
    const { store, rotate } = await openRotatingStore({ label: 'one' });
    const begun: string[] = [];
    const waiting: (() => void)[] = [];
    const slowly = async (value: SecretBytes) => {
      begun.push(value.reveal());
      await new Promise<void>((resolve) => waiting.push(resolve));
      return new Closeable(value.reveal());
    };
    const opening = Updater.open(store, 'label', slowly, { grace: 0 });
    await expect.poll(() => begun).toEqual(['one']);
    await rotate('label', 'two');
    waiting.shift()?.();
    await expect.poll(() => begun).toEqual(['one', 'two']);
    waiting.shift()?.();
    await using updater = await opening;
    const current = updater.get();
    expect(current.label).toBe('two');

    await rotate('label', 'three');
    await rotate('label', 'four');
    await rotate('label', 'five');
    expect(begun.slice(2)).toEqual(['three']);
    expect(updater.get()).toBe(current);
    waiting.shift()?.();
    await expect.poll(() => updater.get().label).toBe('three');
    await expect.poll(() => begun.slice(2)).toEqual(['three', 'five']);
    waiting.shift()?.();
    await expect.poll(() => updater.get().label).toBe('five');
  });

  test('tells of an async build that fails', async () => {
    const { store, rotate, errors } = await openRotatingStore({ label: 'one' });
    const build = async (value: SecretBytes) => {
      await setImmediate();
      if (value.reveal() === 'bad') throw new Error('no');
      return value.reveal();
    };
    await using updater = await Updater.open(store, 'label', build);
    await rotate('label', 'bad');
    await expect.poll(() => errors).toMatchObject([{ code: 'update_failed' }]);
    expect(updater.get()).toBe('one');
  });

  test('closes old values after their grace time, and what is left when it is closed itself', async () => {
    const { store, rotate } = await openRotatingStore({ label: 'one' });
    const updater = await Updater.open(store, 'label', build, { grace: 2 ** 40 });
    const first = updater.get();
    await rotate('label', 'two');
    const second = updater.get();
    await setImmediate();
    expect([first.closed, second.closed]).toEqual([0, 0]);
    await Promise.all([updater.close(), updater.close()]);
    expect([first.closed, second.closed]).toEqual([1, 1]);
    expect(() => updater.get()).toThrow(expect.objectContaining({ code: 'closed' }));
    await rotate('label', 'three');
    await updater.close();
    expect([first.closed, second.closed]).toEqual([1, 1]);
  });

  test.each([
    ['what it is told', 5_000],
    ['30 s otherwise', undefined],
  ])(
    'leaves an old value open for its grace time and no longer: %s; nothing is closed twice',
    async (_, grace) => {
      vi.useFakeTimers();
      onTestFinished(() => void vi.useRealTimers());
      const client = new LocalClient({ label: 'one' });
      const { store, ticker } = await openStore({ client, secrets: ['label'], watch: false });
      const updater = await Updater.open(store, 'label', build, { grace });
      const first = updater.get();
      client.rotate('label', 'two');
      await ticker.tick();
      const second = updater.get();
      await vi.advanceTimersByTimeAsync((grace ?? 30_000) - 1);
      expect(first.closed).toBe(0);
      await vi.advanceTimersByTimeAsync(1);
      expect(first.closed).toBe(1);
      client.rotate('label', 'three');
      await ticker.tick();
      await updater.close();
      await vi.advanceTimersByTimeAsync(60_000);
      expect([first.closed, second.closed]).toEqual([1, 1]);
    },
  );

  test('keeps no process alive for the grace time', async () => {
    const { store, rotate } = await openRotatingStore({ label: 'one' });
    const updater = await Updater.open(store, 'label', build, { grace: 3_600_000 });
    onTestFinished(() => updater.close());
    const started = vi.spyOn(globalThis, 'setTimeout');
    onTestFinished(() => void started.mockRestore());
    await rotate('label', 'two');
    const timers = started.mock.results.map(({ value }) => value as NodeJS.Timeout);
    const [grace] = timers.filter((_, at) => started.mock.calls[at]?.[1] === 3_600_000);
    expect(grace?.hasRef()).toBe(false);
  });

  test('closes values as it is told, or as they say themselves', async () => {
    const { store, rotate } = await openRotatingStore({ label: 'one' });
    const ended: unknown[] = [];
    const disposable = (value: SecretBytes) => ({ [Symbol.dispose]: () => void ended.push(value.reveal()) });
    const later = (value: SecretBytes) => ({
      close: 'not a function',
      [Symbol.asyncDispose]: async () => void ended.push(value.reveal()),
    });
    const updaters = [
      await Updater.open(store, 'label', disposable, { grace: 0 }),
      await Updater.open(store, 'label', later, { grace: 0 }),
      await Updater.open(store, 'label', build, { close: (old) => ended.push(old.label), grace: 0 }),
      await Updater.open(store, 'label', () => null, { grace: 0 }),
    ];
    await rotate('label', 'two');
    await expect.poll(() => ended).toEqual(['one', 'one', 'one']);
    await Promise.all(updaters.map((updater) => updater.close()));
    expect(ended.slice(3)).toEqual(['two', 'two', 'two']);
  });

  test('tells of a value that cannot be closed', async () => {
    const { store, errors } = await openRotatingStore({ label: 'one' });
    const cause = new Error('busy');
    const updater = await Updater.open(store, 'label', build, { close: () => Promise.reject(cause) });
    await updater.close();
    expect(errors).toEqual([expect.objectContaining({ code: 'update_failed', thrown: cause })]);
  });

  test('leaves a value open that a build gives again', async () => {
    const { store, rotate } = await openRotatingStore({ label: 'one' });
    const values: Record<string, Closeable> = { one: new Closeable('one'), two: new Closeable('two') };
    const known = (value: SecretBytes) => values[value.reveal().slice(0, 3)] as Closeable;
    const updater = await Updater.open(store, 'label', known);
    await rotate('label', 'one!');
    await rotate('label', 'two');
    await rotate('label', 'one!!');
    expect(updater.get()).toBe(values.one);
    await rotate('label', 'one!!!');
    await updater.close();
    expect(values).toMatchObject({ one: { closed: 1 }, two: { closed: 1 } });
  });

  test('closed during a build, closes what the build gives', async () => {
    const { store, rotate } = await openRotatingStore({ label: 'one' });
    const built: Closeable[] = [];
    const slowly = async (value: SecretBytes) => {
      await setImmediate();
      built.push(build(value));
      return built.at(-1) as Closeable;
    };
    const updater = await Updater.open(store, 'label', slowly);
    await rotate('label', 'two');
    await updater.close();
    expect(built).toMatchObject([
      { label: 'one', closed: 1 },
      { label: 'two', closed: 1 },
    ]);
  });

  test('closed during a build that never ends, waits some seconds, tells of it, and closes what comes later', async () => {
    const { store, rotate, errors } = await openRotatingStore({ label: 'one' });
    const built: Closeable[] = [];
    let finish = () => {};
    const slowly = async (value: SecretBytes) => {
      if (built.length > 0)
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
      built.push(build(value));
      return built.at(-1) as Closeable;
    };
    const updater = await Updater.open(store, 'label', slowly);
    await rotate('label', 'two');
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const closed = updater.close();
    await vi.advanceTimersByTimeAsync(5_000);
    vi.useRealTimers();
    await closed;
    expect(errors).toMatchObject([{ code: 'update_failed' }]);
    expect(built).toMatchObject([{ label: 'one', closed: 1 }]);
    finish();
    await expect.poll(() => built.map(({ closed }) => closed)).toEqual([1, 1]);
  });

  test('has the type of what is built', async () => {
    const { store } = await openRotatingStore({ label: 'one' });
    await using sync = await Updater.open(store, 'label', (value) => value.length);
    expectTypeOf(sync.get()).toEqualTypeOf<number>();
    await using later = await Updater.open(store, 'label', async (value) => value.reveal());
    expectTypeOf(later.get()).toEqualTypeOf<string>();
    expectTypeOf(later.error).toEqualTypeOf<CofferClientError | undefined>();
    // @ts-expect-error what ends a number takes one
    const wrong = Updater.open(store, 'label', () => 1, { close: (old: string) => old });
    await (await wrong).close();
  });
});

test('a static updater has one value for ever, and can be had in place of another', () => {
  const updater = new StaticUpdater('I am the chosen one');
  expect(updater.get()).toBe('I am the chosen one');
  expectTypeOf(updater).toExtend<Pick<Updater<string>, 'get'>>();
});
