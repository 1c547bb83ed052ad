/** By which keys a real Vault lets coffer in: those of one backend, and none that was retired. */
import { generateKeyPairSync } from 'node:crypto';
import { createKeyPair, type KeyPair, keyPairFromBytes } from '@coffer/identity';
import { describe, expect, it, onTestFinished } from 'vitest';
import { backendConfigs } from '../../packages/server/src/config/backends.js';
import { newKeys } from '../../packages/server/test/nats-world.js';
import { WasmWorld } from '../../packages/server/test/wasm-world.js';
import { VaultApi } from '../../packages/wasmcloud/src/vault/api.js';
import { Forgetting } from '../../packages/wasmcloud/src/vault/forget.js';
import { VaultHttp } from '../../packages/wasmcloud/src/vault/http.js';
import { loginToken } from '../../packages/wasmcloud/src/vault/login-token.js';
import { Places } from '../../packages/wasmcloud/src/vault/places.js';
import { canary } from '../support/canary.mjs';
import { VaultServer } from '../support/vault.mjs';
import { Askers, policyOf, role, SigningKeysServer, setUp } from './vault-world.js';

const host = createKeyPair('server');

async function startVault(): Promise<VaultServer> {
  const vault = await VaultServer.start();
  onTestFinished(async () => void (await vault.stop()));
  await vault.put('shop/db', { password: canary('password') });
  return vault;
}

/** Backends of these names, with one Vault behind all of them, whose policies may name any auth method. */
async function start(vault: VaultServer, names: readonly string[]) {
  const notices: string[] = [];
  const settings = {
    address: vault.url,
    applicationHosts: { keys: [host.publicKey] },
    allow: { authMounts: ['*'] },
  };
  const stated = names.map((name) => ({
    name,
    kind: 'vault' as const,
    grants: 'upstream' as const,
    settings,
  }));
  const world = await WasmWorld.start(
    { listen: '127.0.0.1:0', backends: backendConfigs(stated, undefined) },
    { options: { onNotice: (sentence) => void notices.push(sentence) } },
  );
  return { world, notices };
}

const asked = (world: WasmWorld, backend: string, mount: string) => ({
  backend,
  hostJwt: world.token(host, host),
  application: { name: 'shop', policy: policyOf({ role_name: 'shop', mount_path: mount }) },
  field: 'password',
});

describe('two backends with one Vault', () => {
  it('are each let in where Vault reads their own keys, and nowhere else', async () => {
    const vault = await startVault();
    const { world, notices } = await start(vault, ['a', 'b']);
    expect(notices).toContainEqual(expect.stringContaining('The backends a and b have the same audience'));
    const keys = `${world.server.url}/.well-known/keys`;
    await setUp(vault, `${keys}/a`, { mount: 'of-a' });
    await setUp(vault, `${keys}/b`, { mount: 'of-b' });
    await setUp(vault, keys, { mount: 'of-all' });
    const got = (backend: string, mount: string) => world.refusal('shop/db', asked(world, backend, mount));
    const answered = `got string 1 ${canary('password')}`;
    const refused = expect.stringMatching(/^UpstreamError: Vault refuses the log-in at auth\/of-/);
    expect([await got('a', 'of-a'), await got('b', 'of-b')]).toEqual([answered, answered]);
    expect([await got('a', 'of-b'), await got('b', 'of-a')]).toEqual([refused, refused]);
    expect([await got('a', 'of-all'), await got('b', 'of-all')]).toEqual([answered, answered]);
  }, 60_000);
});

describe('a signing key that is retired', () => {
  it('lets nobody in any more, in no auth method where somebody has logged in', async () => {
    const vault = await startVault();
    const { world, notices } = await start(vault, ['vault']);
    const mounts = ['jwt', 'wasm/jwt'];
    const keys = `${world.server.url}/.well-known/keys/vault`;
    for (const mount of mounts) {
      await setUp(vault, keys, { mount });
      expect(await world.get('shop/db', asked(world, 'vault', mount))).toMatch(/^string 1/);
    }
    const [first] = world.server.engine.signingKeys('vault');
    if (first === undefined) throw new Error('there is no key');
    using leaked = keyPairFromBytes('server', first.seed);
    await world.post('transit-keys/rotate', { backend: 'vault', use: 'signing' });
    expect(await Promise.all(mounts.map((mount) => byHand(vault, leaked, mount)))).toEqual(['in', 'in']);
    await world.post('transit-keys/retire', { backend: 'vault', publicKey: leaked.publicKey });
    for (const mount of mounts) {
      await expect
        .poll(() => byHand(vault, leaked, mount), { timeout: 10_000 })
        .toMatch(/failed to verify id token signature/);
    }
    // The next one is of use at once.
    const other = { ...asked(world, 'vault', 'jwt'), entityJwt: world.token(newKeys('component')) };
    expect(await world.get('shop/db', other)).toMatch(/^string 1/);
    expect(notices.filter((sentence) => sentence.includes('may still take'))).toEqual([]);
  }, 60_000);
});

it('a Vault that cannot read the keys anew, or was given them, is told of to a person, and so is what is forgotten', async () => {
  const vault = await startVault();
  await using shown = await SigningKeysServer.start();
  const gone = await SigningKeysServer.start();
  await setUp(vault, shown.url);
  await setUp(vault, gone.url, { mount: 'gone' });
  await setUp(vault, shown.url, { mount: 'lost' });
  await vault.call('DELETE', 'auth/lost/role/shop');
  await gone[Symbol.asyncDispose]();
  await vault.call('POST', 'sys/auth/given', { type: 'jwt' });
  const { publicKey: pem } = generateKeyPairSync('ed25519');
  const given = { jwt_validation_pubkeys: [pem.export({ type: 'spki', format: 'pem' })] };
  await vault.call('POST', 'auth/given/config', given);
  await role(vault, 'shop', {}, { mount: 'given' });
  const api = new VaultApi(await VaultHttp.at(vault.url), 0);
  onTestFinished(() => api.close());
  const place = (authPath: string) => ({ namespace: undefined, authPath, role: 'shop' });
  const notices: string[] = [];
  let told = () => {};
  const all = new Promise<void>((resolve) => (told = resolve));
  const onNotice = (sentence: string) => {
    notices.push(sentence);
    if (/than are remembered/.test(sentence)) told();
  };
  const places = new Places([place('jwt')], { owners: 10, ofOne: 2 });
  for (const mount of ['gone', 'lost']) places.add('one', place(mount));
  places.add('other', place('given'));
  // However many another one names, they push out its own alone.
  for (const mount of ['jwt', 'jwt2', 'jwt3', 'given']) places.add('third', place(mount));
  const options = { audience: 'Vault', timeoutMs: 5_000, onNotice, afterMs: [0, 1] };
  shown.asked = 0;
  new Forgetting(api, options, places).begin();
  await all;
  expect(notices.sort()).toEqual([
    expect.stringMatching(/^Vault has read the keys anew at auth\/jwt: /),
    expect.stringMatching(/^Vault may still take what a retired key signs at auth\/given: .*no known key/),
    expect.stringMatching(/^Vault may still take what a retired key signs at auth\/gone: .*fetching keys/),
    expect.stringMatching(/^Vault may still take .* at auth\/jwt3: /),
    expect.stringMatching(/^Vault may still take .* at auth\/lost: .*role "shop" could not be found/),
    expect.stringMatching(/^Vault may still take what a retired key signs: there were log-ins at more/),
  ]);
  expect(shown.asked).toBeGreaterThan(0);
}, 60_000);

it('who ends before Vault has been made to forget a key tells that, and nothing where there is none to forget', async () => {
  const api = new VaultApi(await VaultHttp.at('http://127.0.0.1:1'), 0);
  const notices: string[] = [];
  const onNotice = (sentence: string) => void notices.push(sentence);
  const places = new Places([{ namespace: undefined, authPath: 'jwt', role: 'shop' }]);
  const open = () => new Forgetting(api, { audience: 'Vault', timeoutMs: 100, onNotice }, places);
  open().close();
  expect(notices).toEqual([]);
  const begun = open();
  begun.begin();
  begun.begin();
  begun.close();
  expect(notices).toEqual([expect.stringMatching(/^Vault may still take .*: this server ends before/)]);
  api.close();
});

/** Logs in as whoever has the key can. */
async function byHand(vault: VaultServer, key: KeyPair, mount: string): Promise<string> {
  const requester = new Askers().requester();
  const claims = { backend: 'vault', audience: 'Vault', application: 'shop', hostTrusted: true, requester };
  const jwt = loginToken(claims, key, new Date());
  return await vault.call('POST', `auth/${mount}/login`, { role: 'shop', jwt }).then(
    () => 'in',
    ({ message }: Error) => message,
  );
}
