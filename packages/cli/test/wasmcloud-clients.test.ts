import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createKeyPair,
  encodeJwt,
  encodeWascap,
  formatCreds,
  matchesRequest,
  newUser,
  parseProof,
  verifyProofSignature,
} from '@coffer/identity';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { canary, expectNoCanary } from '../../../test/support/canary.mjs';
import { SecretsError } from '../../wasmcloud/src/index.js';
import { Administration } from '../../wasmcloud/test/administration.js';
import { World } from '../../wasmcloud/test/world.js';
import { coffer, type RunOptions } from './run.js';
import { componentToken, custom, hashOf, wasmModule } from './signed-files.js';

const folder = mkdtempSync(join(tmpdir(), 'coffer-clients-'));
const operations = new Administration();
const component = createKeyPair('component').publicKey;
const account = createKeyPair('account');
const user = createKeyPair('user');
const creds = join(folder, 'admin.creds');
let world: World;

beforeAll(async () => {
  writeFileSync(creds, formatCreds(encodeJwt(newUser(user.publicKey, 'admin'), account), user.seed()));
  world = await World.start({ operations });
});
afterAll(async () => {
  await world?.[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  operations.refuse = undefined;
  operations.puts.length = 0;
  operations.askers.length = 0;
});

/** Runs a command against the backend here. */
const run = (args: readonly string[], options: RunOptions = {}) =>
  coffer(['wasmcloud', ...args, '--nats-address', `127.0.0.1:${world.server.port}`], options);
async function ok(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(args, options);
  expect({ code, stderr }, args.join(' ')).toEqual({ code: 0, stderr: '' });
  return stdout;
}
async function fails(args: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(args, options);
  expect({ code, stdout }, args.join(' ')).toEqual({ code: 1, stdout: '' });
  expect(stderr).toMatch(/^coffer: [^\n]+\n$/);
  expectNoCanary(stderr, 'the sentence');
  return stderr.slice('coffer: '.length, -1);
}

describe('coffer wasmcloud put', () => {
  const value = canary('put');
  const file = join(folder, 'value');
  beforeAll(() => {
    writeFileSync(file, Buffer.from([0xff, 0, 1]));
    writeFileSync(join(folder, 'large'), Buffer.alloc(5 * 1024 * 1024 + 1));
  });

  it.each<[string, string[], RunOptions, string, string]>([
    ['--string', ['--string', value], {}, 'string', value],
    ['--binary', ['--binary', file], {}, 'binary', '\xff\0\x01'],
    ['--binary from standard input', ['--binary', '-'], { input: 'text' }, 'binary', 'text'],
    ['SECRET_STRING_VALUE', [], { env: { SECRET_STRING_VALUE: value } }, 'string', value],
    ['SECRET_BINARY_FILE', [], { env: { SECRET_BINARY_FILE: file } }, 'binary', '\xff\0\x01'],
    ['a flag over the environment', ['--string', 'a'], { env: { SECRET_BINARY_FILE: file } }, 'string', 'a'],
  ])('takes the value of %s', async (_what, args, options, kind, given) => {
    const told = await ok(['put', 'db', ...args], options);
    expect(told).toBe("Secret 'db' put successfully\n  Version 1 is current\n");
    expect(operations.puts).toEqual([{ key: 'db', kind, value: given }]);
  });

  it('reads standard input: text is a string, anything else binary', async () => {
    const text = await run(['put', 'db', '--trim-space'], { input: `${value}\n` });
    expect(text).toMatchObject({ code: 0, stderr: `Read ${value.length} bytes from stdin\n` });
    const bytes = await run(['put', 'db', '--json'], { input: Buffer.from([0xfe, 0xff]) });
    expect(JSON.parse(bytes.stdout)).toEqual({ name: 'db', version: 2, kind: 'binary' });
    await run(['put', 'db', '--string', '-', '--verbatim'], { input: `${value}\n` });
    const doubtful = await run(['put', 'db', '--string', '-'], { input: `${value}\n` });
    expect(doubtful.stderr).toMatch(/surrounding whitespace, specify --verbatim .* or --trim-space/);
    expect(operations.puts).toEqual([
      { key: 'db', kind: 'string', value },
      { key: 'db', kind: 'binary', value: '\xfe\xff' },
      { key: 'db', kind: 'string', value: `${value}\n` },
    ]);
  });

  it('takes no bytes for a string', async () => {
    const { code, stderr } = await run(['put', 'db', '--string', '-'], { input: Buffer.from([0xff]) });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^coffer: this is no text in UTF-8: use --binary$/m);
  });

  it('seals to the key of TRANSIT_XKEY_SEED without asking, and to the backend’s where there is none', async () => {
    const [transit] = world.transit;
    const seed = Buffer.from(transit?.seed() ?? []).toString();
    const asked = () => world.answered.filter(({ operation }) => operation === 'server_xkey').length;
    const before = asked();
    await ok(['put', 'db', '--string', 'v'], { env: { TRANSIT_XKEY_SEED: seed } });
    await ok(['put', 'db', '--string', 'v', '-t', transit?.publicKey ?? '']);
    expect(asked()).toBe(before);
    await ok(['put', 'db', '--string', 'v']);
    expect(asked()).toBe(before + 1);

    const { code, stderr } = await run(['put', 'db', '--string', 'v', '-t', seed]);
    expect(code).toBe(0);
    expect(stderr).toMatch(/^coffer: warning: a seed behind -t is seen by every user .*TRANSIT_XKEY_SEED\n$/);
    expect(stderr).not.toContain(seed);
    const other = Buffer.from(createKeyPair('curve').seed()).toString();
    expect(await fails(['put', 'db', '--string', 'v'], { env: { TRANSIT_XKEY_SEED: other } })).toMatch(
      /the key of TRANSIT_XKEY_SEED is none of its transit keys; without it the backend is asked/,
    );
  });

  it('is signed where that is asked for, for this request alone', async () => {
    const proven = async (args: string[], env: Record<string, string> = {}) => {
      operations.askers.length = 0;
      const { code, stderr } = await run(['put', 'db', '--string', 'v', ...args], { env });
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return operations.askers[0];
    };
    for (const asker of [
      await proven(['--creds', creds]),
      await proven([], { COFFER_CREDS: creds }),
      await proven(['--nats-creds-file', creds, '--sign']),
      await proven(['--sign'], { NATS_CREDSFILE: creds }),
    ]) {
      const proof = parseProof(asker?.proof ?? '');
      verifyProofSignature(proof, user.publicKey);
      expect(proof.audience).toBe(`xkey:${world.transit[0]?.publicKey}`);
      const bodyHash = createHash('sha256')
        .update(asker?.payload ?? '')
        .digest();
      expect(matchesRequest(proof, { method: 'NATS', path: `/${asker?.subject}`, bodyHash })).toBe(true);
    }
    for (const asker of [
      await proven(['--nats-creds-file', creds]),
      await proven([], { NATS_CREDSFILE: creds }),
      await proven(['--unsigned'], { COFFER_CREDS: creds }),
    ])
      expect(asker?.proof).toBeUndefined();
    expect((await proven([]))?.proof).toBeUndefined();
  });

  it('passes over the version, which is the backend’s to choose, and says so', async () => {
    const { code, stderr } = await run(['put', 'db', '--string', 'v', '--secret-version', '7']);
    expect(code).toBe(0);
    expect(stderr).toBe(
      'coffer: --secret-version is passed over: the backend numbers versions itself, as secrets-nats-kv does\n',
    );
  });

  it.each<[string[], RunOptions, RegExp]>([
    [['--string', 'a', '--binary', 'b'], {}, /^use either --string or --binary$/],
    [[], { env: { SECRET_STRING_VALUE: 'a', SECRET_BINARY_FILE: 'b' } }, /are both set: unset one of them/],
    [['--binary', '/nowhere'], {}, /^cannot read --binary \/nowhere: no such file$/],
    [['--binary', '/dev/zero'], {}, /^cannot read --binary \/dev\/zero: it is a pipe or a device; - reads/],
    [
      ['--binary', '-'],
      { input: Buffer.alloc(5 * 1024 * 1024 + 1) },
      /^standard input is too large: .*5242880/,
    ],
    [[], { env: { SECRET_BINARY_FILE: join(folder, 'large') } }, /^SECRET_BINARY_FILE .* is too large/],

    [['--string', 'v', '--creds', 'x', '--unsigned'], {}, /^--creds signs requests, and --unsigned does not/],
    [['--string', 'v', '--sign', '--unsigned'], {}, /^use either --sign or --unsigned$/],
    [['--string', 'v', '--sign'], {}, /^--sign takes creds to sign with: --creds FILE, --nats-creds-file/],
    [['--string', 'v', '-t', 'XABC'], {}, /^what -t holds is no transit key: it is a public key \(X…/],
    [['--string', 'v', '-t', 'garbage'], {}, /^what -t holds is no transit key/],
    [['--string', 'v'], { env: { TRANSIT_XKEY_SEED: 'SX' } }, /^what TRANSIT_XKEY_SEED holds is no transit/],
    [['--string', 'v', '-n', 'a.b'], {}, /^invalid --name "a\.b"/],
    [['--string', 'v', '--creds', '/nowhere'], {}, /^cannot read --creds \/nowhere: no such file$/],
    [
      ['--string', 'v', '--nats-nkey-file', '/nowhere'],
      {},
      /^cannot read --nats-nkey-file \/nowhere: no such/,
    ],
    [
      ['--string', 'v', '--nats-nkey-file', 'x', '--nats-creds-file', 'y'],
      {},
      /^use either --nats-creds-file/,
    ],
  ])('%j: a sentence that says what is wrong', async (args, options, why) => {
    expect(await fails(['put', 'db', ...args], options)).toMatch(why);
    expect(operations.puts).toEqual([]);
  });

  it('puts what the backend answers into words', async () => {
    const sentence = async (error: SecretsError, args: string[] = []) => {
      operations.refuse = error;
      return fails(['put', 'db', '--string', canary('x'), ...args]);
    };
    expect(await sentence(new SecretsError('Unauthorized'))).toMatch(
      /^failed to put secret "db": the backend does not let those do this who do not show who they are: --creds FILE/,
    );
    expect(await sentence(new SecretsError('Unauthorized'), ['--creds', creds])).toBe(
      `failed to put secret "db": nats:${account.publicKey}/${user.publicKey} may not do this: no grant in the policy allows it; ` +
        '--unsigned leaves the decision to NATS',
    );
    expect(
      await sentence(new SecretsError('Other', 'your identity is not trusted here: …'), ['--creds', creds]),
    ).toMatch(
      /…; --unsigned leaves the decision to NATS; for signatures .*--trust-store DIR, or --trusted-op/,
    );
    expect(await sentence(new SecretsError('Other', 'the store is full'))).toBe(
      'failed to put secret "db": the store is full',
    );
    expect(await sentence(new SecretsError('InvalidPayload'))).toMatch(
      /its name is empty, or name and value together are too large$/,
    );
    expect(await sentence(new SecretsError('PolicyError'))).toMatch(/the backend answers PolicyError$/);
  });
});

describe('coffer wasmcloud get', () => {
  it('prints the bytes alone', async () => {
    const { code, stdout, stderr } = await run(['get', 'db', '--creds', creds]);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: canary('db'), stderr: '' });
    expect(await ok(['get', 'db', '--field', 'f', '--kind', 'string'])).toBe(canary('db.f'));
    expect(operations.askers[0]?.proof).toMatch(/^cfp1\./);
  });

  it('is signed with the creds for NATS, too, as nothing is read unsigned', async () => {
    await ok(['get', 'db', '--nats-creds-file', creds]);
    const { code, stderr } = await run(['list-mappings'], { env: { NATS_CREDSFILE: creds } });
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: 'There are no mappings that you may see: "coffer wasmcloud add-mapping" makes one\n',
    });
    for (const { proof } of operations.askers) expect(proof).toMatch(/^cfp1\./);
    expect(operations.askers).toHaveLength(2);
  });

  it('says what is missing where the server trusts nobody who could sign, or the asker cannot', async () => {
    operations.refuse = new SecretsError('Other', 'this server trusts no identities');
    expect(await fails(['get', 'db', '--nats-creds-file', creds])).toMatch(
      /--trusted-operator with --account-tokens; and nats:A\w+\/U\w+ needs a grant; .*-s unix:STATE\/admin.sock/,
    );
    operations.refuse = new SecretsError('Other', 'to read takes a signed request');
    const nkey = join(folder, 'admin.nk');
    writeFileSync(nkey, user.seed(), { mode: 0o600 });
    expect(await fails(['list-mappings', '--nats-nkey-file', nkey])).toMatch(
      /a key for NATS \(--nats-nkey-file\) cannot sign: .*admin\.sock/,
    );
  });

  it('takes secrets-nats-kv’s arguments', async () => {
    const told = await run(['get', 'db', '--secret-version', '3', '--json', '-b', 'B', '-e', 'SXA'], {
      env: { ENCRYPTION_XKEY_SEED: 'SXB' },
    });
    const value = Buffer.from(canary('db')).toString('base64');
    expect(JSON.parse(told.stdout)).toEqual({ name: 'db', version: 3, kind: 'string', value });
    expect(told.stderr).toMatch(/^coffer: -b is passed over/m);
    expect(told.stderr).toMatch(/a seed behind -e is seen by every user/);
  });

  it('fails if the secret is of another kind than the one that was asked for', async () => {
    expect(await fails(['get', 'db', '--kind', 'binary'])).toBe(
      'secret was in string format, but binary format was requested',
    );
  });

  it('puts what the backend answers into words', async () => {
    operations.refuse = new SecretsError('SecretNotFound');
    expect(await fails(['get', 'x'])).toBe('failed to get secret "x": there is no such secret or version');
    operations.refuse = new SecretsError('InvalidRequest');
    expect(await fails(['get', 'x', '--secret-version', 'a'])).toMatch(/a version is a number/);
  });

  describe('--as', () => {
    it('asks as a host would, for a signed file', async () => {
      world.secrets.set('db', { version: '4', kind: 'string', value: canary('as') });
      const { token } = componentToken(world.account, hashOf(wasmModule()));
      const file = join(folder, 'hello.wasm');
      writeFileSync(file, wasmModule(custom('wasmcloud_jwt', token)));
      const { code, stdout, stderr } = await run(['get', 'db', '--as', file, '--json']);
      expect({ code, stderr }).toEqual({
        code: 0,
        stderr: 'Asking as a host with a key of its own, as stock hosts have it\n',
      });
      expect(JSON.parse(stdout)).toMatchObject({ version: 4, kind: 'string' });

      const host = join(folder, 'host.jwt');
      writeFileSync(host, world.hostJwt);
      const args = ['get', 'db', '--as', token, '--host-jwt', host, '--application', 'shop'];
      expect(await ok(args)).toBe(canary('as'));
      expect(world.applications.at(-1)).toEqual({ name: 'shop', policy: '' });
      expect(await ok([...args, '--policy', '{"impersonate": "reader"}'])).toBe(canary('as'));
      expect(world.applications.at(-1)).toEqual({
        name: 'shop',
        policy: '{"type":"properties.secret.wasmcloud.dev/v1alpha1","properties":{"impersonate":"reader"}}',
      });
    });

    it('says why a component does not get its secret', async () => {
      const host = join(folder, 'host.jwt');
      writeFileSync(host, world.hostJwt);
      const asked = (token: string) => fails(['get', 'x', '--as', token, '--host-jwt', host]);
      expect(await asked(componentToken(account, '').token)).toBe(
        'failed to get secret "x" as a host: InvalidEntityJWT: no trusted account has signed this token',
      );
      expect(await asked(componentToken(world.account, '').token)).toMatch(
        /SecretNotFound: its entity may have/,
      );
      using stranger = createKeyPair('server');
      writeFileSync(host, encodeWascap({ sub: stranger.publicKey, exp: 1000 }, account));
      expect(await asked(componentToken(world.account, '').token)).toMatch(
        /InvalidHostJWT: this token has expired/,
      );
    });

    it('goes with what belongs to it', async () => {
      expect(await fails(['get', 'x', '--application', 'shop'])).toMatch(/go with --as/);
      expect(await fails(['get', 'x', '--policy', '{}'])).toMatch(/go with --as/);
      const { token } = componentToken(world.account, '');
      for (const policy of ['x', '[]', 'null', '"{}"']) {
        expect(await fails(['get', 'x', '--as', token, '--policy', policy])).toMatch(/--policy takes/);
      }
      expect(await fails(['get', 'x', '--as', '/nowhere'])).toMatch(/cannot read \/nowhere: no such file/);
    });
  });
});

describe('coffer wasmcloud add-mapping, list-mappings and remove-mapping', () => {
  it('say what is so afterwards, as secrets-nats-kv does', async () => {
    const map = ['--secret', 'b', '--secret', 'a'];
    expect(await ok(['add-mapping', component, ...map])).toBe(
      `Public key '${component}' can now access secrets: ["b", "a"]\n`,
    );
    expect(await ok(['list-mappings'])).toBe(
      `KEY                                                      ACCOUNT     SECRETS\n${component} self-issued a, b\n`,
    );
    expect(await ok(['remove-mapping', component, '--secret', 'b', '--creds', creds])).toBe(
      `Public key '${component}' no longer has access to secrets: ["b"]\n`,
    );
    expect(JSON.parse(await ok(['list-mappings', component, '--json']))).toEqual([
      { entity: component, names: ['a'] },
    ]);
    const other = createKeyPair('provider').publicKey;
    expect(JSON.parse(await ok(['list-mappings', other, '--json']))).toEqual([]);
  });

  it.each([
    [['add-mapping', component], /^at least one secret must be provided to add a mapping/],
    [['remove-mapping', component], /^at least one secret must be provided to remove a mapping/],
    [['add-mapping', component, '--secret', ''], /^the name of a secret is empty/],
    [['put', '', '--string', 'v'], /^the name of a secret is empty/],
    [['add-mapping', 'db', '--secret', 'x'], /is the public key of a component \(M…\) or a provider/],
    [['add-mapping', account.publicKey, '--secret', 'x'], /is the key of no component/],
    [['list-mappings', '>'], /is the public key of a component/],
    [['add-mapping', createKeyPair('component').seed().toString(), '--secret', 'x'], /is the public key of/],
  ])('%j: a sentence that says what is wrong', async (args, why) => {
    expect(await fails(args)).toMatch(why);
  });
});
