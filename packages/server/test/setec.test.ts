import { describe, expect, it } from 'vitest';
import { call, SETEC_HEADERS, send, startTestServer } from './support.js';

const base64 = (text: string) => Buffer.from(text).toString('base64');

describe("setec's methods", () => {
  it('put, info, list, get, activate, delete-version and delete a secret, with the bytes that setec answers', async () => {
    const server = await startTestServer();
    const text = async (method: string, body: unknown) => {
      const { status, headers, body: answer } = await call(server, method, body);
      expect([status, headers['content-type']]).toEqual([200, 'application/json']);
      return answer;
    };
    expect(await text('list', {})).toBe('null');
    expect(await text('put', { Name: 'a<b&c', Value: base64('one') })).toBe('1');
    expect(await text('put', { Name: 'a<b&c', Value: base64('two') })).toBe('2');
    expect(await text('get', { Name: 'a<b&c' })).toBe('{"Value":"b25l","Version":1}');
    expect(await text('get', { Name: 'a<b&c', Version: 2 })).toBe('{"Value":"dHdv","Version":2}');
    expect(await text('activate', { Name: 'a<b&c', Version: 2 })).toBe('{}');
    const info = '{"Name":"a\\u003cb\\u0026c","Versions":[1,2],"ActiveVersion":2}';
    expect(await text('info', { Name: 'a<b&c' })).toBe(info);
    expect(await text('list', 'null')).toBe(`[${info}]`);
    expect(await text('get', { Name: 'a<b&c', Version: 1, UpdateIfChanged: true })).toBe(
      '{"Value":"dHdv","Version":2}',
    );
    expect(await text('delete-version', { Name: 'a<b&c', Version: 1 })).toBe('{}');
    expect(await text('create-version', { Name: 'a<b&c', Version: 9, Value: '' })).toBe('{}');
    expect(await text('get', { name: 'a<b&c' })).toBe('{"Value":"","Version":9}');
    expect(await text('delete', { Name: 'a<b&c' })).toBe('{}');
    expect(await text('delete', { Name: 'a<b&c' })).toBe('{}');
  });

  it('answer 304 without a body to a conditional get of what has not changed', async () => {
    const server = await startTestServer();
    await call(server, 'put', { Name: 'a', Value: base64('one') });
    const answer = await call(server, 'get', { Name: 'a', Version: 1, UpdateIfChanged: true });
    expect(answer).toMatchObject({ status: 304, body: '' });
    expect(answer.headers['content-type']).toBeUndefined();
    expect(await call(server, 'get', { Name: 'a', Version: 0, UpdateIfChanged: true })).toMatchObject({
      status: 200,
    });
  });

  it('list names in byte order, not in the order of UTF-16', async () => {
    const server = await startTestServer();
    for (const Name of ['\u{1f600}', '\uffee', 'z', 'Z']) await call(server, 'put', { Name, Value: '' });
    const names = JSON.parse((await call(server, 'list', {})).body).map(
      (info: { Name: string }) => info.Name,
    );
    expect(names).toEqual(['Z', 'z', '\uffee', '\u{1f600}']);
  });

  it('take a value of the largest size in its longest form', async () => {
    const server = await startTestServer();
    const value = Buffer.alloc(1024 * 1024, 255);
    expect(await call(server, 'put', { Name: 'big', Value: [...value] })).toMatchObject({
      status: 200,
      body: '1',
    });
    const { body } = await call(server, 'get', { Name: 'big' });
    expect(Buffer.from(JSON.parse(body).Value, 'base64').equals(value)).toBe(true);
  });

  it('make a retried change harmless by its operation id', async () => {
    const server = await startTestServer();
    const headers = { 'Coffer-Operation': 'deploy-17' };
    const put = (text: string) => call(server, 'put', { Name: 'a', Value: base64(text) }, { headers });
    expect(await put('one')).toMatchObject({ status: 200, body: '1' });
    await call(server, 'put', { Name: 'a', Value: base64('two') });
    expect(await put('one')).toMatchObject({ status: 200, body: '1' });
    const reused = await call(server, 'delete', { Name: 'a' }, { headers });
    expect(reused.status).toBe(409);
    expect(reused.headers['coffer-error']).toBe('operation_reused');
  });
});

describe("setec's errors", () => {
  it.each([
    ['get', { Name: 'nope' }, 404, 'not found', 'not_found'],
    ['info', { Name: 'nope' }, 404, 'not found', 'not_found'],
    ['get', { Name: 'known', Version: 7 }, 404, 'not found', 'not_found'],
    ['activate', { Name: 'known', Version: 7 }, 404, 'not found', 'not_found'],
    ['create-version', { Name: 'known', Version: 1, Value: '' }, 412, 'version already set', 'version_taken'],
    [
      'create-version',
      { Name: 'known' },
      400,
      'invalid version, please specify a version > 0',
      'invalid_version',
    ],
    ['activate', { Name: 'known' }, 400, 'invalid version, please specify a version > 0', 'invalid_version'],
    ['get', '{"Name":', 400, 'bad request', 'bad_request'],
    ['get', '', 400, 'bad request', 'bad_request'],
    ['get', { Name: 'known', Version: -1 }, 400, 'bad request', 'bad_request'],
    ['put', { Name: 'known', Value: 'YQ' }, 400, 'bad request', 'bad_request'],
    ['rename', {}, 400, 'invalid method', 'invalid_method'],
    ['get/', { Name: 'known' }, 400, 'invalid method', 'invalid_method'],
  ])('%s %j: %i %s', async (method, body, status, text, code) => {
    const server = await startTestServer();
    await call(server, 'put', { Name: 'known', Value: base64('x') });
    const answer = await call(server, method, body);
    expect(answer).toMatchObject({ status, body: `${text}\n` });
    expect(answer.headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'x-content-type-options': 'nosniff',
      'coffer-error': code,
    });
  });

  it.each([
    ['put', { Name: '', Value: '' }, 400, 'invalid_name'],
    ['get', { Name: '' }, 400, 'invalid_name'],
    ['put', { Name: 'x'.repeat(1025), Value: '' }, 400, 'name_too_long'],
    ['put', { Name: '_internal/x', Value: '' }, 400, 'reserved_name'],
    ['create-version', { Name: '_internal/x', Version: 1 }, 400, 'reserved_name'],
    ['delete-version', { Name: 'known', Version: 1 }, 400, 'active_version'],
    ['put', { Name: 'known', Value: base64('x'.repeat(1024 * 1024 + 1)) }, 413, 'value_too_large'],
  ])(
    '%s with an input of its own kind of wrong is the caller’s error',
    async (method, body, status, code) => {
      const server = await startTestServer();
      await call(server, 'put', { Name: 'known', Value: base64('x') });
      const answer = await call(server, method, body);
      expect([answer.status, answer.headers['coffer-error']]).toEqual([status, code]);
    },
  );

  it('come in the order method, content type, header, caller, body', async () => {
    const server = await startTestServer({ dev: false });
    const { 'Content-Type': type, ...header } = SETEC_HEADERS;
    const post = { method: 'POST', body: '{' };
    const expected = [
      [{ method: 'PUT', body: '{' }, 400, 'only POST requests allowed\n'],
      [{ method: 'GET' }, 400, 'only POST requests allowed\n'],
      [post, 400, 'request body must be json\n'],
      [
        { ...post, headers: { 'Content-Type': `${type}; charset=utf-8`, ...header } },
        400,
        'request body must be json\n',
      ],
      [{ ...post, headers: { 'Content-Type': type } }, 403, 'access denied\n'],
      [
        { ...post, headers: { 'Content-Type': type, 'Sec-X-Tailscale-No-Browsers': 'yes' } },
        403,
        'access denied\n',
      ],
    ] as const;
    for (const [sent, status, body] of expected) {
      expect(await send(server, '/api/get', sent)).toMatchObject({ status, body });
    }
    expect(await send(server, '/api/get', { ...post, headers: SETEC_HEADERS })).toMatchObject({
      status: 401,
    });
    expect(await call(server, 'get', '{', { socket: true })).toMatchObject({
      status: 400,
      body: 'bad request\n',
    });
  });

  it('answer a HEAD like the GET that it is not, without a body', async () => {
    const server = await startTestServer();
    expect(await send(server, '/api/get', { method: 'HEAD' })).toMatchObject({ status: 400, body: '' });
  });
});

describe('other routes', () => {
  it('tell that the process lives and is ready, without authentication', async () => {
    const server = await startTestServer({ dev: false });
    expect(await send(server, '/healthz')).toMatchObject({ status: 200, body: 'ok\n' });
    expect(await send(server, '/readyz')).toMatchObject({
      status: 200,
      body: '{"ready":true,"writable":true}',
    });
  });

  it('are not found, and change nothing, where there is nothing', async () => {
    const server = await startTestServer();
    expect(await send(server, '/')).toMatchObject({ status: 404, body: 'not found\n' });
    expect(await send(server, '/', { method: 'POST' })).toMatchObject({
      status: 400,
      body: 'invalid method\n',
    });
    expect(await send(server, '/api/')).toMatchObject({ status: 400, body: 'invalid method\n' });
  });
});
