import { describe, expect, test } from 'vitest';
import { Admin, type AuditQuery } from '../src/admin/index.js';
import { Client } from '../src/index.js';
import { answering, serve } from './http-server.js';

const LINES = { 'Content-Type': 'application/x-ndjson' };

async function all(client: Client, query?: AuditQuery): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of new Admin(client).audit(query)) lines.push(line);
  return lines;
}

describe('the audit log', () => {
  test('comes as its exact lines, wherever the pieces of the answer end, without the signs of life', async () => {
    const text = '{"seq":1,"secret":"gr\u00fc\u00df \u{1f511}"}\n\n\n{"seq":2}\n';
    await using server = await serve((_, response) => {
      response.writeHead(200, LINES);
      for (const byte of Buffer.from(text)) response.write(Buffer.of(byte));
      response.end();
    });
    const client = new Client({ server: server.url });
    expect(await all(client)).toEqual(['{"seq":1,"secret":"gr\u00fc\u00df \u{1f511}"}', '{"seq":2}']);
    client.close();
  });

  test('is asked for with what was given, and nothing else', async () => {
    const asked: string[] = [];
    await using server = await serve((request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(200, LINES).end();
    });
    const client = new Client({ server: server.url });
    await all(client);
    await all(client, { last: 5, follow: true });
    await all(client, { from: 7, secret: 'a b/*', principal: 'ci', since: new Date(0), follow: false });
    expect(asked).toEqual([
      '/api/admin/audit',
      '/api/admin/audit?last=5&follow=1',
      '/api/admin/audit?from=7&secret=a+b%2F*&principal=ci&since=1970-01-01T00%3A00%3A00.000Z',
    ]);
    await expect(all(client, { since: new Date(Number.NaN) })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    client.close();
  });

  test('that ends in the middle of a line, or breaks off, is no whole answer', async () => {
    await using cut = await answering(200, '{"seq":1}\n{"se', LINES);
    await expect(all(new Client({ server: cut.url }))).rejects.toMatchObject({ code: 'bad_answer' });
    await using breaking = await serve((_, response) => {
      response.writeHead(200, LINES).write('{"seq":1}\n');
      setImmediate(() => response.destroy());
    });
    await expect(all(new Client({ server: breaking.url }))).rejects.toMatchObject({ code: 'unreachable' });
  });

  test('has a head that is one', async () => {
    const line = { seq: 3, hash: 'f'.repeat(64) };
    const head = {
      head: line,
      anchor: line,
      first: 1,
      storeId: 'ab'.repeat(16),
      serverKey: `N${'A'.repeat(55)}`,
    };
    await using server = await answering(200, JSON.stringify(head));
    expect(await new Admin(new Client({ server: server.url })).auditHead()).toEqual(head);
    await using other = await answering(200, JSON.stringify({ ...head, head: 3 }));
    await expect(new Admin(new Client({ server: other.url })).auditHead()).rejects.toMatchObject({
      code: 'bad_answer',
    });
  });
});
