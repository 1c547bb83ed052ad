import { describe, expect, it } from 'vitest';
import {
  createKeyPair,
  decodeAccount,
  encodeJwt,
  exportOf,
  importOf,
  newAccount,
  newActivation,
  withExport,
  withImport,
  withoutExport,
  withoutImport,
} from '../src/index.js';
import { nscFile, nscKey } from './vectors.js';

const refused = (why: string) =>
  expect.objectContaining({ code: 'invalid_claims', message: expect.stringContaining(why) });
const demoA = decodeAccount(nscFile('stores/demoO/accounts/demoA/demoA.jwt')).claims;
const demoB = decodeAccount(nscFile('stores/demoO/accounts/demoB/demoB.jwt')).claims;
const [OTHER, THIRD] = [createKeyPair('account').publicKey, createKeyPair('account').publicKey];
const nothing = newAccount(OTHER, 'B') as Parameters<typeof withImport>[0];

describe('an export', () => {
  it("is nsc's, for what nsc was asked for", () => {
    const made = exportOf({ name: 'svc', subject: 'svc.>', service: true, private: true });
    expect([made]).toEqual(demoA.nats.exports);
  });

  it('may say whose key stands where, how latency is measured, and what answers look like', () => {
    expect(exportOf({ subject: 'a.*', accountTokenPosition: 2 })).toEqual({
      name: 'a.*',
      subject: 'a.*',
      type: 'stream',
      account_token_position: 2,
    });
    expect(
      exportOf({
        subject: 'q',
        service: true,
        responseType: 'Chunked',
        latency: { results: 'l.q', sampling: 0 },
      }),
    ).toMatchObject({ response_type: 'Chunked', service_latency: { sampling: 'headers', results: 'l.q' } });
  });

  it.each([
    [{ subject: '' }, 'is empty'],
    [{ subject: 'a b' }, 'has a space'],
    [{ subject: '.a' }, 'begins or ends with a dot'],
    [{ subject: 'a..b' }, 'two dots in a row'],
    [{ subject: 'a', responseType: 'Singleton' }, 'only a service'],
    [{ subject: 'a', service: true, responseType: 'Some' }, 'Singleton, Stream, Chunked'],
    [{ subject: 'a', latency: { results: 'l', sampling: 5 } }, 'only of a service'],
    [{ subject: 'a', service: true, latency: { results: 'l', sampling: 101 } }, '1 to 100'],
    [{ subject: 'a', service: true, latency: { results: 'l.*', sampling: 1 } }, 'without wildcards'],
    [{ subject: 'a.*', accountTokenPosition: 1 }, 'token 1 of "a.*" is no *'],
    [{ subject: 'a.*', accountTokenPosition: 3 }, 'token 3'],
    [{ subject: 'a', responseThreshold: 1 }, 'only a service'],
    [{ subject: 'a', infoUrl: 'nowhere' }, 'no URL'],
  ])('is refused when nats-server would refuse it: %o', (request, why) => {
    expect(() => exportOf(request)).toThrow(refused(why));
  });

  it('is added once, within what the account may', () => {
    const one = withExport(nothing, exportOf({ subject: 'a.>' }));
    expect(() => withExport(one, exportOf({ subject: 'a.b' }))).toThrow(
      refused('is exported by "a.>" already'),
    );
    expect(withExport(one, exportOf({ subject: 'a.b', service: true })).nats.exports).toHaveLength(2);
    const few = { ...one, nats: { ...one.nats, limits: { exports: 1, wildcards: true } } };
    expect(() => withExport(few, exportOf({ subject: 'b' }))).toThrow(refused('may have 1 exports'));
    const plain = { ...nothing, nats: { ...nothing.nats, limits: { exports: -1 } } };
    expect(() => withExport(plain, exportOf({ subject: 'b.*' }))).toThrow(refused('wildcards'));
  });

  it('is deleted by its subject, which may be left out if it is the only one', () => {
    expect(withoutExport(demoA, undefined).claims.nats.exports).toBeUndefined();
    expect(() => withoutExport(demoA, 'other')).toThrow(refused('does not export "other", only "svc.>"'));
    expect(() => withoutExport(nothing, 'other')).toThrow(refused('has no exports'));
  });
});

describe('an import', () => {
  const token = demoB.nats.imports?.[0]?.token ?? '';

  it("is nsc's, by the activation token that nsc was given", () => {
    const made = importOf({ from: { token }, localSubject: 'mysvc.>' }, demoB.sub);
    expect([made]).toEqual(demoB.nats.imports);
  });

  it('of a public export needs no token', () => {
    const made = importOf(
      { from: { account: demoA.sub, subject: 'news.*', service: false }, localSubject: 'n.$1' },
      OTHER,
    );
    expect(made).toEqual({
      name: 'news.*',
      subject: 'news.*',
      account: demoA.sub,
      type: 'stream',
      local_subject: 'n.$1',
    });
  });

  it('is refused with an activation token that is not for it', () => {
    expect(() => importOf({ from: { token } }, OTHER)).toThrow(refused('for another account'));
    expect(() => importOf({ from: { account: OTHER, subject: 'a', service: true } }, OTHER)).toThrow(
      refused('its own'),
    );
    using signer = nscKey(demoA.sub);
    const wide = encodeJwt(newActivation(OTHER, { name: 'n', on: '', kind: 'stream' }), signer);
    expect(() => importOf({ from: { token: wide } }, OTHER)).toThrow(refused('is empty'));
  });

  it.each([
    ['b', 'must end in >'],
    ['b.>', undefined],
    ['b.$1.>', 'refers to a *'],
    ['b.*.>', 'a * or a $N for every *'],
  ])('takes up the wildcards of what it imports: a.> as %s', (localSubject, why) => {
    const make = () =>
      importOf({ from: { account: demoA.sub, subject: 'a.>', service: true }, localSubject }, OTHER);
    if (why) expect(make).toThrow(refused(why));
    else expect(make()).toMatchObject({ local_subject: 'b.>' });
  });

  it('does not take the local subject of another service of the same account', () => {
    const from = { account: demoA.sub, subject: 'a.b', service: true };
    const one = withImport(nothing, importOf({ from }, OTHER));
    expect(() =>
      withImport(one, importOf({ from: { ...from, subject: 'c.*' }, localSubject: 'a.*' }, OTHER)),
    ).toThrow(refused('overlaps'));
    const both = withImport(one, importOf({ from: { ...from, account: THIRD } }, OTHER));
    expect(() => withoutImport(both, 'a.b', undefined)).toThrow(refused('say --src-account'));
    expect(withoutImport(both, 'a.b', THIRD).claims.nats.imports).toEqual(one.nats.imports);
    expect(() => withoutImport(both, 'x', undefined)).toThrow(refused('say which import'));
  });
});
