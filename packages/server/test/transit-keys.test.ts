import { SERVER } from '@coffer/engine';
import { describe, expect, it } from 'vitest';

import { ADMIN_RESOURCES } from '../src/http/admin.js';
import { TransitRing } from '../src/wasmcloud/transit-ring.js';
import { TransitUse } from '../src/wasmcloud/transit-use.js';
import * as schemas from '../src/wire/answer-schemas.js';
import { SETEC_HEADERS, send, startTestServer } from './support.js';

const PATH = '/api/admin/transit-keys';
const backend = 'nats-kv';

/** A server that has served the backend: its ring has a first key. */
async function servedBefore() {
  const server = await startTestServer();
  const { engine } = server;
  (await TransitRing.open({ engine, backend, use: new TransitUse(), onNotice: () => undefined })).close();
  const post = async (path: string, body: unknown, operation?: string) => {
    const headers = { ...SETEC_HEADERS, ...(operation && { 'Coffer-Operation': operation }) };
    const answer = await send(server, `${PATH}/${path}`, {
      method: 'POST',
      headers,
      body: JSON.stringify(body),
    });
    return { status: answer.status, json: JSON.parse(answer.body) };
  };
  const list = async () => {
    const answer = await send(server, PATH, { headers: SETEC_HEADERS });
    return schemas.transitKeyList.parse(JSON.parse(answer.body)).keys;
  };
  return { server, engine, post, list };
}

describe('transit keys over HTTP', () => {
  it('are listed, rotated and retired, without a seed', async () => {
    const { engine, post, list } = await servedBefore();
    const [first, ...more] = await list();
    expect(more).toEqual([]);
    expect(first).toMatchObject({ backend, createdBy: 'server', current: true });
    const { status, json } = await post('rotate', { backend });
    expect(status).toBe(200);
    const second = schemas.transitKey.parse(json);
    expect(second).toMatchObject({ backend, createdBy: 'dev', current: true });
    expect(await list()).toEqual([second, { ...first, current: false }]);
    expect(engine.transitKeys(backend).map(({ publicKey }) => publicKey)).toEqual([
      second.publicKey,
      first?.publicKey,
    ]);
    expect(await post('retire', { backend, publicKey: first?.publicKey })).toEqual({ status: 200, json: {} });
    expect(await list()).toEqual([second]);
  });

  it('are rotated once for one operation id', async () => {
    const { post, list } = await servedBefore();
    const made = await post('rotate', { backend }, 'rotate-1');
    expect(await post('rotate', { backend }, 'rotate-1')).toEqual(made);
    expect(await list()).toHaveLength(2);
  });

  it('that are current, unknown, malformed or of no backend are refused with a sentence', async () => {
    const { post, list } = await servedBefore();
    const [current] = await list();
    const unknown = `X${'A'.repeat(55)}`;
    for (const [path, body, status, code] of [
      ['retire', { backend, publicKey: current?.publicKey }, 400, 'invalid_argument'],
      ['retire', { backend, publicKey: unknown }, 404, 'not_found'],
      ['retire', { backend: 'vault', publicKey: current?.publicKey }, 404, 'not_found'],
      ['retire', { backend, publicKey: 'X' }, 400, 'invalid_argument'],
      ['retire', { backend }, 400, 'bad_request'],
      ['rotate', { backend: 'nats.kv' }, 400, 'invalid_argument'],
      ['rotate', { backend: 'never-served' }, 404, 'not_found'],
      ['rotate', { backend, seed: 'SX' }, 400, 'bad_request'],
    ] as const) {
      expect([path, body, await post(path, body)]).toMatchObject([path, body, { status, json: { code } }]);
    }
    expect(await list()).toEqual([current]);
  });

  it('say when each was last used, where one was', async () => {
    const { engine } = await servedBefore();
    const now = new Date('2031-01-01T00:00:00Z');
    const transitUse = new TransitUse(() => now);
    const [key] = engine.transitKeys(backend);
    transitUse.used(key?.publicKey as string);
    const context = { engine, caller: SERVER, change: undefined, transitUse };
    const answer = await ADMIN_RESOURCES[PATH]?.get?.(context);
    expect(schemas.transitKeyList.parse(JSON.parse(JSON.stringify(answer)))).toMatchObject({
      keys: [{ publicKey: key?.publicKey, lastUsedAt: now.toISOString() }],
    });
  });
});
