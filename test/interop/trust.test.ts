/** Random chains: we verify those users whom a real nats-server lets in, and no others. TRUST_CASES says how many (100). */
import { connect } from '@nats-io/transport-node';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  encodeJwt,
  IdentityError,
  type KeyPair,
  memoryResolver,
  newAccount,
  newOperator,
  newUser,
  Verifier,
} from '../../packages/identity/src/index.js';
import { NatsServer } from '../support/nats.mjs';

const CASES = Number(process.env.TRUST_CASES ?? 100);
const AT_ONCE = 8;
const NOW = Math.floor(Date.now() / 1000);
const [PAST, ISSUED, FUTURE] = [NOW - 5_000, NOW - 1_000, NOW + 50_000];

const shared = {
  operator: createKeyPair('operator'),
  operatorSigner: createKeyPair('operator'),
  formerSigner: createKeyPair('operator'),
  signer: createKeyPair('account'),
  scoped: createKeyPair('account'),
  stranger: createKeyPair('account'),
  user: createKeyPair('user'),
};
type Signer = keyof typeof shared | 'account';

const often = <T>(first: T, ...others: readonly T[]) =>
  fc.oneof(
    { weight: 5, arbitrary: fc.constant(first) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );

const chains = fc.record({
  accountIssuer: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom<Signer>('operator', 'operatorSigner') },
    { weight: 1, arbitrary: fc.constantFrom<Signer>('formerSigner', 'account') },
  ),
  signers: often<Signer[]>(['signer', 'scoped'], ['signer'], ['scoped'], []),
  template: fc.record({ bearer_token: often(false, true), proxy_required: often(false, true) }),
  disallowBearer: fc.boolean(),
  revokedUser: often<number | undefined>(undefined, ISSUED - 1, ISSUED, ISSUED + 1),
  revokedAll: often<number | undefined>(undefined, ISSUED - 1, ISSUED, ISSUED + 1),
  authUsers: often<Signer[]>([], ['user']),
  accountExp: often<number | undefined>(undefined, PAST, FUTURE),
  accountNbf: often<number | undefined>(undefined, PAST, FUTURE),
  userIssuer: fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom<Signer>('account', 'signer', 'scoped') },
    { weight: 1, arbitrary: fc.constant<Signer>('stranger') },
  ),
  issuerAccount: often<Signer | undefined>('account', undefined, 'stranger'),
  own: often<Readonly<Record<string, unknown>>>(
    {},
    { subs: 10 },
    { subs: 0, data: 0, src: null },
    { pub: { allow: ['a'] } },
    { pub: { allow: null }, sub: { deny: null } },
    { resp: { max: 1, ttl: 1 } },
    { bearer_token: true },
    { proxy_required: true },
    { src: ['127.0.0.0/8'] },
    { times: [{ start: '00:00:00', end: '23:59:59' }] },
    { allowed_connection_types: ['STANDARD'] },
    { times_location: 'Europe/Berlin' },
  ),
  userExp: often<number | undefined>(undefined, PAST, FUTURE),
  userNbf: often<number | undefined>(undefined, PAST, FUTURE),
});
type Facts = typeof chains extends fc.Arbitrary<infer T> ? T : never;

interface Case {
  readonly facts: Facts;
  readonly account: string;
  readonly accountToken: string;
  readonly userToken: string;
}

function build(facts: Facts): Case {
  const own = createKeyPair('account');
  const pair = (key: Signer): KeyPair => (key === 'account' ? own : shared[key]);
  const publicKey = (key: Signer): string => pair(key).publicKey;
  const { template, userIssuer } = facts;
  const signing_keys = facts.signers.map((key) =>
    key === 'scoped'
      ? { kind: 'user_scope', key: publicKey(key), role: 'r', template: { subs: -1, ...template } }
      : publicKey(key),
  );
  const revocations = {
    ...(facts.revokedUser && { [publicKey('user')]: facts.revokedUser }),
    ...(facts.revokedAll && { '*': facts.revokedAll }),
  };
  const now = new Date(ISSUED * 1000);
  const account = newAccount(own.publicKey, 'A');
  const accountToken = encodeJwt(
    {
      ...account,
      exp: facts.accountExp,
      nbf: facts.accountNbf,
      nats: {
        ...account.nats,
        limits: { ...account.nats?.limits, disallow_bearer: facts.disallowBearer },
        signing_keys,
        revocations,
        authorization: { auth_users: facts.authUsers.map(publicKey) },
      },
    },
    pair(facts.accountIssuer),
    { now },
  );
  const user = newUser(publicKey('user'), 'U', { scoped: userIssuer === 'scoped' });
  const issuer_account = facts.issuerAccount && publicKey(facts.issuerAccount);
  const userToken = encodeJwt(
    { ...user, exp: facts.userExp, nbf: facts.userNbf, nats: { ...user.nats, ...facts.own, issuer_account } },
    pair(userIssuer),
    { now },
  );
  const key = own.publicKey;
  own.wipe();
  return { facts, account: key, accountToken, userToken };
}

async function letsIn(server: NatsServer, { userToken: jwt }: Case): Promise<boolean> {
  const authenticator = (nonce?: string) => ({
    jwt,
    nkey: shared.user.publicKey,
    sig: Buffer.from(shared.user.sign(Buffer.from(nonce ?? ''))).toString('base64url'),
  });
  try {
    const connection = await connect({ servers: server.url, reconnect: false, authenticator });
    await connection.close();
    return true;
  } catch (error) {
    expect(String(error)).toMatch(/[Aa]uthori[sz]ation|authenticat|expired|revoked/);
    return false;
  }
}

async function verifies(operator: string, { userToken, accountToken }: Case): Promise<boolean> {
  const verifier = new Verifier({ operators: () => [operator], resolver: memoryResolver([accountToken]) });
  try {
    await verifier.verify(userToken, ['user']);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(IdentityError);
    return false;
  } finally {
    verifier.close();
  }
}

describe.each([false, true])('with strict signing key usage: %s,', (strict) => {
  it('the users are verified whom a nats-server lets in, and no others', async () => {
    const system = createKeyPair('account');
    const { operator, operatorSigner } = shared;
    const operatorToken = encodeJwt(
      {
        ...newOperator(operator.publicKey, 'O'),
        nats: {
          type: 'operator',
          version: 2,
          system_account: system.publicKey,
          signing_keys: [operatorSigner.publicKey],
          strict_signing_key_usage: strict,
        },
      },
      operator,
    );
    const systemToken = encodeJwt(newAccount(system.publicKey, 'SYS'), operatorSigner);
    const cases = fc.sample(chains, { numRuns: CASES, seed: strict ? 1 : 2 }).map(build);
    await using server = await NatsServer.start({
      operator: operatorToken,
      systemAccount: system.publicKey,
      accounts: {
        [system.publicKey]: systemToken,
        ...Object.fromEntries(cases.map(({ account, accountToken }) => [account, accountToken])),
      },
    });
    let good = 0;
    const left = cases.values();
    const take = async () => {
      for (const one of left) {
        const [theirs, ours] = [await letsIn(server, one), await verifies(operatorToken, one)];
        expect({ ...one.facts, verified: ours }).toEqual({ ...one.facts, verified: theirs });
        good += Number(ours);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, take));
    expect(good).toBeGreaterThan(CASES / 30);
    expect(good).toBeLessThan(CASES - CASES / 30);
  });
});
