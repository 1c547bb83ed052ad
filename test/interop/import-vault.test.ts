/** `coffer import vault` from real Vaults: KV of both versions, over TLS and without, by token and AppRole. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../packages/client/src/index.js';
import { canary, expectNoCanary } from '../support/canary.mjs';
import { run, TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, coffer, peer } from '../support/servers.mjs';
import { VaultServer } from '../support/vault.mjs';

const folder = new TemporaryFolder();
let vault: VaultServer;

beforeAll(async () => {
  vault = await VaultServer.start();
});
afterAll(async () => {
  await vault?.stop();
  folder[Symbol.dispose]();
});

interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

async function importing(
  server: CofferServer,
  args: readonly string[],
  env: Record<string, string> = { VAULT_ADDR: vault.url, VAULT_TOKEN: vault.token },
): Promise<Run> {
  const { code, stdout, stderr } = await coffer(['import', 'vault', '-s', server.socket, ...args], { env });
  expectNoCanary(Buffer.concat([stdout, stderr]), 'the output of an import');
  return { code, stdout: stdout.toString(), stderr: stderr.toString() };
}

/** A table, however wide its columns are. */
const narrow = (table: string): string => table.replaceAll(/ +/g, ' ');

const textOf = async (client: Client, name: string, version?: number) =>
  Buffer.from((await client.get(name, { version })).value).toString('utf8');

describe('a mount of KV version 2', () => {
  let server: CofferServer;
  let client: Client;

  beforeAll(async () => {
    server = await CofferServer.start({ dev: true });
    client = new Client({ server: server.url });
    for (const n of [1, 2, 3, 4]) await vault.put('app/db', { user: 'app', password: canary(`db ${n}`) });
    await vault.call('POST', 'secret/delete/app/db', { versions: [2] });
    await vault.call('PUT', 'secret/destroy/app/db', { versions: [3] });
    await vault.put('app', { token: canary('app') });
    await vault.put('app/deep/er/key', { pem: `${canary('pem')}\n<&>"\\u0026\u2028é\u{1F600}` });
    await vault.put(encodeURI('odd name/é'), { n: 1.5, list: [1, { a: null }], yes: true, none: null });
    await vault.put('gone', { k: canary('gone 1') });
    await vault.put('gone', { k: canary('gone 2') });
    await vault.call('DELETE', 'secret/data/gone');
    await vault.put('all-destroyed', { k: canary('destroyed') });
    await vault.call('PUT', 'secret/destroy/all-destroyed', { versions: [1] });
    await vault.call('POST', 'secret/metadata/empty', { max_versions: 3 });
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
  });

  const LEFT_OUT = [
    'left out p/all-destroyed its current version, 1, is destroyed there',
    'left out p/app/db version 2 is deleted there, version 3 is destroyed there',
    'left out p/empty it has no version there',
    'left out p/gone its current version, 2, is deleted there',
  ];

  it('is told by a dry run, which copies nothing', async () => {
    const { code, stdout, stderr } = await importing(server, ['--prefix', 'p/', '--dry-run']);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: `From secret at ${vault.url} to ${server.socket}\n`,
    });
    expect(narrow(stdout).trim().split('\n')).toEqual([
      'created p/app version 1, 1 is active',
      'created p/app/db versions 1, 4, 4 is active',
      'created p/app/deep/er/key version 1, 1 is active',
      'created p/odd name/é version 1, 1 is active',
      ...LEFT_OUT,
      '4 created, 0 changed, 0 unchanged, 0 failed, 4 left out: a dry run, nothing was changed',
    ]);
    expect(await client.list()).toEqual([]);
  });

  it('is copied, in folders too, each version under its number and the current one active', async () => {
    const { code, stdout } = await importing(server, ['--prefix', 'p/']);
    expect(code).toBe(0);
    expect(stdout).toContain('\n4 created, 0 changed, 0 unchanged, 0 failed, 4 left out\n');
    expect(await client.list()).toEqual([
      { name: 'p/app', versions: [1], activeVersion: 1 },
      { name: 'p/app/db', versions: [1, 4], activeVersion: 4 },
      { name: 'p/app/deep/er/key', versions: [1], activeVersion: 1 },
      { name: 'p/odd name/é', versions: [1], activeVersion: 1 },
    ]);
    expect(await textOf(client, 'p/app/db', 1)).toBe(`{"password":"${canary('db 1')}","user":"app"}`);
    expect(JSON.parse(await textOf(client, 'p/app/db'))).toEqual({ user: 'app', password: canary('db 4') });
    expect(JSON.parse(await textOf(client, 'p/app/deep/er/key'))).toEqual({
      pem: `${canary('pem')}\n<&>"\\u0026\u2028é\u{1F600}`,
    });
    expect(await textOf(client, 'p/odd name/é')).toBe(
      '{"list":[1,{"a":null}],"n":1.5,"none":null,"yes":true}',
    );
  });

  it('is the same after a second time', async () => {
    const before = await client.list();
    const { code, stdout } = await importing(server, ['--prefix', 'p/']);
    expect(code).toBe(0);
    const sum = '0 created, 0 changed, 4 unchanged, 0 failed, 4 left out';
    expect(narrow(stdout).trim().split('\n')).toEqual([...LEFT_OUT, sum]);
    expect(await client.list()).toEqual(before);
  });

  it('is followed, with what came since; what was put here keeps being active until it is said otherwise', async () => {
    await vault.put('app/db', { password: canary('db 5') });
    expect(narrow((await importing(server, ['--prefix', 'p/', '--secrets', 'app/*'])).stdout)).toContain(
      'changed p/app/db version 5, 5 is active\n',
    );
    const mine = await client.put('p/app', canary('mine'));
    await client.activate('p/app', mine);
    await vault.put('app', { token: canary('app 2') });
    const taken = await importing(server, ['--prefix', 'p/', '--secrets', 'app']);
    expect(taken).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('version 2 has another value there'),
    });
    await client.put('p/app/deep/er/key', canary('waits'));
    await vault.call('POST', 'secret/data/app/deep/er/key', { data: { pem: 'x' } });
    expect((await importing(server, ['--prefix', 'p/', '--secrets', 'app/deep/*'])).code).toBe(1);
    expect((await client.info('p/app/deep/er/key')).activeVersion).toBe(1);
  });

  it('is copied in part, by patterns of its paths', async () => {
    const { stdout } = await importing(server, ['--secrets', 'odd*', '--prefix', 'part/']);
    expect(stdout).toBe(
      'created part/odd name/é version 1, 1 is active\n1 created, 0 changed, 0 unchanged, 0 failed\n',
    );
    const none = await importing(server, ['--secrets', 'none*']);
    expect(none).toMatchObject({ code: 1, stdout: '' });
    expect(none.stderr).toContain('nothing to copy: Vault shows no secret with such a name');
  });
});

it('a mount of KV version 1 is saved value by value, and a changed one waits', async () => {
  await using server = await CofferServer.start({ dev: true });
  await using client = new Client({ server: server.url });
  await vault.mount('old/kv', 1);
  await vault.call('POST', 'old/kv/a', { password: canary('one'), ttl: '1h' });
  await vault.call('POST', 'old/kv/b/c', { n: 1 });
  const mount = ['--mount', 'old/kv/'];
  expect((await importing(server, [...mount, '--dry-run'])).stdout).toContain(
    'created a   version 1\ncreated b/c version 1\n2 created, 0 changed, 0 unchanged, 0 failed: a dry run',
  );
  expect((await importing(server, mount)).stdout).toContain(
    '\n2 created, 0 changed, 0 unchanged, 0 failed\n',
  );
  expect(await textOf(client, 'a')).toBe(`{"password":"${canary('one')}","ttl":"1h"}`);
  expect((await importing(server, mount)).stdout).toBe('0 created, 0 changed, 2 unchanged, 0 failed\n');
  await vault.call('POST', 'old/kv/a', { password: canary('two') });
  expect((await importing(server, mount)).stdout).toContain('changed a version 2 waits, 1 is active\n');
  expect((await importing(server, [...mount, '--activate'])).stdout).toContain(
    'changed a version 2 is active, in place of 1\n',
  );
  expect(await textOf(client, 'a')).toBe(`{"password":"${canary('two')}"}`);
});

describe('each entry as a secret of its own', () => {
  it('has the versions that had it, and is left out when the current one has it no more', async () => {
    await using server = await CofferServer.start({ dev: true });
    await using client = new Client({ server: server.url });
    await vault.mount('entries', 2);
    const put = (path: string, data: object) => vault.put(path, data, { mount: 'entries' });
    await put('db', { user: 'app', password: canary('entry 1') });
    await put('db', { user: 'app', password: canary('entry 2'), 'a/b': '\u2028é' });
    await put('db', { password: canary('entry "3"\n'), port: 5432, 'a/b': '' });
    await put('db/a', { b: 'another' });
    await vault.call('PUT', 'entries/destroy/db', { versions: [2] });
    const args = ['--mount', 'entries', '--entries', '--prefix', 'x/'];
    const { code, stdout } = await importing(server, args);
    expect(code).toBe(1);
    expect(narrow(stdout).trim().split('\n')).toEqual([
      'created x/db/a/b version 3, 3 is active',
      'created x/db/password versions 1, 3, 3 is active',
      'created x/db/port version 3, 3 is active',
      'left out x/db version 2 is destroyed there',
      'left out x/db/user the current version has no such entry there',
      'failed x/db/a/b entries of db and of db/a would both be called so: the first is copied',
      '3 created, 0 changed, 0 unchanged, 1 failed, 2 left out',
    ]);
    expect(await textOf(client, 'x/db/password')).toBe(canary('entry "3"\n'));
    expect(await textOf(client, 'x/db/password', 1)).toBe(canary('entry 1'));
    expect(await textOf(client, 'x/db/port')).toBe('5432');
    expect((await importing(server, args)).stdout).toContain('0 created, 0 changed, 3 unchanged, 1 failed');
    await vault.call('DELETE', 'entries/metadata/db/a');
    await put('db', { password: canary('entry "3"\n'), user: 'again' });
    expect(narrow((await importing(server, args)).stdout)).toContain(
      'changed x/db/password version 4, 4 is active\ncreated x/db/user versions 1, 4, 4 is active\n',
    );
  });

  it('costs no reading of its own: a version is read once to see what is in it, and once for all that is', async () => {
    await using server = await CofferServer.start({ dev: true });
    await vault.mount('many', 2);
    const entries = (version: number) =>
      Object.fromEntries(
        Array.from({ length: 200 }, (_, index) => [`k${index}`, canary(`${version} ${index}`)]),
      );
    for (const version of [1, 2]) await vault.put('all', entries(version), { mount: 'many' });
    const log = folder.join('many.log');
    await vault.call('PUT', 'sys/audit/many', { type: 'file', options: { file_path: log } });
    const { stdout } = await importing(server, ['--mount', 'many', '--entries']);
    await vault.call('DELETE', 'sys/audit/many');
    expect(stdout).toContain('\n200 created, 0 changed, 0 unchanged, 0 failed\n');
    const read = readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { type: string; request: { path: string } })
      .filter(({ type, request: { path } }) => type === 'request' && path === 'many/data/all');
    expect(read).toHaveLength(4);
  });

  it('is what KV version 1 holds', async () => {
    await using server = await CofferServer.start({ dev: true });
    await using client = new Client({ server: server.url });
    await vault.mount('entries-1', 1);
    await vault.call('POST', 'entries-1/app/db', { user: 'app', password: canary('v1 entry') });
    const args = ['--mount', 'entries-1', '--entries'];
    expect((await importing(server, args)).stdout).toContain(
      '\n2 created, 0 changed, 0 unchanged, 0 failed\n',
    );
    expect(await textOf(client, 'app/db/password')).toBe(canary('v1 entry'));
    expect((await importing(server, args)).stdout).toBe('0 created, 0 changed, 2 unchanged, 0 failed\n');
  });
});

describe('who reads it', () => {
  let server: CofferServer;
  beforeAll(async () => {
    server = await CofferServer.start({ dev: true });
    await vault.put('team/a', { k: canary('team a') });
    await vault.put('team/hidden/b', { k: canary('team b') });
    const rules = [
      'path "secret/metadata/" { capabilities = ["list"] }',
      'path "secret/metadata/team/" { capabilities = ["list"] }',
      'path "secret/metadata/team/a" { capabilities = ["read"] }',
      'path "secret/data/team/a" { capabilities = ["read"] }',
    ];
    await vault.call('PUT', 'sys/policies/acl/reader', { policy: rules.join('\n') });
    await vault.call('POST', 'sys/auth/approle', { type: 'approle' });
    await vault.call('POST', 'auth/approle/role/import', { token_policies: 'reader', token_type: 'service' });
  });
  afterAll(async () => {
    await server?.stop();
  });

  const role = async () => {
    const { data } = await vault.call('GET', 'auth/approle/role/import/role-id');
    const made = await vault.call('POST', 'auth/approle/role/import/secret-id', {});
    const file = folder.join('secret-id');
    writeFileSync(file, `${made.data.secret_id}\n`);
    return ['--from-role-id', data.role_id as string, '--from-secret-id-file', file];
  };
  const accessors = async () =>
    (await vault.call('GET', 'auth/token/accessors?list=true')).data.keys as string[];

  it('may be an AppRole, whose log-in ends with the import, and what it may not list or read fails by itself', async () => {
    const before = (await accessors()).length;
    const { code, stdout } = await importing(server, [...(await role()), '--secrets', 'team/*'], {
      VAULT_ADDR: vault.url,
    });
    expect(code).toBe(1);
    expect(stdout).toContain('created team/a ');
    expect(stdout).toMatch(/failed +team\/hidden\/ +.*permission denied/);
    expect((await accessors()).length).toBe(before);
  });

  it('is told when Vault does not take the role, the token, the mount or the address', async () => {
    const said = async (args: string[], env: Record<string, string>) => {
      const { code, stderr, stdout } = await importing(server, args, env);
      expect([code, stdout]).toEqual([1, '']);
      return stderr;
    };
    const { VAULT_ADDR, VAULT_TOKEN } = { VAULT_ADDR: vault.url, VAULT_TOKEN: vault.token };
    const [, , ...secretId] = await role();
    expect(await said(['--from-role-id', 'no', ...secretId], { VAULT_ADDR })).toContain(
      'Vault does not take the AppRole (invalid role or secret ID)',
    );
    expect(await said([], { VAULT_ADDR, VAULT_TOKEN: 'hvs.wrong' })).toMatch(
      /Vault shows this token no mount "secret" \(.*permission denied.*\)/,
    );
    expect(await said(['--mount', 'none'], { VAULT_ADDR, VAULT_TOKEN })).toContain('no mount "none"');
    expect(await said(['--mount', 'secret/team'], { VAULT_ADDR, VAULT_TOKEN })).toContain(
      '"secret/team" is a folder of the mount "secret"',
    );
    expect(await said(['--mount', 'cubbyhole'], { VAULT_ADDR, VAULT_TOKEN })).toContain(
      'the mount "cubbyhole" holds no KV secrets',
    );
    expect(await said([], { VAULT_ADDR })).toContain('who reads Vault?');
    expect(await said([], { VAULT_TOKEN })).toContain('which Vault shall be read?');
    expect(await said(['--from', 'http://127.0.0.1:1'], { VAULT_TOKEN })).toContain(
      'cannot reach http://127.0.0.1:1 (connection refused)',
    );
    expect(await said(['--from', server.url], { VAULT_TOKEN })).not.toContain('unexpected');
  });

  it('waits as long as a rate limit wants it', async () => {
    await vault.mount('limited', 2);
    for (let n = 0; n < 30; n++)
      await vault.put(`s${n}`, { k: canary(`limited ${n}`) }, { mount: 'limited' });
    await vault.call('POST', 'sys/quotas/rate-limit/slow', { path: 'limited', rate: 20, interval: '1s' });
    const { code, stdout } = await importing(server, ['--mount', 'limited', '--prefix', 'limited/']);
    expect(code).toBe(0);
    expect(stdout).toContain('\n30 created, 0 changed, 0 unchanged, 0 failed\n');
  });

  it('asks in a namespace, each time', async () => {
    const asked: unknown[] = [];
    const proxy = createServer((incoming, outgoing) => {
      asked.push(incoming.headers['x-vault-namespace']);
      const { method, headers, url } = incoming;
      const passed = request(`${vault.url}${url}`, { method, headers }, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 0, answer.headers);
        pipeline(answer, outgoing, () => {});
      });
      pipeline(incoming, passed, () => {});
    }).listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const address = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const args = [
      '--from',
      address,
      '--from-namespace',
      '/team/a/',
      ...(await role()),
      '--secrets',
      'team/a',
    ];
    const { stdout } = await importing(server, args, { VAULT_NAMESPACE: 'another' });
    expect(stdout).toContain('0 created, 0 changed, 1 unchanged');
    expect(asked.length).toBeGreaterThan(4);
    expect(new Set(asked)).toEqual(new Set(['team/a']));
    proxy.close();
    proxy.closeAllConnections();
  });
});

it('the policy and the token of docs/migrating.md are enough, and Vault’s own command reads the same', async () => {
  await using server = await CofferServer.start({ dev: true });
  await using client = new Client({ server: server.url });
  await vault.mount('docs', 2);
  await vault.put('billing/db', { user: 'u', password: canary('docs') }, { mount: 'docs' });
  const page = readFileSync(new URL('../../docs/migrating.md', import.meta.url), 'utf8');
  const [, policy = ''] = /^vault policy write coffer-import - <<END\n([\s\S]*?)^END$/m.exec(page) ?? [];
  const own = async (args: readonly string[], input = '') => {
    const env = { VAULT_ADDR: vault.url, VAULT_TOKEN: vault.token, HOME: folder.path };
    const { code, stdout, stderr } = await run(peer('vault'), args, { env, input });
    expect(code, stderr.toString()).toBe(0);
    return stdout.toString();
  };
  await own(['policy', 'write', 'coffer-import', '-'], policy.replaceAll('secret/', 'docs/'));
  const file = folder.join('import.token');
  writeFileSync(
    file,
    await own(['token', 'create', '-policy', 'coffer-import', '-ttl', '1h', '-field', 'token']),
  );
  const args = ['--mount', 'docs', '--prefix', 'prod/', '--from-token-file', file];
  expect(await importing(server, args, { VAULT_ADDR: vault.url })).toMatchObject({ code: 0 });
  const theirs = await own(['kv', 'get', '-format=json', '-field=data', 'docs/billing/db']);
  expect(JSON.parse(await textOf(client, 'prod/billing/db'))).toEqual(JSON.parse(theirs));
});

it('a Vault with TLS is read by who trusts its authority alone', async () => {
  await using secure = await VaultServer.start({ tls: true });
  await using server = await CofferServer.start({ dev: true });
  await secure.put('over/tls', { k: canary('tls') });
  const env = { VAULT_ADDR: secure.url, VAULT_TOKEN: secure.token };
  expect((await importing(server, [], env)).stderr).toContain('is not to be trusted');
  expect(
    (await importing(server, [], { ...env, VAULT_ADDR: secure.url.replace('https', 'http') })).stderr,
  ).toContain('speaks TLS: write https://');
  expect((await importing(server, ['--from-ca', secure.ca ?? ''], env)).stdout).toContain(
    'created over/tls ',
  );
  const again = await importing(server, [], { ...env, VAULT_CACERT: secure.ca ?? '' });
  expect(again).toMatchObject({ code: 0, stdout: '0 created, 0 changed, 1 unchanged, 0 failed\n' });
});
