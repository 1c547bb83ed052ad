/**
 * A program with a store, that takes updates and tells what memory it has when that many have come.
 *
 * Run with --expose-gc and arguments SERVER TOKEN NAME…; a message `{until, measure}` is answered once so many updates have
 * come, with the memory if that is to be measured.
 */
import { setImmediate } from 'node:timers/promises';
import { Client, MemoryCache, Store } from '@coffer/client';

const [, , server, token, ...secrets] = process.argv;
const client = new Client({ server, token });
const cache = new MemoryCache();
const store = await Store.open({ client, secrets, cache, onError() {} });
let updates = 0;
const nothing = { until: Number.POSITIVE_INFINITY };
let wanted = nothing;

store.on('update', ({ name, version }) => {
  const secret = store.secret(name);
  if (secret.version !== version || secret.get().length === 0) process.exit(1);
  updates++;
  if (updates >= wanted.until) void tell();
});

process.on('message', (message) => {
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

process.send('open');
