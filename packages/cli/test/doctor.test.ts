import { createServer } from 'node:http';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { coffer, startServer } from './run.js';

interface Told {
  readonly subject: string;
  readonly level: string;
  readonly says: string;
}

const findings = (stdout: string): Told[] => JSON.parse(stdout).findings;

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
      expect.objectContaining({ subject: 'caller', level: 'warning' }),
    );
  });

  test('finds a server that does not answer, is not ready, or whose clock is wrong', async () => {
    const gone = await coffer(['doctor', '-s', 'http://127.0.0.1:1', '--json']);
    expect(gone.code).toBe(1);
    expect(findings(gone.stdout)).toMatchObject([{ subject: 'server', level: 'problem' }]);

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
});
