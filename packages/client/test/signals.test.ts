import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Admin } from '../src/admin/index.js';
import { type CallOptions, type ChangeOptions, Client } from '../src/index.js';
import { type HttpServer, serve } from './http-server.js';

type Calls<T> = Record<string, (of: T, options: ChangeOptions & CallOptions) => Promise<unknown>>;

const value = Buffer.from('v');
const first = (events: AsyncGenerator<unknown>) => events.next();

const CLIENT: Calls<Client> = {
  list: (client, options) => client.list(options),
  info: (client, options) => client.info('x', options),
  get: (client, options) => client.get('x', options),
  getIfChanged: (client, options) => client.getIfChanged('x', 1, options),
  getMany: (client, options) => client.getMany([{ name: 'x' }], options),
  put: (client, options) => client.put('x', value, options),
  createVersion: (client, options) => client.createVersion('x', 1, value, options),
  activate: (client, options) => client.activate('x', 1, options),
  deleteVersion: (client, options) => client.deleteVersion('x', 1, options),
  delete: (client, options) => client.delete('x', options),
  watch: (client, options) => first(client.watch(options)),
  whoami: (client, options) => client.whoami(options),
};

const ADMIN: Calls<Admin> = {
  tokens: (admin, options) => admin.tokens(options),
  createToken: (admin, options) => admin.createToken({ name: 'x' }, options),
  revokeToken: (admin, options) => admin.revokeToken('x', options),
  revocations: (admin, options) => admin.revocations(options),
  revoke: (admin, options) => admin.revoke({ jti: 'x' }, options),
  liftRevocation: (admin, options) => admin.liftRevocation('x', options),
  policy: (admin, options) => admin.policy(options),
  applyPolicy: (admin, options) => admin.applyPolicy([], options),
  audit: (admin, options) => first(admin.audit({}, options)),
  auditHead: (admin, options) => admin.auditHead(options),
  auditInstances: (admin, options) => admin.auditInstances(options),
  backup: (admin, options) => first(admin.backup(options)),
  keys: (admin, options) => admin.keys(options),
  keyRotation: (admin, options) => admin.keyRotation(options),
  rotateKeys: (admin, options) => admin.rotateKeys(options),
  storage: (admin, options) => admin.storage(options),
  setStorageReplicas: (admin, options) => admin.setStorageReplicas(3, options),
  forgetMember: (admin, options) => admin.forgetMember('x', options),
  healStorage: (admin, options) => admin.healStorage(options),
  setAside: (admin, options) => admin.setAside(options),
  transitKeys: (admin, options) => admin.transitKeys(options),
  signingKeys: (admin, options) => admin.signingKeys(options),
  rotateTransitKey: (admin, options) => admin.rotateTransitKey('x', options),
  rotateSigningKey: (admin, options) => admin.rotateSigningKey('x', options),
  retireTransitKey: (admin, options) => admin.retireTransitKey({ backend: 'x', publicKey: 'X' }, options),
};

const CALLS = [
  ...Object.entries(CLIENT),
  ...Object.entries(ADMIN).map(
    ([name, call]) =>
      [name, (client: Client, options: CallOptions) => call(new Admin(client), options)] as const,
  ),
];

describe('a signal ends', () => {
  let silent: HttpServer;
  let client: Client;
  let arrived = (_path: string) => {};
  beforeAll(async () => {
    silent = await serve(({ url = '' }) => arrived(url));
    client = new Client({ server: silent.url });
  });
  afterAll(async () => {
    client.close();
    await silent[Symbol.asyncDispose]();
  });

  test('every call that there is', () => {
    const { close: _, ...methods } = Object.getOwnPropertyDescriptors(Client.prototype) as object as {
      [name: string]: PropertyDescriptor;
    };
    const callable = (of: Record<string, PropertyDescriptor>) =>
      Object.keys(of).filter((name) => name !== 'constructor' && typeof of[name]?.value === 'function');
    expect(callable(methods).sort()).toEqual(Object.keys(CLIENT).sort());
    expect(callable(Object.getOwnPropertyDescriptors(Admin.prototype)).sort()).toEqual(
      Object.keys(ADMIN).sort(),
    );
  });

  test.each(CALLS)('%s, under way, with its reason', async (_name, call) => {
    const stop = new AbortController();
    const asked = new Promise<string>((resolve) => (arrived = resolve));
    const answer = call(client, { signal: stop.signal });
    await asked;
    const reason = new Error('no longer wanted');
    stop.abort(reason);
    await expect(answer).rejects.toBe(reason);
  });

  test.each(CALLS)('%s, before it begins, and nothing is sent', async (_name, call) => {
    let requests = 0;
    arrived = () => requests++;
    const reason = new Error('never wanted');
    await expect(call(client, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(requests).toBe(0);
  });
});
