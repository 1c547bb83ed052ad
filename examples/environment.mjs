/**
 * A program that had its token in an environment variable. Where COFFER_SERVER says so, it comes from coffer; elsewhere, as
 * on a developer's machine, still from a variable: `prod/billing/partner-token` is PROD_BILLING_PARTNER_TOKEN.
 *
 *   PARTNER_URL=https://partner.example.com/report node environment.mjs
 */
import { Client, EnvClient, Store } from '@coffer/client';

const client = process.env.COFFER_SERVER ? Client.fromEnv() : new EnvClient();
const store = await Store.open({ client, secrets: ['prod/billing/partner-token'] });
const token = store.secret('prod/billing/partner-token');

const answer = await fetch(process.env.PARTNER_URL ?? 'http://127.0.0.1:8080/report', {
  method: 'POST',
  headers: { authorization: `Bearer ${token.reveal()}` },
  body: 'all is well',
});
console.log(`reported with version ${token.version} of the token: ${answer.status}`);

await store.close();
