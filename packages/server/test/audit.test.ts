import { readFile } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { Client } from '@coffer/client';
import { Admin, type AuditQuery } from '@coffer/client/admin';
import { describe, expect, it } from 'vitest';
import {
  auditVerifier,
  auditWitness,
  type RunningServer,
  readAuditLog,
  verifyAuditLog,
} from '../src/index.js';
import { call, send, startTestServer, testConfig } from './support.js';

const HEADER = { 'Sec-X-Tailscale-No-Browsers': 'setec' };
const ROUTE = '/api/admin/audit';

const read = (server: RunningServer, query = '') =>
  send(server, `${ROUTE}${query}`, { socket: true, headers: HEADER });

async function production() {
  const config = await testConfig({ dev: false });
  const server = await startTestServer(config);
  const client = new Client({ server: `unix:${server.socketPath}` });
  return { config, server, client };
}

async function all(lines: AsyncIterable<string>): Promise<string[]> {
  const collected: string[] = [];
  for await (const line of lines) collected.push(line);
  return collected;
}

describe('GET /api/admin/audit', () => {
  it('answers the exact lines of the file', async () => {
    const { config, server } = await production();
    await call(server, 'put', { Name: 'a', Value: 'AA==' }, { socket: true });
    const before = await readFile(join(config.stateDir, 'audit', 'audit.log'), 'utf8');
    const answer = await read(server);
    expect(answer).toMatchObject({ status: 200, body: before });
    expect(answer.headers['content-type']).toBe('application/x-ndjson');
    expect((await read(server, '?from=2')).body.split('\n')[0]).toBe(before.split('\n')[1]);
    expect((await read(server, '?last=1')).body).toContain('"target":"from=2"');
    const found = await read(
      server,
      '?action=put&principal=socket&secret=a*&since=2020-01-01T00:00:00%2B01:00',
    );
    expect(found.body.trim().split('\n')).toHaveLength(2);
    expect((await read(server, '?until=2020-01-01T00:00:60Z')).body).toBe('');
  });

  it.each([
    '?from=0',
    '?from=x',
    '?from=1&from=2',
    '?from=1&last=1',
    '?follow=yes',
    '?since=yesterday',
    '?since=2026-13-01T00:00:00Z',
    '?principal=',
    '?application=',
    '?host=a&host=b',
    '?nonsense=1',
  ])('refuses %s as a wrong query', async (query) => {
    const { server } = await production();
    expect((await read(server, query)).status).toBe(400);
  });

  it('finds what was asked on behalf of an application, or from a host', async () => {
    const { server, client } = await production();
    const principals = [{ id: 'component:x', kind: 'component' }] as const;
    for (const application of ['shop', 'shop-eu', 'bank']) {
      const conditions = { application, host: `N${application}` };
      await server.engine.get({ principals, address: 'nats', conditions }, 'a').catch(() => undefined);
    }
    const found = async (query: AuditQuery) =>
      (await all(new Admin(client).audit(query))).map((line) => JSON.parse(line).principal.application);
    expect(await found({ application: 'shop*' })).toEqual(['shop', 'shop-eu']);
    expect(await found({ host: 'Nbank' })).toEqual(['bank']);
    expect(await found({ host: 'Nbank', application: 'shop' })).toEqual([]);
    client.close();
  });

  it('is all that there is, where no instances share the store', async () => {
    const { server, client } = await production();
    const admin = new Admin(client);
    expect(await admin.auditInstances()).toEqual({ chains: [] });
    const own = await all(admin.audit());
    expect((await all(admin.audit({ instance: 'all' }))).slice(0, own.length)).toEqual(own);
    expect((await read(server, '?instance=0123456789abcdef')).status).toBe(404);
    for (const query of [
      'instance=own',
      'instance=all&last=3',
      'instance=all&follow=1',
      'instance=all&from=2',
    ]) {
      expect((await read(server, `?${query}`)).status).toBe(400);
    }
    client.close();
  });

  it('is for administrators', async () => {
    const { server, client } = await production();
    const { token } = await new Admin(client).createToken({ name: 'nobody' });
    for (const path of [ROUTE, `${ROUTE}/head`]) {
      const headers = { ...HEADER, Authorization: `Bearer ${token}` };
      expect(await send(server, path, { headers })).toMatchObject({ status: 403 });
      expect(await send(server, path, { headers: HEADER })).toMatchObject({ status: 401 });
    }
    client.close();
  });

  it('follows until the server stops, and ends as a whole answer then', async () => {
    const { server, client } = await production();
    const lines = new Admin(client).audit({ follow: true, last: 1 });
    expect(JSON.parse((await lines.next()).value as string)).toMatchObject({ action: 'checkpoint' });
    expect(JSON.parse((await lines.next()).value as string)).toMatchObject({ action: 'read-audit' });
    await call(server, 'put', { Name: 'a', Value: 'AA==' }, { socket: true });
    expect(JSON.parse((await lines.next()).value as string)).toMatchObject({
      action: 'put',
      phase: 'intent',
    });
    const [rest] = await Promise.all([all(lines), server.close()]);
    expect(rest.length).toBeLessThan(3);
    client.close();
  });

  it('stops reading for a caller that has gone', async () => {
    const { server } = await production();
    const gone = new Promise<void>((resolve) => {
      const path = `${ROUTE}?follow=1`;
      const request = httpRequest({ socketPath: server.socketPath, path, headers: HEADER }, (answer) => {
        answer.once('data', () => request.destroy());
        answer.once('error', () => resolve());
      });
      request.on('error', () => undefined);
      request.end();
    });
    await gone;
    // Closing waits for answers that are under way, for ten seconds at the most.
    const start = performance.now();
    await server.close();
    expect(performance.now() - start).toBeLessThan(5_000);
  });
});

describe('the lines that a server gives', () => {
  it('verify by its key and the line that its store knows, and with the head that it names', async () => {
    const { server, client } = await production();
    await client.put('a', Buffer.from('v'));
    const { head, anchor, first, storeId, serverKey } = await new Admin(client).auditHead();
    expect({ first, storeId, serverKey }).toEqual({
      first: 1,
      storeId: server.engine.storeId,
      serverKey: server.engine.serverKey,
    });
    const known = [
      { ...head, from: 'the server' },
      { ...anchor, from: 'the store' },
    ];
    const check = async (lines: readonly string[]) => {
      const verifier = auditVerifier({ storeId, key: serverKey, known });
      for (const line of lines) verifier.add(Buffer.from(line));
      return verifier.end();
    };
    const lines = await all(new Admin(client).audit());
    const verdict = await check(lines);
    expect(verdict.broken).toBeUndefined();
    expect(verdict.known.map(({ state }) => state)).toEqual(['holds', 'holds']);
    expect((await check(lines.slice(0, -4))).broken?.reason).toContain('was cut off');
    expect((await check(lines.toSpliced(2, 1))).broken).toMatchObject({ seq: 3 });
    client.close();
  });
});

describe('a log without its server', () => {
  it('is verified and read from its files, and its store says what it knows of it', async () => {
    const { config, server, client } = await production();
    await client.put('a', Buffer.from('v'));
    const rootKey = config.rootKey;
    await expect(auditWitness(config.stateDir, rootKey)).rejects.toMatchObject({ code: 'store_locked' });
    expect((await verifyAuditLog(config.stateDir, {})).broken).toBeUndefined();
    client.close();
    await server.close();

    const witness = await auditWitness(config.stateDir, rootKey);
    expect(witness).toMatchObject({ storeId: server.engine.storeId, serverKey: server.engine.serverKey });
    const { storeId, serverKey, anchor } = witness;
    const known = anchor ? [{ ...anchor, from: 'the store' }] : [];
    const verdict = await verifyAuditLog(config.stateDir, { storeId, key: serverKey, known });
    expect(verdict.broken).toBeUndefined();
    // The last line of all is the one that the store knows.
    expect(verdict.head).toEqual(anchor);
    const lines: string[] = [];
    for await (const bytes of readAuditLog(config.stateDir, { last: 3 })) lines.push(bytes.toString());
    expect(lines.join('').trim().split('\n')).toHaveLength(3);
    await expect(verifyAuditLog('/nowhere', {})).rejects.toMatchObject({ code: 'io' });
  });
});
