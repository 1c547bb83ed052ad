import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { coffer } from './run.js';

/** Each is one line on standard error that says what to do, with the exit status 1. */
describe('a mistake', () => {
  test.each([
    ['lst', 'unknown command \'lst\' (Did you mean list?); see "coffer --help"'],
    ['token revok x', 'unknown command \'revok\' (Did you mean revoke?); see "coffer token --help"'],
    ['get --verison 3 x', 'unknown option \'--verison\' (Did you mean --version?); see "coffer get --help"'],
    [
      'identity select operator X',
      '"select" of nsc’s is not here: "coffer identity env --operator NAME --account NAME" chooses what is current',
    ],
    [
      'identity init -i --name X',
      '"init" of nsc’s is not here: "coffer server init" makes an operator, an account and a user; "coffer identity add" each by itself',
    ],
    [
      'identity generate diagram operator',
      '"generate diagram" of nsc’s is not here: "coffer identity graph" draws who signed whom',
    ],
    ['get', 'missing required argument \'name\'; see "coffer get --help"'],
    ['get a b', 'too many arguments for \'get\'. Expected 1 argument but got 2; see "coffer get --help"'],
    ['get -s', 'option \'-s, --server <address>\' argument missing; see "coffer get --help"'],
    ['activate x 1.5', 'invalid version "1.5": write a whole number from 1 to 4294967295'],
    ['activate x 4294967296', 'invalid version "4294967296": write a whole number from 1 to 4294967295'],
    ['delete-version x 0', 'invalid version "0": write a whole number from 1 to 4294967295'],
    ['get x --version two', 'invalid version "two": write a whole number from 0 to 4294967295'],
    ['put x --from-file /nowhere', 'cannot read --from-file /nowhere: no such file'],
    ['put x --generate --from-file /nowhere', 'use either --generate or --from-file'],
    ['get x --token-file /nowhere', 'cannot read --token-file /nowhere: no such file'],
    ['get x --ca /', 'cannot read --ca /: it is a folder'],
    ['token create x --expires 1y', 'invalid duration "1y": write a number and s, m, h, d or w, such as 30d'],
    [
      'get x -s localhost:2633',
      '"localhost:2633" is no server address: write http://HOST:PORT, https://HOST:PORT or unix:PATH',
    ],
    [
      'get x -s http://127.0.0.1:1',
      'failed to get secret: cannot reach http://127.0.0.1:1 (connection refused): check that the server runs and ' +
        'that the address is right; -s URL or COFFER_SERVER names another server, ' +
        '-s unix:DIR/admin.sock the one with that state folder, and "coffer server --dev" starts one for a trial',
    ],
  ])('coffer %s', async (line, sentence) => {
    expect(await coffer(line.split(' '))).toEqual({ code: 1, stdout: '', stderr: `coffer: ${sentence}\n` });
  });

  test('a token in the address does not show', async () => {
    const { stderr } = await coffer(['get', 'x', '-s', 'http://any:cft_secret@127.0.0.1:1']);
    expect(stderr).toContain('cannot reach http://127.0.0.1:1 ');
    expect(stderr).not.toContain('cft_secret');
  });

  test('a token that would cross a network in clear is warned of, and nothing else is', async () => {
    const stderrOf = async (server: string, env: Record<string, string>) =>
      (await coffer(['get', 'x', '-s', server], { env })).stderr;
    const token = { COFFER_TOKEN: 'cft_secret' };
    // Nothing listens there, and the kernel says so at once.
    const warned = await stderrOf('http://0.0.0.0:1', token);
    expect(warned).toMatch(/^coffer: warning: http:\/\/0\.0\.0\.0:1 is reached without TLS/);
    expect(warned).not.toContain('cft_secret');
    expect(await stderrOf('http://any:cft_secret@0.0.0.0:1', {})).toMatch(/without TLS/);
    expect(await stderrOf('http://0.0.0.0:1', { ...token, COFFER_INSECURE_HTTP: '1' })).not.toMatch(/TLS/);
    expect(await stderrOf('http://0.0.0.0:1', {})).not.toMatch(/TLS/);
    for (const server of ['http://127.0.0.1:1', 'http://localhost:1', 'https://0.0.0.0:1', 'unix:/nowhere']) {
      expect(await stderrOf(server, token), server).not.toMatch(/without TLS/);
    }
  });
});

describe('an import', () => {
  const SEED = 'SXAIPHCTMQ5M7KWEVKBWZ37ZVQVMCRJGKSIXCNMKDHTH4YPPJTIOOVV4WQ';
  const ACCOUNT = `A${'A'.repeat(55)}`;

  test.each([
    ['secrets-nats-kv', 'the seed is needed with which "secrets-nats-kv run" encrypts its bucket'],
    ['secrets-nats-kv -e SXNOSEED', 'what -e or ENCRYPTION_XKEY_SEED holds is no seed of an xkey'],
    [
      'secrets-nats-kv --mapping-account B',
      'invalid --mapping-account "B": it takes the public key of an account',
    ],
    ['secrets-nats-kv --mapping-account SAABCDEF', 'invalid --mapping-account (a seed, which is secret)'],
    [
      `secrets-nats-kv --no-mappings --mapping-account ${ACCOUNT}`,
      'use either --mapping-account or --no-mappings',
    ],
    ['secrets-nats-kv -n a.b', 'invalid --name "a.b": write one word'],
    [`secrets-nats-kv -e ${SEED} -b a.b --nats-address 127.0.0.1:1`, '"a.b" is no name of a bucket'],
    [`secrets-nats-kv -e ${SEED} --nats-address 127.0.0.1:1`, 'cannot connect to NATS at 127.0.0.1:1'],
    ['vault', 'who reads Vault? Use --from-token-file FILE'],
    ['vault --from-secret-id-file x', '--from-secret-id-file goes with --from-role-id'],
    ['vault --from-role-id x --from-token-file y', 'use either --from-token-file or --from-role-id'],
    ['vault --mount /', '--mount is empty'],
  ])('%s', async (args, message) => {
    const { code, stdout, stderr } = await coffer(['import', ...args.split(' ')]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toContain(`coffer: ${message}`);
    expect(stderr).not.toMatch(/SXNOSEED|SAABCDEF|SXAIPH/);
  });

  test.each([
    [{ VAULT_ADDR: 'vault.example.com:8200' }, '--from or VAULT_ADDR is no address of a Vault'],
    [{ VAULT_ADDR: 'https://u:canary@vault.example.com' }, '--from or VAULT_ADDR is no address of a Vault'],
    [{ VAULT_ADDR: 'http://127.0.0.1:1', VAULT_NAMESPACE: 'a b' }, 'is no path of a namespace'],
    [{ VAULT_ADDR: 'http://127.0.0.1:1', VAULT_TOKEN: 'can\nary' }, 'the token for Vault is empty or holds'],
    [{ VAULT_ADDR: 'http://127.0.0.1:1', VAULT_CACERT: '/' }, 'cannot read VAULT_CACERT /: it is a folder'],
    [{}, 'which Vault shall be read? --from URL names it, or VAULT_ADDR'],
  ])('from Vault, with %j', async (env, message) => {
    const { code, stderr } = await coffer(['import', 'vault'], { env: { VAULT_TOKEN: 'canary', ...env } });
    expect(code).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain('canary');
  });
});

describe('help and version', () => {
  test.each([
    'server',
    'list',
    'info',
    'get',
    'put',
    'create-version',
    'activate',
    'rollback',
    'delete-version',
    'delete',
    'token create',
    'token list',
    'token revoke',
    'token mint',
    'policy show',
    'policy check',
    'policy apply',
    'config check',
    'doctor',
    'completion',
    'run',
    'import env',
    'import dir',
    'import setec',
    'import vault',
    'import secrets-nats-kv',
    'export env',
    'export dir',
    'export json',
    'whoami',
    'identity add user',
    'identity edit account',
    'identity edit signing-key',
    'identity describe jwt',
    'identity validate',
    'identity delete user',
    'identity env',
    'storage heal',
    'wasmcloud run',
    'wasmcloud put',
    'wasmcloud get',
    'wasmcloud add-mapping',
    'wasmcloud remove-mapping',
    'wasmcloud list-mappings',
    'wasmcloud inspect',
    'wasmcloud permissions',
  ])('coffer %s --help explains it', async (command) => {
    const { code, stdout, stderr } = await coffer([...command.split(' '), '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: coffer ${command}\\b`));
  });

  test('coffer --help has every command in a group of its kind', async () => {
    const { stdout } = await coffer(['--help']);
    expect(stdout).toMatch(/^Identities:\n {2}identity /m);
    expect(stdout).toMatch(/^wasmCloud:\n {2}wasmcloud /m);
    expect(stdout).toMatch(/^Help:\n {2}completion .*\n {2}help /m);
  });

  test('coffer --version prints the version of the package', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
    expect(await coffer(['--version'])).toEqual({ code: 0, stdout: `coffer ${version}\n`, stderr: '' });
  });

  test('coffer alone shows the help and fails', async () => {
    expect(await coffer([])).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('Usage: coffer'),
    });
  });
});
