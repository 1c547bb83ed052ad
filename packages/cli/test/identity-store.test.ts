import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt, decodeUser, findingsIn, KeyLedger, parseCreds, publicKeyOf } from '@coffer/identity';
import { describe, expect, test } from 'vitest';
import { home, lines, NSC, nscHome, row, vector, withoutKeys } from './identity-home.js';

describe('the walk-through that users of signing keys know', () => {
  test('runs line by line, whatever -K names', async () => {
    using own = home();
    const { ok } = own;
    expect(withoutKeys(await ok('add', 'operator', 'O2'))).toBe(
      '[ OK ] generated and stored operator key "O…"\n[ OK ] added operator "O2"\n',
    );
    const generated = await ok('generate', 'nkey', '--operator', '--store');
    const [sk = '', stored = ''] = lines(generated);
    expect(sk).toMatch(/^O[A-Z2-7]{55}$/);
    const path = join(own.path, '.local/share/nats/nsc/keys/keys/O', sk.slice(1, 3), `${sk}.nk`);
    expect(stored).toBe(`operator key stored ${path}`);
    expect(publicKeyOf(readFileSync(path))).toBe(sk);
    expect(await ok('edit', 'operator', '--sk', sk)).toBe(
      `[ OK ] added signing key "${sk}"\n[ OK ] edited operator "O2"\n`,
    );
    expect(row(await ok('describe', 'operator'), 'Signing Keys')).toBe(sk);

    for (const [name, key] of [
      ['A', sk],
      ['B', path],
      ['C', readFileSync(path, 'utf8')],
    ] as const) {
      expect(withoutKeys(await ok('add', 'account', name, '-K', key))).toBe(
        `[ OK ] generated and stored account key "A…"\n[ OK ] added account "${name}"\n`,
      );
      expect(row(await ok('describe', 'account'), 'Issuer ID'), name).toBe(sk);
    }
    await ok('env', '--account', 'A');

    const [ask = ''] = lines(await ok('generate', 'nkey', '--account', '--store'));
    expect(await ok('edit', 'account', '--sk', ask, '-K', sk)).toBe(
      `[ OK ] added signing key "${ask}"\n[ OK ] edited account "A"\n`,
    );
    const account = await ok('describe', 'account');
    expect([row(account, 'Issuer ID'), row(account, 'Signing Keys')]).toEqual([sk, ask]);

    expect(withoutKeys(await ok('add', 'user', 'U', '-K', ask))).toBe(
      '[ OK ] generated and stored user key "U…"\n' +
        '[ OK ] generated user creds file `~/.local/share/nats/nsc/keys/creds/O2/A/U.creds`\n' +
        '[ OK ] added user "U" to account "A"\n',
    );
    const user = await ok('describe', 'user');
    expect([row(user, 'Issuer ID'), row(user, 'Issuer Account')]).toEqual([ask, row(account, 'Account ID')]);
    expect(await ok('validate', '--all-accounts')).not.toContain('!');
  });

  test('prints a seed only where it is not stored', async () => {
    using own = home();
    const [seed = '', key = ''] = lines(await own.ok('generate', 'nkey', '--user'));
    expect(publicKeyOf(seed)).toBe(key);
    expect(existsSync(join(own.path, '.local'))).toBe(false);
    expect(await own.ok('generate', 'nkey', '--user', '--curve', '--store')).not.toMatch(/^S/m);
  });
});

describe("nsc's store", () => {
  test.each([
    ['describe-operator.txt', 'describe operator'],
    ['describe-account.txt', 'describe account demoA'],
    ['describe-user.txt', 'describe user --account demoA --name demolimited'],
    ['describe-user-plain.txt', 'describe user -a demoA demoU'],
    ['validate.txt', 'validate -A'],
  ])('is shown as nsc shows it: %s', async (file, command) => {
    using own = nscHome();
    expect(await own.ok(...command.split(' '))).toBe(vector(file));
  });

  test('stays valid when it is edited, and each token can be read', async () => {
    using own = nscHome();
    const before = treeOf(own.path);
    for (const command of [
      'edit operator --tag Prod --service-url tls://nats.example.com:4222 --expiry 6y',
      'edit account demoA --conns 5 --payload 1MiB --js-streams 7 --tag x --description Demo',
      'edit account demoB --js-enable 0 --allow-pub app.> --deny-sub app.private',
      'edit user -a demoA demoU --allow-pubsub q.> --bearer --expiry 5M',
      'edit user -a demoA demolimited --rm b.* --rm-source-network 127.0.0.0/8 --time 08:00:00-17:30:00 --locale Europe/Berlin',
      'edit user -a demoA demoscoped --tag team:red',
      'edit signing-key -a demoA reader --allow-pub app.{{tag(team)}} --conn-type websocket',
      'edit user -a SYS --tag sys',
    ]) {
      const output = lines(await own.ok(...command.split(' ')));
      expect(
        output.every((line) => line.startsWith('[ OK ] ')),
        command,
      ).toBe(true);
    }
    expect(await own.ok('validate', '-A')).toBe(vector('validate.txt'));
    const context = own.open();
    expect(JSON.stringify(findingsIn(context, context.store.accountNames()))).not.toContain('level');
    expect(treeOf(own.path)).toEqual(before);
    for (const path of before.filter((each) => each.startsWith('stores') && each.endsWith('.jwt'))) {
      decodeJwt(readFileSync(join(own.path, path), 'utf8'));
    }
    const { store, keys } = context;
    const account = store.account('demoA');
    expect(account.claims.iss).toBe('OCV6R3XIWDWQNOI6CWCPJZEBJDTIDFEQ3DWWQRYPJZXJ6VMLZEYYGB5L');
    expect(account.claims.nats.limits).toMatchObject({
      conn: 5,
      payload: 1048576,
      streams: 7,
      consumer: 100,
    });
    expect(account.claims.nats.revocations).toEqual({
      UDASWJ6O765VE6IJ5K5D3IYDWT7TILDLZBNQCIN5JR2TCDJYSLENIBIG: 1795313917,
    });
    const { text } = store.user('demoA', 'demolimited');
    expect(decodeUser(text).claims.nats).toMatchObject({
      pub: { allow: ['a.>'] },
      times: [{ start: '08:00:00', end: '17:30:00' }],
      times_location: 'Europe/Berlin',
    });
    expect(parseCreds(readFileSync(keys.credsPath('demoO', 'demoA', 'demolimited'))).jwt).toBe(text);
  });

  test('is made by us with the same folders, names, modes and fields', async () => {
    using own = home({ NKEYS_PATH: 'nkeys', XDG_DATA_HOME: '/nonexistent' });
    const folders = ['--data-dir', 'stores', '--keystore-dir', 'nkeys', '--config-dir', 'config'].map(
      (word) => (word.startsWith('--') ? word : join(own.path, word)),
    );
    for (const command of [
      'add operator demoO --sys --generate-signing-key',
      'add account demoA',
      'edit account --sk generate',
      'edit signing-key --sk generate --role reader --allow-pub app.{{name()}}.> --allow-sub wasmcloud.secrets.>',
      'add user demoU',
      'add user demogone',
      'add user demolimited',
      'add user demoscoped -K reader',
      'add account demoB',
    ]) {
      await own.ok(...command.split(' '), ...folders);
    }
    const theirs = treeOf(NSC).filter((path) => /^(stores|nkeys)/.test(path));
    const ours = treeOf(own.path).filter((path) => /^(stores|nkeys)/.test(path));
    // Two keys may share a shard.
    const shape = (paths: readonly string[]) => {
      const shapes = paths.map(withoutShard).sort();
      return shapes.filter((path, at) => !path.endsWith('/…') || path !== shapes[at - 1]);
    };
    expect(shape(ours)).toEqual(shape(theirs));
    for (const path of ours) {
      const found = statSync(join(own.path, path));
      expect(found.mode & 0o777, path).toBe(found.isDirectory() ? 0o700 : 0o600);
    }
    expect(readFileSync(join(own.path, 'stores/demoO/.nsc'), 'utf8')).toBe(vector('stores/demoO/.nsc'));
    for (const path of [
      'accounts/SYS/SYS.jwt',
      'accounts/SYS/users/sys.jwt',
      'accounts/demoA/users/demoscoped.jwt',
    ]) {
      const claims = (text: string) => withoutKeys(payloadOf(text)).replace(/"(jti|iat)":[^,]+/g, '"$1"');
      const file = `stores/demoO/${path}`;
      expect(claims(readFileSync(join(own.path, file), 'utf8')), path).toBe(claims(vector(file)));
    }
    const records = new KeyLedger(join(own.path, 'nkeys')).records();
    const keys = ours.filter((path) => path.endsWith('.nk')).map((path) => path.slice(-59, -3));
    expect(records.map(({ key }) => key).sort()).toEqual(keys.sort());
    expect(records.find(({ user }) => user === 'demoscoped')).toMatchObject({
      account: 'demoA',
      role: 'reader',
    });
  });
});

const payloadOf = (token: string): string =>
  Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8');
const withoutShard = (path: string): string =>
  withoutKeys(path).replace(/(keys\/[OAU])\/[A-Z2-7]{2}/, '$1/…');

function treeOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => !path.split('/').includes('.coffer'))
    .sort();
}
