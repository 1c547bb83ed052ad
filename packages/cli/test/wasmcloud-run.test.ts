import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyPair, encodeWascap, openContext } from '@coffer/identity';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { canary, expectNoCanary } from '../../../test/support/canary.mjs';
import { NatsServer } from '../../../test/support/nats.mjs';
import { home } from './identity-home.js';
import { coffer, type Outcome, type RunOptions, startWasmcloud } from './run.js';
import { componentToken } from './signed-files.js';

const folder = mkdtempSync(join(tmpdir(), 'coffer-wasmcloud-'));
const account = createKeyPair('account');
const component = componentToken(account, '');
let count = 0;
/** State and root key of a server of their own. */
const place = () => {
  const at = join(folder, `${++count}`);
  return {
    state: join(at, 'state'),
    args: ['--state-dir', join(at, 'state'), '--root-key', `file:${at}/root.key`],
  };
};
const running: AsyncDisposable[] = [];
async function start(...args: Parameters<typeof startWasmcloud>) {
  const one = await startWasmcloud(...args);
  running.push(one);
  return one;
}
afterEach(async () => {
  for (const one of running.splice(0)) await one[Symbol.asyncDispose]();
});
afterAll(() => rmSync(folder, { recursive: true }));
const xkeySeed = () => Buffer.from(createKeyPair('curve').seed()).toString();

describe('coffer wasmcloud run, on a NATS server in operator mode', () => {
  const own = home();
  const at = place();
  let nats: NatsServer;
  let creds: Readonly<Record<'host' | 'admin' | 'backend', string>>;
  let store: string;
  let admin: string;

  beforeAll(async () => {
    await own.ok('add', 'operator', 'O', '--sys', '--generate-signing-key');
    const { stdout } = await coffer(['wasmcloud', 'permissions', '--json'], { env: { HOME: own.path } });
    const { users, ...made } = JSON.parse(stdout);
    creds = { host: users.host.creds, admin: users.admin.creds, backend: users.backend.creds };
    admin = `nats:${made.account.key}/${users.admin.key}`;
    store = made.store;
    const operator = openContext({ env: {}, cwd: own.path, home: own.path }).store;
    nats = await NatsServer.start({
      operator: operator.operator().text,
      systemAccount: operator.operator().claims.nats.system_account ?? '',
      accounts: Object.fromEntries(operator.accounts().map(({ jwt }) => [jwt.claims.sub, jwt.text])),
    });
  });
  afterAll(async () => {
    await nats?.stop();
    own[Symbol.dispose]();
  });

  const serve = (...more: string[]) =>
    start([
      ...at.args,
      ...['--nats-address', nats.url, '--nats-creds-file', creds.backend],
      ...[
        '--trust-store',
        store,
        '--trusted-account',
        account.publicKey,
        '--mapping-account',
        account.publicKey,
      ],
      ...more,
    ]);
  const ask = (as: keyof typeof creds, args: readonly string[], options: RunOptions = {}): Promise<Outcome> =>
    coffer(['wasmcloud', ...args, '--nats-address', nats.url, '--nats-creds-file', creds[as]], options);
  const asHost = () => ask('host', ['get', 'db', '--as', component.token]);
  const overSocket = (...args: string[]) => coffer(['-s', `unix:${at.state}/admin.sock`, ...args]);

  it('lets administrators put and map by grants, and components have what is mapped, until it is not', async () => {
    const server = await serve();
    expect(server.welcome).toMatch(/^coffer serves nats-kv to wasmCloud, over NATS$/m);
    expect(server.welcome).toMatch(/^ {2}subjects: +wasmcloud\.secrets\.v1alpha1\.nats-kv\.>$/m);
    expect(server.welcome).toMatch(/^ {2}queue group: +wasmcloud_secrets\.nats-kv$/m);
    expect(server.welcome).toMatch(/^ {2}transit key: +X[A-Z2-7]{55}$/m);
    expect(server.welcome).toMatch(new RegExp(`mappings under: account ${account.publicKey}$`, 'm'));
    expect(server.welcome).toContain(`${at.state}/admin.sock`);

    const value = canary('run');
    const put = ['put', 'db', '--string', value, '--sign'];
    expect(await ask('admin', put)).toEqual({
      code: 1,
      stdout: '',
      stderr:
        `coffer: failed to put secret "db": ${admin} may not do this: no grant in the policy allows it; --unsigned leaves the ` +
        'decision to NATS\n',
    });
    expect((await ask('admin', ['list-mappings'])).stderr).toMatch(/no grant .* admin to list mappings; /);
    const policy = join(folder, 'policy.yaml');
    writeFileSync(
      policy,
      `grants:\n  - to: ["${admin}"]\n    actions: [get, info, put, activate, admin]\n    secrets: ["*"]\n`,
    );
    expect(await overSocket('policy', 'apply', policy)).toMatchObject({ code: 0 });
    expect(await ask('admin', put)).toMatchObject({ code: 0, stderr: '' });
    expect(await asHost()).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/Unauthorized: the backend believes/),
    });
    expect(await ask('admin', ['add-mapping', component.key, '--secret', 'db'])).toMatchObject({
      code: 0,
      stderr: '',
    });
    expect(await asHost()).toMatchObject({ code: 0, stdout: value });
    const listed = await ask('admin', ['list-mappings', '--json']);
    expect(JSON.parse(listed.stdout)).toEqual([
      { entity: component.key, account: account.publicKey, names: ['db'] },
    ]);
    expect(await ask('admin', ['get', 'db'])).toMatchObject({ code: 0, stdout: value });
    expect(await ask('admin', ['put', 'db', '--string', 'second'])).toMatchObject({ code: 0 });
    expect(await ask('admin', ['get', 'db', '--secret-version', '1'])).toMatchObject({ stdout: value });
    expect(await asHost()).toMatchObject({ code: 0, stdout: 'second' });

    expect(await ask('admin', ['remove-mapping', component.key, '--secret', 'db'])).toMatchObject({
      code: 0,
    });
    expect(await asHost()).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/Unauthorized/),
    });
    expect(await server.stop()).toBe(0);
  });

  it('NATS keeps hosts from administering, and strangers’ components get nothing', async () => {
    await serve();
    const put = await ask('host', ['put', 'x', '--string', canary('x')]);
    expect(put.stderr).toMatch(
      /NATS does not let this connection publish on .*put_secret: come with creds that may/,
    );
    expectNoCanary(put.stderr, 'the sentence');
    using stranger = createKeyPair('account');
    const { stderr } = await ask('host', ['get', 'db', '--as', componentToken(stranger, '').token]);
    expect(stderr).toMatch(/InvalidEntityJWT: no trusted account has signed this token/);
  });

  it('a second one on the same state folder is refused', async () => {
    await serve();
    await expect(serve()).rejects.toThrow(/is in use by process \d+.*give this one another --state-dir/s);
  });

  it('takes what a configuration file says behind its flags', async () => {
    const config = join(folder, 'coffer.yaml');
    writeFileSync(
      config,
      `wasmcloud: {name: vault, prefix: of.the.file}\ntrust: {accounts: [${account.publicKey}]}\nlisten: "127.0.0.1:0"\n`,
    );
    await using open = await NatsServer.start();
    const told = ['--config', config, '-s', 'acme.secrets', '--nats-queue-base', 'acme', '--allow-open-nats'];
    const { welcome } = await start([...place().args, ...told, '--nats-address', open.url]);
    expect(welcome).toMatch(/subjects: +acme\.secrets\.v1alpha1\.vault\.>$/m);
    expect(welcome).toMatch(/queue group: +acme\.vault$/m);
    expect(welcome).toMatch(/also over HTTP: +http:\/\/127\.0\.0\.1:\d+$/m);
    expect(welcome).toContain(
      'wasmcloud put db-password --name vault --subject-base acme.secrets --nats-address',
    );
  });
});

describe('coffer wasmcloud run, in place of secrets-nats-kv on an open NATS server', () => {
  let nats: NatsServer;
  beforeAll(async () => {
    nats = await NatsServer.start();
  });
  afterAll(() => nats?.stop());

  const open = ['--trust', 'self-issued', '--allow-open-nats', '--allow-unauthenticated-admin'];
  const ask = (args: readonly string[], env: Record<string, string> = {}) =>
    coffer(['wasmcloud', ...args, '--nats-address', nats.url], { env });

  it('derives the root key from ENCRYPTION_XKEY_SEED, and takes TRANSIT_XKEY_SEED for the transit key', async () => {
    const state = join(folder, 'seeds');
    const args = ['--state-dir', state, '--nats-address', nats.url, ...open];
    const pair = createKeyPair('curve');
    const transit = Buffer.from(pair.seed()).toString();
    const seeds = { ENCRYPTION_XKEY_SEED: xkeySeed(), TRANSIT_XKEY_SEED: transit };
    const server = await start(args, seeds);
    expect(server.welcome).toMatch(new RegExp(`transit key: +${pair.publicKey}$`, 'm'));
    expect(server.welcome).toContain('SELF-ISSUED: any component gets what its own word lets it have');
    const put = await ask(['put', 'db', '--string', canary('seed')], { TRANSIT_XKEY_SEED: transit });
    expect(put).toMatchObject({ code: 0, stderr: '' });
    expect(await ask(['add-mapping', component.key, '--secret', 'db'])).toMatchObject({ code: 0 });
    expect(await ask(['get', 'db', '--as', component.token])).toMatchObject({ stdout: canary('seed') });
    expect((await ask(['get', 'db'])).stderr).toMatch(/to read takes a signed request/);
    await server.stop();

    const other = { ...seeds, ENCRYPTION_XKEY_SEED: xkeySeed() };
    await expect(start(args, other)).rejects.toThrow(/find the xkey seed of that key|another root key/);
    // The flag says the same, and is nobody's environment.
    const again = await start([...args, '-e', seeds.ENCRYPTION_XKEY_SEED]);
    expect(again.welcome).toMatch(new RegExp(`transit key: +${pair.publicKey}$`, 'm'));
    expect(await ask(['get', 'db', '--as', component.token])).toMatchObject({ stdout: canary('seed') });
  });

  it('takes no unsigned administration with --signed-admin-only, and not together with the flag that takes any', async () => {
    const args = [...place().args, '--nats-address', nats.url, '--signed-admin-only'];
    const both = await coffer(['wasmcloud', 'run', ...args, ...open]);
    expect(both).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/wasmcloud\.unsignedAdmin refuses it: keep one of them/),
    });
    await start([...args, ...open.slice(0, -1)]);
    const { code, stderr } = await ask(['put', 'db', '--string', 'x']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/takes no unsigned administration/);
  });

  it('keeps as many versions as --max-secret-history says', async () => {
    const at = place();
    await start([...at.args, '--nats-address', nats.url, ...open, '--max-secret-history', '2']);
    for (const value of ['1', '2', '3', '4']) await ask(['put', 'db', '--string', value]);
    const info = async () =>
      JSON.parse((await coffer(['-s', `unix:${at.state}/admin.sock`, 'info', 'db', '--json'])).stdout);
    await expect.poll(async () => (await info()).versions).toEqual([3, 4]);
  });

  it('warns of seeds on the command line, and says what of the flags means nothing here', async () => {
    const args = ['-t', xkeySeed(), '-e', xkeySeed(), '-b', 'MY_SECRETS', '--nats-address', nats.url];
    const { code, stderr } = await coffer([
      'wasmcloud',
      'run',
      '--state-dir',
      '/proc/nowhere',
      '--trust',
      'self-issued',
      '--allow-open-nats',
      ...args,
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^coffer: warning: a seed behind -t is seen by every user/m);
    expect(stderr).toMatch(/^coffer: warning: a seed behind -e is seen by every user/m);
    expect(stderr).toMatch(/^coffer: the bucket "MY_SECRETS" is passed over/m);
    for (const seed of [args[1], args[3]]) expect(stderr).not.toContain(seed);
  });

  it('says when NATS is not there yet, and serves as soon as it is', async () => {
    await using late = await NatsServer.start();
    await late.process.kill();
    const args = [...place().args, '--nats-address', `127.0.0.1:${late.port}`, ...open];
    const { welcome } = await start(args);
    expect(welcome).toMatch(
      /^coffer will serve nats-kv to wasmCloud as soon as it can .*connection refused$/m,
    );
    await late.restart();
    const put = () => coffer(['wasmcloud', 'put', 'x', '--string', 'v', '--nats-address', late.url]);
    await expect.poll(async () => (await put()).code, { timeout: 30_000 }).toBe(0);
  });

  it('refuses a server that lets everybody in, unless it is told that it may', async () => {
    const { code, stderr } = await coffer([
      'wasmcloud',
      'run',
      ...place().args,
      '--nats-address',
      nats.url,
      '--trust',
      'self-issued',
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^coffer: the NATS server lets everybody in.*--allow-open-nats$/m);
  });
});

describe('coffer wasmcloud run', () => {
  const A = account.publicKey;
  const seed = xkeySeed();
  using user = createKeyPair('user');
  const userSeed = Buffer.from(user.seed()).toString();
  const token = encodeWascap({ sub: account.publicKey, wascap: { name: 'shop' } }, account);
  const operator = join(folder, 'no-operator.jwt');
  beforeAll(() => writeFileSync(operator, token));

  it.each<[string[], RegExp]>([
    [[], /^nobody is trusted, so that no component would get a secret: --trusted-account A… names/],
    [['--trusted-operator', 'op.jwt'], /^an operator is trusted with its accounts, .*--account-tokens DIR/],
    [['--trusted-account', 'A1'], /^invalid --trusted-account "A1": it takes the public key of an account/],
    [['--trusted-operator', operator, '--account-tokens', folder], /no-operator\.jwt/],
    [['--trusted-account', A, '--mapping-account', 'X'], /^invalid --mapping-account "X": it takes/],
    [
      ['--trusted-account', A, '--account-tokens', 'x', '--trust-store', 'y'],
      /^use either --account-tokens or/,
    ],
    [['--trusted-account', A, '--trust', 'none'], /Allowed choices are lineage, self-issued/],
    [
      ['--trusted-account', A, '--secrets-api-version', 'v2'],
      /^there is no version "v2" of the protocol here/,
    ],
    [['--trusted-account', A, '--max-secret-history', '0'], /^invalid --max-secret-history "0"/],
    [['--trusted-account', A, '-n', 'a.b'], /^invalid --name "a\.b"/],
    [
      ['--trusted-account', A, '-e', seed, '--root-key', 'file:x'],
      /^-e derives the root key, and --root-key/,
    ],
    [['--trusted-account', A, '--nats-address', 'http://x'], /nats\.servers takes URLs/],
    [['--trusted-account', A, '--nats-creds-file', '/nowhere'], /\/nowhere/],
    [
      ['--trusted-account', A, '--config', '/nowhere'],
      /the configuration file \/nowhere: there is no such file/,
    ],
    [['--trusted-account', A, '-t', userSeed], /^what -t or TRANSIT_XKEY_SEED holds is no seed of an xkey/],
    [['--trusted-account', A, '-e', 'SXABC'], /^what -e or ENCRYPTION_XKEY_SEED holds is no seed of an xkey/],
  ])('%j: a sentence that says what is wrong', async (args, why) => {
    const { code, stdout, stderr } = await coffer(['wasmcloud', 'run', ...place().args.slice(0, 2), ...args]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    const sentence =
      stderr
        .trimEnd()
        .split('\n')
        .at(-1)
        ?.replace(/^coffer: /, '') ?? '';
    expect(sentence).toMatch(why);
    expect(stderr.replaceAll(seed, '')).not.toMatch(/S[XU][A-Z2-7]{56}/);
    expect(stderr).not.toContain('unexpected error');
  });
});
