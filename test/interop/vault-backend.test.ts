/** Vault as a backend's source: real Vaults, set up as their users do, with log-ins of our own keys. */
import { inspect } from 'node:util';
import { createKeyPair } from '@coffer/identity';
import { type Requester, type SecretQuery, type SecretSource, SecretsError } from '@coffer/wasmcloud';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { VaultApi } from '../../packages/wasmcloud/src/vault/api.js';
import { VaultHttp } from '../../packages/wasmcloud/src/vault/http.js';
import { KvMounts } from '../../packages/wasmcloud/src/vault/mounts.js';
import { canary, expectNoCanary } from '../support/canary.mjs';
import { KeptVault, VaultServer } from '../support/vault.mjs';
import { Askers, Between, role, SigningKeysServer, setUp, sourceOf } from './vault-world.js';

const askers = new Askers();
let vault: VaultServer;
let keys: SigningKeysServer;
let source: SecretSource;

beforeAll(async () => {
  [vault, keys] = await Promise.all([VaultServer.start(), SigningKeysServer.start()]);
  await setUp(vault, keys.url);
  source = await sourceOf(askers, keys, { address: vault.url });
});
afterAll(async () => {
  await source?.close?.();
  await keys?.[Symbol.asyncDispose]();
  await vault?.stop();
});

type Asked = Parameters<Askers['requester']>[0];

async function read(query: SecretQuery | string, asked: Asked | Requester = {}, from = source) {
  const requester = 'entity' in asked ? asked : askers.requester(asked);
  const wanted = typeof query === 'string' ? { key: query } : query;
  const { version, kind, value } = await from.fetch(wanted, requester);
  return { version, kind, text: Buffer.from(value).toString('utf8') };
}

/** The error's code and text, and what operators see as its cause. Neither values nor tokens are in there. */
async function refused(...args: Parameters<typeof read>): Promise<string> {
  const error = await read(...args).then(
    () => expect.unreachable('it was answered'),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof SecretsError)) throw error;
  expectNoCanary(inspect(error, { depth: 10, showHidden: true }), 'an error');
  expect(inspect(error, { depth: 10 })).not.toMatch(/hv[sb]\.|eyJ/);
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : '';
  return `${error.message}${cause}`;
}

describe('a secret in KV version 2', () => {
  const data = { user: 'shop', password: canary('v2'), port: 5432, tls: { on: true }, none: null, big: 0 };

  beforeAll(async () => {
    await vault.put('shop/db', { password: canary('v1') });
    await vault.put('shop/db', data);
    await vault.put(encodeURI('shop/odd name/é'), { k: `<&>"\\u0026\u2028é\u{1F600}\n` });
    await vault.put('elsewhere', { k: canary('elsewhere') });
  });

  it('is read as a whole, as the JSON of its fields', async () => {
    const { version, kind, text } = await read('shop/db');
    expect([version, kind]).toEqual(['2', 'string']);
    expect(JSON.parse(text)).toEqual(data);
    expect(text).not.toContain('\n');
  });

  it.each([
    ['user', 'shop'],
    ['password', canary('v2')],
    ['port', '5432'],
    ['tls', '{"on":true}'],
    ['none', 'null'],
  ])('is read by its field %s', async (field, text) => {
    expect(await read({ key: 'shop/db', field })).toEqual({ version: '2', kind: 'string', text });
  });

  it('is read by a version', async () => {
    const old = { version: '1', kind: 'string', text: canary('v1') };
    expect(await read({ key: 'shop/db', field: 'password', version: '1' })).toEqual(old);
    expect(await read({ key: 'shop/db', version: '2' })).toMatchObject({ version: '2' });
  });

  it('is read under whatever name it has, and as it was written', async () => {
    expect(await read({ key: 'shop/odd name/é', field: 'k' })).toMatchObject({
      text: `<&>"\\u0026\u2028é\u{1F600}\n`,
    });
  });

  it('is seen as soon as it is another', async () => {
    await vault.put('shop/new', { k: 'one' });
    expect(await read({ key: 'shop/new', field: 'k' })).toMatchObject({ version: '1', text: 'one' });
    await vault.put('shop/new', { k: 'two' });
    expect(await read({ key: 'shop/new', field: 'k' })).toMatchObject({ version: '2', text: 'two' });
  });

  it('is not found where there is none, nor in versions and fields that it does not have', async () => {
    expect(await refused('shop/none')).toMatch(/^SecretNotFound \(.* there is none/);
    expect(await refused({ key: 'shop/db', version: '3' })).toMatch(/^SecretNotFound/);
    expect(await refused({ key: 'shop/db', field: 'pass' })).toBe(
      'SecretNotFound (the secret is not in Vault: it has no field "pass")',
    );
    expect(await refused({ key: 'shop/db', version: 'two' })).toMatch(/^InvalidRequest/);
    expect(await refused('shop/../elsewhere')).toMatch(/^InvalidRequest/);
  });

  it('is not found when its version is deleted or destroyed, and is when that is undone', async () => {
    for (const n of [1, 2, 3]) await vault.put('shop/gone', { k: `${n}` });
    await vault.call('POST', 'secret/delete/shop/gone', { versions: [1, 3] });
    await vault.call('PUT', 'secret/destroy/shop/gone', { versions: [2] });
    expect(await refused('shop/gone')).toMatch(/^SecretNotFound \(.* version 3 is deleted/);
    expect(await refused({ key: 'shop/gone', version: '1' })).toMatch(
      /^SecretNotFound \(.* version 1 is deleted/,
    );
    expect(await refused({ key: 'shop/gone', version: '2' })).toMatch(/^SecretNotFound \(.* 2 is destroyed/);
    await vault.call('POST', 'secret/undelete/shop/gone', { versions: [3] });
    expect(await read({ key: 'shop/gone', field: 'k' })).toMatchObject({ version: '3', text: '3' });
  });

  it('is read in another engine that the policy names', async () => {
    await vault.mount('kv2', 2);
    await vault.put('shop/db', { k: canary('kv2') }, { mount: 'kv2' });
    const properties = { roleName: 'shop', secretEnginePath: 'kv2/' };
    expect(await read({ key: 'shop/db', field: 'k' }, { properties })).toMatchObject({ text: canary('kv2') });
  });

  it('is not read where Vault’s policies do not allow it', async () => {
    expect(await refused('elsewhere')).toMatch(/^Unauthorized \(Vault refuses: .*permission denied/);
    const properties = { role_name: 'shop', secret_engine_path: 'nowhere' };
    expect(await refused('shop/db', { properties })).toMatch(/^Unauthorized/);
  });
});

it('a secret in KV version 1 is read, and so is one in an engine that becomes version 2', async () => {
  await vault.mount('kv1', 1);
  await vault.call('POST', 'kv1/shop/db', { password: canary('one'), port: 1 });
  const asked = { properties: { role_name: 'shop', secret_engine_path: 'kv1' } };
  expect(await read({ key: 'shop/db', field: 'port' }, asked)).toEqual({
    version: 'current',
    kind: 'string',
    text: '1',
  });
  expect(JSON.parse((await read('shop/db', asked)).text)).toEqual({ password: canary('one'), port: 1 });
  expect(await refused('shop/none', asked)).toMatch(/^SecretNotFound/);
  expect(await refused({ key: 'shop/db', version: '1' }, asked)).toMatch(
    /^UpstreamError: .*keeps no versions/,
  );
});

describe('an engine', () => {
  it('is of the version that is told where Vault does not say it, and no other engine is', async () => {
    await using between = await Between.start(vault.url);
    between.instead = ({ url = '' }, answer) => {
      if (url.startsWith('/v1/sys/internal/')) answer(403, { errors: ['permission denied'] });
      return url.startsWith('/v1/sys/internal/');
    };
    await vault.put('shop/told', { k: 'told' });
    const untold = await sourceOf(askers, keys, { address: between.url });
    expect(await refused('shop/told', {}, untold)).toMatch(/^Unauthorized/);
    const told = await sourceOf(askers, keys, { address: between.url, kvVersion: 2 });
    const wanted = { key: 'shop/told', field: 'k' };
    for (const _ of [1, 2]) expect(await read(wanted, {}, told)).toMatchObject({ text: 'told' });
    await vault.mount('untold', 2);
    const other = { properties: { role_name: 'shop', secret_engine_path: 'untold' } };
    expect(await refused(wanted, other, told)).toMatch(/^Unauthorized/);
    await Promise.all([untold.close?.(), told.close?.()]);
  });

  it('is of the version that Vault says, whatever is told, and of no other kind', async () => {
    await vault.put('shop/mistold', { k: canary('mistold') });
    const told = await sourceOf(askers, keys, { address: vault.url, kvVersion: 1 });
    // As a key of version 1 this would be another secret than the one that a grant names.
    expect(await refused('data/shop/mistold', {}, told)).toMatch(/^(Unauthorized|SecretNotFound)/);
    expect(await read('shop/mistold', {}, told)).toMatchObject({ version: '1' });
    await vault.call('POST', 'sys/mounts/told', { type: 'transit' });
    const other = await sourceOf(askers, keys, { address: vault.url, kvVersion: 1, enginePath: 'told' });
    expect(await refused('keys/shop', {}, other)).toMatch(/^(PolicyError: the engine told|Unauthorized)/);
    await Promise.all([told.close?.(), other.close?.()]);
  });

  it('that is of another kind, or a folder of one, is refused', async () => {
    await vault.call('POST', 'sys/mounts/transit', { type: 'transit' });
    await vault.call('POST', 'transit/keys/shop');
    const at = (secret_engine_path: string) => ({ properties: { role_name: 'shop', secret_engine_path } });
    expect(await refused('keys/shop', at('transit'))).toBe(
      'PolicyError: the engine transit in Vault holds no KV secrets, but is of type transit',
    );
    await vault.mount('folder', 2);
    expect(await refused('shop/db', at('folder/data'))).toBe(
      'PolicyError: folder/data is a folder of the engine folder in Vault: it belongs to the key',
    );
    expect(await refused('lookup-self', at('auth/token'))).toMatch(/^PolicyError/);
  });
});

it('that one asks for many engines pushes out none that another one has asked for', async () => {
  const api = new VaultApi(await VaultHttp.at(vault.url), 0);
  onTestFinished(() => api.close());
  const mounts = new KvMounts(api, { timeoutMs: 5_000, bounds: { most: 4, share: 2 } });
  const root = { token: vault.token, namespace: undefined, until: 0, leaseEnd: 0, uses: 1 };
  // One without namespaces takes any.
  const engine = (namespace?: string) => ({ namespace, engine: 'secret', enginePath: 'secret' });
  const ask = (owner: string, namespace?: string) => mounts.ask(engine(namespace), { owner, client: root });
  await ask('other');
  for (const n of [1, 2, 3, 4, 5]) await ask('one', `n${n}`);
  const known = [undefined, 'n1', 'n2', 'n3', 'n4', 'n5'].map((name) => mounts.known(engine(name)));
  expect(known).toEqual([2, undefined, undefined, undefined, 2, 2]);
  for (const owner of ['third', 'fourth']) await ask(owner, owner);
  await ask('fifth', 'fifth');
  expect([undefined, 'n4', 'n5', 'third', 'fifth'].map((name) => mounts.known(engine(name)))).toEqual([
    undefined,
    undefined,
    2,
    2,
    2,
  ]);
});

it('that one asks for what others have asked for makes it not its own, and the engine of the settings stays', async () => {
  const api = new VaultApi(await VaultHttp.at(vault.url), 0);
  onTestFinished(() => api.close());
  const engine = (namespace?: string) => ({ namespace, engine: 'secret', enginePath: 'secret' });
  const standing = { ...engine(), version: undefined };
  const mounts = new KvMounts(api, { timeoutMs: 5_000, bounds: { most: 3, share: 1 }, standing });
  const root = { token: vault.token, namespace: undefined, until: 0, leaseEnd: 0, uses: 1 };
  const ask = (owner: string, namespace?: string) => mounts.ask(engine(namespace), { owner, client: root });
  const known = (...names: (string | undefined)[]) => names.map((name) => mounts.known(engine(name)));
  await ask('other', 'n1');
  for (const name of [undefined, 'n1', 'n2', 'n3']) await ask('one', name);
  expect(known(undefined, 'n1', 'n2', 'n3')).toEqual([2, 2, undefined, 2]);
  for (const owner of ['third', 'fourth', 'fifth']) await ask(owner, owner);
  expect(known(undefined, 'n1', 'third')).toEqual([2, undefined, 2]);
});

describe('a log-in', () => {
  beforeAll(async () => {
    await vault.put('shop/login', { k: canary('login') });
  });
  const wanted = { key: 'shop/login', field: 'k' };

  it('is of the application that a believed host names, and of no other', async () => {
    expect(await read(wanted)).toMatchObject({ text: canary('login') });
    const wrong = /^Unauthorized \(Vault refuses the log-in at auth\/jwt for the role "shop": .*bound claim/;
    expect(await refused(wanted, { application: 'other' })).toMatch(wrong);
    expect(await refused(wanted, { hostJwt: askers.strangerJwt })).toMatch(wrong);
  });

  it('is of no application of any host, unless hosts are listed', async () => {
    const unlisted = await sourceOf(askers, keys, { address: vault.url, applicationHosts: undefined });
    expect(await refused(wanted, {}, unlisted)).toMatch(/^Unauthorized/);
    await role(vault, 'any', { bound_claims: { application: '' } });
    expect(await read(wanted, { properties: { role_name: 'any' } }, unlisted)).toHaveProperty('text');
    await unlisted.close?.();
  });

  it('is of the entity by its key, and by what its token and its host’s say', async () => {
    const bound = {
      entity: askers.component.publicKey,
      '/component/iss': askers.account.publicKey,
      '/host/sub': askers.host.publicKey,
    };
    await role(vault, 'entity', { bound_claims: bound });
    const properties = { role_name: 'entity' };
    expect(await read(wanted, { properties, application: 'any' })).toHaveProperty('text');
    expect(await refused(wanted, { properties, entityJwt: askers.providerJwt })).toMatch(/^Unauthorized/);
  });

  it('says of which backend it is, and whether its host is one that is believed', async () => {
    const named = await sourceOf(askers, keys, { address: vault.url, name: 'shop-vault' });
    await role(vault, 'backend', { bound_claims: { backend: 'shop-vault' } });
    const properties = { role_name: 'backend' };
    expect(await read(wanted, { properties }, named)).toHaveProperty('text');
    expect(await refused(wanted, { properties })).toMatch(/^Unauthorized/);
    await role(vault, 'believed', { bound_claims: { host_trusted: true } });
    const believed = { properties: { role_name: 'believed' } };
    expect(await read(wanted, believed)).toHaveProperty('text');
    expect(await refused(wanted, { ...believed, hostJwt: askers.strangerJwt })).toMatch(/^Unauthorized/);
    await named.close?.();
  });

  it('has the entity token’s id as its subject', async () => {
    const { jti } = askers.requester().entity;
    await role(vault, 'subject', { bound_subject: jti });
    const properties = { role_name: 'subject' };
    expect(await read(wanted, { properties })).toHaveProperty('text');
    expect(await refused(wanted, { properties, entityJwt: askers.again() })).toMatch(/^Unauthorized/);
  });

  it('is refused for a role that there is not, and where there is no auth method', async () => {
    expect(await refused(wanted, { properties: { role_name: 'none' } })).toMatch(/^Unauthorized \(.*"none"/);
    const nowhere = { role_name: 'shop', mount_path: 'nowhere' };
    expect(await refused(wanted, { properties: nowhere })).toMatch(/auth\/nowhere/);
    expect(await refused(wanted, { properties: {} })).toMatch(/^PolicyError: .* no role/);
  });

  it('goes to the auth method that the policy names', async () => {
    await setUp(vault, keys.url, { mount: 'wasm/jwt' });
    await vault.call('DELETE', 'auth/wasm/jwt/role/shop');
    await role(vault, 'there', {}, { mount: 'wasm/jwt' });
    const properties = { role_name: 'there', mount_path: 'wasm/jwt' };
    expect(await read(wanted, { properties })).toHaveProperty('text');
    expect(await refused(wanted, { properties: { role_name: 'there' } })).toMatch(/^Unauthorized/);
  });

  it('with a key that Vault cannot check is Vault’s failure, and nobody’s rights', async () => {
    const stranger = { current: () => createKeyPair('server'), all: () => [] };
    const unknown = await sourceOf(askers, keys, { address: vault.url, signingKeys: stranger });
    expect(await refused(wanted, {}, unknown)).toMatch(
      /^UpstreamError: Vault refuses the log-in .*signature/,
    );
    const audience = await sourceOf(askers, keys, { address: vault.url, audience: 'another' });
    expect(await refused(wanted, {}, audience)).toMatch(/^UpstreamError: .*audience/);
    await Promise.all([unknown.close?.(), audience.close?.()]);
    const gone = await SigningKeysServer.start();
    await setUp(vault, gone.url, { mount: 'gone' });
    const unfetched = await sourceOf(askers, gone, { address: vault.url, authMount: 'gone' });
    await gone[Symbol.asyncDispose]();
    expect(await refused(wanted, {}, unfetched)).toMatch(
      /^UpstreamError: Vault refuses the log-in at auth\/gone/,
    );
    await unfetched.close?.();
  });
});

describe('the keys of log-ins', () => {
  it('are changed without a log-in that fails: Vault takes the old and the new one for as long as both are told', async () => {
    await using rotated = await SigningKeysServer.start();
    await setUp(vault, rotated.url, { mount: 'rotated' });
    await vault.put('shop/rotated', { k: canary('rotated') });
    const open = () => sourceOf(askers, rotated, { address: vault.url, authMount: 'rotated' });
    const [before, during, after] = await Promise.all([open(), open(), open()]);
    const wanted = { key: 'shop/rotated', field: 'k' };
    expect(await read(wanted, {}, before)).toHaveProperty('text');
    const [old] = rotated.keys;
    rotated.keys = [createKeyPair('server'), ...rotated.keys];
    // A log-in with the new key has Vault read the keys again; what the old one signs it still takes.
    expect(await read(wanted, {}, during)).toHaveProperty('text');
    const byOld = await sourceOf(askers, rotated, {
      address: vault.url,
      authMount: 'rotated',
      signingKeys: { current: () => old as never, all: () => [] },
    });
    expect(await read(wanted, {}, byOld)).toHaveProperty('text');
    rotated.keys.pop();
    expect(await read(wanted, {}, after)).toHaveProperty('text');
    expect(await read(wanted, {}, before)).toHaveProperty('text');
    await Promise.all([before, during, after, byOld].map((one) => one.close?.()));
  });
});

describe('Vault’s client tokens', () => {
  const wanted = { key: 'shop/tokens', field: 'k' };
  let between: Between;
  let counted: SecretSource;

  beforeAll(async () => {
    await vault.put('shop/tokens', { k: canary('tokens') });
    between = await Between.start(vault.url);
  });
  afterAll(async () => {
    await between?.[Symbol.asyncDispose]();
  });
  const open = async () => {
    counted = await sourceOf(askers, keys, { address: between.url });
    between.seen.length = 0;
    between.instead = () => false;
    between.before = async () => {};
    return counted;
  };

  it('are kept: 32 callers of one entity cost little more than a request for each get', async () => {
    await using _ = closing(await open());
    const gets = 640;
    let left = gets;
    const caller = async () => {
      while (left-- > 0) expect(await read(wanted, {}, counted)).toMatchObject({ text: canary('tokens') });
    };
    await Promise.all(Array.from({ length: 32 }, caller));
    expect(between.count('auth/jwt/login')).toBe(1);
    expect(between.seen.length / gets).toBeLessThanOrEqual(1.05);
  });

  it('are each for who logged in with them', async () => {
    await using _ = closing(await open());
    await role(vault, 'tokens', {});
    await read(wanted, {}, counted);
    const others = [
      { entityJwt: askers.again() },
      { properties: { role_name: 'tokens' } },
      { properties: { role_name: 'shop', mount_path: 'jwt', namespace: 'root' } },
    ];
    for (const other of others) await read(wanted, other, counted).catch(() => {});
    // The application is a part of it; and a host that is not believed has none.
    expect(await refused(wanted, { application: 'other' }, counted)).toMatch(/^Unauthorized/);
    expect(await refused(wanted, { hostJwt: askers.strangerJwt }, counted)).toMatch(/^Unauthorized/);
    expect(between.count('auth/jwt/login')).toBe(6);
    await read(wanted, {}, counted);
    expect(between.count('auth/jwt/login')).toBe(6);
  });

  it('that are revoked are replaced, once for all who use them', async () => {
    await using _ = closing(await open());
    await read(wanted, {}, counted);
    await vault.call('PUT', 'sys/leases/revoke-prefix/auth/jwt/login', {});
    between.seen.length = 0;
    const all = await Promise.all(Array.from({ length: 8 }, () => read(wanted, {}, counted)));
    expect(all.map(({ text }) => text)).toEqual(Array(8).fill(canary('tokens')));
    expect(between.count('auth/jwt/login')).toBe(1);
  });

  it('that are of a time when the role allowed less are replaced', async () => {
    await using _ = closing(await open());
    await role(vault, 'grows', { token_policies: ['default'] });
    const asked = { properties: { role_name: 'grows' } };
    expect(await refused(wanted, asked, counted)).toMatch(/^Unauthorized/);
    await role(vault, 'grows', { token_policies: ['shop'] });
    expect(await read(wanted, asked, counted)).toHaveProperty('text');
  });

  it('are not asked for again and again by who may not read', async () => {
    await using _ = closing(await open());
    await read(wanted, {}, counted);
    between.seen.length = 0;
    expect(await refused('elsewhere', {}, counted)).toMatch(/^Unauthorized/);
    expect(between.count('auth/jwt/login')).toBe(1);
    expect(between.count('secret/data/elsewhere')).toBe(2);
  });

  it('are not made for each of many gets that are refused', async () => {
    await using _ = closing(await open());
    await read(wanted, {}, counted);
    between.seen.length = 0;
    for (let n = 0; n < 100; n++) expect(await refused(`elsewhere/${n}`, {}, counted)).toMatch(/^Unauthor/);
    expect(between.count('auth/jwt/login')).toBeLessThanOrEqual(2);
    // The one that is there is taken from nobody.
    expect(await read(wanted, {}, counted)).toHaveProperty('text');
    expect(between.count('auth/jwt/login')).toBeLessThanOrEqual(2);
  });

  it('are had by who may have them, however many log-ins of the same entity are refused', async () => {
    await using _ = closing(await open());
    const byOther = (role_name: string) => ({ properties: { role_name }, hostJwt: askers.newHostJwt() });
    for (let n = 0; n < 110; n++) await refused(wanted, byOther(`made-up-${n}`), counted);
    for (let n = 0; n < 15; n++) await refused(wanted, byOther('shop'), counted);
    expect(between.count('auth/jwt/login')).toBe(125);
    expect(await read(wanted, {}, counted)).toHaveProperty('text');
  });

  it('are not pushed out by those of a stranger, who signs a token for the same key', async () => {
    await using _ = closing(await open());
    await role(vault, 'anybody', { bound_claims: {} });
    await read(wanted, {}, counted);
    const entityJwt = askers.forged();
    const stranger = () => ({
      properties: { role_name: 'anybody' },
      entityJwt,
      hostJwt: askers.newHostJwt(),
    });
    for (let n = 0; n < 101; n++) await read(wanted, stranger(), counted);
    between.seen.length = 0;
    expect(await read(wanted, {}, counted)).toHaveProperty('text');
    expect(between.count('auth/jwt/login')).toBe(0);
  });

  it('are not taken away from who may read by who may not', async () => {
    await using _ = closing(await open());
    await read(wanted, {}, counted);
    // Each time that the one is on its way, the other has been refused.
    between.before = async ({ url = '' }) => {
      if (url.endsWith('/shop/tokens'))
        expect(await refused('elsewhere', {}, counted)).toMatch(/^Unauthorized/);
    };
    expect(await read(wanted, {}, counted)).toHaveProperty('text');
    expect(between.count('secret/data/shop/tokens')).toBe(2);
  });

  it('of a short lease are replaced before it ends', async () => {
    await using _ = closing(await open());
    await role(vault, 'short', { token_ttl: '2s' });
    const asked = { properties: { role_name: 'short' } };
    let gets = 0;
    await expect
      .poll(async () => {
        gets++;
        await read(wanted, asked, counted);
        return between.count('auth/jwt/login');
      })
      .toBeGreaterThan(2);
    // Never with one that had ended: none was refused, and asked again.
    expect(between.count('secret/data/shop/tokens')).toBe(gets);
  });

  it('that are good for few uses are used so often', async () => {
    await using _ = closing(await open());
    await role(vault, 'few', { token_num_uses: 3 });
    for (let n = 0; n < 5; n++) await read(wanted, { properties: { role_name: 'few' } }, counted);
    expect(between.count('auth/jwt/login')).toBeLessThanOrEqual(3);
  });

  it('that are good for one use are enough, although Vault is asked for the engine, too', async () => {
    await using _ = closing(await open());
    await role(vault, 'one', { token_num_uses: 1 });
    const asked = { properties: { role_name: 'one' } };
    for (const _ of [1, 2]) expect(await read(wanted, asked, counted)).toHaveProperty('text');
  });

  it('are ended when the source is closed', async () => {
    // Of an auth method of its own: of others some end by themselves meanwhile.
    await setUp(vault, keys.url, { mount: 'ending' });
    const asked = { properties: { role_name: 'shop', mount_path: 'ending' } };
    const leases = async () =>
      await vault.call('GET', 'sys/leases/lookup/auth/ending/login?list=true').then(
        ({ data }) => (data.keys as string[]).length,
        () => 0,
      );
    await open();
    await read(wanted, asked, counted);
    expect(await leases()).toBe(1);
    // Another one takes its place, and it is ended as well.
    await refused('elsewhere', asked, counted);
    expect(await leases()).toBe(2);
    await counted.close?.();
    expect(await leases()).toBe(0);
  });
});

describe('a network, and a Vault, that have their troubles', () => {
  const wanted = { key: 'shop/troubles', field: 'k' };
  const text = canary('troubles');
  let between: Between;
  let troubled: SecretSource;

  beforeAll(async () => {
    await vault.put('shop/troubles', { k: text });
    between = await Between.start(vault.url);
    troubled = await sourceOf(askers, keys, { address: between.url, timeoutSeconds: 2 });
    await read(wanted, {}, troubled);
  });
  afterAll(async () => {
    between.instead = () => false;
    await troubled?.close?.();
    await between?.[Symbol.asyncDispose]();
  });

  /** For the next so many requests. */
  const next = (times: number, instead: Between['instead']) => {
    between.seen.length = 0;
    between.instead = (incoming, answer) => times-- > 0 && instead(incoming, answer);
  };
  const answering =
    (status: number, body: object = { errors: [] }, headers = {}): Between['instead'] =>
    (_, answer) => {
      answer(status, body, headers);
      return true;
    };

  it.each([500, 502, 503, 429, 412])('%i twice is asked again', async (status) => {
    next(2, answering(status));
    expect(await read(wanted, {}, troubled)).toMatchObject({ text });
    expect(between.seen).toHaveLength(3);
  });

  it('a connection that breaks is made again', async () => {
    next(2, (incoming) => {
      incoming.socket.resetAndDestroy();
      return true;
    });
    expect(await read(wanted, {}, troubled)).toMatchObject({ text });
    expect(between.seen).toHaveLength(3);
  });

  it('what does not pass is an UpstreamError that says why, after as many times as are allowed', async () => {
    next(9, answering(500, { errors: ['storage is gone', `hvs.${'A'.repeat(90)}`] }));
    expect(await refused(wanted, {}, troubled)).toBe(
      'UpstreamError: Vault answers 500: storage is gone; [token]',
    );
    expect(between.seen).toHaveLength(3);
  });

  it('a rate limit is kept to, and not waited for longer than anybody waits', async () => {
    next(1, answering(429, {}, { 'Retry-After': '1' }));
    const start = performance.now();
    expect(await read(wanted, {}, troubled)).toMatchObject({ text });
    expect(performance.now() - start).toBeGreaterThan(900);
    next(
      9,
      answering(
        429,
        { errors: ['request path "secret/": rate limit quota exceeded'] },
        { 'Retry-After': '60' },
      ),
    );
    expect(await refused(wanted, {}, troubled)).toMatch(/^UpstreamError: Vault limits the rate of requests/);
    expect(between.seen).toHaveLength(1);
  });

  it.each([
    [503, { errors: ['Vault is sealed'] }, 'UpstreamError: Vault is sealed'],
    [307, {}, 'UpstreamError: Vault stands by at this address'],
    [418, { errors: ['no'] }, 'UpstreamError: Vault answers 418: no'],
    [200, { data: [] }, 'UpstreamError: Vault gives an answer that KV does not give'],
    [
      200,
      { data: { data: 'text', metadata: { version: 1 } } },
      'UpstreamError: Vault gives an answer that KV',
    ],
  ])('%i %j is an error at once', async (status, body, error) => {
    next(9, answering(status, body, status === 307 ? { Location: 'https://other.example/v1/' } : {}));
    expect(await refused(wanted, {}, troubled)).toContain(error);
    expect(between.seen).toHaveLength(1);
  });

  it('an answer without an end is not read to its end', async () => {
    next(1, (_, answer) => {
      answer(200, Buffer.alloc(9 * 2 ** 20, '{'));
      return true;
    });
    expect(await refused(wanted, {}, troubled)).toBe(
      'UpstreamError: Vault gives an answer that is larger than any secret',
    );
  });

  it('an answer that does not come is waited for as long as is said, and not when nobody waits', async () => {
    next(9, () => true);
    const start = performance.now();
    expect(await refused(wanted, {}, troubled)).toBe(
      'UpstreamError: Vault cannot be reached (no answer in time)',
    );
    expect(performance.now() - start).toBeGreaterThan(1_900);
    const controller = new AbortController();
    const waiting = troubled.fetch(wanted, askers.requester(), controller.signal);
    controller.abort(new Error('nobody waits'));
    await expect(waiting).rejects.toThrow('nobody waits');
  });

  it('a log-in fails alike, for all who wait for it', async () => {
    const asked = { entityJwt: askers.again() };
    next(9, answering(503, { errors: ['Vault is sealed'] }));
    const all = await Promise.all([1, 2, 3].map(() => refused(wanted, asked, troubled)));
    expect(new Set(all)).toEqual(new Set(['UpstreamError: Vault is sealed']));
    expect(between.seen).toHaveLength(1);
    next(0, () => false);
    expect(await read(wanted, asked, troubled)).toMatchObject({ text });
  });
});

it('a namespace of the policy is asked in, at each step', async () => {
  await using between = await Between.start(vault.url);
  const spaced = await sourceOf(askers, keys, { address: between.url, namespace: 'team' });
  await read('shop/db', {}, spaced).catch(() => {});
  const properties = { role_name: 'shop', namespace: '/team/a/' };
  await read('shop/db', { properties }, spaced).catch(() => {});
  const namespaces = new Set(between.seen.map(({ namespace }) => namespace));
  expect(namespaces).toEqual(new Set(['team', 'team/a']));
  await spaced.close?.();
});

it('a Vault that is sealed, restarted and unsealed says so, and answers again as it did', async () => {
  await using kept = await KeptVault.start();
  await kept.mount('secret', 2);
  await setUp(kept, keys.url);
  await kept.put('shop/kept', { k: canary('kept') });
  const wanted = { key: 'shop/kept', field: 'k' };
  const from = await sourceOf(askers, keys, { address: kept.url });
  const unready = () => from.unready?.(AbortSignal.timeout(5_000));
  expect(await read(wanted, {}, from)).toMatchObject({ text: canary('kept') });
  expect(await unready()).toBeUndefined();
  await kept.seal();
  expect(await refused(wanted, {}, from)).toBe('UpstreamError: Vault is sealed');
  expect(await unready()).toBe('Vault is sealed');
  await kept.unseal();
  expect(await read(wanted, {}, from)).toMatchObject({ text: canary('kept') });
  await kept.pause();
  const gone = 'Vault cannot be reached (connection refused)';
  expect(await refused(wanted, {}, from)).toBe(`UpstreamError: ${gone}`);
  expect(await unready()).toBe(gone);
  await kept.restart();
  expect(await refused(wanted, { entityJwt: askers.again() }, from)).toBe('UpstreamError: Vault is sealed');
  await kept.unseal();
  expect(await read(wanted, {}, from)).toMatchObject({ text: canary('kept') });
  expect(await unready()).toBeUndefined();
  await from.close?.();
});

it('a Vault that stands by hands on, and says so when there is nobody to hand on to', async () => {
  const [active, standby] = await KeptVault.startTwo();
  await using _active = active;
  await using _standby = standby;
  await active.mount('secret', 2);
  await setUp(active, keys.url);
  await expect.poll(() => active.put('shop/two', { k: canary('two') }).catch(() => 0)).toBe(1);
  const wanted = { key: 'shop/two', field: 'k' };
  const from = await sourceOf(askers, keys, { address: standby.url });
  const answer = () => read(wanted, {}, from).catch((error: unknown) => String(error));
  await expect.poll(answer).toMatchObject({ text: canary('two') });
  const unready = () => from.unready?.(AbortSignal.timeout(5_000));
  expect(await unready()).toBeUndefined();
  await active.pause();
  await expect.poll(answer).toMatch(/UpstreamError: Vault stands by at this address, and cannot hand on/);
  await expect.poll(unready, { timeout: 60_000 }).toBe('Vault stands by, and has lost the active one');
  await from.close?.();
});

it.each([
  [{ address: 'vault.example.com' }, /https:\/\/HOST:PORT/],
  [{ address: 'https://user:pass@vault.example.com' }, /https:\/\/HOST:PORT/],
  [{ timeoutSeconds: 0 }, /timeoutSeconds/],
  [{ retries: 1000 }, /retries/],
  [{ kvVersion: 3 as never }, /kvVersion/],
  [{ authMount: '../sys' }, /mount_path/],
  [{ enginePath: 'sys' }, /secret_engine_path/],
  [{ address: 'http://vault.example.com:8200' }, /without TLS .* insecureHttp: true/],
  [{ namespace: 'a b' }, /namespace/],
])('is not opened with %j', async (options, message) => {
  await expect(sourceOf(askers, keys, { address: vault.url, ...options })).rejects.toThrow(message);
});

const closing = (one: SecretSource): AsyncDisposable => ({
  [Symbol.asyncDispose]: async () => await one.close?.(),
});
