import { expect, test } from 'vitest';
import { call, SETEC_HEADERS, send, startTestServer } from './support.js';

test('a store that is not shared has no positions, and what a caller has seen elsewhere means nothing to it', async () => {
  const server = await startTestServer();
  const answer = await call(server, 'list', {}, { headers: { 'Coffer-Seen': '7-4711' } });
  expect([answer.status, answer.headers['coffer-position']]).toEqual([200, undefined]);
});

test.each([
  ['POST', '/api/list', '{}'],
  ['POST', '/api/get-many', '{"secrets":[{"name":"a"}]}'],
  ['GET', '/api/whoami', undefined],
  ['GET', '/api/watch', undefined],
  ['GET', '/api/admin/keys', undefined],
  ['POST', '/api/admin/policy', '{"grants":[],"dryRun":true}'],
  ['GET', '/api/admin/audit', undefined],
  ['POST', '/api/admin/backup', '{}'],
])('%s %s refuses what is no position', async (method, path, body) => {
  const server = await startTestServer();
  const headers = { ...SETEC_HEADERS, 'Content-Type': 'application/json', 'Coffer-Seen': 'yesterday' };
  const answer = await send(server, path, { method, headers, ...(body === undefined ? {} : { body }) });
  expect([answer.status, answer.headers['coffer-error']]).toEqual([400, 'bad_request']);
});
