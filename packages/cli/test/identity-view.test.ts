import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createKeyPair, encodeJwt, newOperator, saveAccount } from '@coffer/identity';
import { describe, expect, test } from 'vitest';
import { home, lines, NSC, nscHome, row, vector } from './identity-home.js';

describe('a token', () => {
  test('is shown as a table, as JSON or as it is, from the store or a file', async () => {
    using own = nscHome();
    const file = join(NSC, 'nkeys/creds/demoO/demoA/demolimited.creds');
    const token = vector('stores/demoO/accounts/demoA/users/demolimited.jwt');
    expect(await own.ok('describe', 'jwt', file)).toBe(vector('describe-user.txt'));
    expect(await own.ok('describe', 'jwt', '--file', join(NSC, 'stores/demoO/demoO.jwt'))).toBe(
      vector('describe-operator.txt'),
    );
    expect(await own.ok('describe', 'user', '-a', 'demoA', 'demolimited', '--raw')).toBe(`${token}\n`);
    const claims = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    expect(JSON.parse(await own.ok('describe', 'user', '-a', 'demoA', 'demolimited', '-J'))).toEqual(claims);
    const out = join(own.path, 'out.jwt');
    expect(await own.ok('describe', 'jwt', file, '-R', '-o', out)).toBe('');
    expect(readFileSync(out, 'utf8')).toBe(token);
    const activation = await own.ok('describe', 'jwt', join(NSC, 'activation.jwt'));
    expect([row(activation, 'Import Type'), row(activation, 'Import Subject')]).toEqual(['Service', 'svc.>']);
    expect(await own.fails('describe', 'jwt', join(NSC, 'validate.txt'))).toMatch(/this is no token/);
  });

  test('keeps all digits of its numbers, and its order, as JSON', async () => {
    using own = nscHome();
    const context = own.open();
    const { claims } = context.store.account('demoB');
    const limits = { ...claims.nats.limits, data: 9_007_199_254_740_993n };
    saveAccount(context, 'demoB', { ...claims, nats: { ...claims.nats, limits } });
    const json = await own.ok('describe', 'account', 'demoB', '--json');
    expect(json).toContain('"data": 9007199254740993,\n');
    expect(Object.keys(JSON.parse(json))).toEqual(['jti', 'iat', 'iss', 'name', 'sub', 'nats']);
    expect(row(await own.ok('describe', 'account', 'demoB'), 'Max Data')).toMatch(
      /\(9007199254740993 bytes\)$/,
    );
  });

  test('shows one of its claims, as JSON', async () => {
    using own = nscHome();
    const describe = (field: string) => own.ok('describe', 'user', '-a', 'demoA', 'demolimited', '-F', field);
    const all = JSON.parse(await own.ok('describe', 'user', '-a', 'demoA', 'demolimited', '-J'));
    expect(await describe('sub')).toBe(`"${all.sub}"\n`);
    expect(JSON.parse(await describe('nats'))).toEqual(all.nats);
    expect(await describe('nats.src[0]')).toBe('"127.0.0.0/8"\n');
    expect(await own.fails('describe', 'operator', '--field', 'nats.constructor')).toContain(
      'this token has no "nats.constructor"; --json shows what it has',
    );
  });

  test('of a stranger steers no terminal', async () => {
    using own = home();
    using operator = createKeyPair('operator');
    const file = join(own.path, 'o.jwt');
    writeFileSync(file, encodeJwt(newOperator(operator.publicKey, 'O\u001b[2J\u202e'), operator));
    for (const form of ['--json', '--long-ids']) {
      const output = await own.ok('describe', 'jwt', file, form);
      for (const bad of ['\u001b', '\u202e']) expect(output).not.toContain(bad);
    }
    expect(await own.fails('add', 'operator', '--url', file)).toMatch(/does not show/);
  });
});

describe('lists', () => {
  test('name operators, accounts and users with their keys', async () => {
    using own = nscHome();
    expect(row(await own.ok('list', 'operators'), 'demoO')).toMatch(/^OCTB/);
    expect(
      JSON.parse(await own.ok('list', 'accounts', '--json')).map(({ name }: { name: string }) => name),
    ).toEqual(['SYS', 'demoA', 'demoB']);
    expect(lines(await own.ok('list', 'users', '-a', 'demoA'))).toHaveLength(10);
    expect(await own.ok('list', 'users', '-a', 'demoB')).toContain('No entries defined');
    writeFileSync(join(own.path, 'stores/demoO/accounts/demoB/demoB.jwt'), 'x');
    expect(row(await own.ok('list', 'accounts'), 'demoB')).toMatch(/^error loading jwt - /);
  });
});

describe('validation', () => {
  test('fails with a table of what is wrong, or as JSON', async () => {
    using own = nscHome();
    await own.ok('edit', 'user', '-a', 'demoA', 'demoU', '--expiry', '1m');
    const file = join(own.path, 'tokens');
    writeFileSync(
      file,
      `${vector('stores/demoO/demoO.jwt')}\nx|${vector('stores/demoO/accounts/demoB/demoB.jwt')}\n`,
    );
    expect(await own.ok('validate', '--file', file)).toMatch(/"demoO"[\s\S]*"demoB"/);
    const { code, stdout, stderr } = await own.identity(
      'edit',
      'operator',
      '--rm-sk',
      (await keysOf(own))[0] ?? '',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/\[WARN\] account "demoA"[\s\S]*\[WARN\] account "demoB"/);
    const failed = await own.identity('validate', '-A', '--json');
    expect(failed).toMatchObject({ code: 1, stderr: 'coffer: validation found errors\n' });
    const found = JSON.parse(failed.stdout) as {
      title: string;
      findings: { level: string; text: string }[];
    }[];
    expect(found.map(({ findings }) => findings.map(({ text }) => text))).toEqual([
      [],
      [],
      ['it is signed by none of the operator’s keys'],
      ['it is signed by none of the operator’s keys'],
    ]);
  });
});

const keysOf = async (own: ReturnType<typeof nscHome>): Promise<string[]> =>
  JSON.parse(await own.ok('describe', 'operator', '--json')).nats.signing_keys;

describe('the current operator and account', () => {
  test('are chosen by env, by making one, and by the working folder', async () => {
    using own = home();
    const value = async (label: string) => {
      const table = await own.ok('env');
      return new RegExp(`^\\| ${label} +\\| +\\| (.*?) +\\|$`, 'm').exec(table)?.[1];
    };
    await own.ok('add', 'operator', 'O');
    await own.ok('add', 'account', 'A');
    await own.ok('add', 'account', 'B');
    expect([await value('Current Operator'), await value('Current Account')]).toEqual(['O', 'B']);
    await own.ok('add', 'operator', 'P');
    expect([await value('Current Operator'), await value('Current Account')]).toEqual(['P', '']);
    await own.ok('env', '-o', 'O', '-a', 'A');
    expect([await value('Current Operator'), await value('Current Account')]).toEqual(['O', 'A']);
    expect(await own.fails('env', '-o', 'O', '-a', 'C')).toMatch(/there is no account "C"/);
    expect(await own.fails('env', '-o', 'Q')).toMatch(/there is no operator "Q"/);
    mkdirSync(join(own.path, 'other'));
    await own.ok('env', '--store', join(own.path, 'other'));
    expect(await own.fails('describe', 'operator')).toMatch(/there is no operator in .*other yet/);
    await own.ok('add', 'operator', 'R');
    expect(JSON.parse(readFileSync(join(own.path, '.config/nats/nsc/nsc.json'), 'utf8'))).toEqual({
      store_root: join(own.path, 'other'),
      operator: 'R',
      account: '',
    });
  });
});
