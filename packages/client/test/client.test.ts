import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunningServer, startServer } from '../../cli/test/run.js';
import { Admin } from '../src/admin/index.js';
import { Client, SecretBytes } from '../src/index.js';

/** Everything here runs against a real coffer server, over TCP with a token or over its admin socket. */
let server: RunningServer;
let admin: Client;

beforeAll(async () => {
  server = await startServer();
  admin = new Client({ server: server.socket });
});
afterAll(async () => {
  admin?.close();
  await server?.[Symbol.asyncDispose]();
});

const bytes = (text: string) => SecretBytes.copyOf(Buffer.from(text));

describe('secrets', () => {
  test('have versions, of which one is active', async () => {
    expect(await admin.put('life', bytes('one'))).toBe(1);
    expect(await admin.put('life', bytes('two'))).toBe(2);
    expect(await admin.put('life', bytes('two'))).toBe(2);
    expect(await admin.get('life')).toEqual({ value: bytes('one'), version: 1 });
    expect(await admin.get('life', { version: 2 })).toEqual({ value: bytes('two'), version: 2 });

    await admin.activate('life', 2);
    expect(await admin.get('life')).toEqual({ value: bytes('two'), version: 2 });
    await admin.createVersion('life', 10, bytes('ten'));
    expect(await admin.info('life')).toEqual({ name: 'life', versions: [1, 2, 10], activeVersion: 10 });

    await admin.deleteVersion('life', 1);
    expect(await admin.list()).toContainEqual({ name: 'life', versions: [2, 10], activeVersion: 10 });
    await admin.delete('life');
    await expect(admin.info('life')).rejects.toMatchObject({ code: 'not_found', status: 404 });
  });

  test('getIfChanged gives nothing while the known version is active', async () => {
    await admin.put('known', bytes('one'));
    expect(await admin.getIfChanged('known', 1)).toBeUndefined();
    expect(await admin.getIfChanged('known', 2)).toEqual({ value: bytes('one'), version: 1 });
    expect(await admin.getIfChanged('known', 0)).toEqual({ value: bytes('one'), version: 1 });
  });

  test.each([0, 1, 2, 3, 255, 256, 1024 * 1024])('a value of %i bytes comes back as it was', async (size) => {
    const value = Uint8Array.from({ length: size }, (_, index) => (index * 7) % 256);
    const before = value.slice();
    await admin.createVersion('size', size + 1, value);
    const got = await admin.get('size');
    expect(Buffer.compare(got.value, before)).toBe(0);
    expect(Buffer.compare(value, before)).toBe(0);
    expect(got.value.buffer.byteLength).toBe(size);
  });

  test('a part of a larger buffer is put alone', async () => {
    await admin.put('part', bytes('not this, but this, and not that').subarray(10, 18));
    expect((await admin.get('part')).value).toEqual(bytes('but this'));
  });

  test.each(['ключ', 'a b/c?d#e%20', '"quoted"\n', '👍'])('the name %j is taken as it is', async (name) => {
    await admin.put(name, bytes('v'));
    expect(await admin.info(name)).toMatchObject({ name });
  });

  test('a change repeated under its operation id is made once', async () => {
    await admin.put('again', bytes('one'));
    expect(await admin.put('again', bytes('two'), { operation: 'op-1' })).toBe(2);
    await admin.put('again', bytes('three'));
    expect(await admin.put('again', bytes('two'), { operation: 'op-1' })).toBe(2);
    expect((await admin.info('again')).versions).toEqual([1, 2, 3]);
  });
});

describe('refusals', () => {
  test('have the code of the server and a sentence', async () => {
    await admin.put('here', bytes('v'));
    await expect(admin.get('gone')).rejects.toMatchObject({
      name: 'CofferClientError',
      code: 'not_found',
      status: 404,
      message: 'not found: there is no secret "gone"',
    });
    await expect(admin.activate('here', 9)).rejects.toMatchObject({ code: 'not_found' });
    await expect(admin.createVersion('here', 1, bytes('x'))).rejects.toMatchObject({
      code: 'version_taken',
      status: 412,
    });
    await expect(admin.deleteVersion('here', 1)).rejects.toMatchObject({
      code: 'active_version',
      status: 400,
    });
    await expect(admin.put('', bytes('x'))).rejects.toMatchObject({ code: 'invalid_name', status: 400 });
    await expect(admin.put('_internal/x', bytes('x'))).rejects.toMatchObject({ code: 'reserved_name' });
    await expect(admin.put('x'.repeat(1025), bytes('x'))).rejects.toMatchObject({ code: 'name_too_long' });
  });

  test('of a value that is too large names the limit and not the value', async () => {
    await expect(admin.put('large', new Uint8Array(1024 * 1024 + 1).fill(65))).rejects.toMatchObject({
      code: 'value_too_large',
      status: 413,
      message: expect.not.stringContaining('AAAA'),
    });
  });

  test('of what is neither text nor bytes is told before anything is sent', async () => {
    for (const wrong of [undefined, 5, {}, [1]])
      await expect(admin.put('wrong', wrong as never)).rejects.toMatchObject({ code: 'invalid_argument' });
    expect(await admin.put('text', 'ä')).toBe(1);
    await admin.createVersion('text', 7, 'ö');
    expect((await admin.get('text', { version: 1 })).value.reveal()).toBe('ä');
    expect((await admin.get('text')).value.reveal()).toBe('ö');
  });

  test('of an address whose path is wrong ask about it', async () => {
    await using lost = new Client({ server: `${server.url}/api` });
    await expect(lost.get('a')).rejects.toMatchObject({
      code: 'invalid_method',
      message: expect.stringMatching(/; is the path in http:\S+\/api right\?$/),
    });
  });

  test('of a caller that nobody knows are "unauthenticated"', async () => {
    for (const token of [undefined, 'cft_wrong']) {
      await using stranger = new Client({ server: server.url, ...(token === undefined ? {} : { token }) });
      await expect(stranger.list()).rejects.toMatchObject({
        code: 'unauthenticated',
        status: 401,
        message: expect.stringContaining(
          token === undefined
            ? 'no credential was given: give the option token or creds, or set'
            : 'not revoked',
        ),
      });
      await expect(stranger.whoami()).rejects.toMatchObject({ code: 'unauthenticated', status: 401 });
    }
  });
});

describe('administration', () => {
  test('a token opens what the policy grants to it, until it is revoked', async () => {
    await admin.put('granted/a', bytes('v'));
    const before = Date.now();
    const made = await new Admin(admin).createToken({ name: 'program', expiresIn: 3600 });
    expect(made).toMatchObject({ name: 'program', createdBy: 'socket', createdAt: expect.any(Date) });
    expect(made.expiresAt?.getTime()).toBeGreaterThanOrEqual(before + 3_600_000);
    const grant = { to: [`token:${made.id}`], actions: ['get', 'info'], secrets: ['granted/*'] } as const;

    const { generation } = await new Admin(admin).policy();
    expect(await new Admin(admin).applyPolicy([grant], { dryRun: true })).toMatchObject({ added: [grant] });
    const applied = await new Admin(admin).applyPolicy([grant], { expectedGeneration: generation });
    expect(applied).toMatchObject({ added: [grant], removed: [], unchanged: 0 });
    await expect(new Admin(admin).applyPolicy([], { expectedGeneration: generation })).rejects.toMatchObject({
      code: 'policy_changed',
      status: 409,
    });

    await using program = new Client({ server: server.url, token: made.token });
    expect(await program.get('granted/a')).toEqual({ value: bytes('v'), version: 1 });
    expect(await program.list()).toEqual([{ name: 'granted/a', versions: [1], activeVersion: 1 }]);
    await expect(program.put('granted/a', bytes('x'))).rejects.toMatchObject({
      code: 'access_denied',
      status: 403,
    });
    await expect(new Admin(program).tokens()).rejects.toMatchObject({ code: 'access_denied', status: 403 });
    expect(await program.whoami()).toMatchObject({
      principals: [{ id: `token:${made.id}`, kind: 'token', name: 'program' }],
      grants: [grant],
      server: { development: false, serverKey: expect.stringMatching(/^N[A-Z2-7]{55}$/) },
    });

    expect(await new Admin(admin).revokeToken(made.id)).toMatchObject({
      id: made.id,
      revokedAt: expect.any(Date),
    });
    await expect(program.get('granted/a')).rejects.toMatchObject({ code: 'unauthenticated' });
    expect(await new Admin(admin).tokens()).toContainEqual(
      expect.objectContaining({ id: made.id, name: 'program' }),
    );
  });

  test('a policy that is not well formed is the caller’s error', async () => {
    const nonsense = [{ to: [], actions: ['get'], secrets: ['x'] }] as const;
    await expect(new Admin(admin).applyPolicy(nonsense)).rejects.toMatchObject({ status: 400 });
    await expect(new Admin(admin).createToken({ name: '' })).rejects.toMatchObject({ status: 400 });
  });
});

describe('keys', () => {
  test('are listed and rotated, and what is read comes out as before', async () => {
    await admin.put('under/old', bytes('value'));
    const { dataKeys } = await new Admin(admin).keys();
    const old = dataKeys.at(-1)?.id as number;
    const keys = await new Admin(admin).rotateKeys();
    expect(keys.rootKey).toEqual({ kind: 'file', id: expect.any(String), since: expect.any(Date) });
    expect(keys.dataKeys.at(-1)).toMatchObject({ id: old + 1, state: 'active', createdAt: expect.any(Date) });
    expect(keys.rotation).toEqual({ total: expect.any(Number), remaining: expect.any(Number) });
    await expect.poll(() => new Admin(admin).keyRotation()).toBeUndefined();
    const after = await new Admin(admin).keys();
    expect(after.dataKeys.map(({ id, state }) => [id, state])).toEqual([[old + 1, 'active']]);
    expect(after.rotation).toBeUndefined();

    const { rootKey } = await new Admin(admin).rotateKeys({ root: true, operation: 'root-once' });
    expect(rootKey.id).not.toBe(after.rootKey.id);
    expect((await new Admin(admin).rotateKeys({ root: true, operation: 'root-once' })).rootKey).toEqual(
      rootKey,
    );
    await expect(new Admin(admin).rotateKeys({ root: true, to: 'passphrase:prompt' })).rejects.toMatchObject({
      code: 'invalid_argument',
      status: 400,
    });
    expect((await admin.get('under/old')).value).toEqual(bytes('value'));
  });
});
