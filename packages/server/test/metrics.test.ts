import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { Authority } from '../../../test/support/certificates.mjs';
import { damageValues } from '../../engine/test/store-file.js';
import type { RunningServer } from '../src/index.js';
import { parseMetrics } from './prometheus.js';
import {
  call,
  RawConnection,
  SETEC_HEADERS,
  type Sent,
  send,
  startTestServer,
  temporaryFolder,
  testConfig,
} from './support.js';

async function admin(server: RunningServer, path: string, body: object) {
  const answer = await call(server, `admin/${path}`, body, { socket: true });
  expect(answer.status, answer.body).toBe(200);
  return JSON.parse(answer.body);
}

async function tokenWith(
  server: RunningServer,
  name: string,
  actions: string[],
  secrets = ['*'],
): Promise<string> {
  const { token, id } = await admin(server, 'tokens', { name });
  const policy = JSON.parse(
    (await send(server, '/api/admin/policy', { headers: SETEC_HEADERS, socket: true })).body,
  );
  await admin(server, 'policy', { grants: [...policy.grants, { to: [`token:${id}`], actions, secrets }] });
  return token;
}

const bearer = (token: string): Sent => ({ headers: { Authorization: `Bearer ${token}` } });

async function scrape(server: RunningServer, sent: Sent = { socket: true }) {
  const answer = await send(server, '/metrics', sent);
  expect([answer.status, answer.headers['content-type']]).toEqual([
    200,
    'text/plain; version=0.0.4; charset=utf-8',
  ]);
  const families = parseMetrics(answer.body);
  return {
    text: answer.body,
    families,
    /** The one value of a name with these labels, or undefined. */
    value: (name: string, labels: Record<string, string> = {}) => {
      const found = [...families.values()]
        .flatMap(({ series }) => series)
        .filter(
          (one) =>
            one.name === name && Object.entries(labels).every(([key, text]) => one.labels[key] === text),
        );
      expect(found.length, name).toBeLessThanOrEqual(1);
      return found[0]?.value;
    },
  };
}

describe('GET /metrics', () => {
  it('is for administrators, for who has the action metrics, and for the admin socket; it needs no other header', async () => {
    const server = await startTestServer({ dev: false });
    const monitor = await tokenWith(server, 'prometheus', ['metrics']);
    const administrator = await tokenWith(server, 'root', ['admin']);
    const reader = await tokenWith(server, 'reader', [
      'get',
      'info',
      'put',
      'create-version',
      'activate',
      'delete',
    ]);
    const part = await tokenWith(server, 'part', ['admin'], ['prod/*']);
    const status = async (sent: Sent) => (await send(server, '/metrics', sent)).status;
    expect(await status(bearer(monitor))).toBe(200);
    expect(await status(bearer(administrator))).toBe(200);
    expect(await status({ socket: true })).toBe(200);
    expect(await status(bearer(reader))).toBe(403);
    expect(await status(bearer(part))).toBe(403);
    expect(await status({})).toBe(401);
    expect(await status({ ...bearer(monitor), method: 'POST' })).toBe(400);
    expect((await call(server, 'get', { Name: 'a' }, bearer(monitor))).status).toBe(403);
    const audit = readFileSync(join(server.socketPath, '..', 'audit', 'audit.log'), 'utf8');
    const entries = audit
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    const refused = entries.filter(({ action }) => action === 'metrics');
    expect(refused.map(({ principal, authorized }) => [principal.user, authorized])).toEqual([
      ['reader', false],
      ['part', false],
    ]);
  });

  it('is granted by who administers everything only, whatever the secrets of the grant', async () => {
    const server = await startTestServer({ dev: false });
    const part = await tokenWith(server, 'part', ['admin'], ['prod/*']);
    const monitor = await tokenWith(server, 'prometheus', ['metrics'], ['prod/nothing']);
    expect((await send(server, '/metrics', bearer(monitor))).status).toBe(200);
    const grant = { to: ['token:*'], actions: ['metrics'], secrets: ['prod/x'] };
    expect((await call(server, 'admin/policy', { grants: [grant] }, bearer(part))).status).toBe(403);
    // Nor is it theirs to take away.
    const headers = { ...SETEC_HEADERS, ...bearer(part).headers };
    const seen = await send(server, '/api/admin/policy', { headers });
    expect(JSON.parse(seen.body).grants.map(({ actions }: { actions: string[] }) => actions)).toEqual([
      ['admin'],
    ]);
    expect(
      (await call(server, 'admin/policy', { grants: JSON.parse(seen.body).grants }, bearer(part))).status,
    ).toBe(200);
    expect((await send(server, '/metrics', bearer(monitor))).status).toBe(200);
  });

  it('counts secrets, versions, requests by route and status, and those that are refused', async () => {
    const server = await startTestServer({
      dev: false,
      limits: { failuresPerMinute: 2, principalRequestsPerSecond: 1 },
    });
    for (const [Name, Value] of [
      ['a', 'eA=='],
      ['a', 'eQ=='],
      ['b', 'eA=='],
    ]) {
      await call(server, 'put', { Name, Value }, { socket: true });
    }
    await call(server, 'get', { Name: 'absent' }, { socket: true });
    for (let i = 0; i < 4; i++) await call(server, 'get', { Name: 'a' });
    const token = await tokenWith(server, 'quick', ['get']);
    for (let i = 0; i < 3; i++) await call(server, 'get', { Name: 'a' }, bearer(token));
    await send(server, '/one');
    await send(server, '/two');
    const { value } = await scrape(server);
    expect([value('coffer_secrets'), value('coffer_secret_versions')]).toEqual([2, 3]);
    const count = (route: string, status: string) =>
      value('coffer_http_request_duration_seconds_count', { route, status });
    expect(count('/api/put', '2xx')).toBe(3);
    expect(count('/api/get', '2xx')).toBe(1);
    expect(count('/api/get', '4xx')).toBe(7);
    expect(count('other', '4xx')).toBe(2);
    expect(value('coffer_http_requests_unauthenticated_total')).toBe(4);
    const limited = (limit: string) => value('coffer_http_requests_limited_total', { limit });
    expect([limited('stranger'), limited('principal'), limited('address')]).toEqual([2, 2, 0]);
    expect(value('coffer_http_requests_in_flight')).toBe(1);
    expect(value('coffer_audit_entries_total')).toBeGreaterThan(10);
    expect(value('coffer_store_commit_duration_seconds_count')).toBeGreaterThanOrEqual(3);
    expect(value('coffer_audit_sync_duration_seconds_count')).toBeGreaterThanOrEqual(3);
    expect(value('coffer_build_info')).toBe(1);
    expect(value('coffer_ready')).toBe(1);
    expect(value('process_resident_memory_bytes')).toBeGreaterThan(10_000_000);
    expect(value('nodejs_eventloop_lag_p99_seconds')).toBeGreaterThan(0);
  });

  it('counts connections, and those that are cut', async () => {
    const server = await startTestServer({ limits: { connections: 3, connectionsPerAddress: 2 } });
    const open = async (from: string) => {
      const connection = new RawConnection(server, from);
      connection.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await connection.until('ok\n');
    };
    await open('127.0.0.2');
    await open('127.0.0.2');
    await new RawConnection(server, '127.0.0.2').ended();
    await open('127.0.0.3');
    await new RawConnection(server, '127.0.0.3').ended();
    const { value } = await scrape(server);
    expect([
      value('coffer_connections', { door: 'tcp' }),
      value('coffer_connections', { door: 'socket' }),
    ]).toEqual([3, 1]);
    expect(value('coffer_connections_max', { door: 'tcp' })).toBe(3);
    const refused = (reason: string) => value('coffer_connections_refused_total', { door: 'tcp', reason });
    expect([refused('address'), refused('all')]).toEqual([1, 1]);
  });

  it('counts watchers, and tells when a backup was made and when the certificate ends', async () => {
    const authority = new Authority();
    const validTo = new Date('2037-01-02T03:04:05Z');
    const issued = authority.issue({ validTo });
    const folder = await temporaryFolder();
    const tls = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
    writeFileSync(tls.cert, issued.cert);
    writeFileSync(tls.key, issued.key, { mode: 0o600 });
    const server = await startTestServer({ tls });
    const before = await scrape(server);
    expect(before.value('coffer_tls_certificate_expiry_timestamp_seconds')).toBe(validTo.getTime() / 1000);
    expect(before.value('coffer_last_backup_timestamp_seconds')).toBeUndefined();
    expect(before.value('coffer_watchers')).toBe(0);
    const watcher = new AbortController();
    const watching = send(server, '/api/watch', {
      headers: SETEC_HEADERS,
      socket: true,
      signal: watcher.signal,
    });
    await expect.poll(async () => (await scrape(server)).value('coffer_watchers')).toBe(1);
    watcher.abort();
    await expect(watching).rejects.toThrow();
    await expect.poll(async () => (await scrape(server)).value('coffer_watchers')).toBe(0);
    const begun = Date.now();
    const backup = await call(server, 'admin/backup', {}, { socket: true });
    expect(backup.status).toBe(200);
    const made = (await scrape(server)).value('coffer_last_backup_timestamp_seconds');
    expect(made).toBeGreaterThanOrEqual(begun / 1000);
    const plain = await scrape(await startTestServer());
    expect(plain.value('coffer_tls_certificate_expiry_timestamp_seconds')).toBeUndefined();
  });

  it('tells how far a rotation of the data key is, as when a damaged record holds it up', async () => {
    const config = await testConfig();
    const whole = await startTestServer(config);
    const told = async (server: RunningServer) => {
      const { value } = await scrape(server);
      return [value('coffer_data_keys'), value('coffer_rotation_records_remaining')];
    };
    await call(whole, 'put', { Name: 'a', Value: 'eA==' });
    await admin(whole, 'keys/rotate', {});
    await expect.poll(() => told(whole), { timeout: 15_000 }).toEqual([1, 0]);
    await whole.close();
    await damageValues(config.stateDir);
    const damaged = await startTestServer(config);
    await admin(damaged, 'keys/rotate', {});
    await expect.poll(() => told(damaged), { timeout: 15_000 }).toEqual([2, 1]);
  });

  it('tells, as /readyz does, when there is no room for changes, while reads go on', async () => {
    const config = await testConfig({ storage: { quotaBytes: 1_000_000, minFreeBytes: 0 } });
    const roomy = await startTestServer(config);
    await call(roomy, 'put', { Name: 'a', Value: 'eA==' });
    const told = async (server: RunningServer) => [
      (await scrape(server)).value('coffer_store_writable'),
      JSON.parse((await send(server, '/readyz')).body),
    ];
    expect(await told(roomy)).toEqual([1, { ready: true, writable: true }]);
    const { value } = await scrape(roomy);
    expect(value('coffer_store_quota_bytes')).toBe(1_000_000);
    expect(value('coffer_store_bytes')).toBeLessThan(1_000_000);
    expect(value('coffer_disk_free_bytes')).toBeGreaterThan(0);
    await roomy.close();
    const full = await startTestServer({ ...config, storage: { minFreeBytes: 2 ** 50 } });
    expect(await told(full)).toEqual([0, { ready: true, writable: false }]);
    expect((await call(full, 'get', { Name: 'a' })).status).toBe(200);
    expect((await call(full, 'put', { Name: 'b', Value: 'eA==' })).status).toBe(503);
  });
});

describe('docs/monitoring.md', () => {
  const text = readFileSync(fileURLToPath(new URL('../../../docs/monitoring.md', import.meta.url)), 'utf8');

  it('explains every metric of coffer’s own, and no other', async () => {
    const documented = [...text.matchAll(/^\| `(coffer_\w+)`/gm)].map(([, name]) => name as string).sort();
    const source = readFileSync(
      fileURLToPath(new URL('../src/metrics/describe.ts', import.meta.url)),
      'utf8',
    );
    const told = [
      ...new Set([...source.matchAll(/'(coffer_\w+)'/g)].map(([, name]) => name as string)),
    ].sort();
    expect(documented).toEqual(told);
    const { families } = await scrape(await startTestServer());
    for (const name of families.keys()) if (name.startsWith('coffer_')) expect(told).toContain(name);
  });

  it('has alerts that are Prometheus rules, on metrics that exist', async () => {
    const [rules] = [...text.matchAll(/```yaml\n(groups:[\s\S]*?)```/g)].map(([, yaml]) =>
      parse(yaml as string),
    );
    const server = await startTestServer();
    await send(server, '/healthz');
    const { families } = await scrape(server);
    const known = new Set([...text.matchAll(/`(coffer_\w+)`/g)].map(([, name]) => name));
    for (const { series } of families.values()) for (const { name } of series) known.add(name);
    expect(Object.keys(rules)).toEqual(['groups']);
    const alerts = rules.groups.flatMap(({ name, rules: list }: { name: unknown; rules: object[] }) => {
      expect(name).toEqual(expect.any(String));
      return list;
    });
    expect(alerts.length).toBeGreaterThan(5);
    for (const alert of alerts) {
      expect(alert).toEqual({
        alert: expect.stringMatching(/^Coffer[A-Za-z]+$/),
        expr: expect.any(String),
        ...('for' in alert ? { for: expect.stringMatching(/^\d+[smhd]$/) } : {}),
        labels: { severity: expect.stringMatching(/^(page|ticket)$/) },
        annotations: { summary: expect.any(String) },
      });
      const names = alert.expr.match(/\b(coffer|process|nodejs)_\w+/g) ?? [];
      if (!alert.expr.startsWith('up{')) expect(names.length, alert.expr).toBeGreaterThan(0);
      for (const name of names) expect([...known], alert.expr).toContain(name);
      const depth = [...alert.expr].reduce(
        (open, character) => open + ('([{'.includes(character) ? 1 : ')]}'.includes(character) ? -1 : 0),
        0,
      );
      expect(depth, alert.expr).toBe(0);
    }
  });
});
