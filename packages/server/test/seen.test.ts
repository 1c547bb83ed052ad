import { expect, test } from 'vitest';
import { call, startTestServer } from './support.js';

test('a store that is not shared has no positions, and what a caller has seen elsewhere means nothing to it', async () => {
  const server = await startTestServer();
  for (const seen of ['5f0c9a1e27b8d463-7-4711', 'yesterday']) {
    const answer = await call(server, 'list', {}, { headers: { 'Coffer-Seen': seen } });
    expect([answer.status, answer.headers['coffer-position']]).toEqual([200, undefined]);
  }
});
