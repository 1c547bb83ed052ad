import { chmodSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  accountMeant,
  changing,
  checkName,
  createKeyPair,
  encodeJwt,
  generateKey,
  locate,
  newAccount,
  newOperator,
  newUser,
  OperatorStore,
  openContext,
  openWorkplace,
  parseCreds,
  remember,
  resolveKey,
  saveAccount,
  saveOperator,
  saveUser,
  signingKeysOf,
  userMeant,
} from '../src/index.js';
import { nscCopy, pathsIn, temporaryFolder } from './nsc-copy.js';
import { NSC, nscFile } from './vectors.js';

const withCode = (code: string) => expect.objectContaining({ name: 'IdentityError', code });
const OPERATOR_KEY = 'OCTBUFUKUVFSAUJNZGDJWA3QGY72MDECLUYRUTM7AVXCHM2RPM2A5B2Z';
const OPERATOR_SIGNING_KEY = 'OCV6R3XIWDWQNOI6CWCPJZEBJDTIDFEQ3DWWQRYPJZXJ6VMLZEYYGB5L';
const READER = 'ADGQPAPTNSMWKD4YCZAIKW4ASYANMWXLCCY527TEC5MEPKMM32JABUDC';
const SIGNING_KEY = 'ABPLTKJ45XA7OQ5KGWQ2JY2FQFTNFGGHBQRHWALABOH6ZBE5B6XMPVXP';

describe("nsc's store", () => {
  it('is read: its operator, accounts and users', () => {
    using copy = nscCopy();
    const { store, keys } = copy.open();
    expect(store.name).toBe('demoO');
    expect(store.managed).toBe(false);
    expect(store.operator().claims.sub).toBe(OPERATOR_KEY);
    expect(store.accountNames()).toEqual(['SYS', 'demoA', 'demoB']);
    expect(store.userNames('demoA')).toEqual(['demoU', 'demogone', 'demolimited', 'demoscoped']);
    expect(store.userNames('demoB')).toEqual([]);
    expect(keys.list()).toHaveLength(13);
    expect(store.accountOf(store.account('SYS').claims.sub)?.name).toBe('SYS');
  });

  it('signed again by who signed before is the same to the byte', async () => {
    using copy = nscCopy();
    const context = copy.open();
    const { store, keys } = context;
    await changing(context, () => {
      const again = ({ iss, iat }: { iss: string; iat: number }) => ({
        before: iss,
        now: new Date(iat * 1000),
      });
      const { claims: operator } = store.operator();
      saveOperator(context, operator, again(operator));
      for (const { name, jwt } of store.accounts()) {
        saveAccount(context, name, jwt.claims, again(jwt.claims));
        for (const user of store.users(name)) {
          const { token } = saveUser(context, name, user.name, user.jwt.claims, again(user.jwt.claims));
          keys.writeCreds('demoO', name, user.name, token);
        }
      }
    });
    expect(pathsIn(copy.path)).toEqual(pathsIn(NSC));
    for (const path of pathsIn(NSC).filter((each) => /\.[a-z]+$/.test(each))) {
      expect(readFileSync(join(copy.path, path)), path).toEqual(readFileSync(join(NSC, path)));
    }
  });

  it('keeps the mode of a file that others are to read, but never of a seed', () => {
    using copy = nscCopy();
    const context = copy.open();
    const { claims } = context.store.account('demoA');
    const path = context.store.accountPath('demoA');
    chmodSync(path, 0o644);
    saveAccount(context, 'demoA', claims, { before: claims.iss });
    expect(statSync(path).mode & 0o777).toBe(0o644);
    const creds = context.keys.credsPath('demoO', 'demoA', 'demoU');
    chmodSync(creds, 0o644);
    context.keys.writeCreds('demoO', 'demoA', 'demoU', context.store.user('demoA', 'demoU').text);
    expect(statSync(creds).mode & 0o777).toBe(0o600);
  });

  it('says which file is damaged', () => {
    using copy = nscCopy();
    const { store, keys } = copy.open();
    writeFileSync(store.accountPath('demoA'), 'nonsense');
    expect(() => store.account('demoA')).toThrow(withCode('damaged_store'));
    const other = createKeyPair('operator');
    writeFileSync(keys.pathOf(OPERATOR_KEY), other.seed());
    expect(() => keys.read(OPERATOR_KEY)).toThrow(withCode('damaged_store'));
    writeFileSync(join(store.folder, '.nsc'), '[]');
    expect(() => copy.open()).toThrow(withCode('damaged_store'));
  });
});

describe('a store of ours', () => {
  it('has the layout, the modes and the content of nsc’s', async () => {
    using folder = temporaryFolder();
    const place = openWorkplace({ allDirs: undefined, ...inside(folder.path) });
    const operator = generateKey(place, 'operator', { use: 'identity', operator: 'O' });
    await changing(place, () => {
      using pair = place.keys.read(operator.key);
      if (pair === undefined) throw new Error('the key is kept');
      const token = encodeJwt(newOperator(operator.key, 'O'), pair);
      OperatorStore.create(place.locations.stores, token, { name: 'O' });
    });
    const context = openContext(inside(folder.path));
    const account = generateKey(context, 'account', { use: 'identity', operator: 'O', account: 'A' });
    saveAccount(context, 'A', newAccount(account.key, 'A'));
    const user = generateKey(context, 'user');
    const { token } = saveUser(context, 'A', 'U', newUser(user.key, 'U'));
    const creds = context.keys.writeCreds('O', 'A', 'U', token);

    const nk = (key: string) => `keys/keys/${key[0]}/${key.slice(1, 3)}/${key}.nk`;
    const files = pathsIn(folder.path).filter((path) => !statSync(join(folder.path, path)).isDirectory());
    expect(files).toEqual(
      [
        nk(operator.key),
        nk(account.key),
        nk(user.key),
        'keys/creds/O/A/U.creds',
        'stores/O/.nsc',
        'stores/O/O.jwt',
        'stores/O/accounts/A/A.jwt',
        'stores/O/accounts/A/users/U.jwt',
      ].sort(),
    );
    for (const path of pathsIn(folder.path)) {
      const found = statSync(join(folder.path, path));
      expect(found.mode & 0o777, path).toBe(found.isDirectory() ? 0o700 : 0o600);
    }
    expect(readFileSync(join(folder.path, 'stores/O/.nsc'), 'utf8')).toBe(
      nscFile('stores/demoO/.nsc').replace('demoO', 'O'),
    );
    expect(parseCreds(readFileSync(creds ?? '')).jwt).toBe(token);
    expect(context.ledger.records().map(({ key, kind, use }) => [key, kind, use])).toEqual([
      [operator.key, 'operator', 'identity'],
      [account.key, 'account', 'identity'],
      [user.key, 'user', undefined],
    ]);
  });

  it('is not made twice', () => {
    using copy = nscCopy();
    const { store } = copy.open();
    expect(() =>
      OperatorStore.create(copy.options.dataDir ?? '', store.operator().text, { name: 'demoO' }),
    ).toThrow(withCode('exists'));
  });

  it.each(['', '.', '..', 'a/b', '..\\b', '.hidden', ' a', 'a\n', 'a\u0000', 'x'.repeat(201), '\ud800'])(
    'has no operator, account or user called %j',
    (name) => {
      using copy = nscCopy();
      const context = copy.open();
      using user = createKeyPair('user');
      expect(() => checkName(name, 'a user')).toThrow(withCode('invalid_name'));
      expect(() => saveUser(context, 'demoA', name, newUser(user.publicKey, name))).toThrow();
      expect(() => context.store.account(name)).toThrow(withCode('invalid_name'));
      expect(() => context.keys.credsPath('demoO', 'demoA', name)).toThrow(withCode('invalid_name'));
    },
  );
});

describe('who signs', () => {
  it('is who signed before, else the key itself, else a signing key, as with nsc', () => {
    using copy = nscCopy();
    const context = copy.open();
    const { claims } = context.store.account('demoA');
    const signer = (options: object) => saveAccount(context, 'demoA', claims, options).signer;
    expect(signer({ before: OPERATOR_SIGNING_KEY })).toBe(OPERATOR_SIGNING_KEY);
    expect(signer({})).toBe(OPERATOR_KEY);
    expect(signer({ before: READER })).toBe(OPERATOR_KEY);
    const { claims: operator } = context.store.operator();
    saveOperator(context, { ...operator, nats: { ...operator.nats, strict_signing_key_usage: true } });
    expect(signer({})).toBe(OPERATOR_SIGNING_KEY);
    expect(() => signer({ key: OPERATOR_KEY })).toThrow(withCode('wrong_signer'));
    context.keys.remove(OPERATOR_SIGNING_KEY);
    expect(() => signer({})).toThrow(withCode('no_signer'));
  });

  it('is who is named: by a seed, a file, a public key or a role', () => {
    using copy = nscCopy();
    const { store, keys } = copy.open();
    const scopes = signingKeysOf(store.account('demoA').claims);
    const seed = readFileSync(keys.pathOf(READER), 'utf8');
    const file = join(copy.path, 'reader.seed');
    writeFileSync(file, `${seed}\n`);
    for (const reference of [seed, keys.pathOf(READER), file, READER, 'reader']) {
      using pair = resolveKey(reference, keys, { scopes });
      expect(pair.publicKey).toBe(READER);
    }
    using user = resolveKey(join(copy.path, 'nkeys/creds/demoO/demoA/demoU.creds'), keys);
    expect(user.publicKey).toBe(store.user('demoA', 'demoU').claims.sub);
    for (const nobody of [
      'writer',
      '/nowhere',
      seed.slice(1),
      `${seed}X`,
      copy.path,
      createKeyPair('user').publicKey,
    ]) {
      expect(() => resolveKey(nobody, keys, { scopes }), nobody).toThrow(/./);
      expect(() => resolveKey(nobody, keys, { scopes })).not.toThrow(seed.slice(4, 50));
    }
  });

  it('of the operator is in the new token, too, which else would prove nothing', () => {
    using copy = nscCopy();
    const context = copy.open();
    const { claims } = context.store.operator();
    const without = { ...claims, nats: { ...claims.nats, signing_keys: [] } };
    expect(() => saveOperator(context, without, { key: OPERATOR_SIGNING_KEY })).toThrow(
      withCode('wrong_signer'),
    );
    using added = createKeyPair('operator');
    context.keys.store(added);
    const withAdded = { ...claims, nats: { ...claims.nats, signing_keys: [added.publicKey] } };
    expect(() => saveOperator(context, withAdded, { key: added.publicKey })).toThrow(
      withCode('wrong_signer'),
    );
    expect(saveOperator(context, withAdded).signer).toBe(OPERATOR_KEY);
    expect(saveOperator(context, withAdded, { key: added.publicKey }).signer).toBe(added.publicKey);
  });

  it('bounds a user: under a role it has no permissions and limits of its own', () => {
    using copy = nscCopy();
    const context = copy.open();
    using user = createKeyPair('user');
    const claims = newUser(user.publicKey, 'U');
    const mine = { ...claims, nats: { ...claims.nats, pub: { allow: ['>'] }, tags: ['kept'], new_field: 1 } };
    const { scope, signer } = saveUser(context, 'demoA', 'U', mine as never, { key: 'reader' });
    expect([scope?.role, signer]).toEqual(['reader', READER]);
    const { nats } = context.store.user('demoA', 'U').claims;
    expect(nats).toEqual({
      pub: {},
      sub: {},
      issuer_account: context.store.account('demoA').claims.sub,
      new_field: 1,
      tags: ['kept'],
      type: 'user',
      version: 2,
    });
    saveUser(context, 'demoA', 'U', context.store.user('demoA', 'U').claims, {
      before: signer,
      key: SIGNING_KEY,
    });
    expect(context.store.user('demoA', 'U').claims.nats).toMatchObject({ subs: -1, data: -1, payload: -1 });
  });
});

describe('where everything is', () => {
  const none = { env: {}, cwd: '/', home: '/home/x' };

  it('is said by flags, else the environment, else XDG', () => {
    expect(locate({}, none)).toEqual({
      stores: '/home/x/.local/share/nats/nsc/stores',
      keys: '/home/x/.local/share/nats/nsc/keys',
      config: '/home/x/.config/nats/nsc/nsc.json',
      isCurrent: true,
      here: {},
    });
    const env = { XDG_DATA_HOME: '/data', XDG_CONFIG_HOME: '/config', NKEYS_PATH: '~/k', NSC_HOME: '/nsc' };
    expect(locate({}, { ...none, env })).toMatchObject({
      stores: '/data/nats/nsc/stores',
      keys: '/home/x/k',
      config: '/nsc/nsc.json',
    });
    expect(locate({ allDirs: 'all', keystoreDir: '/keys' }, { ...none, env })).toMatchObject({
      stores: '/all',
      keys: '/keys',
      config: '/all/nsc.json',
    });
  });

  it('is where nsc kept it of old, if it is there alone', () => {
    using home = temporaryFolder();
    for (const folder of ['.nsc/nats', '.nkeys']) mkdirSync(join(home.path, folder), { recursive: true });
    const here = { env: {}, cwd: '/', home: home.path };
    expect(locate({}, here)).toMatchObject({
      stores: join(home.path, '.nsc/nats'),
      keys: join(home.path, '.nkeys'),
      config: join(home.path, '.nsc/nsc.json'),
    });
  });

  it('is what nsc.json says, unless the working folder is in a store', () => {
    using copy = nscCopy();
    const config = join(copy.path, 'config');
    const options = { ...copy.options, dataDir: undefined, configDir: config };
    const { locations } = openWorkplace({ ...options, dataDir: join(copy.path, 'stores') });
    expect(locations.isCurrent).toBe(true);
    mkdirSync(config);
    writeFileSync(
      join(config, 'nsc.json'),
      '{"later": 1, "store_root": "/x", "operator": "", "account": ""}',
    );
    remember({ locations } as never, { operator: 'demoO', account: 'demoB' });
    expect(JSON.parse(readFileSync(join(config, 'nsc.json'), 'utf8'))).toEqual({
      later: 1,
      store_root: join(copy.path, 'stores'),
      operator: 'demoO',
      account: 'demoB',
    });
    expect(openContext(options)).toMatchObject({ store: { name: 'demoO' }, defaultAccount: 'demoB' });
    const cwd = join(copy.path, 'stores/demoO/accounts/SYS/users');
    expect(openContext({ ...options, configDir: '/nowhere', cwd })).toMatchObject({
      store: { name: 'demoO' },
      defaultAccount: 'SYS',
    });
  });

  it('is said by flags for once: the current operator and account stay', () => {
    using copy = nscCopy();
    const config = join(copy.path, '.config/nats/nsc/nsc.json');
    mkdirSync(join(copy.path, '.config/nats/nsc'), { recursive: true });
    const before = '{"store_root": "/others", "operator": "demoO", "account": "demoB"}';
    writeFileSync(config, before);
    const context = copy.open();
    expect(context).toMatchObject({ store: { name: 'demoO' }, defaultAccount: undefined });
    remember(context, { operator: 'demoO', account: 'demoA' });
    expect(readFileSync(config, 'utf8')).toBe(before);
  });

  it('is asked for where it is not clear', () => {
    using copy = nscCopy();
    const context = copy.open();
    expect(context.defaultAccount).toBeUndefined();
    expect(() => accountMeant(context, undefined)).toThrow(/several accounts/);
    expect(() => accountMeant(context, 'demoC')).toThrow(withCode('not_found'));
    expect(() => userMeant(context, 'demoA', undefined)).toThrow(/several users/);
    expect(userMeant(context, 'SYS', undefined)).toBe('sys');
    expect(() => openContext({ ...copy.options, operator: 'other' })).toThrow(withCode('no_store'));
    expect(() => openContext({ ...copy.options, dataDir: '/nowhere' })).toThrow(/yet/);
    renameSync(join(copy.path, 'stores/demoO'), join(copy.path, 'stores/demoP'));
    expect(copy.open().store.name).toBe('demoO');
  });
});

describe('two at once', () => {
  it('change one after the other, so that neither undoes what the other did', async () => {
    using copy = nscCopy();
    const contexts = Array.from({ length: 8 }, () => copy.open());
    await Promise.all(
      contexts.map((context, index) =>
        changing(context, async () => {
          const { claims } = context.store.account('demoA');
          await new Promise(setImmediate);
          const tags = [...(claims.nats.tags ?? []), `t${index}`];
          saveAccount(
            context,
            'demoA',
            { ...claims, nats: { ...claims.nats, tags } },
            { before: claims.iss },
          );
        }),
      ),
    );
    const { tags } = copy.open().store.account('demoA').claims.nats;
    expect([...(tags ?? [])].sort()).toEqual(contexts.map((_, index) => `t${index}`));
    expect(pathsIn(join(copy.path, 'stores'))).toEqual(pathsIn(join(NSC, 'stores')));
  });

  it('are not held up by one that was killed', async () => {
    using copy = nscCopy();
    const context = copy.open();
    const { hostname } = await import('node:os');
    const lock = join(copy.path, 'stores/.coffer.lock');
    writeFileSync(lock, JSON.stringify({ pid: 2 ** 22 + 1, host: hostname(), id: 'x' }));
    expect(await changing(context, () => 'done')).toBe('done');
    expect(pathsIn(join(copy.path, 'stores'))).toEqual(pathsIn(join(NSC, 'stores')));
  });
});

const inside = (folder: string) => ({
  dataDir: join(folder, 'stores'),
  keystoreDir: join(folder, 'keys'),
  configDir: join(folder, 'config'),
  env: {},
  cwd: folder,
  home: folder,
});
