import { describe, expect, it } from 'vitest';
import type { RunningServer } from '../src/index.js';
import { call, RawConnection, SETEC_HEADERS, type Sent, send, startTestServer } from './support.js';

const base64 = (text: string) => Buffer.from(text).toString('base64');
const MIB = 1024 * 1024;

async function getMany(server: RunningServer, secrets: unknown, sent: Sent = {}) {
  const { status, headers, body } = await call(server, 'get-many', { secrets }, sent);
  return { status, code: headers['coffer-error'], type: headers['content-type'], json: JSON.parse(body) };
}

describe('get-many', () => {
  it('answers values, what has not changed and refusals, in the order of the requests', async () => {
    const server = await startTestServer({ dev: false });
    const socket = { socket: true };
    for (const Name of ['a', 'b', 'c "quoted"\n\u{1f600}'])
      await call(server, 'put', { Name, Value: base64(Name) }, socket);
    const { body } = await call(server, 'admin/tokens', { name: 'x' }, socket);
    const { id, token } = JSON.parse(body);
    const grants = [{ to: [`token:${id}`], actions: ['get'], secrets: ['a', 'c*', 'none'] }];
    await call(server, 'admin/policy', { grants }, socket);
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await getMany(
      server,
      [
        { name: 'a' },
        { name: 'b' },
        { name: 'a', known: 1 },
        { name: 'none', version: 0 },
        { name: 'c "quoted"\n\u{1f600}', version: 1 },
      ],
      { headers },
    );
    expect(answer).toEqual({
      status: 200,
      type: 'application/json',
      code: undefined,
      json: {
        secrets: [
          { name: 'a', version: 1, value: base64('a') },
          { name: 'b', error: 'access_denied' },
          { name: 'a', version: 1, unchanged: true },
          { name: 'none', error: 'not_found' },
          { name: 'c "quoted"\n\u{1f600}', version: 1, value: base64('c "quoted"\n\u{1f600}') },
        ],
      },
    });
  });

  it('keeps values of every size as they are', async () => {
    const server = await startTestServer();
    const sizes = [0, 1, 2, 3, 48 * 1024 - 1, 48 * 1024, 48 * 1024 + 1, MIB];
    const values = sizes.map((size) =>
      Buffer.from(Array.from({ length: size }, (_, i) => (i * 7 + size) % 256)),
    );
    for (const [index, value] of values.entries()) {
      await call(server, 'put', { Name: `n${index}`, Value: value.toString('base64') });
    }
    const { json } = await getMany(
      server,
      sizes.map((_, index) => ({ name: `n${index}` })),
    );
    const got = json.secrets.map(({ value }: { value: string }) => Buffer.from(value, 'base64'));
    expect(got.map((value: Buffer, index: number) => value.equals(values[index] as Buffer))).toEqual(
      sizes.map(() => true),
    );
  });

  it('takes the most names of the longest form', async () => {
    const server = await startTestServer();
    const name = '\\u0001'.repeat(1024);
    const body = `{"secrets":[${Array.from({ length: 256 }, () => `{"name":"${name}"}`).join()}]}`;
    expect(await call(server, 'get-many', body)).toMatchObject({ status: 200 });
  });

  it.each([
    [{}, 'secrets: '],
    [{ secrets: [] }, 'secrets: '],
    [{ secrets: Array.from({ length: 257 }, () => ({ name: 'a' })) }, 'secrets: '],
    [{ secrets: [{ name: 'a', Version: 1 }] }, 'secrets[0].Version: unknown key'],
    [{ secrets: [{ name: 'a', version: 2 ** 32 }] }, 'secrets[0].version: '],
    [{ secrets: [{ name: 'a', version: 1, known: 1 }] }, 'active version only'],
    [{ secrets: [{ name: '' }] }, 'needs a name'],
    ['null', ''],
    ['{', 'not JSON'],
  ])('tells what is wrong with %j', async (body, sentence) => {
    const server = await startTestServer();
    const { status, headers, body: text } = await call(server, 'get-many', body);
    expect([status, headers['content-type']]).toEqual([400, 'application/json']);
    expect(JSON.parse(text)).toEqual({
      code: headers['coffer-error'],
      message: expect.stringContaining(sentence),
    });
  });

  it('refuses browsers, strangers and other methods, in JSON', async () => {
    const server = await startTestServer({ dev: false });
    const { 'Content-Type': type, ...header } = SETEC_HEADERS;
    for (const [sent, status, code] of [
      [{ headers: header }, 400, 'invalid_method'],
      [{ method: 'POST', headers: header }, 400, 'bad_request'],
      [{ method: 'POST', headers: { 'Content-Type': type } }, 403, 'access_denied'],
      [{ method: 'POST', headers: SETEC_HEADERS }, 401, 'unauthenticated'],
    ] as const) {
      const answer = await send(server, '/api/get-many', sent);
      expect([answer.status, JSON.parse(answer.body).code]).toEqual([status, code]);
    }
  });

  it('finds no room while callers leave large answers untaken, and says so before anything is revealed', async () => {
    const server = await startTestServer({
      limits: { valueBytes: 16 * MIB, bodyBytes: 24 * MIB, inFlightBytes: 32 * MIB },
    });
    await call(server, 'put', { Name: 'large', Value: Buffer.alloc(16 * MIB).toString('base64') });
    await call(server, 'put', { Name: 'small', Value: '' });
    const body = '{"secrets":[{"name":"large"}]}';
    const slow = new RawConnection(server);
    slow.socket.pause();
    const head = Object.entries(SETEC_HEADERS).map(([name, value]) => `${name}: ${value}\r\n`);
    slow.write(
      `POST /api/get-many HTTP/1.1\r\nHost: localhost\r\n${head.join('')}Content-Length: ${body.length}\r\n\r\n${body}`,
    );
    const ask = async (name: string) => (await getMany(server, [{ name }])).status;
    await expect.poll(() => ask('large')).toBe(503);
    expect(await ask('small')).toBe(200);
    expect((await call(server, 'get', { Name: 'large' })).status).toBe(503);
    slow.socket.destroy();
    await expect.poll(() => ask('large')).toBe(200);
    expect(await ask('large')).toBe(200);
  });
});
