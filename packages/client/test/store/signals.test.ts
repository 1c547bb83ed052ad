import { describe, expect, test } from 'vitest';
import { type CallOptions, field, fields, Store, Updater, Watcher } from '../../src/index.js';
import { openStore } from './bed.js';
import { LocalClient } from './local-client.js';

const CALLS: Record<string, (store: Store, options: CallOptions) => Promise<unknown>> = {
  lookup: (store, options) => store.lookup('other', options),
  refresh: (store, options) => store.refresh(options),
  keyring: (store, options) => store.keyring('alpha', options),
  'versioned get': (store, options) => store.versioned('alpha').get(7, options),
  'versioned create': (store, options) => store.versioned('alpha').create(7, Buffer.from('x'), options),
  'Updater.open': (store, options) => Updater.open(store, 'other', String, options),
  'Watcher.open': (store, options) => Watcher.open(store, 'other', options),
  'Watcher.next': async (store, options) => (await Watcher.open(store, 'alpha')).next(options),
  'fields.from': (store, options) => fields({ other: field.text('other') }).from(store, options),
};
const never = () => new Promise<void>(() => {});

/** A store whose client does not answer any more, and does not heed signals. */
async function openSilent(): Promise<Store> {
  const client = new LocalClient({ alpha: 'one', other: 'two' });
  const { store } = await openStore({ client, secrets: ['alpha'], allowLookup: true, watch: false });
  client.before = never;
  return store;
}

describe('a signal ends', () => {
  test.each(Object.entries(CALLS))('%s, under way, with its reason', async (_name, call) => {
    const store = await openSilent();
    const stop = new AbortController();
    const reason = new Error('no longer wanted');
    const answer = call(store, { signal: stop.signal });
    setImmediate(() => stop.abort(reason));
    await expect(answer).rejects.toBe(reason);
  });

  test.each(Object.entries(CALLS))('%s, before it begins', async (_name, call) => {
    const store = await openSilent();
    const reason = new Error('never wanted');
    await expect(call(store, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test('the opening of a store, which says what is missing besides', async () => {
    const client = new LocalClient({ alpha: 'one' });
    client.before = never;
    const stop = new AbortController();
    const reason = new Error('no longer wanted');
    const opening = Store.open({ client, secrets: ['alpha'], signal: stop.signal });
    setImmediate(() => stop.abort(reason));
    await expect(opening).rejects.toMatchObject({ code: 'not_opened', cause: reason });
  });
});
