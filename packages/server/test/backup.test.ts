import { createHash } from 'node:crypto';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import type { RunningServer } from '../src/index.js';
import { call, SETEC_HEADERS, type Sent, send, startTestServer } from './support.js';

const PATH = '/api/admin/backup';

/** The bytes of an answer to `{}`, over the admin socket unless told otherwise. */
function backup(server: RunningServer, sent: Sent = { socket: true }): Promise<IncomingMessage> {
  const where = sent.socket ? { socketPath: server.socketPath } : server.address;
  const headers = { ...SETEC_HEADERS, ...sent.headers };
  return new Promise((resolve, reject) => {
    const request = httpRequest({ ...where, path: PATH, method: 'POST', headers, agent: false }, resolve);
    request.on('error', reject).end('{}');
  });
}

async function bytesOf(response: IncomingMessage): Promise<Buffer> {
  return Buffer.concat(await response.toArray());
}

const put = (server: RunningServer, name: string, value: Buffer) =>
  call(server, 'put', { Name: name, Value: value.toString('base64') }, { socket: true });

describe('POST /api/admin/backup', () => {
  it('answers with a file that ends with the hash of all before', async () => {
    const server = await startTestServer({ dev: false });
    await put(server, 'a', Buffer.alloc(200_000));
    const response = await backup(server);
    expect(response.statusCode).toBe(200);
    expect(response.headers['content-type']).toBe('application/octet-stream');
    const file = await bytesOf(response);
    expect(file.toString('latin1', 0, 17)).toBe('coffer-backup-v1\n');
    const hash = createHash('sha256').update(file.subarray(0, -32)).digest();
    expect(file.subarray(-32)).toEqual(hash);
  });

  it('needs an administrator of everything', async () => {
    const server = await startTestServer({ dev: false });
    const token = JSON.parse(
      (await call(server, 'admin/tokens', { name: 'part' }, { socket: true })).body,
    ) as { id: string; token: string };
    const as = { headers: { Authorization: `Bearer ${token.token}` } };
    const apply = (secrets: string) => {
      const grants = [{ to: [`token:${token.id}`], actions: ['admin'], secrets: [secrets] }];
      return call(server, 'admin/policy', { grants }, { socket: true });
    };
    await apply('part/*');
    expect(await call(server, 'admin/backup', {}, as)).toMatchObject({
      status: 403,
      headers: { 'coffer-error': 'access_denied', 'content-type': 'application/json' },
    });
    await apply('*');
    expect((await backup(server, as)).statusCode).toBe(200);
    expect((await backup(server, {})).statusCode).toBe(401);
  });

  it('is strict about its body, and no GET', async () => {
    const server = await startTestServer();
    expect((await call(server, 'admin/backup', { all: true })).status).toBe(400);
    expect((await call(server, 'admin/backup', '')).status).toBe(400);
    expect((await send(server, PATH, { headers: SETEC_HEADERS })).status).toBe(400);
  });

  it('is cut, not ended, when the server closes; another one meanwhile is refused', async () => {
    const server = await startTestServer({ limits: { valueBytes: 8_000_000 } });
    // More than a connection holds that nobody reads.
    for (const name of ['a', 'b', 'c']) await put(server, name, Buffer.alloc(8_000_000));
    const response = await backup(server);
    expect(await call(server, 'admin/backup', {})).toMatchObject({
      status: 409,
      headers: { 'coffer-error': 'conflict' },
    });
    await server.close();
    await expect(bytesOf(response)).rejects.toThrow('aborted');
  });
});
