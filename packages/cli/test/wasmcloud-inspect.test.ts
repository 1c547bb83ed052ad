import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { createKeyPair, encodeJwt, encodeWascap, newUser } from '@coffer/identity';
import { afterAll, describe, expect, it } from 'vitest';
import { coffer } from './run.js';
import {
  componentToken,
  custom,
  hashOf,
  leb128,
  providerToken,
  section,
  TYPES,
  tar,
  wasmComponent,
  wasmModule,
} from './signed-files.js';

const folder = mkdtempSync(join(tmpdir(), 'coffer-inspect-'));
afterAll(() => rmSync(folder, { recursive: true }));
const account = createKeyPair('account');

let files = 0;
function file(content: Uint8Array | string): string {
  const path = join(folder, `${++files}`);
  writeFileSync(path, content);
  return path;
}
async function seen(content: Uint8Array | string) {
  const { code, stdout, stderr } = await coffer(['wasmcloud', 'inspect', '--json', file(content)]);
  return { code, stderr, told: stdout === '' ? undefined : JSON.parse(stdout) };
}

describe('coffer wasmcloud inspect', () => {
  it('shows who a signed module is, and the principal to name in grants', async () => {
    const { token, key } = componentToken(account, hashOf(wasmModule(TYPES)), { exp: 4_102_444_800 });
    const path = file(wasmModule(TYPES, custom('wasmcloud_jwt', token)));
    const { code, stdout, stderr } = await coffer(['wasmcloud', 'inspect', path]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^Kind: +component, in a WebAssembly module$/m);
    expect(stdout).toMatch(/^Name: +hello$/m);
    expect(stdout).toMatch(/^Version: +0\.1\.1, revision 3$/m);
    expect(stdout).toMatch(/^Tags: +demo$/m);
    expect(stdout).toMatch(/^Expires: +2100-01-01T00:00:00Z$/m);
    expect(stdout).toMatch(/^Signature: +that of the issuer$/m);
    expect(stdout).toMatch(/^Content: +as signed$/m);
    expect(stdout).toContain(`component:${account.publicKey}/${key}, if that account is trusted`);
    expect(stdout).toContain(`component:self-issued/${key}, with trust: self-issued`);
  });

  it.each([
    ['the section of today', 'wasmcloud_jwt'],
    ['that of wascap before 0.9', 'jwt'],
  ])('reads a component’s token from %s', async (_what, name) => {
    const inner = wasmComponent(section(1, wasmModule(TYPES)), custom('producers', 'x'));
    const { token, key } = componentToken(account, hashOf(wasmComponent(section(4, inner))));
    const { told } = await seen(wasmComponent(section(4, inner), custom(name, token)));
    expect(told).toMatchObject({ form: 'component', subject: key, signature: 'right', content: 'as signed' });
  });

  it('takes the same file for as signed when lengths in it are written in more bytes', async () => {
    const { token } = componentToken(account, hashOf(wasmModule(TYPES)));
    const long = Buffer.concat([TYPES.subarray(0, 1), leb128(4, { bytes: 5 }), TYPES.subarray(2)]);
    expect((await seen(wasmModule(long, custom('wasmcloud_jwt', token)))).told.content).toBe('as signed');
  });

  it('tells of a file that is not the one that was signed, and fails', async () => {
    const { token } = componentToken(account, hashOf(wasmModule(TYPES)));
    const { code, stderr, told } = await seen(
      wasmModule(TYPES, custom('wasmcloud_jwt', token), custom('more', 'code')),
    );
    expect(told).toMatchObject({ signature: 'right', content: 'changed' });
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'coffer: the file is not the one that was signed: hosts refuse it; build and sign it again\n',
    });
  });

  it('does not judge the content by tokens that are too old to say it', async () => {
    const { token } = componentToken(account, 'OLD', { wascap_revision: 2 });
    const { code, told } = await seen(wasmModule(custom('jwt', token)));
    expect(code).toBe(0);
    expect(told).not.toHaveProperty('content');
  });

  it('shows a token that is forged, says so, and fails', async () => {
    const { token } = componentToken(account, hashOf(wasmModule()));
    const [header, claims = '', signature] = token.split('.');
    const forged = JSON.parse(Buffer.from(claims, 'base64url').toString());
    forged.wascap.name = 'another';
    const payload = Buffer.from(JSON.stringify(forged)).toString('base64url');
    const { code, stderr, told } = await seen([header, payload, signature].join('.'));
    expect(told).toMatchObject({ kind: 'component', name: 'another', signature: 'wrong' });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^coffer: the signature is not that of the issuer: .*forged or damaged.*\n$/);
  });

  it.each([
    ['plain', (bytes: Buffer) => bytes],
    ['gzipped', (bytes: Buffer) => gzipSync(bytes)],
  ])('reads a %s provider archive, and holds its programs against the token', async (_what, packed) => {
    const program = Buffer.alloc(70_000, 7);
    const { token, key } = providerToken(account, { 'x86_64-linux': hashOf(program) });
    const whole = tar({ 'claims.jwt': token, 'x86_64-linux.bin': program });
    const good = await seen(packed(whole));
    expect(good).toMatchObject({
      code: 0,
      told: {
        form: 'archive',
        kind: 'provider',
        subject: key,
        vendor: 'acme',
        targets: ['x86_64-linux'],
        content: 'as signed',
        principal: `provider:${account.publicKey}/${key}`,
      },
    });
    const other = await seen(packed(tar({ 'x86_64-linux.bin': 'other', './claims.jwt': token })));
    expect(other).toMatchObject({ code: 1, told: { content: 'changed' } });
    const more = await seen(packed(tar({ 'claims.jwt': token, 'aarch64-linux.bin': program })));
    expect(more).toMatchObject({ code: 1, told: { content: 'changed' } });
    const none = await seen(packed(tar({ 'claims.jwt': token })));
    expect(none).toMatchObject({ code: 1, told: { content: 'changed' } });
  });

  it('tells of a provider archive that a program is gone, and says nothing where there was none', async () => {
    const [here, gone] = [Buffer.from('here'), Buffer.from('gone')];
    const both = { 'x86_64-linux': hashOf(here), 'aarch64-linux': hashOf(gone) };
    const archive = tar({ 'claims.jwt': providerToken(account, both).token, 'x86_64-linux.bin': here });
    expect(await seen(archive)).toMatchObject({ code: 1, told: { content: 'changed' } });
    const { code, told } = await seen(tar({ 'claims.jwt': providerToken(account, {}).token }));
    expect(code).toBe(0);
    expect(told).not.toHaveProperty('content');
  });

  it('reads bare tokens of hosts and accounts, from an operand, a file and standard input', async () => {
    using host = createKeyPair('server');
    const ofHost = encodeWascap(
      { sub: host.publicKey, wascap: { name: 'rack', labels: { self_signed: 'true' } }, exp: 1000 },
      account,
    );
    const { stdout } = await coffer(['wasmcloud', 'inspect', ofHost]);
    expect(stdout).toMatch(/^Kind: +host$/m);
    expect(stdout).toMatch(/^Labels: +self_signed=true$/m);
    expect(stdout).toMatch(/^Time: +expired$/m);
    expect(stdout).not.toContain('Principal');

    using signing = createKeyPair('account');
    const ofAccount = encodeWascap(
      { sub: account.publicKey, wascap: { name: 'shop', valid_signers: [signing.publicKey] }, nbf: 4e9 },
      account,
    );
    expect((await seen(`${ofAccount}\n`)).told).toMatchObject({
      kind: 'account',
      signingKeys: [signing.publicKey],
      time: 'not valid yet',
    });
    const piped = await coffer(['wasmcloud', 'inspect', '--json', '-'], { input: ofAccount });
    expect(JSON.parse(piped.stdout)).toMatchObject({ kind: 'account', name: 'shop' });
  });

  it('lets nothing in a token steer the terminal', async () => {
    const { token } = componentToken(account, '', {}, { name: '\u001b[2Jgone' });
    const { stdout } = await coffer(['wasmcloud', 'inspect', token]);
    expect(stdout).toContain('"\\x1b[2Jgone"');
  });

  const signed = componentToken(account, hashOf(wasmModule())).token;
  using user = createKeyPair('user');
  it.each<[string, Uint8Array | string, RegExp]>([
    ['an unsigned module', wasmModule(TYPES), /is not signed: there is no token in it/],
    [
      'a component around a signed one',
      wasmComponent(section(4, wasmComponent(custom('wasmcloud_jwt', signed)))),
      /is not signed: a component inside it is/,
    ],
    ['a section beyond the end', wasmModule(Buffer.from([0, 0x7f, 1])), /a section reaches beyond its end/],
    ['a name beyond the end', wasmModule(section(0, Buffer.from([9, 1]))), /the name of a section/],
    ['a length without end', wasmModule(Buffer.from([0, 255, 255, 255, 255, 255])), /a length in it/],
    ['a length that is too large', wasmModule(Buffer.from([0, 255, 255, 255, 255, 0x7f])), /a length in it/],
    ['a length cut off', wasmModule(Buffer.from([0, 0x80])), /a length in it/],
    ['a component of something else', wasmComponent(section(4, Buffer.from('x'))), /does not begin/],
    ['components without end', nested(200), /lie in each other/],
    ['a module that ends in its header', wasmModule().subarray(0, 6), /does not begin/],
    ['an archive without a token', tar({ 'x.bin': 'x' }), /there is no claims\.jwt in it/],
    ['an archive cut off', tar({ 'claims.jwt': signed }).subarray(0, 600), /it ends in the middle/],
    ['gzip of nothing', Buffer.from([0x1f, 0x8b, 9, 9, 9]), /this archive is damaged: it cannot be read/],
    ['a damaged header', tar({ 'claims.jwt': signed }).fill(1, 20, 30), /the sum over a header/],
    ['a token of NATS', encodeJwt(newUser(user.publicKey, 'u'), account), /"coffer identity describe jwt"/],
    ['garbage for a token', wasmModule(custom('jwt', 'garbage')), /the file is damaged/],
    ['a text', 'hello', /is neither a \.wasm file, nor a provider archive, nor a token/],
    ['nothing', '', /is neither a \.wasm file/],
  ])('refuses %s in a sentence', async (_what, content, why) => {
    const { code, stderr, told } = await seen(content);
    expect({ code, told }).toEqual({ code: 1, told: undefined });
    expect(stderr).toMatch(/^coffer: [^\n]+\n$/);
    expect(stderr).toMatch(why);
    expect(stderr).not.toContain('unexpected error');
  });

  it.each([
    ['/nowhere', /^coffer: cannot read \/nowhere: no such file\n$/],
    [
      'ghcr.io/wasmcloud/hello:0.1',
      /no such file; of an image in a registry, fetch it first with "wash pull"/,
    ],
    [tmpdir(), /it is a folder/],
    ['/dev/zero', /^coffer: cannot read \/dev\/zero: it is a pipe or a device; - reads standard input\n$/],
  ])('says of %s what is wrong', async (path, why) => {
    const { code, stderr } = await coffer(['wasmcloud', 'inspect', path]);
    expect(code).toBe(1);
    expect(stderr).toMatch(why);
  });
});

function nested(depth: number): Buffer {
  return depth === 0 ? wasmComponent() : wasmComponent(section(4, nested(depth - 1)));
}
