import { describe, expect, it } from 'vitest';
import { createKeyPair, IdentityError } from '../src/index.js';
import { ALL, NOW, World } from './trust-world.js';
import { nscFile, nscFiles } from './vectors.js';

const component = createKeyPair('component');
const otherUser = createKeyPair('user');
const jti = (token: string): string =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).jti;

describe("nsc's users", () => {
  const accounts = nscFiles('.jwt').filter((path) => /accounts\/(\w+)\/\1\.jwt$/.test(path));
  const world = new World();
  for (const path of accounts) world.resolver.put(nscFile(path));
  const verifier = world.verifier({ operators: () => [nscFile('stores/demoO/demoO.jwt')] });
  const user = (name: string) => nscFile(`stores/demoO/accounts/demoA/users/${name}.jwt`);

  it('are verified up to their operator', async () => {
    const chain = await verifier.verify(user('demoU'), ['user']);
    expect(chain).toMatchObject({
      kind: 'user',
      name: 'demoU',
      account: { name: 'demoA' },
      operator: { name: 'demoO' },
      links: [
        { what: 'operator', name: 'demoO' },
        { what: 'account', name: 'demoA', issuer: expect.stringMatching(/^OCV6/) },
        { what: 'user', name: 'demoU', issuer: expect.stringMatching(/^ABPL/) },
      ],
      user: { bearer: false },
    });
    expect(chain.role).toBeUndefined();
  });

  it('show their conditions, their end and their role', async () => {
    const limited = await verifier.verify(user('demolimited'), ['user']);
    expect(limited).toMatchObject({ expiresAt: 2110933117, user: { src: ['127.0.0.0/8'] } });
    expect((await verifier.verify(user('demoscoped'), ['user'])).role).toBe('reader');
  });

  it('are refused when they are revoked', async () => {
    await expect(verifier.verify(user('demogone'), ['user'])).rejects.toMatchObject({ code: 'revoked' });
  });
});

/** What breaks the chain of a user's token, and how it is then refused. */
type Break = [code: string, link: string, change: (world: World) => void, token?: (world: World) => string];
const nothing = () => {};
const stranger = createKeyPair('account');
const strangeOperator = createKeyPair('operator');

const BREAKS: Break[] = [
  ['unknown_issuer', 'user', nothing, (w) => w.userToken({}, { signer: stranger })],
  [
    'unknown_issuer',
    'account',
    nothing,
    (w) => w.userToken({ issuer_account: stranger.publicKey }, { signer: stranger }),
  ],
  ['unknown_issuer', 'account', (w) => w.resolver.put(w.accountToken({}, { signer: strangeOperator }))],
  ['unknown_issuer', 'account', (w) => w.resolver.put(w.accountToken({}, { signer: w.account }))],
  ['unknown_issuer', 'account', (w) => w.resolver.remove(w.account.publicKey)],
  [
    'unknown_issuer',
    'operator',
    (w) => {
      w.operators = [w.operatorToken({}, { signer: strangeOperator })];
    },
  ],
  [
    'unknown_issuer',
    'account',
    (w) => {
      w.operators = [];
    },
  ],
  // A signing key without issuer_account is looked for as an account.
  ['unknown_issuer', 'account', nothing, (w) => w.userToken({ issuer_account: undefined })],
  [
    'strict_signing_keys',
    'account',
    (w) => {
      w.operators = [w.operatorToken({ strict_signing_key_usage: true })];
      w.resolver.put(w.accountToken({}, { signer: w.operator }));
    },
  ],
  [
    'strict_signing_keys',
    'user',
    (w) => {
      w.operators = [w.operatorToken({ strict_signing_key_usage: true })];
    },
    (w) => w.userToken({}, { signer: w.account }),
  ],
  ['scope_violated', 'user', nothing, (w) => w.userToken({ subs: -1 }, { signer: w.scoped })],
  ['scope_violated', 'user', nothing, (w) => w.userToken({ pub: { allow: ['>'] } }, { signer: w.scoped })],
  ['scope_violated', 'user', nothing, (w) => w.userToken({ src: ['10.0.0.0/8'] }, { signer: w.scoped })],
  ['scope_violated', 'user', nothing, (w) => w.userToken({ bearer_token: true }, { signer: w.scoped })],
  ['scope_violated', 'component', nothing, (w) => w.wascapToken(component.publicKey, w.scoped)],
  ['expired', 'user', nothing, (w) => w.userToken({}, { exp: NOW - 6 })],
  ['expired', 'account', (w) => w.resolver.put(w.accountToken({}, { exp: NOW - 6 }))],
  [
    'expired',
    'operator',
    (w) => {
      w.operators = [w.operatorToken({}, { exp: NOW - 6 })];
    },
  ],
  ['not_yet_valid', 'user', nothing, (w) => w.userToken({}, { nbf: NOW + 6 })],
  ['not_yet_valid', 'user', nothing, (w) => w.userToken({}, { iat: NOW + 6 })],
  ['not_yet_valid', 'account', (w) => w.resolver.put(w.accountToken({}, { nbf: NOW + 6 }))],
  ['not_yet_valid', 'account', (w) => w.resolver.put(w.accountToken({}, { iat: NOW + 6 }))],
  [
    'not_yet_valid',
    'operator',
    (w) => {
      w.operators = [w.operatorToken({}, { iat: NOW + 6 })];
    },
  ],
  ['revoked', 'user', (w) => w.resolver.put(w.accountToken({ revocations: { [w.user.publicKey]: NOW } }))],
  ['revoked', 'user', (w) => w.resolver.put(w.accountToken({ revocations: { '*': NOW } }))],
  ['key_revoked', 'user', (w) => w.revocations.revokeKey(w.user.publicKey)],
  ['key_revoked', 'user', (w) => w.revocations.revokeKey(w.signer.publicKey)],
  ['key_revoked', 'account', (w) => w.revocations.revokeKey(w.account.publicKey)],
  ['key_revoked', 'account', (w) => w.revocations.revokeKey(w.operatorSigner.publicKey)],
  ['key_revoked', 'operator', (w) => w.revocations.revokeKey(w.operator.publicKey)],
  ['token_revoked', 'user', (w) => w.revocations.revokeToken(jti(w.userToken()))],
  ['token_revoked', 'account', (w) => w.revocations.revokeToken(jti(w.accountToken()))],
  ['token_revoked', 'operator', (w) => w.revocations.revokeToken(jti(w.operatorToken()))],
  ['wrong_token_kind', 'account', nothing, (w) => w.accountToken()],
  ['wrong_token_kind', 'operator', nothing, (w) => w.operatorToken()],
  [
    'wrong_token_kind',
    'user',
    (w) => w.resolver.put(w.wascapToken(w.account.publicKey, w.operator)),
    (w) => w.userToken({}, { signer: w.account }),
  ],
  ['stale_token', 'account', (w) => w.issued.remember(w.account.publicKey, NOW + 1)],
  ['stale_token', 'operator', (w) => w.issued.remember(w.operator.publicKey, NOW + 1)],
  [
    'bearer_disallowed',
    'user',
    (w) => w.resolver.put(w.accountToken({ limits: { disallow_bearer: true } })),
    (w) => w.userToken({ bearer_token: true }),
  ],
  ['proxy_required', 'user', nothing, (w) => w.userToken({ proxy_required: true })],
  [
    'external_authorization',
    'user',
    (w) => w.resolver.put(w.accountToken({ authorization: { auth_users: [otherUser.publicKey] } })),
  ],
];

describe('a chain', () => {
  it.each(['user', 'account', 'operator'] as const)(
    'is refused when a byte of its %s is another one',
    async (link) => {
      const world = new World();
      const tokens = {
        user: world.userToken(),
        account: world.accountToken(),
        operator: world.operatorToken(),
      };
      const good = tokens[link];
      for (let at = 0; at < good.length; at++) {
        const changed = good.slice(0, at) + (good[at] === 'A' ? 'B' : 'A') + good.slice(at + 1);
        const { user, account, operator }: typeof tokens = { ...tokens, [link]: changed };
        const verifier = world.verifier({ operators: () => [operator], resolver: { lookup: () => account } });
        await expect(verifier.verify(user, ['user']), `at ${at}`).rejects.toBeInstanceOf(IdentityError);
        verifier.close();
      }
    },
  );

  it.each(BREAKS)('is refused as %s, and the %s is named (%#)', async (code, link, change, token) => {
    const world = new World();
    const text = token?.(world) ?? world.userToken();
    change(world);
    const verifier = world.verifier();
    await expect(verifier.verify(text, ALL)).rejects.toMatchObject({
      name: 'ChainError',
      code,
      link: expect.stringMatching(new RegExp(`^${link} `)),
      message: expect.not.stringContaining('eyJ'),
    });
  });
});

describe('an operator who is trusted by its key alone', () => {
  const knownByKey = () => {
    const world = new World();
    world.operators = [world.operator.publicKey];
    return world;
  };

  it('vouches for accounts whose token that very key signed, and for all below them', async () => {
    const world = knownByKey();
    world.resolver.put(world.accountToken({}, { signer: world.operator }));
    const operator = { key: world.operator.publicKey, name: '' };
    const links = [{ what: 'operator', key: operator.key, issuer: undefined }, {}, {}];
    for (const signer of [world.account, world.signer]) {
      const chain = await world.verifier().verify(world.userToken({}, { signer }), ALL);
      expect(chain).toMatchObject({ operator, links });
    }
    const token = world.wascapToken(component.publicKey, world.signer);
    expect(await world.verifier().verify(token, ALL)).toMatchObject({ kind: 'component', operator });
  });

  it('vouches for no account whose token a signing key signed', async () => {
    const world = knownByKey();
    await expect(world.verifier().verify(world.userToken(), ALL)).rejects.toMatchObject({
      code: 'unknown_issuer',
    });
  });

  it('is revoked by its key, at once', async () => {
    const world = knownByKey();
    world.resolver.put(world.accountToken({}, { signer: world.operator }));
    const verifier = world.verifier();
    const chain = await verifier.verify(world.userToken(), ALL);
    world.revocations.revokeKey(world.operator.publicKey);
    expect(verifier.isLive(chain)).toBe(false);
    await expect(verifier.verify(world.userToken(), ALL)).rejects.toMatchObject({ code: 'key_revoked' });
  });

  it('is trusted although a token of it was seen before, and by its token where there is one beside the key', async () => {
    const world = new World();
    world.resolver.put(world.accountToken({}, { signer: world.operator }));
    const verifier = world.verifier();
    await verifier.verify(world.userToken(), ALL);
    world.operators = [world.operator.publicKey];
    expect(await verifier.verify(world.userToken(), ALL)).toMatchObject({ operator: { name: '' } });

    world.now++;
    world.operators = [world.operatorToken({ strict_signing_key_usage: true }), world.operator.publicKey];
    await expect(verifier.verify(world.userToken(), ALL)).rejects.toMatchObject({
      code: 'strict_signing_keys',
    });
  });

  it('is no account, and no key with a mistake in it', async () => {
    const world = knownByKey();
    world.resolver.put(world.accountToken({}, { signer: world.operator }));
    const mistaken = world.operator.publicKey.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    world.operators = [world.account.publicKey, mistaken];
    await expect(world.verifier().verify(world.userToken(), ALL)).rejects.toMatchObject({
      code: 'unknown_issuer',
    });
  });
});
