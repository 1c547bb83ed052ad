import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { startTestServer, type TestServer } from '@coffer/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { canary, expectNoCanary } from '../support/canary.mjs';
import { Authority } from '../support/certificates.mjs';
import { Process, run, TemporaryFolder } from '../support/processes.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const EXAMPLES = readdirSync(join(ROOT, 'examples')).filter((name) => name.endsWith('.mjs'));

const TOKEN = 'prod/billing/partner-token';
const TOKEN_VALUE = canary('token');
const PASSWORD = 'prod/billing/db-password';

let server: TestServer;
beforeEach(async () => {
  server = await startTestServer({ secrets: { [TOKEN]: TOKEN_VALUE, [PASSWORD]: canary('password') } });
});
afterEach(() => server.close());

describe('examples/service.mjs', () => {
  it('has the current password', async () => {
    await server.mustPut('prod/db/password', canary('first'));
    await using program = start('service.mjs', { ...credentials(), PORT: '0' });
    const port = await portOf(program);
    const answer = async () => (await fetch(`http://127.0.0.1:${port}`)).text();
    expect(await answer()).toBe(`logged in with ${canary('first').length} characters, version 1\n`);
    await server.mustRotate('prod/db/password', canary('the second'));
    await program.waitFor(/^prod\/db\/password is at version 2 now$/m);
    expect(await answer()).toBe(`logged in with ${canary('the second').length} characters, version 2\n`);
  });
});

describe('examples/environment.mjs', () => {
  it('takes the token from coffer, or where there is no coffer from a variable', async () => {
    await using partner = await RecordingPartner.start();
    const PARTNER_URL = `${partner.url}/report`;
    const fromCoffer = await example('environment.mjs', { env: { ...credentials(), PARTNER_URL } });
    expect(fromCoffer).toEqual({
      code: 0,
      stdout: 'reported with version 1 of the token: 200\n',
      stderr: '',
    });
    const env = { PARTNER_URL, PROD_BILLING_PARTNER_TOKEN: canary('variable') };
    expect(await example('environment.mjs', { env })).toMatchObject({ code: 0, stderr: '' });
    expect(partner.authorizations).toEqual([`Bearer ${TOKEN_VALUE}`, `Bearer ${canary('variable')}`]);
  });
});

describe('examples/key-files.mjs', () => {
  it('serves with the certificate that is active, and with the next one from then on', async () => {
    const authority = new Authority();
    const [first, second] = [authority.issue(), authority.issue()];
    await server.mustPut('prod/web/tls', `${first.key}\n${first.cert}`);
    await using program = start('key-files.mjs', { ...credentials(), PORT: '0' });
    const port = await portOf(program);
    expect(await fingerprint(port)).toBe(first.fingerprint);
    await server.mustRotate('prod/web/tls', canary('no certificate'));
    await program.waitFor(/a listener to 'update' of the store failed/);
    expect(await fingerprint(port)).toBe(first.fingerprint);
    await server.mustRotate('prod/web/tls', `${second.key}\n${second.cert}`);
    await program.waitFor(/the certificate is that of version 3\n/);
    expect(await fingerprint(port)).toBe(second.fingerprint);
    expectNoCanary(program.output, 'the output');
  });

  it('takes a file in place of coffer', async () => {
    using folder = new TemporaryFolder();
    const issued = new Authority().issue();
    writeFileSync(folder.join('tls.pem'), `${issued.key}\n${issued.cert}`);
    await using program = start('key-files.mjs', { TLS_FILE: folder.join('tls.pem'), PORT: '0' });
    expect(await fingerprint(await portOf(program))).toBe(issued.fingerprint);
  });
});

describe('examples/rotation.mjs', () => {
  it('asks with the new token without a restart', async () => {
    await using partner = await RecordingPartner.start();
    await using program = start('rotation.mjs', { ...credentials(), PARTNER_URL: partner.url, PORT: '0' });
    const service = `http://127.0.0.1:${await portOf(program)}/orders`;
    expect((await fetch(service)).status).toBe(200);
    await server.mustRotate(TOKEN, canary('next'));
    await program.waitFor(/is at version 2\n/);
    expect((await fetch(service)).status).toBe(200);
    expect(partner.authorizations).toEqual([`Bearer ${TOKEN_VALUE}`, `Bearer ${canary('next')}`]);
    expectNoCanary(program.output, 'the output');
  });
});

describe('examples/availability.mjs', () => {
  it('starts while coffer is away, from what it kept, encrypted', async () => {
    using folder = new TemporaryFolder();
    const [CACHE, CACHE_KEY] = [folder.join('cache', 'secrets'), folder.join('cache.key')];
    writeFileSync(CACHE_KEY, Buffer.alloc(32, 7).toString('hex'), { mode: 0o600 });
    const env = { ...credentials(), CACHE, CACHE_KEY, PORT: '0', START_TIMEOUT: '2000' };

    await using first = start('availability.mjs', env);
    const health = async (program: Process) =>
      (await fetch(`http://127.0.0.1:${await portOf(program)}/health`)).json();
    await expect.poll(() => health(first)).toMatchObject({ watching: true, secrets: 2 });
    expect((await first.stop()).code).toBe(0);
    expectNoCanary(readFileSync(CACHE), 'the cache');

    await server.stop();
    await using second = start('availability.mjs', env);
    expect(await health(second)).toMatchObject({ watching: false, secrets: 2 });
    await second.waitFor(/unreachable: /);
    await server.start();
    await expect.poll(() => health(second), { timeout: 20_000 }).toMatchObject({ watching: true });
    for (const { output } of [first, second]) expectNoCanary(output, 'the output');
  });

  it('gives up after a time where it has nothing to start from', async () => {
    using folder = new TemporaryFolder();
    const [CACHE, CACHE_KEY] = [folder.join('secrets'), folder.join('cache.key')];
    writeFileSync(CACHE_KEY, Buffer.alloc(32, 7), { mode: 0o600 });
    await server.stop();
    const env = { ...credentials(), CACHE, CACHE_KEY, PORT: '0', START_TIMEOUT: '500' };
    const { code, stderr } = await example('availability.mjs', { env });
    expect(code).toBe(1);
    expect(stderr).toMatch(/unreachable: [\s\S]*TimeoutError/);
  });
});

describe('examples/keyring.mjs', () => {
  it('signs with the active key, and verifies with every one that exists', async () => {
    const NAME = 'prod/billing/signing-key';
    await server.mustPut(NAME, canary('first key'));
    const keyring = (...args: string[]) =>
      example('keyring.mjs', { args, env: credentials(), input: 'a message' });
    const { stdout: first } = await keyring('sign');
    expect(first).toMatch(/^1:[0-9a-f]{64}\n$/);
    await server.mustRotate(NAME, canary('second key'));
    const { stdout: second } = await keyring('sign');
    expect(second).toMatch(/^2:/);
    expect((await keyring('verify', first.trim())).code).toBe(0);
    expect((await keyring('verify', second.trim())).code).toBe(0);
    expect((await keyring('verify', second.trim().replace(/.$/, 'x'))).code).toBe(1);
    await server.mustDelete(NAME, 1);
    expect((await keyring('verify', first.trim())).code).toBe(1);
  });
});

describe('examples/fields.mjs', () => {
  const put = (secrets: Record<string, string>) =>
    Promise.all(
      Object.entries(secrets).map(([name, value]) => server.mustRotate(`prod/billing/${name}`, value)),
    );

  it('shows the names of what it was filled with, and tells of all that is wrong at once', async () => {
    await put({
      'database-url': `https://billing:${encodeURIComponent(canary('password'))}@db.example.com/app`,
      'signing-key': canary('key'),
      limits: '{"perMinute":60}',
      'max-connections': '12',
    });
    const good = await example('fields.mjs', { env: credentials() });
    expect(good).toMatchObject({ code: 0, stderr: '' });
    expect(good.stdout).toMatch(/at most 12 connections to db\.example\.com\n$/);

    await put({ limits: canary('no JSON'), 'max-connections': canary('no number') });
    const bad = await example('fields.mjs', { env: credentials() });
    expect(bad.code).toBe(1);
    expect(bad.stderr).toMatch(/prod\/billing\/limits[\s\S]*prod\/billing\/max-connections/);
  });
});

describe('examples/partner.test.mjs', () => {
  it('passes', async () => {
    const { code, stdout } = await example('partner.test.mjs', { node: ['--test'] });
    expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringMatching(/# pass 5\n/) });
  });
});

describe('the guides and the README', () => {
  const guides = readdirSync(join(ROOT, 'docs'))
    .filter((name) => name.startsWith('client'))
    .map((name) => readFileSync(join(ROOT, 'docs', name), 'utf8'));
  const readme = readFileSync(join(ROOT, 'README.md'), 'utf8').replaceAll('](examples/', '](../examples/');

  it.each(EXAMPLES)('quote examples/%s as it is, without its first comment', (name) => {
    const code = readFileSync(join(ROOT, 'examples', name), 'utf8').replace(/^\/\*\*[\s\S]*?\*\/\n/, '');
    const quoted = `[examples/${name}](../examples/${name}):\n\n\`\`\`js\n${code}\`\`\`\n`;
    expect([...guides, readme].filter((text) => text.includes(quoted))).toHaveLength(1);
  });
});

const credentials = () => ({ COFFER_SERVER: server.url, COFFER_TOKEN: server.token });
const pathOf = (name: string) => join(ROOT, 'examples', name);

interface Options {
  readonly node?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

/** Runs an example to its end; no value may be in its output. */
async function example(name: string, { node = [], args = [], ...options }: Options) {
  const { code, stdout, stderr } = await run(process.execPath, [...node, pathOf(name), ...args], options);
  const said = { code, stdout: stdout.toString(), stderr: stderr.toString() };
  expectNoCanary(said.stdout + said.stderr, `the output of ${name}`);
  return said;
}

function start(name: string, env: Record<string, string>): Process {
  return new Process(process.execPath, [pathOf(name)], { env });
}

async function portOf(program: Process): Promise<number> {
  const [, port] = await program.waitFor(/listening on .*port: (\d+)/);
  return Number(port);
}

/** Of the certificate that a server shows. */
async function fingerprint(port: number): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

/** An HTTP server that keeps what it was authorised with, one for each request. */
class RecordingPartner implements AsyncDisposable {
  static async start(): Promise<RecordingPartner> {
    const authorizations: string[] = [];
    const http = createServer((request, response) => {
      authorizations.push(request.headers.authorization ?? '');
      response.end();
    });
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    return new RecordingPartner(http, authorizations);
  }

  readonly url: string;

  private constructor(
    private readonly http: Server,
    readonly authorizations: readonly string[],
  ) {
    this.url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.http.closeAllConnections();
    this.http.close();
  }
}
