/** secrets-nats-kv's own commands and wasmCloud's own client library, both unchanged, against `coffer wasmcloud run`. */
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { createKeyPair, encodeJwt, encodeWascap, formatCreds, type KeyPair, newUser } from '@coffer/identity';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { coffer } from '../support/servers.mjs';
import {
  CofferBackend,
  type HostAnswer,
  SecretsNatsKvServer,
  secretsNatsKv,
  WasmcloudClient,
} from '../support/wasmcloud.mjs';

const account = createKeyPair('account');
const stranger = createKeyPair('account');
const host = createKeyPair('server');
const component = createKeyPair('component');
const provider = createKeyPair('provider');

const tokenOf = (about: KeyPair, signer = account) =>
  encodeWascap({ sub: about.publicKey, wascap: { name: 'test' } }, signer);
const hostToken = encodeWascap({ sub: host.publicKey, wascap: { name: 'host' } }, createKeyPair('account'));

const folder = new TemporaryFolder();
let nats: NatsServer;
let backend: CofferBackend;
let client: WasmcloudClient;

beforeAll(async () => {
  nats = await NatsServer.start();
  backend = await CofferBackend.start({
    nats,
    args: ['--trusted-account', account.publicKey, '--allow-open-nats', '--allow-unauthenticated-admin'],
  });
  client = new WasmcloudClient(nats.url);
});

afterAll(async () => {
  await client?.[Symbol.asyncDispose]();
  await backend?.stop();
  await nats?.stop();
  folder[Symbol.dispose]();
});

/** A command of secrets-nats-kv's, which must succeed. */
async function kv(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await secretsNatsKv(args, {
    url: nats.url,
    transitSeed: backend.seeds.transit,
  });
  expect(code, stderr.toString()).toBe(0);
  return stdout.toString();
}

const get = (key: string, more: object = {}): Promise<HostAnswer> =>
  client.get({ key, entity_jwt: tokenOf(component), host_jwt: hostToken, ...more });

const text = (value: string, version: number) => ({
  secret: { version: String(version), string: value, binary: null },
});
const bytes = (value: Uint8Array, version: number) => ({
  secret: { version: String(version), string: null, binary: Buffer.from(value).toString('base64') },
});
const error = (sentence: string | RegExp) => ({
  error: { kind: 'server', text: typeof sentence === 'string' ? sentence : expect.stringMatching(sentence) },
});
const UNAUTHORIZED = error('Error fetching secret: unauthorized');
const NOT_FOUND = error('Secret not found');

describe('secrets-nats-kv', () => {
  it('puts text, which a mapped component gets, each version by its number', async () => {
    expect(await kv('put', 'db', '--string', canary('db 1'))).toContain("Secret 'db' put successfully");
    expect(await get('db')).toEqual(UNAUTHORIZED);
    expect(await kv('add-mapping', component.publicKey, '--secret', 'db')).toContain(
      'can now access secrets',
    );
    expect(await get('db')).toEqual(text(canary('db 1'), 1));
    await kv('put', 'db', '--string', canary('db 2'), '--secret-version', 'ignored');
    expect(await get('db')).toEqual(text(canary('db 2'), 2));
    expect(await get('db', { version: '1' })).toEqual(text(canary('db 1'), 1));
    expect(await get('db', { version: '2' })).toEqual(text(canary('db 2'), 2));
    expect(await get('db', { version: '3' })).toEqual(NOT_FOUND);
    expect(await get('db', { version: 'first' })).toEqual(error('Invalid request'));
  });

  it('puts bytes, which come back as they were, also where they are text', async () => {
    const file = folder.join('binary');
    const values = [randomBytes(300), Buffer.from(canary('as bytes')), Buffer.from([0])];
    await kv('add-mapping', component.publicKey, '--secret', 'key.der');
    for (const [at, value] of values.entries()) {
      writeFileSync(file, value);
      await kv('put', 'key.der', '--binary', file);
      expect(await get('key.der')).toEqual(bytes(value, at + 1));
    }
  });

  it('puts an object, of which a component gets a field', async () => {
    const object = { password: canary('field'), port: 5432, tls: { ca: 'pem' } };
    await kv('put', 'object', '--string', JSON.stringify(object));
    await kv('add-mapping', component.publicKey, '--secret', 'object');
    expect(await get('object', { field: 'password' })).toEqual(text(canary('field'), 1));
    expect(await get('object')).toEqual(text(JSON.stringify(object), 1));
    expect(await get('object', { field: 'user' })).toHaveProperty('error.kind', 'server');
    expect(await get('db', { field: 'password' })).toHaveProperty('error.kind', 'server');
  });

  it('lets providers in as well, each to what it was mapped to', async () => {
    await kv('put', 'for-provider', '--string', canary('provider'));
    await kv('add-mapping', provider.publicKey, '--secret', 'for-provider');
    const asProvider = { entity_jwt: tokenOf(provider) };
    expect(await get('for-provider', asProvider)).toEqual(text(canary('provider'), 1));
    expect(await get('for-provider')).toEqual(UNAUTHORIZED);
    expect(await get('db', asProvider)).toEqual(UNAUTHORIZED);
  });

  it('takes a mapping away, from the next request on, and no other', async () => {
    await kv('put', 'a', '--string', canary('a'));
    await kv('put', 'b', '--string', canary('b'));
    await kv('add-mapping', component.publicKey, '--secret', 'a', '--secret', 'b');
    await kv('add-mapping', provider.publicKey, '--secret', 'a');
    expect(await get('a')).toEqual(text(canary('a'), 1));
    expect(await kv('remove-mapping', component.publicKey, '--secret', 'a')).toContain(
      'no longer has access',
    );
    expect(await get('a')).toEqual(UNAUTHORIZED);
    expect(await get('b')).toEqual(text(canary('b'), 1));
    expect(await get('a', { entity_jwt: tokenOf(provider) })).toEqual(text(canary('a'), 1));
  });

  it('maps an entity of the trusted account, and nobody who has signed a token for it otherwise', async () => {
    await kv('put', 'trusted', '--string', canary('trusted'));
    await kv('add-mapping', component.publicKey, '--secret', 'trusted');
    expect(await get('trusted', { entity_jwt: tokenOf(component, stranger) })).toEqual(
      error('Invalid Entity JWT: no trusted account has signed this token'),
    );
    const self = encodeWascap({ sub: host.publicKey, wascap: {} }, host);
    expect(await get('trusted', { entity_jwt: self })).toEqual(error(/^Invalid Entity JWT: /));
    expect(await get('trusted', { host_jwt: tokenOf(component) })).toEqual(error(/^Invalid Host JWT: /));
    expect(await get('trusted', { host_jwt: self })).toEqual(text(canary('trusted'), 1));
  });

  it('seals to another key than the backend’s, and is told so', async () => {
    const seed = createKeyPair('curve').seed();
    const { code, stderr } = await secretsNatsKv(['put', 'other', '--string', canary('other')], {
      url: nats.url,
      transitSeed: Buffer.from(seed).toString(),
    });
    expect(code).not.toBe(0);
    expect(stderr.toString()).toMatch(/decrypt/i);
  });
});

describe("coffer's own commands", () => {
  const creds = folder.join('ada.creds');
  const user = createKeyPair('user');

  beforeAll(() => {
    const jwt = encodeJwt(newUser(user.publicKey, 'ada'), account);
    writeFileSync(creds, formatCreds(jwt, user.seed()), { mode: 0o600 });
  });

  const wasmcloud = (args: string[], options: object = {}) => {
    const [command = '', ...rest] = args;
    return coffer(['wasmcloud', command, '--nats-address', nats.url, ...rest], options);
  };

  it('get what secrets-nats-kv’s get reads from its own bucket, for whom grants allow it', async () => {
    await kv('put', 'mine', '--string', canary('mine'));
    const refused = await wasmcloud(['get', 'mine', '--nats-creds-file', creds]);
    expect(refused.code).not.toBe(0);
    const policy = folder.join('policy.json');
    const to = [`nats:${account.publicKey}/${user.publicKey}`];
    const [shown] = await Promise.all([coffer(['policy', 'show', '--json', '-s', backend.socket])]);
    const { grants } = JSON.parse(shown.stdout.toString()) as { grants: object[] };
    const mine = { to, actions: ['get'], secrets: ['mine'] };
    writeFileSync(policy, JSON.stringify({ grants: [...grants, mine] }));
    const applied = await coffer(['policy', 'apply', policy, '-s', backend.socket]);
    expect(applied.code, applied.stderr.toString()).toBe(0);
    const got = await wasmcloud(['get', 'mine', '--nats-creds-file', creds]);
    expect(got.stdout.toString().trimEnd()).toBe(canary('mine'));
  });

  it('put and map as those do, with their arguments and environment', async () => {
    const put = await wasmcloud(['put', 'by-coffer'], { env: { SECRET_STRING_VALUE: canary('by coffer') } });
    expect(put.code, put.stderr.toString()).toBe(0);
    const mapped = await wasmcloud(['add-mapping', component.publicKey, '--secret', 'by-coffer']);
    expect(mapped.code).toBe(0);
    expect(await get('by-coffer')).toEqual(text(canary('by coffer'), 1));
    const removed = await wasmcloud(['remove-mapping', component.publicKey, '--secret', 'by-coffer']);
    expect(removed.code).toBe(0);
    expect(await get('by-coffer')).toEqual(UNAUTHORIZED);
  });

  it('take over values from secrets-nats-kv, one by one', async () => {
    const { transit: transitSeed, encryption: encryptionSeed } = backend.seeds;
    await using before = await NatsServer.start();
    await using _old = await SecretsNatsKvServer.start({ url: before.url, transitSeed, encryptionSeed });
    const env = { ENCRYPTION_XKEY_SEED: encryptionSeed };
    const old = (...args: string[]) => secretsNatsKv(args, { url: before.url, transitSeed, env });
    await old('put', 'moved', '--string', canary('moved'));
    const { stdout } = await old('get', 'moved');
    const put = await wasmcloud(['put', 'moved', '--string', '-', '--trim-space'], { input: stdout });
    expect(put.code, put.stderr.toString()).toBe(0);
    await kv('add-mapping', component.publicKey, '--secret', 'moved');
    expect(await get('moved')).toEqual(text(canary('moved'), 1));
  });
});
