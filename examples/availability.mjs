/**
 * A service that starts while coffer is away: from a cache on disk, encrypted, whose values count for a day. It tells on
 * /health where it stands.
 *
 *   CACHE=/var/lib/billing/secrets.cache CACHE_KEY=/run/credentials/billing/cache.key PORT=8081 node availability.mjs
 */
import { createServer } from 'node:http';
import { Client, FileCache, Store } from '@coffer/client';

const HOUR = 60 * 60 * 1000;
const DAY = 24 * HOUR;

const store = await Store.open({
  client: Client.fromEnv(),
  secrets: ['prod/billing/db-password', 'prod/billing/partner-token'],
  cache: new FileCache(process.env.CACHE ?? 'secrets.cache', {
    key: { file: process.env.CACHE_KEY ?? 'cache.key' },
  }),
  maxAge: DAY,
  // A service that cannot start says so, rather than wait without an end.
  signal: AbortSignal.timeout(Number(process.env.START_TIMEOUT ?? 60_000)),
  onError: (error) => console.error(`${error.code}: ${error.message}`),
});
store.on('recovered', ({ error, names }) => console.error('well again:', error.code, ...names));

const server = createServer((_, response) => {
  const { watching, confirmedAt = 0, pollErrors, secrets } = store.metrics();
  // Two polls have brought nothing of some secret.
  const stale = Date.now() - confirmedAt > 2 * HOUR;
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ stale, confirmedAt, watching, pollErrors, secrets }));
});
server.listen(Number(process.env.PORT ?? 8081), '127.0.0.1', () =>
  console.log('listening on', server.address()),
);

// What was read and when goes into the cache with the last write.
process.once('SIGTERM', async () => {
  server.close();
  await store.close();
});
