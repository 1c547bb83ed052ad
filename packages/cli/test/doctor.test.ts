import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyPair } from '@coffer/identity';
import { describe, expect, onTestFinished, test } from 'vitest';
import { NatsServer } from '../../../test/support/nats.mjs';
import { coffer, startServer } from './run.js';

interface Told {
  readonly subject: string;
  readonly level: string;
  readonly says: string;
}

const findings = (stdout: string): Told[] => JSON.parse(stdout).findings;

/** What the doctor warns of where `/readyz` says this, apart from the caller. */
async function toldOf(said: unknown): Promise<string[]> {
  const server = createServer((_request, answer) => answer.end(JSON.stringify(said))).listen(0, '127.0.0.1');
  onTestFinished(() => void server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { stdout } = await coffer(['doctor', '-s', `http://127.0.0.1:${port}`, '--json']);
  return findings(stdout)
    .filter(({ level, subject }) => level !== 'ok' && subject !== 'caller')
    .map(({ subject, says }) => `${subject}: ${says}`);
}

describe('coffer doctor', () => {
  test('looks at this machine’s server, whether it runs or not', async () => {
    await using server = await startServer();
    const here = [
      'doctor',
      '--state-dir',
      server.stateDir,
      '--root-key',
      `file:${join(server.stateDir, '..', 'root.key')}`,
    ];
    const running = await coffer([...here, '--listen', '127.0.0.1:0']);
    expect({ code: running.code, stderr: running.stderr }).toEqual({ code: 0, stderr: '' });
    expect(running.stdout).toMatch(/^ok +store +[0-9a-f]{32}, format \d+, opened by the root key$/m);
    expect(running.stdout).toMatch(/^ok +server +unix:\S+ takes requests$/m);
    expect(running.stdout).toMatch(/^ok +version +the server and this command are coffer /m);
    expect(running.stdout).not.toContain('\u001b[');

    await server.stop();
    const stopped = await coffer([...here, '--listen', '127.0.0.1:0', '--json']);
    expect(stopped.code).toBe(0);
    expect(findings(stopped.stdout)).toContainEqual({
      subject: 'server',
      level: 'ok',
      says: 'none has the store open',
    });
  });

  test('ends with 1 when there is something to mend', async () => {
    const { code, stdout, stderr } = await coffer([
      'doctor',
      ...['--listen', '127.0.0.1:0', '--state-dir', '/dev/null', '--root-key', 'nonsense'],
    ]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: 'coffer: there are 2 problems\n' });
    expect(stdout).toMatch(/^problem +state folder +\/dev\/null is no folder/m);
    expect(stdout).toMatch(/^problem +root key +a root key is file:PATH/m);
  });

  test('asks a server with -s, with a token or without one', async () => {
    await using server = await startServer();
    const { token } = JSON.parse(
      (await coffer(['token', 'create', 'ops', '--json', '-s', server.socket])).stdout,
    );
    const known = await coffer(['doctor', '-s', server.url, '--json'], { env: { COFFER_TOKEN: token } });
    expect(known.code).toBe(0);
    expect(findings(known.stdout).map(({ level, subject }) => `${level} ${subject}`)).toEqual([
      'ok server',
      'ok clock',
      'ok caller',
      'ok version',
    ]);
    const unknown = await coffer(['doctor', '-s', server.url, '--json']);
    expect(unknown.code).toBe(0);
    expect(findings(unknown.stdout)).toContainEqual(
      expect.objectContaining({
        subject: 'caller',
        level: 'warning',
        says: expect.stringMatching(/no credential was given$/),
      }),
    );
  });

  test('finds a server that does not answer, is not ready, or whose clock is wrong', async () => {
    const gone = await coffer(['doctor', '-s', 'http://127.0.0.1:1', '--json']);
    expect(gone.code).toBe(1);
    expect(findings(gone.stdout)).toMatchObject([{ subject: 'server', level: 'problem' }]);
    const stopped = await coffer(['doctor', '-s', 'unix:/nowhere/admin.sock', '--json']);
    expect(findings(stopped.stdout)).toMatchObject([
      {
        says: expect.stringMatching(
          /^unix:\/nowhere\/admin\.sock does not answer \(no such socket\): start it/,
        ),
      },
    ]);

    const other = createServer((_request, answer) => {
      answer.sendDate = false;
      answer.writeHead(503, {
        Date: new Date(Date.now() - 60_000).toUTCString(),
        'Content-Type': 'application/json',
      });
      answer.end('{"ready":false,"reason":"the server is shutting down"}');
    }).listen(0, '127.0.0.1');
    onTestFinished(() => void other.close());
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as { port: number };
    const { code, stdout } = await coffer(['doctor', '-s', `http://127.0.0.1:${port}`, '--json']);
    expect(code).toBe(1);
    expect(findings(stdout)).toMatchObject([
      { level: 'problem', says: `http://127.0.0.1:${port} takes no requests: the server is shutting down` },
      { level: 'warning', says: expect.stringMatching(/^the server’s is (59|6\d) s behind ours/) },
      { level: 'warning', subject: 'caller' },
    ]);
  });

  test('tells of backends that cannot answer, by name where the server tells which', async () => {
    await using nats = await NatsServer.start();
    const folder = mkdtempSync(join(tmpdir(), 'coffer-doctor-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(
      join(folder, 'backend.mjs'),
      `export default async ({ reason }) => ({
        fetch: async () => ({ version: '1', kind: 'string', value: Buffer.from('x') }),
        unready: async () => reason,
      });`,
    );
    using account = createKeyPair('account');
    const backend = (name: string, settings = {}) => ({
      name,
      kind: 'module',
      module: './backend.mjs',
      settings,
    });
    const config = {
      nats: { servers: [nats.url], allowOpen: true },
      trust: { accounts: [account.publicKey], audiences: ['http://127.0.0.1'] },
      backends: [backend('fine'), backend('vault', { reason: 'it is sealed' })],
    };
    writeFileSync(join(folder, 'coffer.yaml'), JSON.stringify(config));
    await using server = await startServer('--config', join(folder, 'coffer.yaml'));

    const told = async (address: string) => {
      const { stdout } = await coffer(['doctor', '-s', address, '--json']);
      return findings(stdout).filter(({ subject }) => subject === 'backends');
    };
    await expect
      .poll(() => told(server.socket))
      .toEqual([
        {
          subject: 'backends',
          level: 'warning',
          says: expect.stringMatching(/^"vault" cannot answer since \d{4}-\S+Z: the server’s log says why$/),
        },
      ]);
    expect(await told(server.url)).toEqual([
      {
        subject: 'backends',
        level: 'warning',
        says: expect.stringMatching(
          /^1 of 2 cannot answer, or are not served: the log of http:\S+ says which and why/,
        ),
      },
    ]);
  });

  test('tells with -s what is wrong with a store that is shared, and of changes that are refused', async () => {
    const said = { ready: true, writable: false, store: { warnings: ['the disks of two servers are full'] } };
    expect(await toldOf(said)).toEqual(['store: the disks of two servers are full']);
    expect(await toldOf({ ready: true, writable: false })).toEqual([
      expect.stringMatching(/^store: changes are refused, for want of room/),
    ]);
    expect(await toldOf({ ready: true, writable: true, store: { warnings: [] } })).toEqual([]);
    expect(await toldOf({ nats: { backends: [null] }, store: { warnings: 'x' } })).toEqual([]);
  });
});
