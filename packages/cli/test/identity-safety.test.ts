import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeUser, parseCreds } from '@coffer/identity';
import { describe, expect, test } from 'vitest';
import { home, lines, NSC, nscHome, vector } from './identity-home.js';
import { BIN } from './run.js';

describe('commands at once', () => {
  test('each keep what the others change', async () => {
    using own = nscHome();
    const tags = ['a', 'b', 'c', 'd', 'e', 'f'];
    await Promise.all(tags.map((tag) => own.ok('edit', 'account', 'demoA', '--tag', tag)));
    expect(own.open().store.account('demoA').claims.nats.tags).toEqual(tags);
    expect(readdirSync(join(own.path, 'stores'))).toEqual(['demoO']);
  });
});

describe('a command that is killed', () => {
  test('leaves every file whole, and the next one goes on', async () => {
    using own = nscHome();
    const edit = ['edit', 'user', '-a', 'demoA', 'demoU', '--tag', 'x', ...own.folders];
    const started = Date.now();
    await own.ok('edit', 'user', '-a', 'demoA', 'demoU', '--tag', 'w');
    const took = Date.now() - started;
    for (let round = 0; round < 12; round++) {
      const child = spawn(process.execPath, [BIN, 'identity', ...edit], {
        env: { HOME: own.path },
        stdio: 'ignore',
      });
      const ended = new Promise((resolve) => child.once('close', resolve));
      // Most of the time is Node's own start; the files are written at the end.
      const timer = setTimeout(() => child.kill('SIGKILL'), took * (0.6 + round / 30));
      await ended;
      clearTimeout(timer);
      const { store, keys } = own.open();
      for (const { name, jwt } of store.users('demoA')) {
        const creds = parseCreds(readFileSync(keys.credsPath('demoO', 'demoA', name)));
        expect(decodeUser(creds.jwt).claims.sub).toBe(jwt.claims.sub);
      }
    }
    await own.ok('edit', 'user', '-a', 'demoA', 'demoU', '--rm-tag', 'x');
    expect(await own.ok('validate', '-A')).toBe(vector('validate.txt'));
    const strange = readdirSync(join(own.path, 'nkeys'), { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.(nk|creds)$/.test(path))
      .filter((path) => !existsSync(join(NSC, 'nkeys', path)));
    expect(strange).toEqual([]);
  });
});

describe('a mistake', () => {
  test('is one line that says what to do, and changes nothing', async () => {
    using own = home();
    for (const [line, sentence] of [
      ['describe operator', /^there is no operator in .* yet.*"coffer identity add operator NAME" makes one/],
      ['add account A', /"coffer identity add operator NAME" makes one/],
      ['add operator', /^say the name of the operator$/],
      ['add operator ../O', /names files, so choose another/],
      ['add operator O --name P', /^the operator is called both O and P: say one name$/],
      ['generate nkey', /^say of which kind/],
      ['edit operator', /^say what to change; see "coffer identity edit operator --help"$/],
      ['list accounts', /makes one/],
      ['import keys --dir /nowhere', /^cannot read \/nowhere: no such file$/],
      ['import keys', /^required option '-d, --dir <dir>' not specified/],
      ['describe jwt /nowhere', /^cannot read \/nowhere/],
      ['edit user --bearer=maybe', /^unknown option '--bearer=maybe'/],
    ] as const) {
      expect(await own.fails(...line.split(' ')), line).toMatch(sentence);
    }
    expect(readdirSync(own.path)).toEqual([]);
  });

  test('in a value is told with how to write it', async () => {
    using own = nscHome();
    const before = JSON.stringify(own.open().store.account('demoA').claims);
    for (const [line, sentence] of [
      ['edit account demoA --conns many', /--conns many is no limit: write a whole number/],
      ['edit account demoA --conns -2', /no limit/],
      ['edit account demoA --expiry tomorrow', /is no time: write YYYY-MM-DD/],
      ['edit account demoA --expiry 2026-02-30', /is no time/],
      ['edit account demoA --expiry 2020-01-01', /is in the past/],
      ['edit account demoA --allow-pub a..b', /two dots in a row/],
      [
        'edit account demoA --sk UDASWJ6O765VE6IJ5K5D3IYDWT7TILDLZBNQCIN5JR2TCDJYSLENIBIG',
        /not the key of an account/,
      ],
      ['edit account demoA --rm-sk nobody', /neither a signing key .* nor a role/],
      [
        'edit account demoA --tag x -K UDASWJ6O765VE6IJ5K5D3IYDWT7TILDLZBNQCIN5JR2TCDJYSLENIBIG',
        /may not sign/,
      ],
      ['edit account nobody --tag x', /^there is no account "nobody" under the operator "demoO"$/],
      ['edit account --tag x', /several accounts/],
      ['edit user -a demoA --tag x', /several users/],
      ['edit user -a demoA demoU --source-network 10.0.0.0', /is no network/],
      ['edit user -a demoA demoU --time 8-17', /is no range of times/],
      ['edit user -a demoA demoU --locale Mars', /is no time zone/],
      ['edit user -a demoA demoU --conn-type pigeon', /is no way to connect/],
      ['edit user -a demoA demoU --response-ttl soon', /is no duration/],
      ['edit operator --service-url example.com', /is no address of a server/],
      ['edit operator --system-account demoA', /cannot have JetStream/],
      ['add account DEMOA', /^the account "demoA" already exists$/],
      ['add user -a demoA demoU', /^the user "demoU" already exists$/],
      ['validate -A --account demoA', /say one of/],
    ] as const) {
      expect(await own.fails(...line.split(' ')), line).toMatch(sentence);
    }
    expect(JSON.stringify(own.open().store.account('demoA').claims)).toBe(before);
  });

  test('leaves no key behind, and tells of nothing as done', async () => {
    using own = nscHome();
    const keys = own.open().keys.list();
    for (const line of [
      'add user -a demoA X --expiry 8s',
      'add user -a demoA X --allow-pub a..b',
      'add account X --allow-pub a..b',
      'add operator X --expiry 8s',
      'edit operator --sk generate --service-url nonsense',
      'edit account demoA --sk generate --conns many',
      'edit account demoB --js-mem-storage 1M --tag x -K nobody',
      'edit operator --tag a -K O2',
    ]) {
      const { code, stdout } = await own.identity(...line.split(' '));
      expect({ code, stdout }, line).toEqual({ code: 1, stdout: '' });
    }
    expect(own.open().keys.list()).toEqual(keys);
  });

  test('after the change still tells what was changed', async () => {
    using own = home();
    await own.ok('add', 'operator', 'O');
    await own.ok('add', 'account', 'A');
    writeFileSync(join(own.path, '.local/share/nats/nsc/keys/creds'), 'in the way');
    const { code, stdout, stderr } = await own.identity('add', 'user', 'U');
    expect(code).toBe(1);
    expect(stderr).toMatch(/^coffer: cannot make .*creds/);
    expect(stdout).toMatch(/generated and stored user key "U\w+"\n\[ OK \] added user "U" to account "A"\n$/);
    expect(await own.ok('list', 'keys', '--not-referenced')).toContain('no keys matched');
  });

  test('in the name of something new is one that could not be named afterwards', async () => {
    using own = nscHome();
    for (const name of ['*', '>', 'a*', 'x>', 'UDASWJ6O765VE6IJ5K5D3IYDWT7TILDLZBNQCIN5JR2TCDJYSLENIBIG']) {
      expect(await own.fails('add', 'user', '-a', 'demoA', name)).toMatch(/choose another/);
      expect(await own.fails('add', 'account', name)).toMatch(/choose another/);
    }
  });

  test('in a key is told by the option that named it', async () => {
    using own = nscHome();
    expect(await own.fails('edit', 'account', 'demoA', '--sk', 'notakey')).toMatch(
      /^what --sk names is no public key, no file/,
    );
    expect(await own.fails('edit', 'operator', '--tag', 'x', '-K', 'O2')).toMatch(
      /^what -K names is no public key, no file/,
    );
    expect(await own.fails('add', 'user', '-a', 'demoA', 'X', '-k', 'no/file.nk')).toMatch(
      /^-k names a file with a seed, and there is no such file: no\/file\.nk$/,
    );
    expect(await own.fails('env', '-s', '/nowhere/stores')).toMatch(/no folder \/nowhere\/stores/);
  });

  test('with a seed does not show it', async () => {
    using own = nscHome();
    const [seed = ''] = lines(await own.ok('generate', 'nkey', '--account'));
    const wrong = `${seed.slice(0, -1)}${seed.endsWith('A') ? 'B' : 'A'}`;
    for (const line of [
      `edit account demoA --tag x -K ${wrong}`,
      `edit account demoA --tag x -K ${seed}`,
      `edit account demoA --sk ${wrong}`,
      `add user -a demoA X -k ${seed}`,
      `add account X -k ${wrong}`,
    ]) {
      const sentence = await own.fails(...line.split(' '));
      expect(sentence).not.toContain(seed.slice(2, 40));
    }
  });
});
