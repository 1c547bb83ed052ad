import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunningServer, startServer } from '../../cli/test/run.js';
import { Client, SecretBytes } from '../src/index.js';
import { answering, serve } from './http-server.js';

let server: RunningServer;
let client: Client;

beforeAll(async () => {
  server = await startServer();
  client = new Client({ server: server.socket });
});
afterAll(async () => {
  client?.close();
  await server?.[Symbol.asyncDispose]();
});

const bytes = (text: string) => SecretBytes.copyOf(Buffer.from(text));

describe('getMany', () => {
  test('answers in the order of the requests, whatever becomes of each', async () => {
    await client.put('a', bytes('one'));
    await client.put('a', bytes('two'));
    expect(
      await client.getMany([
        { name: 'a', version: 2 },
        { name: 'none' },
        { name: 'a' },
        { name: 'a', known: 1 },
        { name: 'a', known: 2 },
      ]),
    ).toEqual([
      { name: 'a', version: 2, value: bytes('two') },
      { name: 'none', error: 'not_found' },
      { name: 'a', version: 1, value: bytes('one') },
      { name: 'a', version: 1, unchanged: true },
      { name: 'a', version: 1, value: bytes('one') },
    ]);
    expect(await client.getMany([])).toEqual([]);
  });

  test('takes any number of requests and values of any size together', async () => {
    const large = new Uint8Array(1024 * 1024).fill(7);
    await client.put('large', large);
    await client.put('small', bytes('s'));
    const names = Array.from({ length: 300 }, (_, index) => (index % 20 === 0 ? 'large' : 'small'));
    const answers = await client.getMany(names.map((name) => ({ name })));
    expect(answers.map(({ name }) => name)).toEqual(names);
    for (const answer of answers) {
      expect('value' in answer && answer.value.length).toBe(answer.name === 'large' ? large.length : 1);
    }
  });

  test('refuses what no server would take', async () => {
    await expect(client.getMany([{ name: 'a', version: -1 }])).rejects.toMatchObject({
      code: 'invalid_version',
    });
    await expect(client.getMany([{ name: 'a', version: 1, known: 1 }])).rejects.toMatchObject({
      code: 'invalid_argument',
    });
    await expect(client.getMany([{ name: '' }])).rejects.toMatchObject({ code: 'invalid_name', status: 400 });
  });

  test('asks a server that cannot do it for one secret after the other, and does not ask it twice', async () => {
    const asked: string[] = [];
    await using old = await serve((request, response) => {
      let body = '';
      request.on('data', (part) => (body += part));
      request.on('end', () => {
        asked.push(request.url ?? '');
        const { Name } = JSON.parse(body);
        const refuse = (status: number, text: string) =>
          response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(`${text}\n`);
        if (request.url !== '/api/get') return refuse(400, 'invalid method');
        if (Name === 'none') return refuse(404, 'not found');
        if (Name === 'closed') return refuse(403, 'access denied');
        if (Name === 'broken') return refuse(500, 'internal error');
        response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"Value":"YQ==","Version":3}');
      });
    });
    const other = new Client({ server: old.url });
    const value = { version: 3, value: bytes('a') };
    for (let time = 0; time < 2; time++) {
      expect(
        await other.getMany([{ name: 'a' }, { name: 'none' }, { name: 'closed' }, { name: 'b' }]),
      ).toEqual([
        { name: 'a', ...value },
        { name: 'none', error: 'not_found' },
        { name: 'closed', error: 'access_denied' },
        { name: 'b', ...value },
      ]);
    }
    expect(asked.filter((path) => path === '/api/get-many')).toHaveLength(1);
    await expect(other.getMany([{ name: 'a' }, { name: 'broken' }])).rejects.toMatchObject({
      code: 'internal',
    });
    other.close();
  });

  test('asks one by one behind a proxy that knows no such page, and later together again', async () => {
    const asked: string[] = [];
    await using proxy = await serve((request, response) => {
      asked.push(request.url ?? '');
      if (asked.length === 1)
        return void response.writeHead(404, { 'Content-Type': 'text/html' }).end('<html>');
      const answer = { Value: 'YQ==', Version: 1, secrets: [{ name: 'a', value: 'YQ==', version: 1 }] };
      response.setHeader('Content-Type', 'application/json').end(JSON.stringify(answer));
    });
    await using other = new Client({ server: proxy.url });
    for (let time = 0; time < 2; time++) {
      expect(await other.getMany([{ name: 'a' }])).toEqual([{ name: 'a', version: 1, value: bytes('a') }]);
    }
    expect(asked).toEqual(['/api/get-many', '/api/get', '/api/get-many']);
  });

  test.each([
    ['{"secrets":[]}', 'about what was asked'],
    ['{"secrets":[{"name":"b","version":1,"value":""}]}', 'about what was asked'],
    ['{"secrets":[{"name":"a","error":"too_large"}]}', 'holds nothing'],
    ['{"secrets":[{"name":"a","version":1}]}', 'secrets[0].value'],
  ])('takes %s for no answer', async (body, sentence) => {
    await using strange = await answering(200, body);
    const other = new Client({ server: strange.url });
    await expect(other.getMany([{ name: 'a' }])).rejects.toMatchObject({
      code: 'bad_answer',
      message: expect.stringContaining(sentence),
    });
    other.close();
  });
});
