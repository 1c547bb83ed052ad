import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import type { Call } from '../src/http/connections.js';
import { Transport } from '../src/http/transport.js';
import { serve } from './http-server.js';

const CALL: Call = { method: 'GET', path: '/endless' };

function transport(server: string, timeout = 5_000): Transport {
  return new Transport({ server, timeout, retries: 1, maxAnswerBytes: 100 });
}

describe('an answer that is left open', () => {
  test('gives its body as it comes, longer than the timeout, and larger than an answer may be', async () => {
    const more: (() => void)[] = [];
    await using server = await serve((_request, response) => {
      response.writeHead(200).flushHeaders();
      more.push(() => response.write('x'.repeat(80)));
      more.push(() => setTimeout(() => response.end('y'.repeat(80)), 400));
    });
    const client = transport(server.url, 300);
    const answer = await client.open(CALL);
    let body = '';
    more[0]?.();
    for await (const chunk of answer.chunks()) {
      body += chunk;
      if (body.length === 80) more[1]?.();
    }
    expect(body).toBe('x'.repeat(80) + 'y'.repeat(80));
    client.close();
  });

  test('tells when its connection breaks, and when no byte comes for too long', async () => {
    await using server = await serve((_request, response) => {
      response.writeHead(200).write('x');
    });
    const client = transport(server.url);
    for (const [idle, reason] of [
      [undefined, 'the connection broke'],
      [100, 'timed out'],
    ] as const) {
      const answer = await client.open(CALL, idle === undefined ? {} : { idle });
      const reading = (async () => {
        for await (const _ of answer.chunks()) if (idle === undefined) server.server.closeAllConnections();
      })();
      await expect(reading).rejects.toMatchObject({
        code: 'unreachable',
        message: expect.stringContaining(reason),
      });
    }
    client.close();
  });

  test('ends by its signal, by the client’s end, and with who reads it', async () => {
    await using server = await serve((_request, response) => {
      response.writeHead(200).write('x');
    });
    const client = transport(server.url);
    const stop = new AbortController();
    const first = (await client.open({ ...CALL, signal: stop.signal })).chunks();
    expect((await first.next()).value).toEqual(Buffer.from('x'));
    const next = first.next();
    stop.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');

    const gone = once(server.server, 'connection').then(([socket]) => once(socket, 'close'));
    for await (const _ of (await client.open(CALL)).chunks()) break;
    await gone;

    const last = (await client.open(CALL)).chunks();
    await last.next();
    const waiting = last.next();
    client.close();
    await expect(waiting).rejects.toMatchObject({ code: 'closed' });
    await expect(client.open(CALL)).rejects.toMatchObject({ code: 'closed' });
  });

  test('that does not begin in time is a timeout, and one that cannot be had is unreachable', async () => {
    await using server = await serve(() => undefined);
    await expect(transport(server.url, 100).open(CALL)).rejects.toMatchObject({ code: 'timeout' });
    await expect(transport('unix:/nowhere').open(CALL)).rejects.toMatchObject({ code: 'unreachable' });
  });

  test('can be read whole, within the limit of an answer', async () => {
    await using server = await serve((request, response) => {
      response.writeHead(403).end('x'.repeat(request.url === '/long' ? 101 : 100));
    });
    const client = transport(server.url);
    const answer = await (await client.open(CALL)).whole();
    expect([answer.status, answer.body.length]).toEqual([403, 100]);
    const long = (await client.open({ ...CALL, path: '/long' })).whole();
    await expect(long).rejects.toMatchObject({ code: 'answer_too_large' });
    client.close();
  });
});
