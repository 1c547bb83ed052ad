/**
 * NATS tokens against Go's nats-io/jwt: what we write it reads and validates without a finding, and the reverse, over
 * generated claims. TOKEN_CASES says how many of each kind (100; 500 and more in the long form).
 */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  decodeJwt,
  encodeJwt,
  type KeyPair,
  newAccount,
  newActivation,
  newOperator,
  newUser,
  type Unsigned,
} from '../../packages/identity/src/index.js';
import { decodeInGo, generateInGo } from './nats-jwt.js';

const CASES = Number(process.env.TOKEN_CASES ?? 100);

const signers = {
  operator: createKeyPair('operator'),
  account: createKeyPair('account'),
  user: createKeyPair('user'),
};
const keys = {
  operator: signers.operator.publicKey,
  account: signers.account.publicKey,
  user: signers.user.publicKey,
};

/** Also what JSON, HTML and terminals treat in ways of their own. */
const text = fc.string({
  unit: fc.constantFrom(...'abcXYZ09 _-<>&"\'\\/\u2028\u2029\u0001\t\b\féäß世🔑{}()'),
  minLength: 1,
  maxLength: 20,
});
const word = fc.stringMatching(/^[a-z]{1,8}$/);
const subject = fc
  .tuple(fc.array(fc.oneof(word, fc.constant('*')), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([words, open]) => [...words, ...(open ? ['>'] : [])].join('.'));
const limit = fc.oneof(
  fc.constant(-1),
  fc.integer({ min: 0, max: 2 ** 31 }),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 63n - 1n }),
);
/** In a scope Go reads numbers as 64-bit floats, and cannot read all that it writes. */
const scopeLimit = fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 2 ** 50 }));
const optional = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });
const permission = fc.record({
  allow: optional(fc.array(subject, { minLength: 1, maxLength: 3 })),
  deny: optional(fc.array(subject, { minLength: 1, maxLength: 3 })),
});
const permissions = {
  pub: permission,
  sub: permission,
  resp: optional(
    fc.record({ max: fc.integer({ min: -1, max: 1000 }), ttl: fc.integer({ min: 0, max: 2 ** 50 }) }),
  ),
};
const userLimits = {
  ...permissions,
  src: optional(fc.constant(['127.0.0.0/8', '2001:db8::/32'])),
  times: optional(fc.constant([{ start: '08:00:00', end: '18:30:59' }])),
  times_location: optional(fc.constant('Europe/Berlin')),
  subs: limit,
  data: limit,
  payload: limit,
  bearer_token: optional(fc.constant(true)),
  allowed_connection_types: optional(fc.constant(['STANDARD', 'WEBSOCKET'])),
};
const standard = {
  name: text,
  exp: optional(fc.integer({ min: 4_102_444_800, max: 2 ** 40 })),
  nbf: optional(fc.integer({ min: 1, max: 1_600_000_000 })),
  aud: optional(text),
};
const tags = optional(fc.array(text, { minLength: 1, maxLength: 3 }));

const claims = {
  operator: fc
    .record({
      ...standard,
      signing_keys: optional(fc.constant([createKeyPair('operator').publicKey])),
      strict_signing_key_usage: optional(fc.constant(true)),
      account_server_url: optional(fc.constant('nats://127.0.0.1:4222')),
      operator_service_urls: optional(fc.constant(['nats://127.0.0.1:4222', 'tls://example.com:4443'])),
      system_account: optional(fc.constant(keys.account)),
      tags,
    })
    .map((given) => claimsOf(newOperator(keys.operator, ''), given)),
  account: fc
    .record({
      ...standard,
      limits: fc.record({
        subs: limit,
        data: limit,
        payload: limit,
        imports: fc.constant(-1),
        exports: fc.constant(-1),
        wildcards: fc.constant(true),
        disallow_bearer: optional(fc.constant(true)),
        conn: limit,
        leaf: limit,
        mem_storage: limit,
        disk_storage: limit,
        streams: limit,
        consumer: limit,
        max_bytes_required: optional(fc.constant(true)),
      }),
      signing_keys: optional(
        fc
          .record({
            role: text,
            description: text,
            template: fc.record({ ...userLimits, subs: scopeLimit, data: scopeLimit, payload: scopeLimit }),
          })
          .map((scope) => [
            createKeyPair('account').publicKey,
            { kind: 'user_scope', key: createKeyPair('account').publicKey, ...scope },
          ]),
      ),
      revocations: optional(fc.constant({ [keys.user]: 1_700_000_000, '*': 1_600_000_000 })),
      default_permissions: fc.record(permissions),
      exports: optional(
        fc
          .record({
            name: text,
            subject,
            type: fc.constant('stream'),
            token_req: optional(fc.constant(true)),
            description: text,
          })
          .map((one) => [one]),
      ),
      imports: optional(
        fc.constant([
          {
            name: 'i',
            subject: 'far.>',
            account: createKeyPair('account').publicKey,
            local_subject: 'near.>',
            type: 'stream',
          },
        ]),
      ),
      tags,
    })
    .map((given) => claimsOf(newAccount(keys.account, ''), given)),
  user: fc
    .record({ ...standard, ...userLimits, issuer_account: fc.constant(keys.account), tags })
    .map((given) => claimsOf(newUser(keys.user, ''), given)),
  activation: fc
    .record({ ...standard, subject, issuer_account: optional(fc.constant(keys.account)) })
    .map(({ subject, ...given }) =>
      claimsOf(newActivation(keys.account, { name: '', on: subject, kind: 'service' }), given),
    ),
} as const;

function claimsOf(
  unsigned: Unsigned,
  { name, exp, nbf, aud, ...own }: Readonly<Record<string, unknown>>,
): Unsigned {
  const standard = { name, exp, nbf, aud } as Pick<Unsigned, 'name' | 'exp' | 'nbf' | 'aud'>;
  const nats = Object.fromEntries(
    Object.entries({ ...unsigned.nats, ...own }).filter(([, value]) => value !== undefined),
  );
  return { ...unsigned, ...standard, nats };
}

const signerOf = {
  operator: signers.operator,
  account: signers.operator,
  user: signers.account,
  activation: signers.account,
} as const;

/** The claims as they stand in the token. */
const written = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>;

describe("tokens of ours in Go's library", () => {
  it.each(Object.keys(claims) as (keyof typeof claims)[])(
    `are read, validated without a finding and understood alike: ${CASES} of %s`,
    async (kind) => {
      const tokens = fc.sample(claims[kind], CASES).map((one: Unsigned) => encodeJwt(one, signerOf[kind]));
      const answers = await decodeInGo(tokens);
      expect(answers).toHaveLength(CASES);
      answers.forEach(({ error, issues, type, claims }, at) => {
        const token = tokens[at] as string;
        expect({ error, issues, type }, token).toEqual({ error: undefined, issues: [], type: kind });
        expect(plain(claims)).toEqual(plain(written(token)));
      });
    },
  );
});

describe("tokens of Go's library", () => {
  it(`are read by us, and again by Go when we have edited them: ${CASES} of each kind`, async () => {
    const tokens = await generateInGo(Array.from({ length: CASES }, (_, seed) => seed));
    expect(tokens).toHaveLength(6 * CASES);
    const edited = tokens.map(({ text, kind, claims }) => {
      const jwt = decodeJwt(text);
      expect(jwt.kind).toBe(kind);
      expect(written(text)).toEqual(claims);
      return encodeJwt({ ...jwt.claims, name: 'edited' }, signerFor(jwt.claims.iss));
    });
    const answers = await decodeInGo(edited);
    answers.forEach(({ error, claims }, at) => {
      expect(error).toBeUndefined();
      const { text } = tokens[at] as (typeof tokens)[number];
      const { iss: _iss, jti: _jti, iat: _iat, ...before } = written(text);
      const { iss, jti, iat, ...after } = claims as Record<string, unknown>;
      expect(plain(after)).toEqual(plain({ ...before, name: 'edited' }));
      expect(jti).toMatch(/^[A-Z2-7]{52}$/);
    });
  });
});

function signerFor(issuer: string): KeyPair {
  return issuer.startsWith('O') ? signers.operator : signers.account;
}

/** Go writes tags, and lists of keys, in an order of its own, and leaves out what is empty. */
function plain(value: unknown): unknown {
  if (Array.isArray(value))
    return value.map(plain).sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([key, field]) => [key, plain(field)] as const);
  return Object.fromEntries(fields.filter(([, field]) => !isEmpty(field)));
}

const isEmpty = (value: unknown): boolean =>
  value === '' ||
  value === 0 ||
  value === false ||
  value === null ||
  (typeof value === 'object' && Object.keys(value as object).length === 0);
