/**
 * A program with a store, that takes updates and tells what memory it has when that many have come.
 *
 * Run with --expose-gc and arguments SERVER TOKEN NAME…; a message `{until, measure}` is answered once so many updates have
 * come, with the memory if that is to be measured; `{polls}` with the memory after so many polls that failed.
 */
import { setImmediate } from 'node:timers/promises';
import { Client, MemoryCache, Store } from '@coffer/client';

const [, , server, token, ...secrets] = process.argv;
const client = new Client({ server, token, retries: 0 });
const cache = new MemoryCache();
let poll;
const ticker = {
  start(given) {
    poll = given;
    return () => {};
  },
};
const store = await Store.open({ client, secrets, cache, ticker, onError() {} });
let updates = 0;
const nothing = { until: Number.POSITIVE_INFINITY, measure: true };
let wanted = nothing;

store.on('update', ({ name, version }) => {
  const secret = store.secret(name);
  if (secret.version !== version || secret.get().length === 0) process.exit(1);
  updates++;
  if (updates >= wanted.until) void tell();
});

process.on('message', async (message) => {
  for (let failed = 0; failed < message.polls; failed++) {
    if (failed % 2 === 0) await poll();
    else
      await store.refresh().then(
        () => process.exit(1),
        () => {},
      );
  }
  if (message.polls) return tell();
  wanted = message;
  if (updates >= wanted.until) void tell();
});

async function tell() {
  const { measure } = wanted;
  wanted = nothing;
  for (let time = 0; measure && time < 3; time++) {
    gc();
    await setImmediate();
  }
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  process.send({ updates, heapUsed, arrayBuffers, rss });
}

await tell();
