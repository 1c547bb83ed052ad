/** Random chains, against a few lines that say of each whether it holds. TRUST_CASES says how many (400). */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  encodeJwt,
  IdentityError,
  type KeyPair,
  memoryResolver,
  memoryRevocations,
  newAccount,
  newOperator,
  newUser,
  Verifier,
} from '../src/index.js';
import { NOW } from './trust-world.js';

const CASES = Number(process.env.TRUST_CASES ?? 400);
const SKEW = 5;

const KEYS = {
  operator: createKeyPair('operator'),
  operatorSigner1: createKeyPair('operator'),
  operatorSigner2: createKeyPair('operator'),
  strangeOperator: createKeyPair('operator'),
  account: createKeyPair('account'),
  signer1: createKeyPair('account'),
  signer2: createKeyPair('account'),
  strangeAccount: createKeyPair('account'),
  user: createKeyPair('user'),
} satisfies Record<string, KeyPair>;
type Key = keyof typeof KEYS;
const publicKey = (key: Key): string => KEYS[key].publicKey;

/** Mostly the first. */
const often = <T>(first: T, ...others: readonly T[]) =>
  fc.oneof(
    { weight: 6, arbitrary: fc.constant(first) },
    ...others.map((one) => ({ weight: 1, arbitrary: fc.constant(one) })),
  );
const near = fc.integer({ min: -8, max: 8 }).map((seconds) => NOW + seconds);
const rarely = <T>(arbitrary: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary });
const mostly = <T>(...all: readonly T[]): fc.Arbitrary<readonly T[]> =>
  fc.oneof(
    { weight: 3, arbitrary: fc.constant<readonly T[]>(all) },
    { weight: 1, arbitrary: fc.subarray([...all]) },
  );
const times = fc.record({
  iat: fc.oneof({ weight: 8, arbitrary: fc.constant(NOW - 10) }, { weight: 1, arbitrary: near }),
  exp: rarely(near),
  nbf: rarely(near),
});

const chains = fc.record({
  operator: fc.record({
    trusted: often(true, false),
    signers: mostly<Key>('operatorSigner1', 'operatorSigner2'),
    strict: fc.boolean(),
    issuer: often<Key>('operator', 'operatorSigner1', 'strangeOperator'),
    times,
  }),
  account: fc.record({
    there: often(true, false),
    bare: often(false, true),
    issuer: fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom<Key>('operator', 'operatorSigner1', 'operatorSigner2') },
      { weight: 1, arbitrary: fc.constantFrom<Key>('strangeOperator', 'account') },
    ),
    signers: mostly<Key>('signer1', 'signer2'),
    scoped: fc.subarray<Key>(['signer1', 'signer2']),
    templateBearer: often(false, true),
    disallowBearer: fc.boolean(),
    revokedUser: rarely(near),
    revokedAll: rarely(near),
    times,
  }),
  user: fc.record({
    issuer: fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom<Key>('account', 'signer1', 'signer2') },
      { weight: 1, arbitrary: fc.constant<Key>('strangeAccount') },
    ),
    of: often<Key | undefined>('account', 'strangeAccount', undefined),
    limits: often(false, true),
    bearer: often(false, true),
    times,
  }),
  revoked: rarely(fc.constantFrom(...(Object.keys(KEYS) as Key[]))).map((key) => (key ? [key] : [])),
});
type Facts = typeof chains extends fc.Arbitrary<infer T> ? T : never;
type Times = Facts['user']['times'];

/** The end of the chain and the role, if it holds. */
function model({
  operator,
  account,
  user,
  revoked,
}: Facts): { expiresAt?: number; role?: string } | undefined {
  const inTime = ({ iat, exp, nbf }: Times) =>
    iat <= NOW + SKEW && (nbf === undefined || nbf <= NOW + SKEW) && (exp === undefined || exp + SKEW >= NOW);
  const ends: Times[] = [user.times];
  const keys: Key[] = ['user', user.issuer, 'account'];
  const token = account.there;
  let strict = false;

  const operatorKeys: Key[] = operator.trusted ? ['operator', ...operator.signers] : [];
  if (account.there && operatorKeys.includes(account.issuer)) {
    if (!operatorKeys.includes(operator.issuer)) return undefined;
    if (operator.strict && account.issuer === 'operator') return undefined;
    strict = operator.strict;
    ends.push(operator.times, account.times);
    keys.push('operator', operator.issuer, account.issuer);
  } else {
    if (!account.bare) return undefined;
    if (token && account.issuer !== 'account') return undefined;
    if (token) ends.push(account.times);
  }

  if ((user.of ?? user.issuer) !== 'account') return undefined;
  const signed = token && account.signers.includes(user.issuer);
  if (user.issuer === 'account' ? strict : !signed) return undefined;
  const scoped = user.issuer !== 'account' && account.scoped.includes(user.issuer);
  if (scoped && (user.limits || user.bearer)) return undefined;
  const bearer = scoped ? account.templateBearer : user.bearer;
  if (token && account.disallowBearer && bearer) return undefined;
  if (token && user.times.iat <= Math.max(account.revokedUser ?? 0, account.revokedAll ?? 0))
    return undefined;
  if (revoked.some((key) => keys.includes(key)) || !ends.every(inTime)) return undefined;

  const expiries = ends.flatMap(({ exp }) => exp ?? []);
  return {
    ...(expiries.length > 0 && { expiresAt: Math.min(...expiries) }),
    ...(scoped && { role: `role of ${user.issuer}` }),
  };
}

function sign(claims: object, nats: object, issuer: Key, { iat, exp, nbf }: Times): string {
  const { nats: begun, ...rest } = claims as { sub: string; nats: object };
  return encodeJwt({ ...rest, exp, nbf, nats: { ...begun, ...nats } }, KEYS[issuer], {
    now: new Date(iat * 1000),
  });
}

function build({ operator, account, user, revoked }: Facts) {
  const { signers, strict } = operator;
  const operatorToken = sign(
    newOperator(publicKey('operator'), 'O'),
    { signing_keys: signers.map(publicKey), strict_signing_key_usage: strict },
    operator.issuer,
    operator.times,
  );
  const revocations = {
    ...(account.revokedUser && { [publicKey('user')]: account.revokedUser }),
    ...(account.revokedAll && { '*': account.revokedAll }),
  };
  const signing_keys = account.signers.map((key) =>
    account.scoped.includes(key)
      ? {
          kind: 'user_scope',
          key: publicKey(key),
          role: `role of ${key}`,
          template: { subs: -1, bearer_token: account.templateBearer },
        }
      : publicKey(key),
  );
  const accountToken = sign(
    newAccount(publicKey('account'), 'A'),
    { signing_keys, revocations, limits: { disallow_bearer: account.disallowBearer } },
    account.issuer,
    account.times,
  );
  const own = user.limits ? { subs: -1, data: -1, payload: -1 } : {};
  const bearer = user.bearer ? { bearer_token: true } : {};
  const issuer_account = user.of && publicKey(user.of);
  const token = sign(
    newUser(publicKey('user'), 'U', { scoped: true }),
    { ...own, ...bearer, issuer_account },
    user.issuer,
    user.times,
  );
  const revocationsHere = memoryRevocations();
  for (const key of revoked) revocationsHere.revokeKey(publicKey(key));
  const verifier = new Verifier({
    operators: () => (operator.trusted ? [operatorToken] : []),
    accounts: account.bare ? [publicKey('account')] : [],
    resolver: memoryResolver(account.there ? [accountToken] : []),
    revocations: revocationsHere,
    clockSkewSeconds: SKEW,
    now: () => new Date(NOW * 1000),
  });
  return { verifier, token };
}

describe('of random chains', () => {
  it('those are verified that hold, and no others', async () => {
    let good = 0;
    await fc.assert(
      fc.asyncProperty(chains, async (facts) => {
        const { verifier, token } = build(facts);
        const expected = model(facts);
        if (expected === undefined) {
          await expect(verifier.verify(token, ['user'])).rejects.toBeInstanceOf(IdentityError);
          return;
        }
        good++;
        const { expiresAt, role } = await verifier.verify(token, ['user']);
        expect({ ...(expiresAt && { expiresAt }), ...(role && { role }) }).toEqual(expected);
      }),
      { numRuns: CASES },
    );
    // Neither answer is the rule.

    expect(good).toBeGreaterThan(CASES / 50);
    expect(good).toBeLessThan(CASES - CASES / 50);
  });
});
