import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { keyPairFromSeed, publicKeyOf } from '@coffer/identity';
import { describe, expect, test } from 'vitest';
import { home, lines, NSC, nscHome, row, vector } from './identity-home.js';
import { BIN } from './run.js';

describe('roles', () => {
  test('bound the users that are signed with them, and are named by -K', async () => {
    using own = nscHome();
    await own.ok('add', 'user', '-a', 'demoA', 'R', '-K', 'reader', '--tag', 'a,b');
    expect(row(await own.ok('describe', 'user', '-a', 'demoA', 'R'), 'Issuer Scoped')).toBe('Yes');
    expect(await own.fails('add', 'user', '-a', 'demoA', 'S', '-K', 'reader', '--allow-pub', 'x')).toMatch(
      /has the role "reader", which alone says/,
    );
    expect(await own.fails('add', 'user', '-a', 'demoA', 'S', '-K', 'writer')).toMatch(
      /no role of the account/,
    );
    expect(await own.fails('edit', 'signing-key', '-a', 'demoA', 'writer', '--bearer')).toMatch(
      /nor a role of one/,
    );
    await own.ok(
      'edit',
      'signing-key',
      '-a',
      'demoA',
      '--sk',
      'generate',
      '--role',
      'writer',
      '--bearer=true',
    );
    expect(await own.fails('edit', 'signing-key', '-a', 'demoA', 'writer', '--role', 'reader')).toMatch(
      /already/,
    );
    await own.ok('edit', 'user', '-a', 'demoA', 'R', '-K', 'writer');
    expect(await own.ok('describe', 'account', 'demoA')).toMatch(
      /\| Role +\| writer +\|[\s\S]*\| Bearer Token +\| Yes/,
    );
  });

  test('that go with a removed key leave a warning for each user who is refused now', async () => {
    using own = nscHome();
    const output = await own.ok('edit', 'account', 'demoA', '--rm-sk', 'reader');
    expect(output).toContain(
      '[ OK ] removed signing key "ADGQPAPTNSMWKD4YCZAIKW4ASYANMWXLCCY527TEC5MEPKMM32JABUDC"',
    );
    expect(output).toContain('[WARN] user "demoscoped" was signed with a key that is removed');
    const { code, stdout } = await own.identity('validate', '-A');
    expect(code).toBe(1);
    expect(stdout).toMatch(/\| ! \| user "demoscoped": it is signed by none of the account’s keys +\|/);
  });
});

describe('signing keys that are demanded', () => {
  test('are demanded only when all is signed with them, and used from then on', async () => {
    using own = home();
    await own.ok('add', 'operator', 'O', '--sys', '--generate-signing-key');
    await own.ok('add', 'account', 'A');
    expect(await own.fails('edit', 'operator', '--require-signing-keys')).toMatch(
      /account "A" is signed with the operator’s own key/,
    );
    const { signing_keys: keys = [] } = JSON.parse(await own.ok('describe', 'operator', '--json')).nats;
    await own.ok('edit', 'account', 'A', '-K', keys[0]);
    await own.ok('edit', 'operator', '--require-signing-keys');
    expect(await own.fails('add', 'user', 'U')).toMatch(
      /must be signed with a signing key, and there is none/,
    );
    await own.ok('edit', 'account', 'A', '--sk', 'generate');
    await own.ok('add', 'user', 'U');
    await own.ok('add', 'account', 'B');
    expect(row(await own.ok('describe', 'account', 'B'), 'Issuer ID')).toBe(keys[0]);
    await own.ok('validate', '-A');
    await own.ok('edit', 'operator', '--require-signing-keys=false');
    expect(row(await own.ok('describe', 'operator'), 'Require Signing Keys')).toBe('false');
  });
});

describe('JetStream', () => {
  test('has limits for all streams, or by tiers, never both', async () => {
    using own = nscHome();
    const limits = () => own.open().store.account('demoB').claims.nats.limits ?? {};
    await own.ok('edit', 'account', 'demoB', '--js-mem-storage', '64M', '--js-disk-storage', '1g');
    expect(limits()).toMatchObject({
      ...{ mem_storage: 64e6, disk_storage: 1e9, streams: -1, consumer: -1 },
      ...{ max_ack_pending: -1, mem_max_stream_bytes: -1, disk_max_stream_bytes: -1 },
    });
    expect(await own.fails('edit', 'account', 'demoB', '--js-tier', '3', '--js-streams', '2')).toMatch(
      /--rm-js-tier 0/,
    );
    await own.ok('edit', 'account', 'demoB', '--rm-js-tier', '0');
    await own.ok(
      'edit',
      'account',
      'demoB',
      '--js-tier',
      '3',
      '--js-streams',
      '2',
      '--js-disk-storage',
      '5GiB',
    );
    expect(limits().tiered_limits).toMatchObject({ R3: { disk_storage: 5 * 2 ** 30, streams: 2 } });
    expect(await own.fails('edit', 'account', 'demoB', '--js-streams', '2')).toMatch(/--js-tier/);
    expect(await own.ok('describe', 'account', 'demoB')).toMatch(/\| Jetstream Tier +\| R3 +\|/);
    await own.ok('edit', 'account', 'demoB', '--js-disable');
    expect(limits()).not.toHaveProperty('tiered_limits');
    expect(await own.fails('edit', 'account', 'SYS', '--js-enable', '0')).toMatch(
      /system account cannot have JetStream/,
    );
    await own.ok('validate', '-A');
  });
});

describe('users', () => {
  test('are deleted with what was asked for, and revoked before', async () => {
    using own = nscHome();
    const { store, keys } = own.open();
    const { sub } = store.user('demoA', 'demoU').claims;
    await own.ok('delete', 'user', '-a', 'demoA', 'demoU', '--revoke', '-D', '-C');
    expect(store.hasUser('demoA', 'demoU')).toBe(false);
    expect(keys.has(sub)).toBe(false);
    expect(existsSync(keys.credsPath('demoO', 'demoA', 'demoU'))).toBe(false);
    const now = Math.floor(Date.now() / 1000);
    expect(store.account('demoA').claims.nats.revocations?.[sub]).toBeGreaterThan(now - 60);
    await own.ok('delete', 'account', 'demoA');
    expect(store.accountNames()).toEqual(['SYS', 'demoB']);
    expect(await own.fails('delete', 'operator', 'demoO')).toMatch(/say it with --force/);
    await own.ok('delete', 'operator', 'demoO', '--force');
    expect(readdirSync(join(own.path, 'stores'))).toEqual([]);
  });

  test('whom an edit leaves as they are are not signed anew', async () => {
    using own = nscHome();
    const before = own.open().store.user('demoA', 'demoU').text;
    const said = await own.ok('edit', 'user', '-a', 'demoA', 'demoU', '--rm', 'no.such');
    expect(said).toBe('[WARN] nothing was changed: all is so already\n');
    expect(own.open().store.user('demoA', 'demoU').text).toBe(before);
  });

  test('that are deleted and not revoked go on with their creds, as it says', async () => {
    using own = nscHome();
    const { sub } = own.open().store.user('demoA', 'demoU').claims;
    expect(await own.ok('delete', 'user', '-a', 'demoA', 'demoU')).toContain(
      `"coffer identity revocations add-user --account demoA ${sub}" revokes them`,
    );
  });

  test('have their creds written again', async () => {
    using own = nscHome();
    const creds = await own.ok('generate', 'creds', '-a', 'demoA', 'demoU');
    expect(creds).toBe(vector('nkeys/creds/demoO/demoA/demoU.creds'));
    const file = join(own.path, 'U.creds');
    writeFileSync(file, 'before', { mode: 0o644 });
    await own.ok('generate', 'creds', '-a', 'demoA', '--user', 'demoU', '-o', file);
    expect(readFileSync(file, 'utf8')).toBe(creds);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });
});

describe('keys', () => {
  test('are listed, exported and imported', async () => {
    using own = nscHome();
    const list = await own.ok('list', 'keys', '--all');
    expect(list.match(/\| \* +\|$/gm)).toHaveLength(13);
    expect(list).not.toMatch(/S[OAU][A-Z2-7]{56}/);
    const out = join(own.path, 'out');
    await own.ok('export', 'keys', '--all', '--dir', out, '--include-jwts');
    const files = readdirSync(out);
    expect(files.filter((name) => name.endsWith('.nk'))).toHaveLength(13);
    expect(files.filter((name) => name.endsWith('.jwt'))).toHaveLength(9);
    for (const name of files.filter((each) => each.endsWith('.nk'))) {
      expect(publicKeyOf(readFileSync(join(out, name)))).toBe(name.slice(0, -3));
      expect(statSync(join(out, name)).mode & 0o777).toBe(0o600);
    }
    expect(await own.fails('export', 'keys', '--all', '--dir', out)).toMatch(/--force replaces it/);

    using other = home();
    await other.ok('add', 'operator', 'P');
    expect(lines(await other.ok('import', 'keys', '--dir', out))).toHaveLength(13);
    const strangers = JSON.parse(await other.ok('list', 'keys', '--not-referenced', '--json'));
    expect(strangers).toHaveLength(13);
    mkdirSync(join(own.path, 'bad'));
    writeFileSync(join(own.path, 'bad', 'x.nk'), 'no seed');
    expect(await other.fails('import', 'keys', '-d', join(own.path, 'bad'))).toBe(
      '1 of 1 file holds no seed',
    );
  });

  test('come out of a pipe, so that they need not lie on a disk', async () => {
    using own = nscHome();
    const { keys, store } = own.open();
    const path = keys.pathOf(store.operator().claims.sub);
    const words = ['identity', 'edit', 'account', 'demoA', '--tag', 'x', ...own.folders];
    const script = `exec "$0" "$1" ${words.map((word) => `'${word}'`).join(' ')} -K <(cat '${path}')`;
    const { status, stderr } = spawnSync('bash', ['-c', script, process.execPath, BIN], {
      env: { HOME: own.path },
    });
    expect({ status, stderr: stderr.toString() }).toEqual({ status: 0, stderr: '' });
    expect(store.account('demoA').claims.iss).toBe(store.operator().claims.sub);
  });

  test('that are given are used, and not kept', async () => {
    using own = home();
    const [seed = '', key = ''] = lines(await own.ok('generate', 'nkey', '--operator'));
    await own.ok('add', 'operator', 'O', '-K', seed);
    expect(row(await own.ok('describe', 'operator'), 'Operator ID')).toBe(key);
    expect(await own.fails('add', 'account', 'A')).toMatch(/no key that may sign an account .* is in /);
    await own.ok('add', 'account', 'A', '-K', seed);
    using pair = keyPairFromSeed(lines(await own.ok('generate', 'nkey', '--user'))[0] ?? '');
    expect(await own.ok('add', 'user', 'U', '-k', pair.publicKey)).toContain('skipped generating creds file');
    expect(await own.fails('add', 'user', 'V', '-k', key)).toMatch(/is not the key of a user/);
  });
});

describe('an operator elsewhere', () => {
  test('is known by its token, and its accounts sign themselves meanwhile', async () => {
    using own = home();
    await own.ok('add', 'operator', '--url', join(NSC, 'stores/demoO/demoO.jwt'));
    await own.ok('add', 'account', 'A');
    const account = await own.ok('describe', 'account');
    expect(row(account, 'Issuer ID')).toBe(row(account, 'Account ID'));
    await own.ok('add', 'user', 'U');
    await own.ok('validate', '-A');
    expect(await own.fails('edit', 'operator', '--tag', 'x')).toMatch(/no key that may sign the operator/);
    expect(await own.fails('delete', 'account', 'A')).toMatch(/--force/);
  });
});
