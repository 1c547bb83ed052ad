/** Our host's side and our administrator against wasmCloud's own backend, secrets-nats-kv. */
import { createKeyPair } from '@coffer/identity';
import { connect } from '@nats-io/transport-node';
import { expect, it } from 'vitest';
import { AdminClient, SecretsClient } from '../../packages/wasmcloud/src/index.js';
import { wascapVector } from '../../packages/wasmcloud/test/vectors.js';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { SecretsNatsKvServer } from '../support/wasmcloud.mjs';

const seed = (): string => Buffer.from(createKeyPair('curve').seed()).toString();
const component = wascapVector('component', 'issued by the account key');
const host = wascapVector('host', 'stock 1.9');

it('puts into it, maps in it, and gets from it', async () => {
  await using server = await NatsServer.start();
  await using _backend = await SecretsNatsKvServer.start({
    url: server.url,
    transitSeed: seed(),
    encryptionSeed: seed(),
  });
  await using nats = await connect({ servers: server.url });
  const admin = new AdminClient({ nats, name: 'nats-kv' });
  const value = `${canary('peer')} "quoted" \\ € \u0001`;
  const version = await admin.putSecret('one', { kind: 'string', value: Buffer.from(value) });
  await admin.putSecret('two', { kind: 'binary', value: Buffer.from('text, as it happens') });
  await admin.addMapping(component.subject, ['one', 'two', 'none']);

  const client = new SecretsClient({ nats });
  const tokens = { backend: 'nats-kv', entityJwt: component.jwt, hostJwt: host.jwt };
  const one = await client.get({ ...tokens, key: 'one', application: { name: 'shop' } });
  expect({ ...one, value: Buffer.from(one.value).toString() }).toEqual({
    version: `${version}`,
    kind: 'string',
    value,
  });
  expect(Buffer.from((await client.get({ ...tokens, key: 'two' })).value).toString()).toBe(
    'text, as it happens',
  );

  const code = (more: object) =>
    client.get({ ...tokens, key: 'one', ...more }).then(
      () => 'served',
      (error: { code: string }) => error.code,
    );
  expect(await code({ version: `${version}` })).toBe('served');
  expect(await code({ version: '99' })).toBe('SecretNotFound');
  expect(await code({ version: 'x' })).toBe('InvalidRequest');
  expect(await code({ key: 'none' })).toBe('SecretNotFound');
  expect(await code({ key: 'another' })).toBe('Unauthorized');
  expect(await code({ entityJwt: 'x' })).toBe('InvalidEntityJWT');
  await expect(admin.listMappings()).rejects.toMatchObject({ code: 'Other' });
});
