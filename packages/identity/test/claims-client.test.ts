import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { ClaimsClient, createKeyPair, encodeJwt, newAccount, newUser } from '../src/index.js';

const INFO = { server_id: 'X', version: '2.15.0', proto: 1, max_payload: 1_048_576, headers: true };

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
});

/** Something that speaks as much of NATS as a request takes, and answers as it is told. */
async function serverThat(
  answers: (reply: (text: string) => boolean) => void,
  timeoutMs = 1_000,
): Promise<ClaimsClient> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.write(`INFO ${JSON.stringify(INFO)}\r\n`);
    const inboxes = new Map<string, string>();
    let text = '';
    socket.on('data', (data) => {
      text += data.toString('latin1');
      for (let end = text.indexOf('\r\n'); end >= 0; end = text.indexOf('\r\n')) {
        const [verb = '', subject = '', second = ''] = text.slice(0, end).split(' ');
        const last = text.slice(0, end).split(' ').at(-1) ?? '';
        const payload = /^H?PUB$/.test(verb) ? Number(last) + 2 : 0;
        if (text.length < end + 2 + payload) return;
        text = text.slice(end + 2 + payload);
        if (verb === 'PING') socket.write('PONG\r\n');
        if (verb === 'SUB') inboxes.set(subject.replace(/\*$/, ''), last);
        if (payload === 0) continue;
        const id = [...inboxes].find(([inbox]) => second.startsWith(inbox))?.[1];
        answers((answer) =>
          socket.write(`MSG ${second} ${id} ${Buffer.byteLength(answer)}\r\n${answer}\r\n`),
        );
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const keyPair = createKeyPair('user');
  using account = createKeyPair('account');
  const jwt = encodeJwt(newUser(keyPair.publicKey, 'u'), account);
  const { port } = server.address() as { port: number };
  const options = { servers: [`nats://127.0.0.1:${port}`], user: { jwt, keyPair }, timeoutMs };
  const client = await ClaimsClient.connect(options);
  cleanup.push(() => client.close());
  return client;
}

function accountToken(): { key: string; token: string } {
  using pair = createKeyPair('account');
  return { key: pair.publicKey, token: encodeJwt(newAccount(pair.publicKey, 'A'), pair) };
}

describe('an answer to a push', () => {
  const { key, token } = accountToken();
  const other = accountToken().key;

  it.each([
    ['says so of this account', { data: { code: 200, account: key, message: 'jwt updated' } }, true],
    ['says so of another account', { data: { code: 200, account: other } }, false],
    ['says so of none', { data: { code: 200 } }, false],
    ['has another code', { data: { code: 500, account: key } }, false],
    ['says nothing', {}, false],
    ['is a list', [1], false],
    ['is an error without a word', { error: {} }, false],
  ])('counts only if it %s', async (_what, answer, ok) => {
    const client = await serverThat((reply) => reply(JSON.stringify(answer)));
    const [said] = await client.update(token);
    expect(said?.ok).toBe(ok);
    if (!ok) expect(said?.message).not.toBe('');
  });
});

describe('a server that answers without end', () => {
  const { token } = accountToken();

  const flood = (answer: string, pauseMs: number) => (reply: (text: string) => boolean) => {
    const timer = setInterval(() => reply(answer), pauseMs);
    cleanup.push(() => clearInterval(timer));
  };

  it('is left when that is too much', async () => {
    // Long enough for a machine that does other things, too: what ends it is the answers.
    const much = flood(JSON.stringify({ data: { message: 'y'.repeat(4_000_000) } }), 1);
    const client = await serverThat(much, 20_000);
    await expect(client.update(token)).rejects.toMatchObject({
      code: 'servers_failed',
      message: expect.stringContaining('more than any cluster'),
    });
  });

  it('is left when the time is over', async () => {
    const started = performance.now();
    const client = await serverThat(flood('{}', 20));
    const answers = await client.update(token);
    expect(performance.now() - started).toBeLessThan(3_000);
    expect(answers.every(({ ok }) => !ok)).toBe(true);
  });
});
