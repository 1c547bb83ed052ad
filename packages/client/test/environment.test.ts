import { rmSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Authority } from '../../../test/support/certificates.mjs';
import { TemporaryFolder } from '../../../test/support/processes.mjs';
import { Client } from '../src/index.js';
import { serve } from './http-server.js';
import { vectors } from './proof-vectors.js';

const folder = new TemporaryFolder();
const [tokenFile, credsFile, caFile] = ['token', 'user.creds', 'ca.pem'].map((name) => folder.join(name)) as [
  string,
  string,
  string,
];

beforeAll(() => {
  writeFileSync(tokenFile, 'from-a-file\n');
  writeFileSync(credsFile, vectors.creds);
  writeFileSync(caFile, new Authority().cert);
});

/** What the server is shown by the client that these variables make. */
async function shownBy(env: Record<string, string>, calls = 1): Promise<(string | undefined)[]> {
  const shown: (string | undefined)[] = [];
  const server = await serve((request, response) => {
    shown.push(request.headers.authorization);
    response.setHeader('Content-Type', 'application/json').end('{"Value":"","Version":1}');
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  await using client = Client.fromEnv({ COFFER_SERVER: server.url, ...env });
  for (let call = 0; call < calls; call++) await client.get('x');
  return shown;
}

describe('a client by the environment', () => {
  test('goes to COFFER_SERVER, else to SETEC_SERVER, else to the default', () => {
    const both = { COFFER_SERVER: 'https://coffer.example', SETEC_SERVER: 'https://setec.example' };
    expect(Client.fromEnv(both).server).toBe('https://coffer.example');
    expect(Client.fromEnv({ ...both, COFFER_SERVER: '' }).server).toBe('https://setec.example');
    expect(Client.fromEnv({}).server).toBe('http://127.0.0.1:2633');
  });

  test('shows a token, one from a file, a proof by creds, or nothing', async () => {
    expect(await shownBy({ COFFER_TOKEN: 'from-a-variable' })).toEqual(['Bearer from-a-variable']);
    expect(await shownBy({ COFFER_TOKEN_FILE: tokenFile })).toEqual(['Bearer from-a-file']);
    expect(await shownBy({ COFFER_CREDS: credsFile })).toEqual([expect.stringMatching(/^Bearer cfp1\./)]);
    expect(await shownBy({ COFFER_TOKEN: '', COFFER_CREDS: '' })).toEqual([undefined]);
  });

  test('reads the token’s file before each request', async () => {
    const path = folder.join('changing');
    writeFileSync(path, 'one');
    const shown: unknown[] = [];
    await using server = await serve((request, response) => {
      shown.push(request.headers.authorization);
      response.setHeader('Content-Type', 'application/json').end('{"Value":"","Version":1}');
    });
    await using client = Client.fromEnv({ COFFER_SERVER: server.url, COFFER_TOKEN_FILE: path });
    await client.get('x');
    writeFileSync(path, 'two');
    await client.get('x');
    expect(shown).toEqual(['Bearer one', 'Bearer two']);
    rmSync(path);
    await expect(client.get('x')).rejects.toMatchObject({
      code: 'no_token',
      message: `COFFER_TOKEN_FILE: ${path} cannot be read (ENOENT)`,
    });
    writeFileSync(path, '\n');
    await expect(client.get('x')).rejects.toMatchObject({
      code: 'no_token',
      message: `COFFER_TOKEN_FILE: ${path} holds no token`,
    });
  });

  test('takes options before what the environment says, but for those that are undefined', async () => {
    const env = {
      COFFER_SERVER: 'https://a',
      COFFER_TOKEN: 'x',
      COFFER_CREDS: '/nowhere',
      COFFER_CA: '/nowhere',
    };
    const ca = new Authority().cert;
    expect(Client.fromEnv(env, { server: 'https://b', token: 'mine', ca }).server).toBe('https://b');
    const unsaid = { server: undefined } as object;
    expect(Client.fromEnv({ COFFER_SERVER: 'https://a' }, unsaid).server).toBe('https://a');
  });

  test('trusts COFFER_CA, and proves itself to COFFER_AUDIENCE', () => {
    expect(Client.fromEnv({ COFFER_SERVER: 'https://a', COFFER_CA: caFile }).server).toBe('https://a');
    const socket = { COFFER_SERVER: 'unix:/nowhere', COFFER_CREDS: credsFile };
    expect(() => Client.fromEnv(socket)).toThrow(/audience/);
    expect(Client.fromEnv({ ...socket, COFFER_AUDIENCE: 'https://a' }).server).toBe('unix:/nowhere');
  });

  test.each([
    [{ COFFER_TOKEN: 'x', COFFER_CREDS: '/y' }, 'COFFER_TOKEN and COFFER_CREDS are both set'],
    [{ COFFER_TOKEN: 'x', COFFER_TOKEN_FILE: '/y' }, 'COFFER_TOKEN and COFFER_TOKEN_FILE are both set'],
    [{ COFFER_TOKEN_FILE: '/nowhere' }, 'COFFER_TOKEN_FILE: /nowhere cannot be read (ENOENT)'],
    [{ COFFER_CREDS: '/nowhere' }, 'COFFER_CREDS: /nowhere cannot be read (ENOENT)'],
    [{ COFFER_CA: '/' }, 'COFFER_CA: / cannot be read (EISDIR)'],
  ])('is refused for %j', (env: Record<string, string>, why) => {
    expect(() => Client.fromEnv(env)).toThrow(
      expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining(why) }),
    );
  });
});
