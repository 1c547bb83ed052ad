import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { coffer } from './run.js';

const OTHER_PROTOCOL = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n';

/** The address of something that says this, whatever it is asked, and then `more` again and again. */
async function saying(says: string, more = ''): Promise<string> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => {
      socket.write(says);
      const timer = setInterval(() => socket.write(more), 200);
      socket.once('close', () => clearInterval(timer));
    });
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('an import gives up a Vault that changes to another protocol', async () => {
  const from = await saying(OTHER_PROTOCOL);
  const { code, stderr } = await coffer(['import', 'vault', '--from', from], { env: { VAULT_TOKEN: 'x' } });
  expect(code).toBe(1);
  expect(stderr).toContain(
    `coffer: cannot reach ${from} (it changes to another protocol): check that Vault runs`,
  );
});

test('the doctor gives up a server that changes to another protocol, or never comes to an end', async () => {
  for (const [from, why] of [
    [await saying(OTHER_PROTOCOL), 'the connection ended without an answer'],
    [await saying('HTTP/1.1 200 OK\r\n\r\n', ' '), 'no answer within 5 s'],
  ]) {
    const { code, stdout } = await coffer(['doctor', '-s', from as string, '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout).findings).toEqual([
      { subject: 'server', level: 'problem', says: expect.stringContaining(`does not answer (${why})`) },
    ]);
  }
});
