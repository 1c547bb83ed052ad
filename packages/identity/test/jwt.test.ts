import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  decodeAccount,
  decodeJwt,
  decodeOperator,
  decodeUser,
  encodeJwt,
  newAccount,
  newActivation,
  newOperator,
  newUser,
  signingKeysOf,
  tokenIn,
} from '../src/index.js';
import { nscFile, nscFiles, nscKey } from './vectors.js';

const withCode = (code: string) => expect.objectContaining({ name: 'IdentityError', code });
const tokens = nscFiles('.jwt');

describe("nsc's tokens", () => {
  it.each(tokens)('are read: %s', (path) => {
    const text = tokenIn(Buffer.from(nscFile(path)));
    const { kind, claims } = decodeJwt(text);
    expect(kind).toBe((claims.nats as { type: string }).type);
    expect(JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString())).toEqual(claims);
  });

  it.each(tokens)('are signed again to the very same bytes: %s', (path) => {
    const text = tokenIn(Buffer.from(nscFile(path)));
    const { claims } = decodeJwt(text);
    using signer = nscKey(claims.iss);
    expect(encodeJwt(claims, signer, { now: new Date(claims.iat * 1000) })).toBe(text);
  });

  it("show the account's signing keys with their scopes", () => {
    const { claims } = decodeAccount(nscFile('stores/demoO/accounts/demoA/demoA.jwt'));
    const keys = [...signingKeysOf(claims).values()];
    expect(keys.map((scope) => scope?.role)).toEqual([undefined, 'reader']);
    expect(keys[1]?.template.pub).toEqual({ allow: ['app.{{name()}}.>'] });
  });
});

describe('a token of ours', () => {
  it('holds what was said, and who signed it when', () => {
    using operator = createKeyPair('operator');
    using account = createKeyPair('account');
    using user = createKeyPair('user');
    const now = new Date('2026-11-22T12:34:56.789Z');
    const iat = Math.floor(now.getTime() / 1000);
    const written = [
      {
        text: encodeJwt(newOperator(operator.publicKey, 'O'), operator, { now }),
        iss: operator,
        kind: 'operator',
      },
      {
        text: encodeJwt(newAccount(account.publicKey, 'A'), operator, { now }),
        iss: operator,
        kind: 'account',
      },
      { text: encodeJwt(newUser(user.publicKey, 'U'), account, { now }), iss: account, kind: 'user' },
      {
        text: encodeJwt(newActivation(account.publicKey, { name: 'a', on: 'a.>', kind: 'stream' }), account, {
          now,
        }),
        iss: account,
        kind: 'activation',
      },
    ];
    for (const { text, iss, kind } of written) {
      const { claims, kind: found } = decodeJwt(text);
      expect(found).toBe(kind);
      expect(claims).toMatchObject({ iat, iss: iss.publicKey, jti: expect.stringMatching(/^[A-Z2-7]{52}$/) });
      expect(claims.nats).toMatchObject({ type: kind, version: 2 });
    }
  });

  it('keeps fields that nobody here knows, and whole numbers of 64 bits, when it is edited', () => {
    using operator = createKeyPair('operator');
    using account = createKeyPair('account');
    const limits = { subs: 9_007_199_254_740_993n, data: -1, future_limit: 18_446_744_073_709_551_615n };
    const first = encodeJwt(
      {
        ...newAccount(account.publicKey, 'A'),
        nats: {
          limits,
          default_permissions: { pub: {}, new: ['x'] },
          later: { a: [1, null] },
          type: 'account',
        },
        extra: 'kept',
      },
      operator,
    );
    const { claims } = decodeAccount(first);
    const edited = decodeAccount(
      encodeJwt({ ...claims, name: 'B', nats: { ...claims.nats, tags: ['New'] } }, operator),
    );
    expect(edited.claims.nats.limits).toEqual(limits);
    expect(edited.claims).toMatchObject({ name: 'B', extra: 'kept' });
    expect(edited.claims.nats).toMatchObject({
      default_permissions: { pub: {}, new: ['x'] },
      later: { a: [1, null] },
      tags: ['new'],
    });
    const text = Buffer.from(edited.text.split('.')[1] ?? '', 'base64url').toString();
    expect(text).toContain('"subs":9007199254740993,');
    expect(text).toContain('"future_limit":18446744073709551615');
  });

  it('is not written when its signer may not sign it, or it is about nobody of its kind', () => {
    using operator = createKeyPair('operator');
    using account = createKeyPair('account');
    using user = createKeyPair('user');
    using curve = createKeyPair('curve');
    expect(() => encodeJwt(newUser(user.publicKey, 'U'), operator)).toThrow(withCode('invalid_claims'));
    expect(() => encodeJwt(newOperator(operator.publicKey, 'O'), account)).toThrow(
      withCode('invalid_claims'),
    );
    expect(() => encodeJwt(newUser(account.publicKey, 'U'), account)).toThrow(withCode('invalid_claims'));
    expect(() => encodeJwt(newUser(user.publicKey, '\ud800'), account)).toThrow(withCode('invalid_claims'));
    expect(() => encodeJwt(newUser(user.publicKey, 'U'), curve)).toThrow(withCode('invalid_claims'));
  });
});

describe('what is no token', () => {
  const good = nscFile('stores/demoO/accounts/demoA/users/demoU.jwt');
  const [header = '', claims = '', signature = ''] = good.split('.');
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const json = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>;

  it('is refused by name, whatever is wrong with it', () => {
    const refusals: [string, string][] = [
      ['', 'malformed_token'],
      ['a.b', 'malformed_token'],
      [`${good}.`, 'malformed_token'],
      [`${header}.${claims}`, 'malformed_token'],
      [`${header}.${claims}.`, 'bad_signature'],
      [`${good}=`, 'malformed_token'],
      [`${good}\n`, 'malformed_token'],
      [` ${good}`, 'malformed_token'],
      [`${part(null)}.${claims}.${signature}`, 'unsupported_token'],
      [`${part({ typ: 'JWT', alg: 'none' })}.${claims}.`, 'unsupported_token'],
      [`${part({ typ: 'jwt', alg: 'ed25519' })}.${claims}.${signature}`, 'unsupported_token'],
      [
        `${header}.${part({ ...json, nats: { type: 'user', version: 1 } })}.${signature}`,
        'unsupported_token',
      ],
      [`${header}.${part({ ...json, type: 'user', nats: {} })}.${signature}`, 'unsupported_token'],
      [`${header}.${part({ ...json, exp: '9' })}.${signature}`, 'malformed_token'],
      [`${header}.${part({ ...json, iss: json.sub })}.${signature}`, 'wrong_issuer_kind'],
      [`${header}.${part({ ...json, iss: 5 })}.${signature}`, 'wrong_issuer_kind'],
      [`${header}.${part({ ...json, name: 'demoV' })}.${signature}`, 'bad_signature'],
      [`${header}.${part([])}.${signature}`, 'malformed_token'],
      [`${header}.${Buffer.from([0xff, 0xfe]).toString('base64url')}.${signature}`, 'malformed_token'],
      [`${header}.${'A'.repeat(1024 * 1024)}.${signature}`, 'token_too_large'],
    ];
    for (const [text, code] of refusals)
      expect(() => decodeJwt(text), text.slice(0, 200)).toThrow(withCode(code));
  });

  it('is told when a token is about something else', () => {
    expect(() => decodeOperator(good)).toThrow(withCode('wrong_token_kind'));
    expect(decodeUser(good).claims.name).toBe('demoU');
  });

  it('is any token of which one character is changed', () => {
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ';
    for (let at = 0; at < good.length; at++) {
      const other = alphabet[(alphabet.indexOf(good[at] as string) + 1 + (at % 60)) % alphabet.length];
      if (other === good[at]) continue;
      const changed = good.slice(0, at) + other + good.slice(at + 1);
      expect(() => decodeJwt(changed), `at ${at}`).toThrow(
        expect.objectContaining({ name: 'IdentityError' }),
      );
    }
  });
});
