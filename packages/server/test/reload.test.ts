import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { Authority } from '../../../test/support/certificates.mjs';
import { completeLimits, loadConfig, type RunningServer, type ServerConfig } from '../src/index.js';
import { call, SETEC_HEADERS, send, startTestServer, temporaryFolder, testConfig } from './support.js';

function collectLog(level: string) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, last: () => lines.at(-1), lines };
}

const failures = async (server: RunningServer, count: number) => {
  const statuses: number[] = [];
  for (let i = 0; i < count; i++) {
    statuses.push((await send(server, '/api/whoami', { headers: SETEC_HEADERS })).status);
  }
  return statuses;
};

describe('a configuration that is read again', () => {
  it('brings other limits of rate at once, and the log says what was taken over', async () => {
    const config = await testConfig({ dev: false });
    const { log, last } = collectLog('info');
    const server = await startTestServer(config, { log });
    expect(await failures(server, 3)).toEqual([401, 401, 401]);
    const limits = { ...config.limits, failuresPerMinute: 1 };
    await server.reload(() => ({ ...config, limits }));
    expect(last()).toMatchObject({
      level: 30,
      msg: 'configuration read again',
      applied: ['limits.failuresPerMinute'],
      needRestart: [],
    });
    expect(await failures(server, 3)).toEqual([401, 429, 429]);
    await server.reload(() => ({ ...config, limits }));
    expect(last()).toMatchObject({ applied: [] });
    // What has not changed is not forgotten.
    expect(await failures(server, 1)).toEqual([429]);
  });

  it('brings another level of the log, and gives it back where it says none', async () => {
    const config = await testConfig();
    const { log, lines } = collectLog('info');
    const server = await startTestServer(config, { log });
    const said = async () => {
      lines.length = 0;
      const answer = await send(server, '/healthz');
      await send(server, '/healthz');
      return lines.filter(({ request }) => request === answer.headers['coffer-request-id']).length;
    };
    expect(await said()).toBe(0);
    await server.reload(() => ({ ...config, logLevel: 'debug' }));
    expect(await said()).toBe(1);
    await server.reload(() => config);
    expect(await said()).toBe(0);
  });

  it('brings other rules of retention, which take hold without a change', async () => {
    const config = await testConfig();
    const { log, last } = collectLog('info');
    const server = await startTestServer(config, { log });
    for (const Value of ['', 'eA==', 'eHg=']) await call(server, 'put', { Name: 'a', Value });
    const versions = async () => JSON.parse((await call(server, 'info', { Name: 'a' })).body).Versions;
    expect(await versions()).toEqual([1, 2, 3]);
    await server.reload(() => ({ ...config, retention: [{ secrets: ['*'], keepVersions: 1 }] }));
    expect(last()).toMatchObject({ applied: ['retention'], needRestart: [] });
    await expect.poll(versions).toEqual([1, 3]);
    await server.reload(() => config);
    expect(last()).toMatchObject({ applied: ['retention'] });
  });

  it('names what needs a restart, and goes on with what is running', async () => {
    const config = await testConfig();
    const { log, last } = collectLog('info');
    const server = await startTestServer(config, { log });
    const wanted: ServerConfig = {
      ...config,
      listen: '127.0.0.1:1',
      stateDir: '/elsewhere',
      rootKey: 'file:/elsewhere',
      storage: { quotaBytes: 5 },
      limits: completeLimits({ valueBytes: 5, principalRequestsPerSecond: 50 }),
    };
    const needRestart = expect.arrayContaining([
      'listen',
      'stateDir',
      'rootKey',
      'storage.quotaBytes',
      'storage.minFreeBytes',
      'limits.valueBytes',
    ]);
    for (const applied of [['limits.principalRequestsPerSecond'], []]) {
      await server.reload(() => wanted);
      expect(last()).toMatchObject({ level: 40, applied, needRestart });
    }
    expect((await send(server, '/healthz')).status).toBe(200);
  });

  it('that is broken changes nothing, and the log says why', async () => {
    const config = await testConfig({ dev: false, limits: { failuresPerMinute: 1 } });
    const { log, last } = collectLog('info');
    const server = await startTestServer(config, { log });
    const file = join(await temporaryFolder(), 'coffer.yaml');
    writeFileSync(file, 'limits: { failuresPerMinute: 0, nonsense: 1 }\n');
    await server.reload(() => loadConfig({ env: {}, file }));
    expect(last()).toMatchObject({
      level: 50,
      msg: 'the configuration cannot be used: nothing has changed',
      reason: expect.stringMatching(/coffer\.yaml:1: limits\.nonsense: unknown key$/),
    });
    expect(await failures(server, 3)).toEqual([401, 429, 429]);
  });

  it('brings a certificate from other files; one that cannot be used keeps all of it from being taken over', async () => {
    const folder = await temporaryFolder();
    const authority = new Authority();
    const write = (name: string, { cert, key } = authority.issue()) => {
      const tls = { cert: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) };
      writeFileSync(tls.cert, cert);
      writeFileSync(tls.key, key, { mode: 0o600 });
      return tls;
    };
    const [first, second, third] = [authority.issue(), authority.issue(), authority.issue()];
    const config = await testConfig({
      dev: false,
      tls: write('first', first),
      limits: { failuresPerMinute: 1 },
    });
    const { log, last } = collectLog('info');
    const server = await startTestServer(config, { log });
    const shown = () =>
      new Promise((resolve, reject) => {
        const socket = connect({ ...server.address, ca: authority.cert }, () => {
          resolve(socket.getPeerCertificate().fingerprint256);
          socket.destroy();
        });
        socket.on('error', reject);
      });
    expect(await shown()).toBe(first.fingerprint);

    await server.reload(() => ({ ...config, tls: write('second', second) }));
    expect(last()).toMatchObject({ applied: ['tls.cert', 'tls.key'], newCertificate: true });
    expect(await shown()).toBe(second.fingerprint);

    const mixed = { ...write('third', third), key: write('other').key };
    const limits = { ...config.limits, failuresPerMinute: 0 };
    await server.reload(() => ({ ...config, tls: mixed, limits }));
    expect(last()).toMatchObject({ level: 50, reason: expect.stringMatching(/does not belong to/) });
    expect(await shown()).toBe(second.fingerprint);

    const { tls: _, ...plain } = config;
    await server.reload(() => plain);
    expect(last()).toMatchObject({ level: 40, needRestart: ['tls.cert', 'tls.key'] });
    expect(await shown()).toBe(second.fingerprint);
  });
});
