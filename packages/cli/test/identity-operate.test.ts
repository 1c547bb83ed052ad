import { cpSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  decodeAccount,
  decodeActivation,
  openContext,
  parseCreds,
  signingKeysOf,
  takeSnapshot,
  tokenIn,
} from '@coffer/identity';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { coffer, type Outcome } from './run.js';

const NSC = fileURLToPath(new URL('../../identity/test/vectors/nsc', import.meta.url));
const KILL_AT_CHANGE = fileURLToPath(new URL('./kill-at-change.mjs', import.meta.url));
const SIGNING = 'ABPLTKJ45XA7OQ5KGWQ2JY2FQFTNFGGHBQRHWALABOH6ZBE5B6XMPVXP';
const READER = 'ADGQPAPTNSMWKD4YCZAIKW4ASYANMWXLCCY527TEC5MEPKMM32JABUDC';
const DEMO_B = 'ACIK3GVN7HEZBT4IKDI52IMHVWVOY2JTEMO5EIINXZCWWALVOMJXXMSE';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'coffer-operate-'));
  cpSync(NSC, folder, { recursive: true });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const identity = (command: string, env: Record<string, string> = {}): Promise<Outcome> =>
  coffer(['identity', ...command.split(' ')], {
    env: { NKEYS_PATH: join(folder, 'nkeys'), NSC_HOME: folder, XDG_DATA_HOME: folder, ...env },
  });
/** nsc's own place of the stores is not that of the vectors, so that it is named. */
const at = (command: string, env?: Record<string, string>) =>
  identity(`${command} --data-dir ${join(folder, 'stores')}`, env);
async function ok(command: string): Promise<string> {
  const { code, stdout, stderr } = await at(command);
  expect({ code, stderr: code === 0 ? '' : stderr }, command).toEqual({ code: 0, stderr: '' });
  return stdout;
}
const context = () =>
  openContext({
    dataDir: join(folder, 'stores'),
    keystoreDir: join(folder, 'nkeys'),
    configDir: folder,
    env: {},
    cwd: folder,
    home: folder,
  });
const account = (name: string) => context().store.account(name).claims;

describe('exports and imports', () => {
  it('go from an account to another by an activation token, and away again', async () => {
    const added = await ok('add export bill --account demoA --subject bill.* --service --private');
    expect(added).toBe('[ OK ] added private service export "bill"\n');
    const made = await ok(
      'generate activation --account demoA --target-account demoB --subject bill.* --expiry 30d',
    );
    const token = decodeActivation(tokenIn(Buffer.from(made))).claims;
    expect(token).toMatchObject({ sub: DEMO_B, nats: { subject: 'bill.*', kind: 'service' } });
    expect((token.exp ?? 0) - token.iat).toBeGreaterThan(29 * 86_400);

    const file = join(folder, 'activation.jwt');
    await ok(`generate activation -a demoA -t ${DEMO_B} -s bill.* -o ${file}`);
    expect(await ok(`add import -a demoB --token ${file} --local-subject bills.$1`)).toContain(
      'added service import',
    );
    expect(account('demoB').nats.imports?.at(-1)).toMatchObject({
      subject: 'bill.*',
      local_subject: 'bills.$1',
      type: 'service',
      account: account('demoA').sub,
    });
    expect(await ok('delete import -a demoB --subject bill.*')).toContain('deleted service import "bill.*"');
    expect(await ok('delete export -a demoA --subject bill.*')).toContain('deleted service export "bill.*"');
    expect(account('demoA').nats.exports).toHaveLength(1);
  });

  it('need no token where they are public', async () => {
    await ok('add export -a demoA --subject news.>');
    expect(await ok('add import -a demoB --src-account demoA --remote-subject news.>')).toContain(
      'added stream import',
    );
  });

  it.each([
    ['add import -a demoB', 'say what is imported'],
    ['add import -a demoB --token x --service', 'leave --src-account'],
    ['add import -a demoB --token missing.jwt', 'cannot read missing.jwt'],
    ['add export -a demoA --subject a..b', 'two dots in a row'],
    ['add export -a demoA --subject svc.x --service', 'is exported by "svc.>" already'],
    ['delete export -a demoA --subject x', 'does not export "x"'],
    ['generate activation -a demoB -t demoA', 'no private export'],
    ['generate activation -a demoA -t demoB -s svc.x --expiry 2001-01-01', 'in the past'],
    ['generate activation -a demoA -t demoB -s other', 'covers "other"'],
    ['generate activation -a demoA -t demoB -K reader', 'signs users only'],
    ['generate config', '--mem-resolver or --nats-resolver'],
    ['issued-by demoA', 'is no public key'],
    ['push -A -a demoA', 'not both'],
    ['push -a demoA -u nats://127.0.0.1:1', 'cannot connect to nats://127.0.0.1:1'],
    ['rotate-signing-key -a demoB', 'there is none'],
    ['rotate-signing-key', 'say whose signing key is to be replaced: --account NAME, or --operator'],
    ['rotate-signing-key -a demoA --old AB', 'nor the beginning of one'],
    ['issued-by UCAK7777', 'nor the beginning of one'],
    ['revocations add-user -a demoA --at soon demoU', 'invalid --at'],
  ])('%s: a sentence that says what to do', async (command, why) => {
    const { code, stdout, stderr } = await at(command);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(why);
    expect(stderr).not.toContain('unexpected');
    expect(stderr.trim().split('\n')).toHaveLength(1);
  });
});

describe("revocations in an account's token", () => {
  it('that reach further stay when their user is deleted', async () => {
    const { sub } = context().store.user('demoA', 'demoU').claims;
    await ok('revocations add-user -a demoA --at 2099-01-01T00:00:00Z demoU');
    await ok('delete user -a demoA demoU --revoke');
    expect(account('demoA').nats.revocations?.[sub]).toBe(Date.parse('2099-01-01T00:00:00Z') / 1000);
  });

  it('are added, listed, and taken back', async () => {
    await ok('revocations add-user -a demoA --at 2026-11-22T12:00:00Z demoU');
    await ok('revocations add-user -a demoA --at 1 *');
    const shown = await ok('revocations list -a demoA');
    expect(shown).toMatch(/\| Public Key +\| Name +\| Revoke Credentials Before +\|/);
    expect(shown).toMatch(/\| UCAK\w+ +\| demoU +\| Sun, 22 Nov 2026 12:00:00 UTC \|/);
    expect(shown).toMatch(/\| \* \[All Users\] +\| +\| Thu, 01 Jan 1970 00:00:01 UTC \|/);
    await ok('revocations delete-user -a demoA demoU');
    await ok('revocations delete-user -a demoA --user-public-key *');
    const { revocations } = JSON.parse(await ok('revocations list -a demoA --json'));
    expect(revocations.map(({ name }: { name: string }) => name)).toEqual(['demogone']);
  });
});

describe("nats-server's configuration", () => {
  it("is nsc's to the byte on standard output, and kept from being replaced in a file", async () => {
    const wanted = readFileSync(join(NSC, 'server.conf'), 'utf8');
    expect(await ok('generate config --mem-resolver')).toBe(wanted);
    const file = join(folder, 'new.conf');
    const { stderr } = await at(`generate config --mem-resolver --config-file ${file}`);
    expect(stderr).toContain(`Success!! - generated \`${file}\``);
    expect(readFileSync(file, 'utf8')).toBe(wanted);
    expect((await at(`generate config --mem-resolver --config-file ${file}`)).stderr).toContain('--force');
    await ok(`generate config --nats-resolver --config-file ${file} --force`);
    await ok(`generate config --mem-resolver --dir ${join(folder, 'conf')}`);
    expect(readFileSync(join(folder, 'conf', 'resolver.conf'), 'utf8')).toBe(wanted);
  });
});

describe('what a key signed', () => {
  it('is listed, with what coffer knows of the key', async () => {
    expect(await ok(`issued-by ${READER}`)).toMatch(
      /\| user \| demoscoped \| demoA +\| UAZP…PC6E \| .* \| valid \|/,
    );
    const told = JSON.parse(await ok(`issued-by ${SIGNING} --json`));
    expect(told).toMatchObject({ key: SIGNING, seedHere: true });
    expect(told.tokens.map(({ kind, name }: { kind: string; name: string }) => `${kind} ${name}`)).toEqual([
      'user demoU',
      'user demogone',
      'user demolimited',
      'activation svc.>',
    ]);
  });

  it('is found by the beginning of the key, or as the graph shortens it', async () => {
    const whole = await ok(`issued-by ${SIGNING}`);
    expect(await ok('issued-by ABPLTK')).toBe(whole);
    expect(await ok('issued-by ABPL…PVXP')).toBe(whole);
    expect(await ok('issued-by ABPL...PVXP')).toBe(whole);
    expect(await ok('rotate-signing-key -a demoA --old ABPL…PVXP --dry-run')).toContain(`old  ${SIGNING}`);
  });

  it('is drawn as a tree', async () => {
    expect(await ok('graph')).toBe(`operator demoO  OCTB…5B2Z
├─ own key  OCTB…5B2Z
│  └─ account SYS  ACPM…M456
│     └─ signing key  AASR…FEX6
│        └─ user sys  UA64…HB55
└─ signing key  OCV6…GB5L
   ├─ account demoA  ACAA…4JZX
   │  ├─ signing key  ABPL…PVXP
   │  │  ├─ user demoU  UCAK…IIPJ
   │  │  ├─ user demogone  UDAS…IBIG  revoked
   │  │  ├─ user demolimited  UCM7…CEQH
   │  │  └─ activation svc.> for demoB  ACIK…XMSE
   │  └─ signing key  ADGQ…BUDC  role reader
   │     └─ user demoscoped  UAZP…PC6E
   └─ account demoB  ACIK…XMSE
`);
  });
});

describe('rotate-signing-key', () => {
  it('shows first what it does, does it, and says who must act', async () => {
    const dry = await ok('rotate-signing-key --account demoA --dry-run');
    expect(dry).toContain('Would rotate the signing key of the account demoA');
    expect([...signingKeysOf(account('demoA')).keys()]).toContain(SIGNING);
    const done = await ok('rotate-signing-key --account demoA');
    const body = (text: string) => text.split('\n').filter((line) => /^ {2}(?!old|new)/.test(line));
    expect(body(done)).toEqual(body(dry));
    expect(done).toContain('user demogone of demoA');
    expect(done).toContain('others with an import of "svc.>"');
    expect([...signingKeysOf(account('demoA')).keys()]).not.toContain(SIGNING);
    const { store, keys } = context();
    const creds = keys.credsPath('demoO', 'demoA', 'demoU');
    expect(parseCreds(readFileSync(creds)).jwt).toBe(store.user('demoA', 'demoU').text);
    expect(statSync(creds).mode & 0o777).toBe(0o600);
  });

  it.each([1, 7, 13, 19, 25, 31])('killed at change %i goes on when it is run again', async (change) => {
    const before = context().keys.list().length;
    const killed = await at('rotate-signing-key --account demoA', {
      NODE_OPTIONS: `--import=${KILL_AT_CHANGE}`,
      KILL_AT: String(change),
    });
    expect(killed.code).toBeNull();
    await ok('rotate-signing-key --account demoA');
    const { store, keys } = context();
    const { accounts } = takeSnapshot(context());
    const [fresh = ''] = [...signingKeysOf(account('demoA')).keys()].filter((key) => key !== READER);
    expect(fresh).not.toBe(SIGNING);
    for (const user of ['demoU', 'demolimited']) {
      const { text, claims } = store.user('demoA', user);
      expect(claims.iss).toBe(fresh);
      expect(parseCreds(readFileSync(keys.credsPath('demoO', 'demoA', user))).jwt).toBe(text);
    }
    const token = accounts.find(({ name }) => name === 'demoB')?.jwt.claims.nats.imports?.[0]?.token ?? '';
    expect(decodeActivation(token).claims.iss).toBe(fresh);
    expect(decodeAccount(store.account('demoA').text).claims.nats.signing_keys).toHaveLength(2);
    expect(keys.list()).toHaveLength(before + 1);
  });

  it('tells apart what it signed anew in an earlier run, and says where the old seed is', async () => {
    const first = await ok('rotate-signing-key --account demoA --keep-old');
    expect(first).toMatch(/Signed anew:\n {2}user demoU/);
    const second = await ok('rotate-signing-key --account demoA');
    expect(second).toMatch(/Signed anew in an earlier run, [^\n]*:\n {2}user demoU/);
    expect(second).not.toContain('users that run with a copy');
    expect(second).toMatch(/the seed of the old key, .* is still in .*ABPL\w+\.nk/);
    expect(context().keys.has(SIGNING)).toBe(true);
    expect(await ok('rotate-signing-key --account demoA --role reader --delete-old-seed')).not.toContain(
      'seed of the old',
    );
    expect(context().keys.has(READER)).toBe(false);
  });

  it('past a damaged token goes on, names it, and fails', async () => {
    writeFileSync(context().store.userPath('demoA', 'demoU'), 'garbage');
    for (const command of [
      'graph',
      `issued-by ${SIGNING}`,
      'list keys -A',
      'validate -A',
      'rotate-signing-key -a demoA',
    ]) {
      const { code, stdout, stderr } = await at(command);
      expect(code, command).toBe(1);
      expect(stdout, command).toContain(
        'demolimited'.slice(0, command.startsWith('validate') ? 0 : undefined),
      );
      expect(stdout + stderr, command).toMatch(/demoU.*demoU\.jwt: .*put it back from a copy/);
    }
    expect([...signingKeysOf(account('demoA')).keys()]).not.toContain(SIGNING);
    expect(await ok('delete user -a demoA demoU')).toContain('could not be read');
    expect(await ok('graph')).not.toContain('demoU');
  });

  it('that cannot reach the servers says so, leaves all valid, and goes on when it is run again', async () => {
    const failed = await at('rotate-signing-key --account demoA --push --url nats://127.0.0.1:1');
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toMatch(/cannot connect to nats:.*run it again to go on/);
    expect([...signingKeysOf(account('demoA')).keys()]).toContain(SIGNING);
    expect(await ok('rotate-signing-key --account demoA')).toContain('(going on with what was begun)');
    expect([...signingKeysOf(account('demoA')).keys()]).not.toContain(SIGNING);
  });

  it("replaces the operator's signing key, too", async () => {
    const told = JSON.parse(await ok('rotate-signing-key --operator --json'));
    expect(told).toMatchObject({ of: 'operator', name: 'demoO', dryRun: false, oldKey: 'removed' });
    expect(context().store.operator().claims.nats.signing_keys).toEqual([told.new]);
    expect(account('demoB').iss).toBe(told.new);
  });

  it('pushes nothing that nats-servers cannot know the signer of', async () => {
    const { code, stderr } = await at('rotate-signing-key --operator --push --url nats://127.0.0.1:1');
    expect(code).toBe(1);
    expect(stderr).toContain('run this with --keep-old and without --push');
    expect(context().store.operator().claims.nats.signing_keys).toHaveLength(1);
  });
});
