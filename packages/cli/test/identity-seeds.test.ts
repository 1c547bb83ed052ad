import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createKeyPair } from '@coffer/identity';
import { describe, expect, test } from 'vitest';
import { home, nscHome } from './identity-home.js';
import { coffer } from './run.js';

const KILL_AT_CHANGE = fileURLToPath(new URL('./kill-at-change.mjs', import.meta.url));

const seedOf = (kind: 'operator' | 'user'): string => {
  using pair = createKeyPair(kind);
  return Buffer.from(pair.seed()).toString('latin1');
};

describe('a seed', () => {
  const seed = seedOf('operator');

  test.each([
    ['edit account demoA --rm-sk SEED'],
    ['edit account demoA --tag x -K XSEED'],
    ['edit account demoA --tag x -K SEEDX'],
    ['edit account demoA --tag x -K ./SEED'],
    ['edit account demoA --tag SEED'],
    ['edit account demoA --sk SEEDSEEDSEEDSEEDSEED'],
    ['edit account demoA --conns SEED'],
    ['edit account SEED --tag x'],
    ['edit operator --rm-sk SEED'],
    ['edit operator --system-account SEED'],
    ['edit operator --service-url SEED'],
    ['edit signing-key generate -a demoA --role SEED'],
    ['edit signing-key SEED -a demoA --allow-pub x'],
    ['add operator SEED'],
    ['add account SEED'],
    ['add user SEED -a demoA'],
    ['add user U -a demoA -k SEED.nk'],
    ['delete user SEED -a demoA'],
    ['describe user SEED -a demoA'],
    ['describe jwt SEED'],
    ['issued-by SEED'],
    ['generate activation -a demoA -t SEED'],
    ['generate creds -a demoA -n demoU -o SEED'],
    ['rotate-signing-key -a demoA --old SEED'],
    ['rotate-signing-key -a demoA --role SEED'],
    ['revocations add-user -a demoA --user-public-key SEED'],
    ['revocations add-user -a demoA --at SEED demoU'],
    ['import keys -d SEED'],
    ['env --operator SEED'],
    ['add SEED'],
    ['SEED'],
  ])('that is given by mistake is never shown or kept: %s', async (command) => {
    using own = nscHome();
    const args = command.replaceAll('SEED', seed).split(' ');
    const { stdout, stderr, code } = await own.identity(...args);
    const said = stdout + stderr;
    expect(code, said).toBe(1);
    expect(said).not.toMatch(new RegExp(seed.slice(4, 40), 'i'));
    const there = readdirSync(own.path, { recursive: true, encoding: 'utf8' });
    expect(there.filter((path) => path.includes(seed))).toEqual([]);
    const kept = there
      .filter((path) => path.endsWith('.jwt'))
      .map((path) => readFileSync(join(own.path, path)));
    for (const token of kept) {
      const claims = Buffer.from(token.toString().split('.')[1] ?? '', 'base64url').toString();
      expect(claims.toUpperCase()).not.toContain(seed);
    }
  });

  test('in creds that are given in place of their path is not shown, nor is the token', async () => {
    using own = nscHome();
    const creds = readFileSync(own.open().keys.credsPath('demoO', 'demoA', 'demoU'), 'utf8');
    for (const flag of ['-K', '--sk']) {
      const said = await own.fails('edit', 'account', 'demoA', '--tag', 'x', flag, creds);
      expect(said).toMatch(/no such file|no file/);
      expect(said).not.toMatch(/S[A-Z2-7]{20}|eyJ/);
    }
  });

  test('that is asked for is shown', async () => {
    using own = nscHome();
    expect(await own.ok('list', 'keys', '--all', '--show-seeds')).toMatch(/SO[A-Z2-7]{56}/);
  });
});

describe('creds written to what is no file', () => {
  test('leave a pipe as it is', async () => {
    using own = nscHome();
    const pipe = join(own.path, 'pipe');
    execFileSync('mkfifo', ['-m', '644', pipe]);
    const read = readFile(pipe, 'utf8');
    await own.ok('generate', 'creds', '-a', 'demoA', '-n', 'demoU', '-o', pipe);
    expect(await read).toMatch(/BEGIN USER NKEY SEED/);
    expect(statSync(pipe).mode & 0o777).toBe(0o644);
  });
});

describe('an operator with a system account', () => {
  test.each([3, 9, 15, 21, 27, 33, 39])(
    'is made whole or not at all when it is killed at change %i',
    async (change) => {
      using own = home();
      const add = ['identity', 'add', 'operator', 'O', '--sys', '--generate-signing-key'];
      const killing = { NODE_OPTIONS: `--import=${KILL_AT_CHANGE}`, KILL_AT: String(change) };
      await coffer(add, { env: { HOME: own.path, ...killing } });
      const again = await coffer(add, { env: { HOME: own.path } });
      if (again.code !== 0) expect(again.stderr).toMatch(/already exists/);
      const operator = JSON.parse(await own.ok('describe', 'operator', '-n', 'O', '--json')).nats;
      expect(operator.signing_keys).toHaveLength(1);
      const account = JSON.parse(await own.ok('describe', 'account', '-n', 'SYS', '--json'));
      expect(account.sub).toBe(operator.system_account);
      expect(await own.ok('generate', 'creds', '-a', 'SYS', '-n', 'sys')).toMatch(/BEGIN NATS USER JWT/);
      expect(readdirSync(join(own.path, '.local/share/nats/nsc/stores'))).toEqual(['O']);
    },
  );
});
