/** wasmCloud's own client library, from crates.io, against our half of the protocol, with secrets and errors of every kind. */
import { createKeyPair } from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import { type Secret, SecretsError, type SecretsErrorCode } from '../../packages/wasmcloud/src/index.js';
import { World } from '../../packages/wasmcloud/test/world.js';
import { canary } from '../support/canary.mjs';
import { WasmcloudClient } from '../support/wasmcloud.mjs';

/** How the library says each error of the protocol to people. */
const SENTENCES: Readonly<Record<SecretsErrorCode, (text: string) => string>> = {
  SecretNotFound: () => 'Secret not found',
  InvalidXKey: () => 'Invalid XKey',
  EncryptionError: () => 'Error encrypting secret',
  DecryptionError: () => 'Error decrypting secret',
  Unauthorized: () => 'Error fetching secret: unauthorized',
  InvalidRequest: () => 'Invalid request',
  InvalidPayload: () => 'Invalid payload',
  InvalidHeaders: () => 'Invalid headers',
  InvalidEntityJWT: (text) => `Invalid Entity JWT: ${text}`,
  InvalidHostJWT: (text) => `Invalid Host JWT: ${text}`,
  UpstreamError: (text) => `Error fetching secret: ${text}`,
  PolicyError: (text) => `Error processing policies: $${text}`,
  Other: (text) => `Encountered an unknown error fetching secret: ${text}`,
};
const CODES = Object.keys(SENTENCES) as SecretsErrorCode[];
const hasText = (code: SecretsErrorCode) => SENTENCES[code]('x') !== SENTENCES[code]('y');

async function start(fetch?: (key: string) => Secret) {
  const world = await World.start(fetch && { fetch: async ({ key }) => fetch(key) });
  const client = new WasmcloudClient(world.server.url);
  const tokens = { entity_jwt: world.entityJwt, host_jwt: world.hostJwt };
  return {
    world,
    client,
    get: (key: string, more: object = {}) => client.get({ key, ...tokens, ...more }),
    tokens,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

const read = (text: string, version = '1') => ({ secret: { version, string: text, binary: null } });
const readBytes = (bytes: Uint8Array, version = '1') => ({
  secret: { version, string: null, binary: Buffer.from(bytes).toString('base64') },
});

describe("wasmCloud's client library", () => {
  it('reads text and bytes as they are', async () => {
    const long = canary('long ').repeat(10_000);
    const every = Uint8Array.from({ length: 256 }, (_, byte) => byte);
    await using host = await start();
    const { secrets } = host.world;
    secrets.set('text', { version: '12', kind: 'string', value: `${canary('text')} ✓ "\\\n\u0000` });
    secrets.set('long', { version: '1', kind: 'string', value: long });
    secrets.set('empty', { version: '1', kind: 'string', value: '' });
    secrets.set('bytes', { version: '3', kind: 'binary', value: every });
    secrets.set('no bytes', { version: '1', kind: 'binary', value: new Uint8Array() });
    expect(await host.get('text')).toEqual(read(`${canary('text')} ✓ "\\\n\u0000`, '12'));
    expect(await host.get('long')).toEqual(read(long));
    expect(await host.get('empty')).toEqual(read(''));
    expect(await host.get('bytes')).toEqual(readBytes(every, '3'));
    expect(await host.get('no bytes')).toEqual(readBytes(new Uint8Array()));
  });

  it('says what it asks for as it is meant', async () => {
    const asked: unknown[] = [];
    const policy = '{"type":"properties.secret.wasmcloud.dev/v1alpha1","properties":{}}';
    const value = () => new Uint8Array(Buffer.from(canary('any')));
    await using host = await start();
    host.world.serve({
      name: 'other',
      fetch: async (query, { entity, host: from, application }) => {
        asked.push({ ...query, entity: entity.key, host: from.key, application });
        return { version: '1', kind: 'string', value: value() };
      },
    });
    await host.world.backendNats.flush();
    await host.get('a', { backend: 'other' });
    await host.get('b/ü', { backend: 'other', field: 'f', version: '7', application: 'shop', policy });
    const who = { entity: host.world.component.publicKey, host: host.world.host.publicKey };
    expect(asked).toEqual([
      { key: 'a', ...who, application: { policy: '' } },
      { key: 'b/ü', field: 'f', version: '7', ...who, application: { name: 'shop', policy } },
    ]);
  });

  it.each(CODES)('reads the error %s', async (code) => {
    const text = hasText(code) ? 'the reason, “quoted”' : '';
    await using host = await start(() => {
      throw new SecretsError(code, text);
    });
    const error = { kind: 'server', text: SENTENCES[code](text) };
    expect(await host.get('any')).toEqual({ error });
  });

  it('is told that its request cannot be opened once the key that it knows is retired', async () => {
    await using host = await start();
    const { world } = host;
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    expect(await host.get('k')).toEqual(read(canary('k')));
    const [old] = world.transit;
    world.transit.unshift(createKeyPair('curve'));
    expect(await host.get('k')).toEqual(read(canary('k')));
    expect(world.used.every((key) => key === old?.publicKey)).toBe(true);
    world.transit.pop();
    const error = { kind: 'server', text: SENTENCES.DecryptionError('') };
    expect(await host.get('k')).toEqual({ error });
    await host.client.forget();
    expect(await host.get('k')).toEqual(read(canary('k')));
    expect(world.used.at(-1)).toBe(world.transit[0]?.publicKey);
  });

  it('gets an answer to each of many requests at a time', async () => {
    await using host = await start();
    host.world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    const report = await host.client.bench({ key: 'k', ...host.tokens, count: 1000, in_flight: 64 });
    expect(report).toMatchObject({ answered: 1000, others: {} });
  });
});
