import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, it, onTestFinished } from 'vitest';
import { Reply } from '../src/http/reply.js';
import { SharedRoom } from '../src/http/room.js';
import { call, RawConnection, SETEC_HEADERS, startTestServer } from './support.js';

const KIB = 1024;
const MIB = 1024 * KIB;

it('one caller that takes none of its large answers leaves room for the answers of others', async () => {
  const server = await startTestServer({ dev: false });
  const socket = { socket: true };
  const tokenFor = async (name: string) => {
    const { body } = await call(server, 'admin/tokens', { name }, socket);
    return JSON.parse(body) as { id: string; token: string };
  };
  const [greedy, good] = [await tokenFor('greedy'), await tokenFor('good')];
  const grants = [
    { to: [`token:${greedy.id}`], actions: ['get'], secrets: ['greedy/*'] },
    { to: [`token:${good.id}`], actions: ['get'], secrets: ['good/*'] },
  ];
  await call(server, 'admin/policy', { grants }, socket);
  const put = (Name: string, size: number) =>
    call(server, 'put', { Name, Value: Buffer.alloc(size, 65).toString('base64') }, socket);
  await put('greedy/big', MIB);
  await put('greedy/mid', 90 * KIB);
  await put('good/cert', 100 * KIB);
  const head = Object.entries({ ...SETEC_HEADERS, Authorization: `Bearer ${greedy.token}` })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');
  const askAndTakeNothing = async (big: number, mid: number) => {
    const names = [...Array(big).fill('greedy/big'), ...Array(mid).fill('greedy/mid')];
    const body = JSON.stringify({ secrets: names.map((name) => ({ name })) });
    const slow = new RawConnection(server);
    slow.write(
      `POST /api/get-many HTTP/1.1\r\nHost: localhost\r\n${head}Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    // Takes the first bytes and no more.
    slow.socket.once('data', () => slow.socket.pause());
    await slow.until('HTTP/1.1 ');
    return slow.received.slice(0, 12);
  };
  const statuses = await Promise.all(Array.from({ length: 8 }, () => askAndTakeNothing(8, 0)));
  // To the last 32 KiB of all the room, if it might.
  await askAndTakeNothing(7, 11);
  expect(new Set(statuses)).toEqual(new Set(['HTTP/1.1 200', 'HTTP/1.1 503']));
  const get = (Name: string, { token }: { token: string }) =>
    call(server, 'get', { Name }, { headers: { Authorization: `Bearer ${token}` } });
  expect((await get('good/cert', good)).status).toBe(200);
  expect((await get('greedy/big', greedy)).status).toBe(200);
});

it('a caller that takes a large answer byte by byte is cut, and its room is free again', async () => {
  const room = new SharedRoom(64 * MIB, 64 * MIB);
  const server = createServer((incoming, outgoing) => {
    const reply = new Reply(incoming, outgoing, room, 'id', { patienceMs: 50, bytesPerSecond: 512 * MIB });
    reply.json('x'.repeat(48 * MIB));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const slow = connect((server.address() as AddressInfo).port, '127.0.0.1');
  onTestFinished(() => void slow.destroy());
  slow.on('error', () => {});
  const closed = new Promise<void>((resolve) => slow.once('close', () => resolve()));
  slow.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await new Promise((resolve) => slow.once('data', resolve));
  slow.pause();
  expect(room.take('other', 32 * MIB)).toBe(false);
  await expect.poll(() => room.take('other', 32 * MIB)).toBe(true);
  slow.resume();
  await closed;
});
