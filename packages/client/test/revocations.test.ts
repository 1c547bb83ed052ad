import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type RunningServer, startServer } from '../../cli/test/run.js';
import { Admin } from '../src/admin/index.js';
import { Client } from '../src/index.js';
import { answering } from './http-server.js';

let server: RunningServer;
let admin: Admin;
let client: Client;

/** Of the vectors of nkeys: a user's. */
const KEY = 'UBIJU67QCU7QNGOHYYADWXYJFA4ECFVVVPARZWBVR47H5HDWD6XY3YZZ';

beforeAll(async () => {
  server = await startServer();
  client = new Client({ server: server.socket });
  admin = new Admin(client);
});
afterAll(async () => {
  client?.close();
  await server?.[Symbol.asyncDispose]();
});

describe('revocations', () => {
  test('are made, listed and lifted', async () => {
    const made = await admin.revoke({ jti: 'J', reason: 'found in a log' });
    expect(made).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{16}$/),
      kind: 'token',
      value: 'J',
      reason: 'found in a log',
      revokedAt: expect.any(Date),
      revokedBy: 'socket',
    });
    expect(await admin.revocations()).toEqual([made]);
    expect(await admin.revoke({ jti: 'J', reason: 'again' })).toEqual(made);
    await admin.liftRevocation(made.id);
    expect(await admin.revocations()).toEqual([]);
    await expect(admin.liftRevocation(made.id)).rejects.toMatchObject({ code: 'not_found', status: 404 });
  });

  test('with an operation id are made and lifted once', async () => {
    const { id } = await admin.revoke({ key: KEY }, { operation: 'revoke' });
    expect(await admin.revoke({ key: KEY }, { operation: 'revoke' })).toMatchObject({
      id,
      kind: 'key',
      value: KEY,
    });
    await admin.liftRevocation(id, { operation: 'lift' });
    await admin.liftRevocation(id, { operation: 'lift' });
    expect(await admin.revocations()).toEqual([]);
  });

  test('of what is no key is refused with the server’s sentence', async () => {
    const refused = admin.revoke({ key: KEY.replace(/.$/, 'A') });
    await expect(refused).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining('checksum'),
    });
  });

  test.each([
    ['a kind that is neither', { kind: 'user' }],
    ['an id that is none', { id: '../x' }],
    ['a value with a line feed', { value: 'a\nb' }],
    ['no time', { revokedAt: 'today' }],
    ['no reason', { reason: null }],
  ])('with %s are "bad_answer"', async (_, wrong) => {
    const right = {
      id: '0123456789abcdef',
      kind: 'key',
      value: KEY,
      reason: '',
      revokedAt: '2031-01-01T00:00:00Z',
      revokedBy: 'socket',
    };
    const body = (revocation: object) => JSON.stringify({ revocations: [revocation] });
    await using honest = await answering(200, body({ ...right, more: 1 }));
    const revocationsOf = (url: string) => new Admin(new Client({ server: url })).revocations();
    expect(await revocationsOf(honest.url)).toEqual([{ ...right, revokedAt: new Date(right.revokedAt) }]);
    await using other = await answering(200, body({ ...right, ...wrong }));
    await expect(revocationsOf(other.url)).rejects.toMatchObject({ code: 'bad_answer' });
  });
});
