import {
  createKeyPair,
  decodeWascap,
  encodeJwt,
  encodeWascap,
  type HostTrust,
  type KeyPair,
  keyPairFromSeed,
  memoryResolver,
  memoryRevocations,
  newAccount,
  newUser,
  Verifier,
  type VerifierOptions,
} from '@coffer/identity';
import { describe, expect, it } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import type { BackendTrust } from '../src/index.js';
import { OPERATOR_SIGNING_SEED, WASCAP_NOW, wascapVector } from './vectors.js';
import { World } from './world.js';

const operator = wascapVector('operator', '');
const account = wascapVector('account', '');
const hosts = [
  wascapVector('host', 'issued by the cluster key'),
  wascapVector('host', 'stock 1.9'),
  wascapVector('host', 'issued by the host key itself'),
];
const stock = wascapVector('host', 'stock 1.9').jwt;
const now = () => new Date(WASCAP_NOW * 1000);

/** A backend that trusts the vectors' operator, and whoever else a test says. */
async function start({
  trust,
  ...options
}: Partial<VerifierOptions> & { readonly trust?: Partial<BackendTrust> } = {}) {
  const resolver = memoryResolver([account.jwt]);
  const revocations = memoryRevocations();
  const verifier = new Verifier({
    operators: () => [operator.jwt],
    resolver,
    revocations,
    now,
    ...options,
  });
  const world = await World.start({ trust: { verifier, now, ...trust } });
  world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
  const get = async (entity: string, host = stock) => {
    const answer = (await world.ask(
      'get',
      world.secretRequest('k', {}, { entity_jwt: entity, host_jwt: host }),
    )) as {
      secret?: { string_secret: string };
      error?: unknown;
    };
    return answer.secret ? answer.secret.string_secret : answer.error;
  };
  return {
    world,
    resolver,
    revocations,
    verifier,
    get,
    [Symbol.asyncDispose]: async () => {
      await world[Symbol.asyncDispose]();
      verifier.close();
    },
  };
}

const STRANGER = { InvalidEntityJWT: 'no trusted account has signed this token' };

describe('components and providers', () => {
  it.each(['component', 'provider'])(
    'are served by their account’s key and signing key: a %s',
    async (kind) => {
      await using backend = await start();
      for (const note of ['issued by the account key', "issued by the account's signing key"]) {
        expect(await backend.get(wascapVector(kind, note).jwt)).toBe(canary('k'));
      }
      expect(backend.world.errors).toEqual([]);
    },
  );

  it('of strangers are refused, and told nothing of any account; the log is told why', async () => {
    await using backend = await start();
    for (const kind of ['component', 'provider']) {
      expect(await backend.get(wascapVector(kind, 'stranger').jwt)).toEqual(STRANGER);
    }
    const [answered] = backend.world.answered;
    expect(answered).toMatchObject({ operation: 'get', result: 'InvalidEntityJWT', stranger: true });
    expect(answered?.reason).toMatch(/^component M.*no trusted account has the key A/);
    expect(answered?.reason).not.toContain('eyJ');
  });

  it('are refused before and after their time', async () => {
    await using backend = await start();
    const sentence = async (note: string) => await backend.get(wascapVector('component', note).jwt);
    expect(await sentence('not valid for ten years')).toEqual({
      InvalidEntityJWT: 'this token is not valid yet, or one of the clocks is wrong',
    });
    expect(await sentence('expired')).toEqual({
      InvalidEntityJWT: 'this token has expired: sign it anew',
    });
  });

  it('are refused from the next request on when their signing key is removed', async () => {
    await using backend = await start();
    const { jwt } = wascapVector('component', "issued by the account's signing key");
    expect(await backend.get(jwt)).toBe(canary('k'));
    using signer = keyPairFromSeed(OPERATOR_SIGNING_SEED);
    const { claims } = decodeWascap(account.jwt);
    const without = encodeWascap(
      { sub: account.subject, wascap: { ...claims.wascap, valid_signers: [] } },
      signer,
      { now: new Date((claims.iat + 1) * 1000) },
    );
    backend.resolver.put(without);
    expect(await backend.get(jwt)).toEqual({
      InvalidEntityJWT: 'the key that signed this token is no signing key of its account any more',
    });
    expect(await backend.get(wascapVector('component', 'issued by the account key').jwt)).toBe(canary('k'));
  });

  it('are refused once they are revoked, by their key, their token, or their account', async () => {
    const token = wascapVector('component', 'issued by the account key');
    const revoked = { InvalidEntityJWT: 'this token is revoked' };
    const { jti } = decodeWascap(token.jwt).claims;
    const ways = [
      (of: ReturnType<typeof memoryRevocations>) => of.revokeKey(token.subject),
      (of: ReturnType<typeof memoryRevocations>) => of.revokeToken(jti),
      (of: ReturnType<typeof memoryRevocations>) => of.revokeKey(account.subject),
    ];
    for (const revoke of ways) {
      await using backend = await start();
      expect(await backend.get(token.jwt)).toBe(canary('k'));
      revoke(backend.revocations);
      expect(await backend.get(token.jwt)).toEqual(revoked);
    }
  });

  it('are refused when the token of their account, one of NATS, revokes them', async () => {
    const owner = createKeyPair('account');
    const component = createKeyPair('component');
    const token = encodeWascap({ sub: component.publicKey }, owner, { now: now() });
    const claims = newAccount(owner.publicKey, 'A');
    const issue = (revocations: Record<string, number>, later: number) =>
      encodeJwt({ ...claims, nats: { ...claims.nats, revocations } }, owner, {
        now: new Date((WASCAP_NOW + later) * 1000),
      });
    await using backend = await start({
      accounts: [owner.publicKey],
      resolver: memoryResolver([issue({}, 0)]),
    });
    expect(await backend.get(token)).toBe(canary('k'));
    await using revoking = await start({
      accounts: [owner.publicKey],
      resolver: memoryResolver([issue({ [component.publicKey]: WASCAP_NOW }, 1)]),
    });
    expect(await revoking.get(token)).toEqual({ InvalidEntityJWT: 'this token is revoked' });
  });

  it('are nothing else: no host, account, operator, user, and no token at all', async () => {
    await using backend = await start();
    const user = encodeJwt(newUser(createKeyPair('user').publicKey, 'U'), createKeyPair('account'));
    for (const jwt of [stock, account.jwt, operator.jwt, user]) {
      expect(await backend.get(jwt)).toEqual({
        InvalidEntityJWT: 'this is not the token of a component or a provider',
      });
    }
    const { jwt } = wascapVector('component', 'issued by the account key');
    const damaged = `${jwt.slice(0, -3)}${jwt.endsWith('AAA') ? 'BBB' : 'AAA'}`;
    for (const text of ['', 'a.b.c', jwt.slice(0, -1), damaged, `${jwt} `]) {
      expect(await backend.get(text)).toMatchObject({ InvalidEntityJWT: expect.stringMatching(/\w+ \w+/) });
    }
    expect(backend.world.errors).toEqual([]);
  });

  it('of an account whose state cannot be had are refused, and asked to come again', async () => {
    const broken = { lookup: () => Promise.reject(new Error('no such host')) };
    await using backend = await start({ resolver: broken });
    const { jwt } = wascapVector('component', 'issued by the account key');
    expect(await backend.get(jwt)).toMatchObject({
      InvalidEntityJWT: expect.stringContaining('try again'),
    });
  });
});

describe('hosts', () => {
  const component = wascapVector('component', 'issued by the account key').jwt;

  it('of all sorts are believed, when nobody says which are', async () => {
    await using backend = await start();
    for (const { jwt } of hosts) expect(await backend.get(component, jwt)).toBe(canary('k'));
  });

  it.each<[string, HostTrust, boolean[]]>([
    ['by their own key', { keys: [hosts[2]?.subject ?? ''] }, [false, false, true]],
    ['by their cluster', { clusters: [hosts[0]?.issuer ?? ''] }, [true, false, false]],
    ['by their issuer', { clusters: [hosts[1]?.issuer ?? ''] }, [false, true, false]],
  ])('are refused unless they are named: %s', async (_, trust, believed) => {
    await using backend = await start({ hosts: trust });
    for (const [i, { jwt }] of hosts.entries()) {
      expect(await backend.get(component, jwt)).toEqual(
        believed[i] ? canary('k') : { InvalidHostJWT: 'this host is none of those that are believed here' },
      );
    }
  });

  it('are refused when they are forged, out of time, revoked, or no hosts', async () => {
    await using backend = await start();
    const host = createKeyPair('server');
    const issue = (claims: object, signer: KeyPair = host) =>
      encodeWascap({ sub: host.publicKey, ...claims }, signer, { now: now() });
    const sentence = async (jwt: string) => await backend.get(component, jwt);
    expect(await sentence(issue({}))).toBe(canary('k'));
    expect(await sentence(issue({ exp: WASCAP_NOW - 60 }))).toEqual({
      InvalidHostJWT: 'this token has expired: sign it anew',
    });
    expect(await sentence(issue({ nbf: WASCAP_NOW + 60 }))).toEqual({
      InvalidHostJWT: 'this token is not valid yet, or one of the clocks is wrong',
    });
    expect(await sentence(issue({}, createKeyPair('user')))).toMatchObject({
      InvalidHostJWT: expect.any(String),
    });
    expect(await sentence(component)).toEqual({ InvalidHostJWT: 'this is not the token of a host' });
    expect(await sentence('nonsense')).toMatchObject({ InvalidHostJWT: expect.any(String) });
    backend.revocations.revokeKey(host.publicKey);
    expect(await sentence(issue({}))).toEqual({ InvalidHostJWT: 'this token is revoked' });
  });
});

describe('who is believed on its own word', () => {
  const stranger = wascapVector('component', 'stranger');
  const own = { verifier: undefined, selfIssued: true };

  it('is served without an account, and reported each time', async () => {
    const told: string[] = [];
    await using world = await World.start({
      trust: { ...own, now },
      onSelfIssued: ({ key, account }) => void told.push(`${key} ${account}`),
    });
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    const context = { entity_jwt: stranger.jwt, host_jwt: stock };
    for (let times = 0; times < 2; times++) {
      expect(await world.ask('get', world.secretRequest('k', {}, context))).toHaveProperty('secret');
    }
    expect(told).toEqual(Array(2).fill(`${stranger.subject} undefined`));
  });

  it('is still refused for its time, its kind, its signature, and what is revoked', async () => {
    let revoked = false;
    await using backend = await start({
      trust: { ...own, revoked: ({ key }) => revoked && key === stranger.subject },
    });
    expect(await backend.get(stranger.jwt)).toBe(canary('k'));
    expect(await backend.get(wascapVector('component', 'expired').jwt)).toMatchObject({
      InvalidEntityJWT: expect.stringContaining('expired'),
    });
    expect(await backend.get(wascapVector('component', 'ten years').jwt)).toMatchObject({
      InvalidEntityJWT: expect.stringContaining('not valid yet'),
    });
    expect(await backend.get(account.jwt)).toMatchObject({ InvalidEntityJWT: expect.any(String) });
    expect(await backend.get(`${stranger.jwt.slice(0, -4)}AAAA`)).toMatchObject({
      InvalidEntityJWT: expect.any(String),
    });
    const bySelf = createKeyPair('component');
    expect(await backend.get(encodeWascap({ sub: bySelf.publicKey }, bySelf, { now: now() }))).toMatchObject({
      InvalidEntityJWT: expect.any(String),
    });
    revoked = true;
    expect(await backend.get(stranger.jwt)).toEqual({ InvalidEntityJWT: 'this token is revoked' });
  });

  it('is asked for by listed hosts alone, where there are any', async () => {
    const host = createKeyPair('server');
    const [listed, other] = [createKeyPair('account'), createKeyPair('account')];
    const signed = (by: KeyPair) => encodeWascap({ sub: host.publicKey }, by, { now: now() });
    await using backend = await start({
      trust: { ...own, hosts: { keys: [host.publicKey], clusters: [listed.publicKey] } },
    });
    expect(await backend.get(stranger.jwt, signed(host))).toBe(canary('k'));
    expect(await backend.get(stranger.jwt, signed(listed))).toBe(canary('k'));
    expect(await backend.get(stranger.jwt, signed(other))).toMatchObject({
      InvalidHostJWT: expect.any(String),
    });
    expect(await backend.get(stranger.jwt)).toMatchObject({ InvalidHostJWT: expect.any(String) });
  });

  it('is of its account where a trusted one has signed it, and refused where that has withdrawn it', async () => {
    const seen: (string | undefined)[] = [];
    const revocations = memoryRevocations();
    const verifier = new Verifier({
      operators: () => [operator.jwt],
      resolver: memoryResolver([account.jwt]),
      revocations,
      now,
    });
    await using world = await World.start({
      trust: { verifier, selfIssued: true, now },
      fetch: async ({ key }, { entity }) => {
        seen.push(entity.account);
        return world.find(key);
      },
    });
    world.secrets.set('k', { version: '1', kind: 'string', value: canary('k') });
    const get = async (entity_jwt: string) =>
      await world.ask('get', world.secretRequest('k', {}, { entity_jwt, host_jwt: stock }));
    const trusted = wascapVector('component', 'issued by the account key');
    expect(await get(trusted.jwt)).toHaveProperty('secret');
    expect(await get(stranger.jwt)).toHaveProperty('secret');
    expect(seen).toEqual([account.subject, undefined]);
    revocations.revokeKey(trusted.subject);
    expect(await get(trusted.jwt)).toEqual({ error: { InvalidEntityJWT: 'this token is revoked' } });
    verifier.close();
  });
});
