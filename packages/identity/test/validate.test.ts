import { describe, expect, it } from 'vitest';
import {
  accountFindings,
  activationHash,
  createKeyPair,
  decodeActivation,
  decodeJwt,
  encodeJwt,
  newAccount,
  newActivation,
  newOperator,
  newUser,
  operatorFindings,
  tokenIn,
  userFindings,
} from '../src/index.js';
import { nscFile, nscFiles } from './vectors.js';

const NOW = new Date('2026-11-22T12:00:00Z');
const SECONDS = NOW.getTime() / 1000;
const key = (kind: 'operator' | 'account' | 'user') => createKeyPair(kind).publicKey;
const ACCOUNT = key('account');
const OTHER = key('account');

const standard = { iat: SECONDS, jti: 'x' };
const operator = (nats: object, more = {}) => {
  const sub = key('operator');
  const claims = newOperator(sub, 'O');
  return { ...standard, iss: sub, ...claims, ...more, nats: { ...claims.nats, ...nats } };
};
const account = (nats: object, more = {}) => {
  const claims = newAccount(ACCOUNT, 'A');
  return { ...standard, iss: key('operator'), ...claims, ...more, nats: { ...claims.nats, ...nats } };
};
const user = (nats: object, more = {}) => {
  const claims = newUser(key('user'), 'U');
  return { ...standard, iss: ACCOUNT, ...claims, ...more, nats: { ...claims.nats, ...nats } };
};
const texts = (findings: readonly { readonly text: string }[]) => findings.map(({ text }) => text).join('; ');

describe('validation', () => {
  it.each(nscFiles('.jwt'))("finds nothing in nsc's tokens: %s", (path) => {
    const { kind, claims } = decodeJwt(tokenIn(Buffer.from(nscFile(path))));
    const findings = { operator: operatorFindings, account: accountFindings, user: userFindings };
    if (kind === 'activation' || kind === 'generic') return;
    expect(findings[kind](claims as never, NOW)).toEqual([]);
  });

  it('finds what is wrong with an operator', () => {
    const found = (nats: object, more = {}) => texts(operatorFindings(operator(nats, more), NOW));
    expect(found({})).toBe('');
    expect(found({}, { exp: SECONDS - 1 })).toMatch(/expired/);
    expect(found({}, { nbf: SECONDS + 1 })).toMatch(/not valid yet/);
    expect(found({}, { iss: key('operator') })).toMatch(/neither its own key/);
    expect(found({ account_server_url: 'ftp://x' })).toMatch(/account server/);
    expect(found({ account_server_url: 'nats://x:4222' })).toBe('');
    expect(found({ operator_service_urls: ['tls://a', 'http://b'] })).toMatch(/"http:\/\/b"/);
    expect(found({ system_account: 'SYS' })).toMatch(/system account/);
    expect(found({ assert_server_version: '2' })).toMatch(/version/);
    expect(found({ strict_signing_key_usage: true })).toMatch(/has none/);
  });

  it('finds what is wrong with an account', () => {
    const found = (nats: object) => texts(accountFindings(account(nats), NOW));
    const limits = newAccount(ACCOUNT, 'A').nats.limits;
    const exported = (item: object) =>
      found({ exports: [{ name: 'x', type: 'service', subject: 'a.*', ...item }] });
    expect(exported({})).toBe('');
    expect(exported({ subject: 'a..b' })).toMatch(/two dots/);
    expect(exported({ type: undefined })).toMatch(/neither a stream nor a service/);
    expect(exported({ response_type: 'Many' })).toMatch(/response type/);
    expect(exported({ type: 'stream', response_type: 'Stream' })).toMatch(/no response type/);
    expect(exported({ type: 'stream', allow_trace: true })).toMatch(/traces/);
    expect(exported({ account_token_position: 1 })).toMatch(/position/);
    expect(exported({ account_token_position: 2 })).toBe('');
    expect(exported({ service_latency: { sampling: 101, results: 'r.*' } })).toMatch(/sampling.*latency/);
    expect(exported({ response_threshold: -1 })).toMatch(/threshold/);
    expect(exported({ info_url: 'nowhere' })).toMatch(/info URL/);
    expect(found({ exports: ['a.>', 'a.b'].map((subject) => ({ type: 'stream', subject })) })).toMatch(
      /overlap/,
    );
    expect(found({ exports: ['a.b', 'a.c'].map((subject) => ({ type: 'stream', subject })) })).toBe('');
    expect(
      found({ limits: { ...limits, imports: 0, exports: 0 }, exports: [{ type: 'stream', subject: 'a' }] }),
    ).toMatch(/more exports/);
    expect(
      found({
        limits: { ...limits, exports: 1, wildcards: false },
        exports: [{ type: 'stream', subject: 'a.*' }],
      }),
    ).toMatch(/wildcards/);
    expect(found({ limits: { ...limits, streams: 1, tiered_limits: { R1: { streams: 1 } } } })).toMatch(
      /JetStream/,
    );
    expect(
      found({
        mappings: {
          a: [
            { subject: 'b', weight: 60 },
            { subject: 'c', weight: 60 },
          ],
        },
      }),
    ).toMatch(/100 %/);
    expect(found({ mappings: { a: [{ subject: 'b' }] } })).toBe('');
    expect(found({ trace: { dest: 'a.*', sampling: 101 } })).toMatch(/traces.*sampling/);
    expect(found({ default_permissions: { pub: { allow: ['a b'] }, sub: { allow: ['a b'] } } })).toMatch(
      /queue group/,
    );
    const template = { pub: {}, sub: { deny: ['a..b'] }, src: ['10.0.0.0/33'] };
    expect(
      found({ signing_keys: [{ kind: 'user_scope', key: OTHER, role: 'r', template, description: '' }] }),
    ).toMatch(/\(r\): .*two dots.*\(r\): "10.0.0.0\/33" is no network/);
  });

  it('finds what is wrong with an import and its activation', () => {
    using exporter = createKeyPair('account');
    const imported = (item: object, more: object[] = []) =>
      texts(
        accountFindings(
          account({
            imports: [{ type: 'service', subject: 'a.*', account: exporter.publicKey, ...item }, ...more],
          }),
          NOW,
        ),
      );
    const activation = (subject: string, { to = ACCOUNT, kind = 'service' as const } = {}) =>
      encodeJwt(newActivation(to, { name: 'x', on: subject, kind }), exporter);
    expect(imported({})).toBe('');
    expect(imported({ local_subject: 'b.$1' })).toBe('');
    expect(imported({ local_subject: 'b.$2' })).toMatch(/refers to/);
    expect(imported({ local_subject: 'b' })).toMatch(/\$N/);
    expect(imported({ local_subject: 'b.>' })).toMatch(/>/);
    expect(imported({ account: '' })).toMatch(/from which account/);
    expect(imported({ to: 'b.*' })).toMatch(/out of use/);
    expect(imported({ allow_trace: true })).toMatch(/traces/);
    expect(imported({ type: 'stream', share: true })).toMatch(/shares nothing/);
    expect(imported({}, [{ type: 'service', subject: 'a.b', account: exporter.publicKey }])).toMatch(
      /overlap/,
    );
    expect(imported({}, [{ type: 'service', subject: 'a.b', account: OTHER }])).toBe('');
    expect(imported({ token: activation('a.>') })).toBe('');
    expect(imported({ token: activation('b.>') })).toMatch(/is for "b.>"/);
    expect(imported({ token: activation('a.>', { to: OTHER }) })).toMatch(/for another account/);
    expect(imported({ token: activation('a.>'), account: OTHER })).toMatch(/not by the account/);
    expect(imported({ token: 'nonsense' })).toMatch(/cannot be read/);
  });

  it('finds what is wrong with a user', () => {
    const found = (nats: object, more = {}) => texts(userFindings(user(nats, more), NOW));
    expect(found({ src: ['10.0.0.0/8', '::1/128'], times: [{ start: '08:00:00', end: '17:00:00' }] })).toBe(
      '',
    );
    expect(found({ src: ['10.0.0.1'] })).toMatch(/no network/);
    expect(found({ times: [{ start: '8:00', end: '24:00:00' }] })).toMatch(/no range of times/);
    expect(found({ times_location: 'Mars' })).toMatch(/no time zone/);
    expect(found({ pub: { allow: ['>'] }, sub: { allow: ['a q'] } })).toBe('');
    expect(found({}, { exp: SECONDS - 1 })).toMatch(/expired/);
  });
});

describe('the hash of an activation', () => {
  it('is of its subject up to the first wildcard', () => {
    const { claims } = decodeActivation(tokenIn(Buffer.from(nscFile('activation.jwt'))));
    // As `nsc describe jwt` shows it: SHA-256 of "ABPL….ACIK….svc".
    expect(activationHash(claims)).toBe('5DC7HSFN4VAS3HDPMK7PQ67K7MHGC3PCLG7C66OBCO2VHT6AMEDA====');
    const hashOf = (subject: string) => activationHash({ ...claims, nats: { ...claims.nats, subject } });
    expect(hashOf('svc.a')).not.toBe(hashOf('svc.*'));
    expect(hashOf('svc.*.x')).toBe(hashOf('svc.>'));
    expect(hashOf('*.x')).toBe(hashOf('>'));
  });
});
