/** Tokens of Rust's wascap, shown by wasmCloud's own client library to `coffer server`: who is served, and who is not any more. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createKeyPair, encodeWascap, keyPairFromSeed, seal } from '@coffer/identity';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { wascap } from '../../packages/identity/test/vectors.js';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, coffer } from '../support/servers.mjs';
import { WasmcloudClient } from '../support/wasmcloud.mjs';

const vector = (kind: string, note: string) => {
  const found = wascap.tokens.find((one) => one.kind === kind && one.note.includes(note));
  if (found === undefined) throw new Error(`no such vector: ${kind}, ${note}`);
  return found;
};
const operator = vector('operator', '');
const account = vector('account', '');
const component = vector('component', 'issued by the account key');
const bySigningKey = vector('component', "issued by the account's signing key");
const provider = vector('provider', 'issued by the account key');
const stock = vector('host', 'stock');
const SUBJECT = 'wasmcloud.secrets.v1alpha1.nats-kv';

const folder = new TemporaryFolder();
const accounts = folder.join('accounts');
let nats: NatsServer;
let server: CofferServer;
let client: WasmcloudClient;
let raw: NatsConnection;

beforeAll(async () => {
  mkdirSync(accounts);
  writeFileSync(folder.join('operator.jwt'), operator.jwt);
  writeFileSync(`${accounts}/${account.subject}.jwt`, account.jwt);
  nats = await NatsServer.start();
  const config = {
    nats: { servers: [nats.url], allowOpen: true },
    trust: { operators: [folder.join('operator.jwt')], resolver: { folder: accounts } },
  };
  writeFileSync(folder.join('coffer.yaml'), JSON.stringify(config));
  server = await CofferServer.start({ folder, args: ['--config', folder.join('coffer.yaml')] });
  await server.applyPolicy([
    { to: [`component:${account.subject}/${component.subject}`], actions: ['get'], secrets: ['app/*'] },
    { to: [`provider:${account.subject}/${provider.subject}`], actions: ['get'], secrets: ['app/db'] },
    { to: ['socket'], actions: ['admin', 'put'], secrets: ['*'] },
  ]);
  for (const name of ['app/db', 'others']) {
    const put = await coffer(['put', name, '-s', server.socket], { input: canary(name) });
    expect(put.code, put.stderr.toString()).toBe(0);
  }
  client = new WasmcloudClient(nats.url);
  raw = await connect({ servers: nats.url });
});

afterAll(async () => {
  await raw?.close();
  await client?.[Symbol.asyncDispose]();
  await server?.stop();
  await nats?.stop();
  folder[Symbol.dispose]();
});

const get = (entity_jwt: string, more: object = {}) =>
  client.get({ key: 'app/db', entity_jwt, host_jwt: stock.jwt, ...more });
const SERVED = { secret: { version: '1', string: canary('app/db'), binary: null } };
const refused = (sentence: string) => ({ error: { kind: 'server', text: sentence } });
const STRANGER = refused('Invalid Entity JWT: no trusted account has signed this token');

describe('a token of wascap', () => {
  it.each(['component', 'provider'])(
    'is served when its account signed it, by its own key or a signing key: a %s',
    async (kind) => {
      for (const note of ['issued by the account key', "issued by the account's signing key"]) {
        expect(await get(vector(kind, note).jwt)).toEqual(SERVED);
      }
    },
  );

  it.each(['component', 'provider'])('is refused when a stranger signed it: a %s', async (kind) => {
    expect(await get(vector(kind, 'stranger').jwt)).toEqual(STRANGER);
  });

  it('is refused before and after its time', async () => {
    expect(await get(vector('component', 'ten years').jwt)).toEqual(
      refused('Invalid Entity JWT: this token is not valid yet, or one of the clocks is wrong'),
    );
    expect(await get(vector('component', 'expired').jwt)).toEqual(
      refused('Invalid Entity JWT: this token has expired: sign it anew'),
    );
  });

  it.each(['operator', 'account', 'cluster', 'host'])(
    'is no component’s when it is that of another kind: %s',
    async (kind) => {
      expect(await get(vector(kind, '').jwt)).toMatchObject({ error: { kind: 'server' } });
    },
  );

  it('of a host counts whoever signed it, and no other token in its place', async () => {
    for (const { jwt } of wascap.tokens.filter(({ kind }) => kind === 'host')) {
      expect(await get(component.jwt, { host_jwt: jwt })).toEqual(SERVED);
    }
    for (const host_jwt of [component.jwt, account.jwt, 'nonsense', '']) {
      const answer = await get(component.jwt, { host_jwt });
      expect(answer).toMatchObject({ error: { text: expect.stringMatching(/^Invalid Host JWT: /) } });
    }
  });

  it('opens what grants say, and nothing else', async () => {
    const unauthorized = refused('Error fetching secret: unauthorized');
    expect(await get(component.jwt, { key: 'others' })).toEqual(unauthorized);
    expect(await get(component.jwt, { key: 'not there' })).toEqual(unauthorized);
    expect(await get(component.jwt, { key: 'app/not there' })).toEqual(refused('Secret not found'));
  });
});

/** What a host of the stock library never sends. */
describe('a message that is none of the protocol', () => {
  const ask = async (payload: Uint8Array | string, told: Readonly<Record<string, string>> | undefined) => {
    const hdrs = headers();
    for (const [name, value] of Object.entries(told ?? {})) hdrs.set(name, value);
    const answer = await raw.request(`${SUBJECT}.get`, payload, {
      timeout: 5_000,
      ...(told && { headers: hdrs }),
    });
    return answer.json();
  };
  const own = createKeyPair('curve');
  const sealed = async (plaintext: string) => {
    const transit = (await raw.request(`${SUBJECT}.server_xkey`)).string();
    return ask(seal(Buffer.from(plaintext), own, transit), { 'WasmCloud-Host-Xkey': own.publicKey });
  };

  it('is told what is wrong with it', async () => {
    expect(await ask('x', undefined)).toEqual({ error: 'InvalidHeaders' });
    expect(await ask('x', { Other: 'x' })).toEqual({ error: 'InvalidXKey' });
    for (const key of ['', 'X', account.subject, own.publicKey.slice(0, -1)]) {
      expect(await ask('x', { 'WasmCloud-Host-Xkey': key })).toEqual({ error: 'InvalidXKey' });
    }
    expect(await ask('no box', { 'WasmCloud-Host-Xkey': own.publicKey })).toEqual({
      error: 'DecryptionError',
    });
    for (const plaintext of ['', '{', '[]', '{"key":1}', '{"key":"a"}']) {
      expect(await sealed(plaintext)).toEqual({ error: 'InvalidRequest' });
    }
    const answer = await raw.request(`${SUBJECT}.nothing`, '');
    expect(answer.json()).toEqual({ error: { Other: 'unknown operation' } });
  });

  it('disturbs nobody else', async () => {
    const load = client.load({
      key: 'app/db',
      entity_jwt: component.jwt,
      host_jwt: stock.jwt,
      in_flight: 4,
      expect: canary('app/db'),
    });
    for (let i = 0; i < 500; i++) {
      await ask(Buffer.alloc(i, i), i % 2 ? { 'WasmCloud-Host-Xkey': own.publicKey } : undefined);
    }
    const { answered, others } = await load.stop();
    expect(others).toEqual({});
    expect(answered).toBeGreaterThan(0);
  });
});

/** In this order: what is taken away does not come back. */
describe('trust that is taken back', () => {
  const until = async (ask: () => ReturnType<typeof get>, answer: object) => {
    await expect.poll(ask, { timeout: 5_000, interval: 20 }).toEqual(answer);
    for (let again = 0; again < 20; again++) expect(await ask()).toEqual(answer);
  };

  it('ends a component that is revoked here, at its next request', async () => {
    const revoked = encodeWascap({ sub: component.subject, wascap: { name: 'again' } }, keyOf(account));
    expect(await get(revoked)).toEqual(SERVED);
    const { jti } = JSON.parse(Buffer.from(revoked.split('.')[1] ?? '', 'base64url').toString());
    const one = await coffer(['identity', 'revoke', '--jti', jti, '-s', server.socket]);
    expect(one.code).toBe(0);
    expect(await get(revoked)).toEqual(refused('Invalid Entity JWT: this token is revoked'));
    expect(await get(component.jwt)).toEqual(SERVED);
    const all = await coffer(['identity', 'revoke', '--key', provider.subject, '-s', server.socket]);
    expect(all.code).toBe(0);
    expect(await get(provider.jwt)).toEqual(refused('Invalid Entity JWT: this token is revoked'));
  });

  it('ends what a signing key signed, once it is no key of the account any more', async () => {
    expect(await get(bySigningKey.jwt)).toEqual(SERVED);
    using signer = keyPairFromSeed(wascap.operatorSigningSeed);
    const without = encodeWascap(
      { sub: account.subject, wascap: { name: 'acc', valid_signers: [] } },
      signer,
    );
    writeFileSync(`${accounts}/${account.subject}.jwt`, without);
    await until(
      () => get(bySigningKey.jwt),
      refused('Invalid Entity JWT: the key that signed this token is no signing key of its account any more'),
    );
    expect(await get(component.jwt)).toEqual(SERVED);
    // The token from before, put back, is older than one that was seen.
    writeFileSync(`${accounts}/${account.subject}.jwt`, account.jwt);
    await until(
      () => get(bySigningKey.jwt),
      refused('Invalid Entity JWT: the account behind this token does not allow it'),
    );
  });
});

const keyOf = ({ subjectSeed }: { readonly subjectSeed: string }) => keyPairFromSeed(subjectSeed);
