import { Client } from '@coffer/client';
import { expect, onTestFinished, test } from 'vitest';
import { startTestServer, type TestServer } from '../src/index.js';

const bytes = (text: string) => new TextEncoder().encode(text);

function clientOf(server: TestServer, token = server.token): Client {
  const client = new Client({ server: server.url, token, retries: 0 });
  onTestFinished(() => client.close());
  return client;
}

test('a server has the secrets that it is started with, as text or bytes', async () => {
  await using server = await startTestServer({ secrets: { 'db/password': 'swordfish', key: bytes('k') } });
  const client = clientOf(server);
  expect((await client.get('db/password')).value.reveal()).toBe('swordfish');
  expect(await client.list()).toEqual([
    { name: 'db/password', versions: [1], activeVersion: 1 },
    { name: 'key', versions: [1], activeVersion: 1 },
  ]);
  expect(await server.mustInfo('key')).toEqual({ name: 'key', versions: [1], activeVersion: 1 });
});

test('what a test changes is what programs see', async () => {
  await using server = await startTestServer();
  const client = clientOf(server);
  expect(await server.mustPut('a', 'one')).toBe(1);
  expect(await server.mustPut('a', 'two')).toBe(2);
  expect((await client.get('a')).version).toBe(1);
  await server.mustActivate('a', 2);
  expect((await client.get('a')).value.reveal()).toBe('two');
  await server.mustCreateVersion('a', 7, bytes('seven'));
  expect((await client.get('a')).version).toBe(7);
  expect(await server.mustRotate('a', 'eight')).toBe(8);
  expect(await server.mustGet('a')).toEqual({ value: Buffer.from('eight'), version: 8 });
  expect((await server.mustGet('a', 2)).value.toString()).toBe('two');
  await server.mustDelete('a', 7);
  expect((await client.info('a')).versions).toEqual([1, 2, 8]);
  await server.mustDelete('a');
  await expect(client.get('a')).rejects.toMatchObject({ code: 'not_found' });
  await expect(server.mustGet('a')).rejects.toMatchObject({ code: 'not_found' });
});

test('its token may do everything, who comes without one nothing', async () => {
  await using server = await startTestServer();
  const { grants } = await clientOf(server).whoami();
  expect(grants).toMatchObject([{ secrets: ['*'], actions: expect.arrayContaining(['get', 'admin']) }]);
  const nobody = new Client({ server: server.url });
  await expect(nobody.list()).rejects.toMatchObject({ code: 'unauthenticated' });
  nobody.close();
});

test('a caller of its own may do what it was granted, until that is taken away', async () => {
  await using server = await startTestServer({ secrets: { 'app/a': '1', 'app/b': '1', other: '1' } });
  const [reader, writer] = await Promise.all([
    server.createToken('reader', [{ actions: ['get'], secrets: ['app/*'] }]),
    server.createToken('writer', [{ actions: ['put'], secrets: ['*'] }]),
  ]);
  const client = clientOf(server, reader.token);
  expect((await client.whoami()).principals).toMatchObject([{ id: reader.principal }]);
  await client.get('app/a');
  await expect(client.get('other')).rejects.toMatchObject({ code: 'access_denied' });
  await expect(client.put('app/a', bytes('x'))).rejects.toMatchObject({ code: 'access_denied' });
  await server.grant(reader.principal, [{ actions: ['get'], secrets: ['other'] }]);
  await client.get('other');
  await expect(client.get('app/a')).rejects.toMatchObject({ code: 'access_denied' });
  await server.revokeToken(reader.id);
  await expect(client.get('other')).rejects.toMatchObject({ code: 'unauthenticated' });
  await clientOf(server, writer.token).put('app/a', bytes('2'));
  await server.grant(writer.principal, []);
  await expect(clientOf(server, writer.token).put('app/a', bytes('3'))).rejects.toMatchObject({
    code: 'access_denied',
  });
});

test('after an outage it is where it was, with what it had', async () => {
  await using server = await startTestServer({ secrets: { a: 'kept' } });
  const client = clientOf(server);
  const watch = client.watch();
  await watch.next();
  const { url } = server;
  await server.stop();
  await server.stop();
  await expect(client.get('a')).rejects.toMatchObject({ code: 'unreachable' });
  await expect(server.mustGet('a')).rejects.toThrow('the test server is stopped');
  await server.start();
  await server.start();
  expect(server.url).toBe(url);
  expect((await client.get('a')).value.reveal()).toBe('kept');
  expect(await watch.next()).toMatchObject({ value: { type: 'reset' } });
  await server.mustRotate('a', 'new');
  expect(await watch.next()).toMatchObject({ value: { type: 'change', name: 'a' } });
  await watch.return();
});

test('two servers know nothing of each other', async () => {
  await using one = await startTestServer({ secrets: { a: '1' } });
  await using two = await startTestServer();
  expect(one.url).not.toBe(two.url);
  await expect(two.mustGet('a')).rejects.toMatchObject({ code: 'not_found' });
  await expect(clientOf(two, one.token).list()).rejects.toMatchObject({ code: 'unauthenticated' });
});

test('it takes another port, other limits and another configuration', async () => {
  const first = await startTestServer();
  const port = Number(new URL(first.url).port);
  await first.close();
  const config = { publicUrl: 'https://secrets.example.com' };
  await using server = await startTestServer({ port, limits: { valueBytes: 4 }, config });
  expect(server.url).toBe(`http://127.0.0.1:${port}`);
  await expect(server.mustPut('a', '12345')).rejects.toMatchObject({ code: 'value_too_large' });
  const document = await fetch(`${server.url}/openapi.json`);
  expect(await document.text()).toContain('https://secrets.example.com');
});

test('a port that is taken is said so', async () => {
  await using server = await startTestServer();
  const port = Number(new URL(server.url).port);
  await expect(startTestServer({ port })).rejects.toThrow('another program listens there already');
});

test('closed twice is closed, and not started again', async () => {
  const server = await startTestServer();
  await Promise.all([server.close(), server.close()]);
  await expect(server.start()).rejects.toThrow('the test server is closed');
});
