/** What docs/wasmcloud-vault.md has its readers do: coffer's configuration, Vault by Vault's own command, the grant, the manifest. */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createKeyPair, encodeWascap, type KeyPair } from '@coffer/identity';
import { expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { NatsServer } from '../support/nats.mjs';
import { run, TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, coffer, peer } from '../support/servers.mjs';
import { VaultServer } from '../support/vault.mjs';
import { WasmcloudClient } from '../support/wasmcloud.mjs';

const page = readFileSync(new URL('../../docs/wasmcloud-vault.md', import.meta.url), 'utf8');
const blocks = (language: string): string[] =>
  [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, block = '']) => block,
  );
const [configuration = '', policy = '', manifest = ''] = blocks('yaml');
const [steps = ''] = blocks('sh');

it('the steps of the page are enough for a host that asks for its component', async () => {
  using folder = new TemporaryFolder();
  await using vault = await VaultServer.start();
  await using nats = await NatsServer.start();
  const [account, cluster] = [createKeyPair('account'), createKeyPair('cluster')];
  const [component, host] = [createKeyPair('component'), createKeyPair('server')];
  const tokenOf = (about: KeyPair, by: KeyPair) =>
    encodeWascap({ sub: about.publicKey, wascap: { name: 'docs' } }, by);

  const config = parse(configuration);
  config.nats = { servers: [nats.url], allowOpen: true };
  config.trust.accounts = [account.publicKey];
  const { settings } = config.backends[0];
  expect(Object.keys(settings)).toEqual(['address', 'ca', 'applicationHosts']);
  config.backends[0].settings = {
    address: vault.url,
    applicationHosts: { clusters: [cluster.publicKey] },
  };
  writeFileSync(folder.join('coffer.yaml'), stringify(config));
  await using server = await CofferServer.start({ args: ['--config', folder.join('coffer.yaml')] });

  const env = {
    PATH: `${dirname(peer('vault'))}:${process.env.PATH}`,
    HOME: folder.path,
    VAULT_ADDR: vault.url,
    VAULT_TOKEN: vault.token,
  };
  const script = steps.replace('https://coffer.example.com:2633', server.url);
  const done = await run('bash', ['-e'], { env, input: script });
  expect({ code: done.code, stderr: done.stderr.toString() }).toEqual({ code: 0, stderr: '' });

  const { grants } = parse(policy);
  grants[0].to = [`component:${account.publicKey}/${component.publicKey}`];
  await server.applyPolicy(grants);

  await using asHost = new WasmcloudClient(nats.url);
  const { failures, secrets = [] } = await asHost.manifest(manifest);
  expect(failures).toEqual([]);
  const [secret] = secrets;
  expect(secret).toMatchObject({ of: 'orders', backend: 'vault', key: 'shop/db', field: 'password' });
  const { of: _of, name: _name, field, version: _version, ...wanted } = secret as NonNullable<typeof secret>;
  const request = {
    ...wanted,
    entity_jwt: tokenOf(component, account),
    host_jwt: tokenOf(host, cluster),
    application: 'shop',
  };
  const byField = { ...request, field: field as string };
  const answered = { secret: { version: '1', string: 'tr0ub4dor', binary: null } };
  await expect.poll(() => asHost.get(byField)).toEqual(answered);
  expect(await asHost.get({ ...byField, version: '1' })).toEqual(answered);
  expect(await asHost.get(request)).toHaveProperty('secret.string', '{"password":"tr0ub4dor","user":"shop"}');

  const refused = async (more: object) => {
    const answer = await asHost.get({ ...byField, ...more });
    return 'error' in answer ? answer.error.text : 'nothing';
  };
  expect(await refused({ application: 'other' })).toMatch(/unauthorized/i);
  expect(await refused({ host_jwt: tokenOf(host, createKeyPair('account')) })).toMatch(/unauthorized/i);
  expect(await refused({ entity_jwt: tokenOf(createKeyPair('component'), account) })).toMatch(
    /unauthorized/i,
  );
  expect(await refused({ key: 'shop/none' })).toMatch(/not found/i);
  expect(await refused({ version: '2' })).toMatch(/not found/i);
  expect(await refused({ policy: '' })).toMatch(/role_name/);

  const audited = await coffer(['audit', 'query', '--json', '-s', server.socket]);
  expect(audited.stdout.toString()).toContain('"secret":"vault/shop/db"');
  expect(audited.stdout.toString()).not.toContain('tr0ub4dor');
  expect(server.process.output).not.toMatch(/tr0ub4dor|eyJ|hvs\./);
  expect(server.process.output).toContain('does not match any associated bound claim values');
});
