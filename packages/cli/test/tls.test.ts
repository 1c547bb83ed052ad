import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Authority } from '../../../test/support/certificates.mjs';
import { type RunningServer, startServer } from './run.js';

const folder = mkdtempSync(join(tmpdir(), 'coffer-test-'));
const [ca, cert, key] = ['ca.pem', 'tls.crt', 'tls.key'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
];

let server: RunningServer;
beforeAll(async () => {
  const authority = new Authority();
  const issued = authority.issue();
  writeFileSync(ca, authority.cert);
  writeFileSync(cert, issued.cert);
  writeFileSync(key, issued.key, { mode: 0o600 });
  server = await startServer('--dev', '--tls-cert', cert, '--tls-key', key);
});
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

describe('over TLS', () => {
  test('the server says https, and commands reach it who trust its authority', async () => {
    expect(server.welcome).toMatch(/serves on https:\/\/127\.0\.0\.1:\d+/);
    await server.run(['put', '--ca', ca, 'tls/a'], { input: 'one' });
    expect(await server.run(['--ca', ca, 'get', 'tls/a'])).toMatchObject({ code: 0, stdout: 'one' });
    for (const variable of ['COFFER_CA', 'NODE_EXTRA_CA_CERTS']) {
      const env = { [variable]: ca };
      expect(await server.run(['get', 'tls/a'], { env })).toMatchObject({ code: 0, stdout: 'one' });
    }
  });

  test('a file without a certificate is refused as one of authorities', async () => {
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
    for (const text of ['', 'rubbish', broken]) {
      const file = join(folder, 'no-ca.pem');
      writeFileSync(file, text);
      expect(await server.run(['list', '--ca', file])).toEqual({
        code: 1,
        stdout: '',
        stderr: `coffer: --ca: no certificate in ${file}: it takes PEM\n`,
      });
    }
    expect(await server.run(['list', '--ca', key])).toMatchObject({ code: 1, stdout: '' });
  });

  test('a server that cannot be trusted is named, with what to do', async () => {
    const { code, stderr } = await server.run(['list']);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/certificate of https:.* is not to be trusted .*--ca/),
    ]);
    // The certificate holds no such name.
    const named = server.url.replace('127.0.0.1', '127.0.0.2');
    const elsewhere = await server.run(['list', '--ca', ca], { env: { COFFER_SERVER: named } });
    expect(elsewhere.code).toBe(1);
  });

  test('whoever writes http:// is told to write https://', async () => {
    const env = { COFFER_SERVER: server.url.replace('https:', 'http:') };
    expect(await server.run(['list'], { env })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/speaks TLS: write https:\/\//),
    });
  });

  test('a certificate without its key is a mistake, told in one line', async () => {
    const started = startServer('--dev', '--tls-cert', cert);
    await expect(started).rejects.toThrow(/a TLS certificate and no key: name its file with --tls-key\n$/);
  });
});
