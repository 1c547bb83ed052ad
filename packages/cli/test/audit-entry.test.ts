import { expect, test } from 'vitest';
import { entryInWords } from '../src/audit-entry.js';

test('a secret that lies elsewhere is told with where, and nothing of that steers the terminal', () => {
  const entry = {
    seq: 7,
    time: '2026-11-23T17:00:00.000Z',
    principal: { id: 'component:A/M' },
    action: 'get-foreign',
    authorized: true,
    secret: 'vault/shop/db',
    version: '3',
    upstream: { namespace: 'team', engine: 'kv\u001b[31m' },
  };
  const words = entryInWords(JSON.stringify(entry));
  expect(words).toContain('vault/shop/db@3 in namespace team, engine ');
  expect(words).not.toContain('\u001b[31m');
  expect(entryInWords(JSON.stringify({ ...entry, upstream: 'odd' }))).toMatch(/vault\/shop\/db@3 {2}by /);
});
