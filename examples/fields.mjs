/**
 * A configuration filled from secrets: declared once, checked at the start, typed. What is missing or wrong is told all at
 * once, without a value.
 *
 *   COFFER_SERVER=https://secrets.example.com COFFER_TOKEN_FILE=billing.token node fields.mjs
 */
import { Client, field, fields, Store } from '@coffer/client';

const wanted = fields(
  {
    database: field.url('database-url'),
    partnerToken: field.secret('partner-token'), // a handle, which stays current
    signingKey: field.bytes('signing-key'),
    limits: field.json('limits'),
    maxConnections: field.number('max-connections'),
  },
  { prefix: 'prod/billing' },
);

const store = await Store.open({ client: Client.fromEnv(), fields: wanted });
const config = await wanted.from(store);

console.log(config);
console.log(`at most ${config.maxConnections} connections to ${config.database.host}`);

await store.close();
