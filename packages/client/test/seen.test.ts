import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Client } from '../src/index.js';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

/** A server that answers as `answer` says, and a client of it. */
async function peer(answer: (headers: IncomingHttpHeaders, reply: ServerResponse, count: number) => void) {
  const seen: (string | undefined)[] = [];
  const server = createServer((request, reply) => {
    seen.push(request.headers['coffer-seen'] as string | undefined);
    request.resume();
    request.on('end', () => answer(request.headers, reply, seen.length));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const client = new Client({ server: `http://127.0.0.1:${port}`, token: 'token' });
  closing.push(() => {
    client.close();
    server.closeAllConnections();
    server.close();
  });
  return { client, seen };
}

const list = (reply: ServerResponse, position?: string) => {
  if (position !== undefined) reply.setHeader('Coffer-Position', position);
  reply.setHeader('Content-Type', 'application/json').end('null');
};

/** A position in one stream, or in another. */
const at = (position: string, stream = '5f0c9a1e27b8d463') => `${stream}-${position}`;

describe('a client of several instances', () => {
  it('passes on the newest position that it was told, and never an older one', async () => {
    const positions = [
      at('0-9'),
      at('0-10'),
      at('0-2'),
      at('1-1'),
      at('0-99'),
      'nonsense',
      at('1-0'),
      undefined,
      at('1-1'),
    ];
    const { client, seen } = await peer((_headers, reply, count) => list(reply, positions[count - 1]));
    for (const _ of positions) await client.list();
    expect(seen).toEqual([
      undefined,
      at('0-9'),
      at('0-10'),
      at('0-10'),
      at('1-1'),
      at('1-1'),
      at('1-1'),
      at('1-1'),
      at('1-1'),
    ]);
  });

  it('takes no position of another store, or of another stream, for older or newer than its own', async () => {
    const [moved, other] = ['5f0c9a1eaaaaaaaa', 'bbbbbbbb27b8d463'];
    const positions = [at('2-900'), at('2-3', moved), at('1-9', moved), at('1-4', other), at('1-2', other)];
    const { client, seen } = await peer((_headers, reply, count) => list(reply, positions[count - 1]));
    for (const _ of positions) await client.list();
    await client.list();
    expect(seen).toEqual([
      undefined,
      at('2-900'),
      at('2-3', moved),
      at('2-3', moved),
      at('1-4', other),
      at('1-4', other),
    ]);
  });

  it('hears of a position in what is refused, too', async () => {
    const { client, seen } = await peer((_headers, reply, count) => {
      reply.setHeader('Coffer-Position', at(`0-${count}`));
      reply.writeHead(404, { 'Content-Type': 'text/plain', 'Coffer-Error': 'not_found' }).end('not found\n');
    });
    await expect(client.get('a')).rejects.toMatchObject({ code: 'not_found' });
    await expect(client.info('a')).rejects.toMatchObject({ code: 'not_found' });
    expect(seen).toEqual([undefined, at('0-1')]);
  });

  it('hears of it in the events of a watch, so that what it then gets is not older', async () => {
    const { client, seen } = await peer((_headers, reply, count) => {
      if (count > 1) return list(reply);
      reply.setHeader('Content-Type', 'text/event-stream');
      reply.write(`id: x-1\nevent: ready\ndata: {"position":"${at('0-5')}"}\n\n`);
      reply.write(
        `id: x-2\nevent: change\ndata: {"name":"a","activeVersion":1,"versions":[1],"position":"${at('0-7')}"}\n\n`,
      );
    });
    for await (const event of client.watch()) if (event.type === 'change') break;
    await client.list();
    expect(seen).toEqual([undefined, at('0-7')]);
  });

  it('asks an instance again that is behind, or could not say whether a change came true, with the same operation', async () => {
    const operations: unknown[] = [];
    const { client } = await peer((headers, reply, count) => {
      operations.push(headers['coffer-operation']);
      const code = ['stale', 'in_doubt'][count - 1];
      if (code === undefined) return void reply.setHeader('Content-Type', 'application/json').end('1');
      reply
        .writeHead(503, { 'Content-Type': 'text/plain', 'Coffer-Error': code, 'Retry-After': '0' })
        .end('x');
    });
    expect(await client.put('a', 'value')).toBe(1);
    expect(operations).toHaveLength(3);
    expect(new Set(operations).size).toBe(1);
  });
});
