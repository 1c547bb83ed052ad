/** A coffer server in front of a real Vault, as its users set both up: from NATS to the secret. */
import { join } from 'node:path';
import { encodeWascap, type KeyPair } from '@coffer/identity';
import { SecretsClient } from '@coffer/wasmcloud';
import { connect } from '@nats-io/transport-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { startDropIn } from '../../packages/cli/test/run.js';
import { backendConfigs } from '../../packages/server/src/config/backends.js';
import { CLOSED, newKeys, startNats, until } from '../../packages/server/test/nats-world.js';
import { SETEC_HEADERS, send, temporaryFolder } from '../../packages/server/test/support.js';
import { WasmWorld } from '../../packages/server/test/wasm-world.js';
import { canary } from '../support/canary.mjs';
import { KeptVault, VaultServer } from '../support/vault.mjs';
import { policyOf, setUp } from './vault-world.js';

const shop = { name: 'shop', policy: policyOf({ role_name: 'shop' }) };

/** A server whose Vault lets in the application `shop`, and what a host asks there. */
async function start(vault: VaultServer, { grants = 'upstream' as 'required' | 'upstream' } = {}) {
  onTestFinished(async () => void (await vault.stop()));
  const host = newKeys('server');
  const settings = { address: vault.url, applicationHosts: { keys: [host.publicKey] } };
  const backends = backendConfigs([{ name: 'vault', kind: 'vault', grants, settings }], undefined);
  const world = await WasmWorld.start({ listen: '127.0.0.1:0', backends });
  await setUp(vault, `${world.server.url}/.well-known/keys/vault`);
  await vault.put('shop/db', { user: 'ada', password: canary('password'), port: 5432 });
  const of = (more: object = {}) => {
    const hostJwt = world.token(host, host);
    return { backend: 'vault', hostJwt, application: shop, field: 'password', ...more };
  };
  const answered = `string 1 ${canary('password')}`;
  return { world, of, answered };
}

describe('a server with Vault behind it', () => {
  it('reads what the role of the application lets it, by field and version, and audits it', async () => {
    const vault = await VaultServer.start();
    const { world, of, answered } = await start(vault);
    expect(await world.get('shop/db', of())).toBe(answered);
    expect(await world.get('shop/db', of({ field: 'port' }))).toBe('string 1 5432');
    await vault.put('shop/db', { password: canary('newer') });
    expect(await world.get('shop/db', of())).toBe(`string 2 ${canary('newer')}`);
    expect(await world.get('shop/db', of({ version: '1' }))).toBe(answered);
    expect(await world.refusal('shop/none', of())).toBe('SecretNotFound');
    expect(await world.refusal('shop/db', of({ application: { ...shop, name: 'other' } }))).toBe(
      'Unauthorized',
    );
    // Only a host that is named says for which application it asks.
    const { hostJwt: _, ...unnamed } = of();
    expect(await world.refusal('shop/db', unnamed)).toBe('Unauthorized');
    const lines = world.audit().filter(({ action }) => action === 'get-foreign');
    expect(lines[0]).toMatchObject({
      secret: 'vault/shop/db',
      field: 'password',
      authorized: true,
      upstream: { engine: 'secret', authMount: 'jwt', role: 'shop' },
      principal: { id: world.principal, application: 'shop' },
    });
    // What a policy may name, the settings say; and what one has named is in the log, too.
    const elsewhere = { ...shop, policy: policyOf({ role_name: 'shop', secret_engine_path: 'finance' }) };
    expect(await world.refusal('shop/db', of({ application: elsewhere }))).toMatch(
      /^PolicyError: a policy may not name the engine "finance" here: allow\.enginePaths/,
    );
    expect(world.audit().at(-1)).toMatchObject({
      secret: 'vault/shop/db',
      error: 'PolicyError',
      upstream: { engine: 'finance' },
    });
    expect(lines.at(4)).toMatchObject({ secret: 'vault/shop/none', error: 'SecretNotFound' });
    expect(JSON.stringify([world.audit(), world.log.lines])).not.toMatch(/canary/i);
  }, 60_000);

  it('wants a grant as well, unless it is told that Vault decides alone', async () => {
    const { world, of, answered } = await start(await VaultServer.start(), { grants: 'required' });
    expect(await world.refusal('shop/db', of())).toBe('Unauthorized');
    await world.grant({ to: [world.principal], actions: ['get'], secrets: ['vault/shop/*'] });
    expect(await world.get('shop/db', of())).toBe(answered);
  }, 60_000);

  it('shows both keys while one takes the place of the other, and Vault takes what either signs', async () => {
    const { world, of, answered } = await start(await VaultServer.start());
    const keys = async () => JSON.parse((await send(world.server, '/.well-known/keys')).body).keys;
    const [first] = await keys();
    expect(first).toMatchObject({ use: 'sig', kty: 'OKP', alg: 'EdDSA', crv: 'Ed25519' });
    expect(await world.get('shop/db', of())).toBe(answered);
    await world.post('transit-keys/rotate', { backend: 'vault', use: 'signing' });
    const [second, ...others] = await keys();
    expect([others, second.kid === first.kid]).toEqual([[first], false]);
    const list = await send(world.server, '/api/admin/transit-keys', {
      headers: SETEC_HEADERS,
      socket: true,
    });
    const [old] = JSON.parse(list.body).keys.filter(
      ({ publicKey, current }: { publicKey: string; current: boolean }) => /^N/.test(publicKey) && !current,
    );
    await world.post('transit-keys/retire', { backend: 'vault', publicKey: old.publicKey });
    expect(await keys()).toEqual([second]);
    // Another entity logs in anew, by the second key.
    const other = newKeys('component');
    expect(await world.get('shop/db', of({ entityJwt: world.token(other) }))).toBe(answered);
  }, 60_000);

  it('stays ready while Vault is away, says so, and goes on when it is back', async () => {
    const vault = await KeptVault.start();
    await vault.mount('secret', 2);
    const { world, of, answered } = await start(vault);
    expect(await world.get('shop/db', of())).toBe(answered);
    await world.open();
    await world.put('own', 'x');
    const ready = async () => {
      const { status, body } = await send(world.server, '/readyz');
      return { status, ...JSON.parse(body).nats };
    };
    await vault.pause();
    expect(await world.refusal('shop/db', of())).toMatch(/^UpstreamError: /);
    await until(async () => (await ready()).warnings.length > 0, 'the warning');
    expect(await ready()).toMatchObject({ status: 200, serving: true });
    expect(await world.get('own')).toBe('string 1 x');
    await vault.restart();
    await until(() => world.log.says('this backend cannot answer now').length > 1, 'the seal to be told');
    expect(await world.refusal('shop/db', of())).toMatch(/^UpstreamError: .*sealed/i);
    await vault.unseal();
    await until(async () => (await ready()).warnings.length === 0, 'the warning to end');
    expect(await world.get('shop/db', of())).toBe(answered);
  }, 120_000);
});

describe('coffer wasmcloud vault', () => {
  it('takes the place of secrets-vault, by its variables', async () => {
    const vault = await VaultServer.start();
    onTestFinished(async () => void (await vault.stop()));
    const [account, component, host] = [newKeys('account'), newKeys('component'), newKeys('server')];
    const nats = await startNats({ config: CLOSED });
    const folder = await temporaryFolder();
    const seed = Buffer.from(newKeys('server').seed()).toString();
    await using server = await startDropIn(
      'vault',
      [
        ...['--state-dir', join(folder, 'state'), '--root-key', `file:${folder}/root.key`],
        ...['--trusted-account', account.publicKey, '--application-host', host.publicKey],
      ],
      {
        SV_NATS_ADDRESS: `nats://coffer:hello@127.0.0.1:${nats.port}`,
        SV_JWKS_ADDRESS: '127.0.0.1:0',
        SV_SERVER_NKEY_SEED: seed,
        SV_VAULT_ADDRESS: vault.url,
        SV_VAULT_AUTH_METHOD: 'wasmcloud',
        SV_VAULT_DEFAULT_SECRET_ENGINE: 'secret',
      },
    );
    const [, jwks = ''] = /keys: +(\S+)/.exec(server.welcome) ?? [];
    await setUp(vault, jwks, { mount: 'wasmcloud' });
    await vault.put('shop/db', { password: canary('password') });
    const connection = await connect({ servers: `127.0.0.1:${nats.port}`, user: 'coffer', pass: 'hello' });
    onTestFinished(() => connection.close());
    const token = (sub: string, by: KeyPair) => encodeWascap({ sub, wascap: { name: 'of a test' } }, by);
    const found = await new SecretsClient({ nats: connection }).get({
      backend: 'vault',
      key: 'shop/db',
      field: 'password',
      entityJwt: token(component.publicKey, account),
      hostJwt: token(host.publicKey, host),
      application: shop,
    });
    expect(Buffer.from(found.value).toString()).toBe(canary('password'));
    expect(await server.stop()).toBe(0);
  }, 60_000);
});
