/**
 * Whatever is given to a verifier as a caller's token, as an account's by the resolver, or as an operator's: a chain or an
 * `IdentityError`, at once. FUZZ_INPUTS says how many inputs of each kind (2,000).
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Chain, createKeyPair, IdentityError, type KeyPair } from '../../packages/identity/src/index.js';
import { ALL, World } from '../../packages/identity/test/trust-world.js';

const RUNS = { numRuns: Number(process.env.FUZZ_INPUTS ?? 2_000) };

const world = new World();
const stranger = createKeyPair('account');
const good = world.userToken();
const goodAccount = world.accountToken();
const goodOperator = world.operatorToken();
const goodComponent = world.wascapToken(createKeyPair('component').publicKey, world.signer);

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 400 }),
  fc.string({ unit: fc.constantFrom(...'ABSUOX234567.-_=\n\r{}"'), maxLength: 400 }),
);

/** Something good with a piece cut out, put in, doubled or changed. */
const damaged = (text: string) =>
  fc
    .tuple(fc.nat(text.length), fc.nat(40), anyText)
    .map(([at, length, piece]) => text.slice(0, at) + piece + text.slice(at + length));

/** Good claims of which fields are changed or added at any depth, well signed. */
const signedBy = (token: string, ...signers: readonly KeyPair[]) => {
  const [header = '', claims = ''] = token.split('.');
  const json = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, object>;
  const inner = 'wascap' in json ? 'wascap' : 'nats';
  const odd = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom(world.account.publicKey, world.user.publicKey, '*', '', -1, 0, 2 ** 53, 1e300),
  );
  const fields = (names: readonly string[]) =>
    fc.dictionary(fc.oneof(fc.constantFrom(...names), fc.string()), odd, { maxKeys: 3 });
  const names = [
    'pub',
    'sub',
    'src',
    'times',
    'tags',
    'issuer_account',
    'bearer_token',
    'allowed_connection_types',
  ];
  const accountNames = [
    'signing_keys',
    'revocations',
    'limits',
    'authorization',
    'valid_signers',
    'tags',
    'name',
  ];
  return fc
    .tuple(
      fields(['iat', 'exp', 'nbf', 'name', 'jti', 'sub', 'aud']),
      fields([...names, ...accountNames]),
      fc.constantFrom(...signers),
    )
    .map(([outer, nested, signer]) => {
      const changed = { ...json, ...outer, iss: signer.publicKey, [inner]: { ...json[inner], ...nested } };
      const signed = `${header}.${Buffer.from(JSON.stringify(changed)).toString('base64url')}`;
      return `${signed}.${Buffer.from(signer.sign(Buffer.from(signed))).toString('base64url')}`;
    });
};

/** The chain, or undefined if it was refused as it may be. */
async function verify(
  token: string,
  { account = goodAccount, operator = goodOperator } = {},
): Promise<Chain | undefined> {
  const verifier = world.verifier({
    operators: () => [operator],
    resolver: { lookup: async () => account, accounts: () => [world.account.publicKey] },
    issued: undefined,
  });
  try {
    return await verifier.verify(token, ALL);
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    expect(error.message).not.toContain('eyJ');
    return undefined;
  } finally {
    verifier.close();
  }
}

describe('a verifier', () => {
  it('takes no token that nobody has signed', async () => {
    const texts = fc.oneof(anyText, damaged(good), damaged(goodComponent));
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        if ((await verify(text)) !== undefined) expect([good, goodComponent]).toContain(text);
      }),
      RUNS,
    );
  });

  it('answers to any token that was signed with a chain up to its operator, or not at all', async () => {
    const signers = [world.account, world.signer, world.scoped, stranger];
    const tokens = fc.oneof(signedBy(good, ...signers), signedBy(goodComponent, ...signers));
    await fc.assert(
      fc.asyncProperty(tokens, async (token) => {
        const chain = await verify(token);
        if (chain === undefined) return;
        expect(chain.issuer).not.toBe(stranger.publicKey);
        expect(chain.links.map(({ what }) => what)).toEqual(['operator', 'account', chain.kind]);
      }),
      RUNS,
    );
  });

  it('takes no account and no operator but those that were signed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.oneof(anyText, damaged(goodAccount)), async (account) => {
        if ((await verify(good, { account })) !== undefined) expect(account).toBe(goodAccount);
      }),
      RUNS,
    );
    await fc.assert(
      fc.asyncProperty(fc.oneof(anyText, damaged(goodOperator)), async (operator) => {
        if ((await verify(good, { operator })) !== undefined) expect(operator).toBe(goodOperator);
      }),
      RUNS,
    );
  });

  it('is not upset by anything that an operator has signed', async () => {
    const accounts = signedBy(goodAccount, world.operator, world.operatorSigner);
    const operators = signedBy(goodOperator, world.operator);
    await fc.assert(
      fc.asyncProperty(accounts, operators, async (account, operator) => {
        await verify(good, { account, operator });
        await verify(goodComponent, { account, operator });
      }),
      RUNS,
    );
  });
});
