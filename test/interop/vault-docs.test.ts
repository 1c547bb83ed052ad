/** What docs/wasmcloud-vault.md has its readers do in Vault, done by Vault's own command; and a host's request on the other end. */
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createKeyPair, memoryResolver, Verifier } from '@coffer/identity';
import { serveBackend } from '@coffer/wasmcloud';
import { connect } from '@nats-io/transport-node';
import { expect, it } from 'vitest';
import { NatsServer } from '../support/nats.mjs';
import { run, TemporaryFolder } from '../support/processes.mjs';
import { peer } from '../support/servers.mjs';
import { VaultServer } from '../support/vault.mjs';
import { WasmcloudClient } from '../support/wasmcloud.mjs';
import { Askers, policyOf, SigningKeysServer, sourceOf } from './vault-world.js';

const page = readFileSync(new URL('../../docs/wasmcloud-vault.md', import.meta.url), 'utf8');
const [, steps = ''] = /^```sh\n([\s\S]*?)^```$/m.exec(page) ?? [];

it('the steps of docs/wasmcloud-vault.md are enough for a host that asks for its component', async () => {
  using folder = new TemporaryFolder();
  await using vault = await VaultServer.start();
  await using keys = await SigningKeysServer.start();
  const env = {
    PATH: `${dirname(peer('vault'))}:${process.env.PATH}`,
    HOME: folder.path,
    VAULT_ADDR: vault.url,
    VAULT_TOKEN: vault.token,
  };
  const script = steps.replace('https://coffer.example.com:2633/.well-known/keys', keys.url);
  const { code, stderr } = await run('bash', ['-e'], { env, input: script });
  expect({ code, stderr: stderr.toString() }).toEqual({ code: 0, stderr: '' });

  const askers = new Askers();
  const source = await sourceOf(askers, keys, { address: vault.url });
  await using nats = await NatsServer.start();
  const connection = await connect({ servers: nats.url });
  const transit = createKeyPair('curve');
  const verifier = new Verifier({
    operators: () => [],
    accounts: [askers.account.publicKey],
    resolver: memoryResolver([]),
  });
  const backend = serveBackend({
    name: 'vault',
    nats: connection,
    transitKeys: { keys: () => [transit], used: () => {} },
    trust: { verifier },
    fetch: (query, requester) => source.fetch(query, requester),
  });
  await connection.flush();
  await using host = new WasmcloudClient(nats.url);
  const request = {
    backend: 'vault',
    key: 'shop/db',
    field: 'password',
    application: 'shop',
    policy: policyOf({ role_name: 'shop' }),
    entity_jwt: askers.entityJwt,
    host_jwt: askers.hostJwt,
  };
  const answered = { secret: { version: '1', string: 'tr0ub4dor', binary: null } };
  expect(await host.get(request)).toEqual(answered);
  expect(await host.get({ ...request, version: '1' })).toEqual(answered);
  const whole = await host.get({ ...request, field: undefined as never });
  expect(whole).toHaveProperty('secret.string', '{"password":"tr0ub4dor","user":"shop"}');
  expect(await host.get({ ...request, application: 'other' })).toMatchObject({ error: { kind: 'server' } });
  expect(await host.get({ ...request, policy: '' })).toHaveProperty(
    'error.text',
    expect.stringMatching(/role/),
  );
  await backend.drain();
  await connection.close();
  verifier.close();
  await source.close?.();
});
