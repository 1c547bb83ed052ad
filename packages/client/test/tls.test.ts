import { createServer, type ServerOptions } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { expect, onTestFinished, test } from 'vitest';
import { Authority } from '../../../test/support/certificates.mjs';
import { Client, type ClientOptions } from '../src/index.js';

const authority = new Authority();
const ca = authority.cert;

/** Answers everything with the name in the certificate that it was shown. */
async function serveTls(options: ServerOptions): Promise<string> {
  const server = createServer(options, (request, response) => {
    const { subject } = (request.socket as TLSSocket).getPeerCertificate();
    const name = Buffer.from(`${subject?.CN ?? ''}`).toString('base64');
    response.setHeader('Content-Type', 'application/json').end(`{"Value":"${name}","Version":1}`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function shownName(options: ClientOptions): Promise<string> {
  await using client = new Client({ retries: 0, ...options });
  return (await client.get('x')).value.reveal();
}

test('a certificate is shown to a server that asks for one', async () => {
  const { cert, key } = authority.issue();
  const server = await serveTls({ cert, key, ca, requestCert: true, rejectUnauthorized: true });
  const mine = authority.issue({ names: ['billing'] });
  expect(await shownName({ server, ca, cert: mine.cert, key: mine.key })).toBe('billing');
  const bytes = { cert: Buffer.from(mine.cert), key: Buffer.from(mine.key) };
  expect(await shownName({ server, ca, ...bytes })).toBe('billing');
  await expect(shownName({ server, ca })).rejects.toMatchObject({
    code: 'unreachable',
    message: expect.stringContaining('which the options cert and key give'),
  });
});

test('the server’s certificate must hold serverName, in place of the host of the address', async () => {
  const { cert, key } = authority.issue({ names: ['secrets.internal'], addresses: [] });
  const server = await serveTls({ cert, key });
  expect(await shownName({ server, ca, serverName: 'secrets.internal' })).toBe('');
  await expect(shownName({ server, ca })).rejects.toMatchObject({ code: 'untrusted_server' });
  await expect(shownName({ server, ca, serverName: 'other.internal' })).rejects.toMatchObject({
    code: 'untrusted_server',
  });
});

const [one, other] = [authority.issue(), authority.issue()];
test.each<[string, ClientOptions]>([
  ['a certificate without its key', { cert: one.cert }],
  ['a key without its certificate', { key: one.key }],
  ['the key of another certificate', { cert: one.cert, key: other.key }],
  ['what is no PEM', { cert: one.key, key: one.cert }],
  ['a certificate for http', { server: 'http://a', cert: one.cert, key: one.key }],
  ['a name for a socket', { server: 'unix:/a', serverName: 'a' }],
])('%s is refused at once, and the key is not told', (_what, options) => {
  let failure: unknown;
  try {
    new Client({ server: 'https://a', ...options });
  } catch (error) {
    failure = error;
  }
  expect(failure).toMatchObject({ code: 'invalid_argument' });
  expect(String((failure as Error).stack)).not.toContain('PRIVATE KEY');
});
