import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { answerTo, NoAnswer, TIMED_OUT, TOO_LARGE } from '../src/backend/http-answer.js';

const HEAD = 'HTTP/1.1 200 OK\r\n';

/** Asks a server that says this, whatever it is asked, and then ends the connection or leaves it as it is. */
async function answer(says: string, { ends = true, timeoutMs = 10_000 } = {}) {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(says);
      if (ends) socket.end();
    });
  }).listen(0, '127.0.0.1');
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => {
    agent.destroy();
    server.close();
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const asked = request({ host: '127.0.0.1', port, agent });
  const code = (error: unknown) => (error instanceof NoAnswer ? error.code : String(error));
  return await answerTo(asked, { timeoutMs, largestBytes: 10 }).then(
    ({ status, body }) => `${status} ${body}`,
    code,
  );
}

describe('an answer', () => {
  it.each([
    ['that is whole', `${HEAD}Content-Length: 2\r\n\r\nok`, '200 ok'],
    ['without an end of its own', `${HEAD}\r\nok`, '200 ok'],
    ['behind another that only goes before it', `HTTP/1.1 103 Early Hints\r\n\r\n${HEAD}\r\nok`, '200 ok'],
    ['that is cut off', `${HEAD}Content-Length: 9\r\n\r\nok`, 'ECONNRESET'],
    ['that is nothing', '', 'ECONNRESET'],
    ['that is larger than any', `${HEAD}Content-Length: 11\r\n\r\n${'x'.repeat(11)}`, TOO_LARGE],
    [
      'that is another protocol',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
      'UPGRADE',
    ],
  ])('%s is had, or given up', async (_, says, expected) => {
    expect(await answer(says)).toBe(expected);
  });

  it('of another protocol is given up at once, although its connection stays', async () => {
    const says = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n';
    expect(await answer(says, { ends: false })).toBe('UPGRADE');
  });

  it.each(['', `${HEAD}Content-Length: 9\r\n\r\nok`])(
    '%j that does not go on is waited for no longer than is said',
    async (says) => {
      expect(await answer(says, { ends: false, timeoutMs: 50 })).toBe(TIMED_OUT);
    },
  );
});
