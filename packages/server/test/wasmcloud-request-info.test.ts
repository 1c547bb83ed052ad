import type { KeyPair } from '@coffer/identity';
import { REQUEST_INFO } from '@coffer/wasmcloud';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import type { NatsServer } from '../../../test/support/nats.mjs';
import { cannotBeForged, requesterOf } from '../src/wasmcloud/request-info.js';
import { NatsOperator, type NatsUser, natsUser, newKeys, until, withoutCredentials } from './nats-world.js';
import { comingWith, WasmWorld } from './wasm-world.js';

const SUBJECT = 'wasmcloud.secrets.v1alpha1.nats-kv';

/**
 * Two accounts of one operator: the backend's, which exports its subjects, and another one, which imports them and shares who
 * asks.
 */
class Imports {
  readonly #operator = new NatsOperator();
  readonly backend: KeyPair;
  readonly importing: KeyPair;
  readonly silent: KeyPair;
  natsServer!: NatsServer;
  world!: WasmWorld;

  private constructor() {
    const service = { name: 'secrets', subject: `${SUBJECT}.>`, type: 'service' };
    this.backend = this.#operator.account('B', { exports: [service] });
    const account = this.backend.publicKey;
    this.importing = this.#operator.account('I', { imports: [{ ...service, account, share: true }] });
    this.silent = this.#operator.account('S', { imports: [{ ...service, account }] });
  }

  static async start(): Promise<Imports> {
    const imports = new Imports();
    imports.natsServer = await imports.#operator.start();
    const { creds } = await natsUser(imports.backend);
    const nats = { ...withoutCredentials(imports.natsServer), creds };
    imports.world = await WasmWorld.start({ nats }, { natsServer: imports.natsServer });
    return imports;
  }

  connect({ creds }: Pick<NatsUser, 'creds'>, nkey?: string): Promise<NatsConnection> {
    return this.world.connect(comingWith(creds, nkey));
  }

  mapping(connection: NatsConnection, info?: object): Promise<string> {
    const hdrs = headers();
    hdrs.set('Any', 'header');
    if (info) hdrs.set(REQUEST_INFO, JSON.stringify(info));
    const subject = `${SUBJECT}.add_mapping.${this.world.component.publicKey}`;
    return connection
      .request(subject, '["db"]', { headers: hdrs, timeout: 5_000 })
      .then((answer) => answer.string());
  }

  async grantTo(account: KeyPair, { keys }: Pick<NatsUser, 'keys'>): Promise<string> {
    const id = `nats:${account.publicKey}/${keys.publicKey}`;
    await this.world.grant({ to: [id], actions: ['get', 'put', 'activate', 'admin'], secrets: ['*'] });
    return id;
  }

  mapped(): unknown[] {
    return this.world
      .audit()
      .filter(({ action, authorized }) => action === 'add-mapping' && authorized)
      .map(({ principal }) => principal.id);
  }
}

describe('a request through a service import that shares its requester', () => {
  it('is its user’s: grants decide, the audit log names it, and it may read', async () => {
    const imports = await Imports.start();
    const { world, importing } = imports;
    const user = await natsUser(importing);
    const connection = await imports.connect(user);
    expect(await imports.mapping(connection)).toBe('Unauthorized');
    const id = await imports.grantTo(importing, user);
    expect(await imports.mapping(connection)).toBe('ok');
    expect(new Set(imports.mapped())).toEqual(new Set([id]));
    const admin = await world.admin({ nats: connection });
    expect(await admin.putSecret('db', { kind: 'string', value: Buffer.from('x') })).toBe(1);
    expect((await admin.getSecret({ key: 'db' })).version).toBe('1');
    expect((await admin.listMappings()).map(({ names }) => names)).toEqual([['db']]);
    expect(await world.get('db').catch((error: Error) => error.message)).toBeDefined();
  });

  it('is refused once the user or its account is revoked', async () => {
    const imports = await Imports.start();
    const user = await natsUser(imports.importing);
    const other = await natsUser(imports.importing);
    await imports.grantTo(imports.importing, other);
    const [first, second] = [await imports.connect(user), await imports.connect(other)];
    await imports.world.post('revocations', { key: user.keys.publicKey, reason: 'leaked' });
    expect(await imports.mapping(first)).toMatch(/your identity is revoked/);
    expect(await imports.mapping(second)).toBe('ok');
    await imports.world.post('revocations', { key: imports.importing.publicKey, reason: 'leaked' });
    expect(await imports.mapping(second)).toMatch(/your identity is revoked/);
  });

  it('is refused where it is not shared, and is not taken for unsigned', async () => {
    const imports = await Imports.start();
    const connection = await imports.connect(await natsUser(imports.silent));
    expect(await imports.mapping(connection)).toMatch(/not made of keys/);
    expect(imports.mapped()).toEqual([]);
  });

  it('is nobody else’s, whatever header its client writes', async () => {
    const imports = await Imports.start();
    const { importing } = imports;
    const [honest, liar] = [await natsUser(importing), await natsUser(importing)];
    await imports.grantTo(importing, honest);
    const forged = { acc: importing.publicKey, user: honest.keys.publicKey, jwt: honest.jwt };
    const connection = await imports.connect(liar);
    expect(await imports.mapping(connection, forged)).toBe('Unauthorized');
    expect(imports.mapped()).toEqual([]);
  });

  it('is nobody else’s, whatever user its client names when it connects: nats-server believes that', async () => {
    const imports = await Imports.start();
    const { importing } = imports;
    const [honest, liar] = [await natsUser(importing), await natsUser(importing)];
    await imports.grantTo(importing, honest);
    const connection = await imports.connect(liar, honest.keys.publicKey);
    expect(await imports.mapping(connection)).toMatch(/names another user than your token does/);
  });
});

describe('a request of our own account with that header', () => {
  it('is refused: nats-server hands on what its client has written', async () => {
    const imports = await Imports.start();
    const { backend, importing } = imports;
    const honest = await natsUser(importing);
    await imports.grantTo(importing, honest);
    const forged = { acc: importing.publicKey, user: honest.keys.publicKey, jwt: honest.jwt };
    const connection = await imports.connect(await natsUser(backend));
    expect(await imports.mapping(connection, forged)).toMatch(/counts only where nats-server wrote it/);
    expect(imports.mapped()).toEqual([]);
    // Without it the request is what NATS lets through.
    expect(await imports.mapping(connection)).toBe('ok');
    expect(new Set(imports.mapped())).toEqual(new Set(['nats-permission']));
  });

  it('cannot have a reply that only nats-server makes', async () => {
    const imports = await Imports.start();
    const connection = await imports.connect(await natsUser(imports.backend));
    const errors: string[] = [];
    void (async () => {
      for await (const status of connection.status())
        if (status.type === 'error') errors.push(status.error.message);
    })();
    const hdrs = headers();
    hdrs.set(REQUEST_INFO, '{}');
    const subject = `${SUBJECT}.add_mapping.${imports.world.component.publicKey}`;
    connection.publish(subject, '["db"]', { headers: hdrs, reply: '_R_.abc.def' });
    await until(() => errors.length > 0, 'the refusal');
    expect(errors).toEqual([expect.stringMatching(/Reply/)]);
    expect(imports.mapped()).toEqual([]);
  });
});

describe('Nats-Request-Info', () => {
  it.each([
    ['2.9.9', false],
    ['2.10.29', false],
    ['2.11.14', false],
    ['2.11.15', true],
    ['2.12.5', false],
    ['2.12.6-RC.1', false],
    ['2.12.6', true],
    ['2.13.0', true],
    ['2.15.2', true],
    ['3.0.0', true],
    ['1.4.1', false],
    ['nonsense', false],
    [undefined, false],
  ])('of nats-server %s cannot be forged: %s', (version, safe) => {
    expect(cannotBeForged(version)).toBe(safe);
  });

  it.each([
    ['an old server', { serverVersion: '2.12.5' }, {}, /can be made to write a wrong Nats-Request-Info/],
    ['our own account', {}, { own: true }, /are not the same/],
    ['a server without an operator', { ownAccount: undefined }, {}, /made of keys/],
    ['a name for an account', {}, { acc: 'ACME' }, /not made of keys/],
    ['a name for a user', {}, { user: 'ada' }, /not made of keys/],
    ['another account', {}, { acc: 'other' }, /another user than your token/],
    ['no token', {}, { jwt: undefined }, /not made of keys/],
    ['a token that is none', {}, { jwt: 'x.y.z' }, /another user than your token/],
  ])('is not believed of %s', async (_, ground, claims, says) => {
    const account = newKeys('account');
    const { keys, jwt } = await natsUser(account);
    const info: Record<string, unknown> = { acc: account.publicKey, user: keys.publicKey, jwt, ...claims };
    if (info.acc === 'other') info.acc = newKeys('account').publicKey;
    const ownAccount = 'own' in claims ? account.publicKey : newKeys('account').publicKey;
    const known = { serverVersion: '2.15.2', ownAccount, keyRevoked: () => false, ...ground };
    const ask = () => requesterOf({ requestInfo: JSON.stringify(info), reply: '_R_.a.b' }, known);
    expect(ask).toThrow(says);
  });

  it('is not believed twice over', async () => {
    const account = newKeys('account');
    const { keys, jwt } = await natsUser(account);
    const info = JSON.stringify({ acc: account.publicKey, user: keys.publicKey, jwt });
    const ground = {
      serverVersion: '2.15.2',
      ownAccount: newKeys('account').publicKey,
      keyRevoked: () => false,
    };
    expect(requesterOf({ requestInfo: info, reply: '_R_.a.b' }, ground).principals[0].id).toMatch(/^nats:A/);
    expect(() => requesterOf({ requestInfo: `${info}, ${info}`, reply: '_R_.a.b' }, ground)).toThrow();
  });
});
