import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  ActivationLedger,
  createKeyPair,
  decodeActivation,
  decodeUser,
  encodeJwt,
  issuedBy,
  type Jwt,
  type KeyPair,
  newActivation,
  parseCreds,
  publicKeyOf,
  rotateSigningKey,
  type StoreContext,
  signingKeysOf,
  takeSnapshot,
  tokenIn,
} from '../src/index.js';
import { RotationJournal } from '../src/operate/rotation-journal.js';
import { nscCopy, pathsIn } from './nsc-copy.js';

const SIGNING = 'ABPLTKJ45XA7OQ5KGWQ2JY2FQFTNFGGHBQRHWALABOH6ZBE5B6XMPVXP';
const READER = 'ADGQPAPTNSMWKD4YCZAIKW4ASYANMWXLCCY527TEC5MEPKMM32JABUDC';
const OPERATOR_SIGNING = 'OCV6R3XIWDWQNOI6CWCPJZEBJDTIDFEQ3DWWQRYPJZXJ6VMLZEYYGB5L';

/** All files with their bytes, ours aside. */
const contents = (folder: string): Map<string, string> =>
  new Map(
    pathsIn(folder)
      .filter((path) => statSync(join(folder, path)).isFile())
      .map((path) => [path, readFileSync(join(folder, path), 'utf8')]),
  );

const account = (context: StoreContext) => context.store.account('demoA').claims;

const withoutIssue = ({ claims: { iat, iss, jti, ...rest } }: Jwt) => rest;

function creds({ keys, store }: StoreContext, account: string, user: string) {
  const { jwt, seed } = parseCreds(readFileSync(keys.credsPath(store.name, account, user)));
  return { jwt, user: publicKeyOf(seed) };
}

describe("the rotation of an account's signing key", () => {
  it('signs all anew that the old key signed, keeping its claims, and removes the old key', async () => {
    using nsc = nscCopy();
    const before = takeSnapshot(nsc.open());
    const report = await rotateSigningKey(nsc.open(), { account: 'demoA', old: SIGNING });
    const context = nsc.open();
    const fresh = report.new as string;

    expect(report).toMatchObject({ old: SIGNING, oldKey: 'removed', resumed: false, pushed: false });
    const account = context.store.account('demoA');
    expect([...signingKeysOf(account.claims).keys()].sort()).toEqual([fresh, READER].sort());
    expect(context.keys.has(fresh)).toBe(true);
    expect(context.ledger.record(fresh)).toMatchObject({ use: 'signing-key', account: 'demoA' });
    expect(context.ledger.record(SIGNING)?.retired).toBeDefined();

    for (const user of ['demoU', 'demolimited']) {
      const was = before.accounts[1]?.users.find(({ name }) => name === user)?.jwt as Jwt;
      const is = context.store.user('demoA', user);
      expect(is.claims.iss).toBe(fresh);
      expect(withoutIssue(is)).toEqual(withoutIssue(was));
      expect(creds(context, 'demoA', user)).toEqual({ jwt: is.text, user: is.claims.sub });
      expect(statSync(context.keys.credsPath('demoO', 'demoA', user)).mode & 0o777).toBe(0o600);
    }
    const [imported] = context.store.account('demoB').claims.nats.imports ?? [];
    const activation = decodeActivation(imported?.token ?? '');
    expect(activation.claims.iss).toBe(fresh);
    expect(activation.claims.nats).toEqual(
      decodeActivation(before.accounts[2]?.jwt.claims.nats.imports?.[0]?.token ?? '').claims.nats,
    );
    expect(issuedBy(takeSnapshot(context), SIGNING).map(({ name }) => name)).toEqual(['demogone']);
  });

  it('does not bring back a user that was revoked', async () => {
    using nsc = nscCopy();
    const before = nsc.open().store.user('demoA', 'demogone').text;
    const report = await rotateSigningKey(nsc.open(), { account: 'demoA' });
    expect(report.left).toEqual([{ kind: 'user', name: 'demogone', account: 'demoA' }]);
    expect(nsc.open().store.user('demoA', 'demogone').text).toBe(before);
  });

  it('gives the new key of a role the scope of the old one', async () => {
    using nsc = nscCopy();
    const scope = signingKeysOf(nsc.open().store.account('demoA').claims).get(READER);
    const report = await rotateSigningKey(nsc.open(), { account: 'demoA', role: 'reader' });
    const context = nsc.open();
    const keys = signingKeysOf(context.store.account('demoA').claims);
    expect(report).toMatchObject({ old: READER, role: 'reader' });
    expect(keys.get(report.new as string)).toEqual({ ...scope, key: report.new });
    expect(keys.has(READER)).toBe(false);
    expect(context.store.user('demoA', 'demoscoped').claims.iss).toBe(report.new);
  });

  it('as a dry run tells the same and writes nothing', async () => {
    using nsc = nscCopy();
    const before = contents(nsc.path);
    const dry = await rotateSigningKey(nsc.open(), { account: 'demoA', dryRun: true });
    expect(contents(nsc.path)).toEqual(before);
    const wet = await rotateSigningKey(nsc.open(), { account: 'demoA' });
    expect(dry).toEqual({ ...wet, new: undefined });
  });

  it('can wait before the old key goes', async () => {
    using nsc = nscCopy();
    const first = await rotateSigningKey(nsc.open(), { account: 'demoA', keepOld: true });
    expect([...signingKeysOf(nsc.open().store.account('demoA').claims).keys()]).toContain(SIGNING);
    const second = await rotateSigningKey(nsc.open(), { account: 'demoA' });
    expect(second).toMatchObject({ old: SIGNING, new: first.new, resumed: true, oldKey: 'removed' });
    expect([...signingKeysOf(nsc.open().store.account('demoA').claims).keys()]).not.toContain(SIGNING);
  });

  it('goes on by its role, too, and makes no second key', async () => {
    using nsc = nscCopy();
    const wanted = { account: 'demoA', role: 'reader' };
    const first = await rotateSigningKey(nsc.open(), { ...wanted, keepOld: true });
    const keys = nsc.open().keys.list();
    const second = await rotateSigningKey(nsc.open(), wanted);
    expect(second).toMatchObject({ old: READER, new: first.new, resumed: true, oldKey: 'removed' });
    expect(nsc.open().keys.list()).toEqual(keys);
    expect(new RotationJournal(nsc.open().keys.folder).of(account(nsc.open()).sub)).toEqual([]);
  });

  it('goes on by its role where it was killed before the new key joined', async () => {
    using nsc = nscCopy();
    const { keys } = nsc.open();
    using pair = createKeyPair('account');
    keys.store(pair);
    const begun = { entity: account(nsc.open()).sub, old: READER, new: pair.publicKey };
    new RotationJournal(keys.folder).write(begun);
    const report = await rotateSigningKey(nsc.open(), { account: 'demoA', role: 'reader' });
    expect(report).toMatchObject({ old: READER, new: pair.publicKey, resumed: true });
  });

  it('of one role leaves alone what was begun of another key', async () => {
    using nsc = nscCopy();
    const other = await rotateSigningKey(nsc.open(), { account: 'demoA', old: SIGNING, keepOld: true });
    const report = await rotateSigningKey(nsc.open(), { account: 'demoA', role: 'reader' });
    expect(report).toMatchObject({ old: READER, resumed: false });
    const left = new RotationJournal(nsc.open().keys.folder).of(account(nsc.open()).sub);
    expect(left).toMatchObject([{ old: SIGNING, new: other.new }]);
  });

  it('keeps two tokens of an account from having the same second, and so the same id', async () => {
    using nsc = nscCopy();
    const tokens: { iat: number; jti?: string | undefined }[] = [];
    const now = () => new Date('2026-12-01T00:00:00Z');
    await rotateSigningKey(nsc.open(), {
      account: 'demoA',
      now,
      push: async (names) => {
        for (const name of names) tokens.push(nsc.open().store.account(name).claims);
      },
    });
    const [joined, holder, done] = tokens;
    expect(tokens).toHaveLength(3);
    expect(holder?.iat).toBe(now().getTime() / 1000);
    expect(done?.iat).toBeGreaterThan(joined?.iat ?? 0);
    expect(done?.jti).not.toBe(joined?.jti);
  });

  it('writes creds with the seed of the old ones where the key folder lacks it', async () => {
    using nsc = nscCopy();
    const context = nsc.open();
    const { sub } = context.store.user('demoA', 'demoU').claims;
    context.keys.remove(sub);
    const report = await rotateSigningKey(context, { account: 'demoA' });
    expect(creds(context, 'demoA', 'demoU').jwt).toBe(nsc.open().store.user('demoA', 'demoU').text);
    expect(report.duties.map(({ who }) => who)).not.toContain('user demoU of demoA');
  });

  it('tells of a user whose seed is not here that its token is new and its creds are not', async () => {
    using nsc = nscCopy();
    const context = nsc.open();
    const { sub } = context.store.user('demoA', 'demoU').claims;
    context.keys.remove(sub);
    context.keys.removeCreds('demoO', 'demoA', 'demoU');
    const report = await rotateSigningKey(context, { account: 'demoA' });
    expect(decodeUser(context.store.user('demoA', 'demoU').text).claims.iss).toBe(report.new);
    expect(report.reissued.find(({ name }) => name === 'demoU')?.creds).toBeUndefined();
    expect(report.duties.map(({ who }) => who)).toContain('user demoU of demoA');
  });

  it('gives servers both keys before anything that the new one signed, also when it goes on', async () => {
    using nsc = nscCopy();
    const pushed: { name: string; keys: number; old: boolean }[] = [];
    const push = async (names: readonly string[]) => {
      for (const name of names) {
        const keys = signingKeysOf(nsc.open().store.account(name).claims);
        pushed.push({ name, keys: keys.size, old: keys.has(SIGNING) });
      }
      if (pushed.length === 1) throw new Error('out of reach');
    };
    await expect(rotateSigningKey(nsc.open(), { account: 'demoA', push })).rejects.toThrow('out of reach');
    expect(nsc.open().store.user('demoA', 'demoU').claims.iss).toBe(SIGNING);
    await rotateSigningKey(nsc.open(), { account: 'demoA', push });
    expect(pushed).toEqual([
      { name: 'demoA', keys: 3, old: true },
      { name: 'demoA', keys: 3, old: true },
      { name: 'demoB', keys: 0, old: false },
      { name: 'demoA', keys: 2, old: false },
    ]);
  });

  it('signs activation tokens anew that were given away, and says to whom they go', async () => {
    using nsc = nscCopy();
    const context = nsc.open();
    using signer = context.keys.read(SIGNING) as KeyPair;
    const stranger = createKeyPair('account').publicKey;
    const ledger = new ActivationLedger(context.keys.folder);
    const make = (on: string) => {
      const plain = newActivation(stranger, { name: on, on, kind: 'service' });
      const issuer_account = context.store.account('demoA').claims.sub;
      return encodeJwt({ ...plain, nats: { ...plain.nats, issuer_account } }, signer);
    };
    for (const on of ['svc.a', 'svc.*', 'svc.>']) ledger.note(make(on));
    expect(
      issuedBy(takeSnapshot(context), SIGNING).filter(({ subject }) => subject === stranger),
    ).toHaveLength(3);

    const report = await rotateSigningKey(context, { account: 'demoA' });
    const renewed = ledger.tokens();
    expect(renewed.map(({ claims }) => [claims.iss, claims.nats.subject])).toEqual(
      ['svc.a', 'svc.*', 'svc.>'].map((on) => [report.new, on]),
    );
    for (const jwt of renewed) {
      const path = ledger.pathOf(jwt);
      expect(tokenIn(readFileSync(path))).toBe(jwt.text);
      expect(report.duties.find(({ must }) => must.includes(path))?.who).toBe(`account ${stranger}`);
    }
  });

  it('names the keys when it is not clear which is meant, and refuses what is no signing key', async () => {
    using nsc = nscCopy();
    const own = nsc.open().store.account('demoA').claims.sub;
    for (const request of [{ old: own }, { old: OPERATOR_SIGNING }, { role: 'writer' }]) {
      const failed = rotateSigningKey(nsc.open(), { account: 'demoA', ...request });
      await expect(failed).rejects.toMatchObject({ code: 'not_found' });
    }
    await expect(rotateSigningKey(nsc.open(), { account: 'demoB' })).rejects.toThrow('there is none');
  });

  it('begins nothing when nothing here may sign the account', async () => {
    using nsc = nscCopy();
    const context = nsc.open();
    for (const key of context.keys.list().filter((key) => key.startsWith('O'))) context.keys.remove(key);
    const before = contents(nsc.path);
    await expect(rotateSigningKey(context, { account: 'demoA' })).rejects.toMatchObject({
      code: 'no_signer',
    });
    expect(contents(nsc.path)).toEqual(before);
  });
});

describe("the rotation of an operator's signing key", () => {
  it('signs the accounts anew that the old key signed, and removes the old key', async () => {
    using nsc = nscCopy();
    const before = takeSnapshot(nsc.open());
    const report = await rotateSigningKey(nsc.open(), {});
    const { operator, accounts } = takeSnapshot(nsc.open());
    expect(report).toMatchObject({ of: 'operator', old: OPERATOR_SIGNING });
    expect(operator.claims.nats.signing_keys).toEqual([report.new]);
    for (const [at, { name, jwt }] of accounts.entries()) {
      const was = before.accounts[at]?.jwt as Jwt;
      expect(withoutIssue(jwt)).toEqual(withoutIssue(was));
      expect(jwt.claims.iss).toBe(name === 'SYS' ? was.claims.iss : report.new);
      expect(jwt.claims.iat).toBeGreaterThan(name === 'SYS' ? 0 : was.claims.iat);
    }
  });

  it("works without the operator's own key, and the key that goes does not sign last", async () => {
    using nsc = nscCopy();
    const context = nsc.open();
    context.keys.remove(context.store.operator().claims.sub);
    const report = await rotateSigningKey(context, {});
    expect(nsc.open().store.operator().claims.iss).toBe(report.new);
    const failed = rotateSigningKey(nsc.open(), { key: report.new });
    await expect(failed).rejects.toMatchObject({ code: 'wrong_signer' });
  });
});
