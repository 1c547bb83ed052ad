import { encodeJwt, type KeyPair, memoryResolver, newUser, Verifier } from '@coffer/identity';
import { REQUEST_INFO } from '@coffer/wasmcloud';
import { headers, type NatsConnection } from '@nats-io/transport-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { NatsServer } from '../../../test/support/nats.mjs';
import { cannotBeForged, namedRequester } from '../src/wasmcloud/request-info.js';
import { Requesters } from '../src/wasmcloud/requesters.js';
import { NatsOperator, type NatsUser, natsUser, newKeys, until, withoutCredentials } from './nats-world.js';
import { comingWith, trustingAccounts, type WasmChanges, WasmWorld } from './wasm-world.js';

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

  static async start(changes: (imports: Imports) => WasmChanges = () => ({})): Promise<Imports> {
    const imports = new Imports();
    imports.natsServer = await imports.#operator.start();
    const { creds } = await natsUser(imports.backend);
    const nats = { ...withoutCredentials(imports.natsServer), creds };
    const account = newKeys('account');
    const { importing, natsServer } = imports;
    const trust = trustingAccounts(account.publicKey, importing.publicKey);
    const wasmcloud = { mappingAccount: account.publicKey };
    imports.world = await WasmWorld.start(
      { nats, trust, wasmcloud, ...changes(imports) },
      { natsServer, account },
    );
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
    expect(await imports.mapping(first)).toBe('Unauthorized');
    await imports.world.post('revocations', { key: user.keys.publicKey, reason: 'leaked' });
    expect(await imports.mapping(first)).toMatch(/^Other: user U.* revoked/);
    expect(await imports.mapping(second)).toBe('ok');
    await imports.world.post('revocations', { key: imports.importing.publicKey, reason: 'leaked' });
    expect(await imports.mapping(second)).toMatch(/^Other: user U.* revoked/);
  });

  it('counts where nobody may administer unsigned, too', async () => {
    const imports = await Imports.start(() => ({ wasmcloud: { unsignedAdmin: 'refused' } }));
    const user = await natsUser(imports.importing);
    await imports.grantTo(imports.importing, user);
    const admin = await imports.world.admin({ nats: await imports.connect(user) });
    expect(await admin.putSecret('db', { kind: 'string', value: Buffer.from('x') })).toBe(1);
  });

  it('is refused where its account is not trusted, or nobody is', async () => {
    const unknown = await Imports.start(() => {
      const { publicKey } = newKeys('account');
      return { trust: trustingAccounts(publicKey), wasmcloud: { mappingAccount: publicKey } };
    });
    const stranger = await natsUser(unknown.importing);
    await unknown.grantTo(unknown.importing, stranger);
    expect(await unknown.mapping(await unknown.connect(stranger))).toMatch(
      /your identity is not trusted here/,
    );

    const none = await Imports.start(() => ({ trust: undefined, wasmcloud: { trust: 'self-issued' } }));
    const user = await natsUser(none.importing);
    await none.grantTo(none.importing, user);
    expect(await none.mapping(await none.connect(user))).toMatch(
      /this server trusts no identities, so that a requester/,
    );
    for (const { world } of [unknown, none])
      expect(world.audit().some(({ action }) => action === 'add-mapping')).toBe(false);
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
    ['no token', {}, { jwt: undefined }, /not made of keys/],
  ])('is not believed of %s', async (_, ground, claims, says) => {
    const account = newKeys('account');
    const { keys, jwt } = await natsUser(account);
    const info: Record<string, unknown> = { acc: account.publicKey, user: keys.publicKey, jwt, ...claims };
    const ownAccount = 'own' in claims ? account.publicKey : newKeys('account').publicKey;
    const known = { serverVersion: '2.15.2', ownAccount, ...ground };
    const ask = () => namedRequester({ requestInfo: JSON.stringify(info), reply: '_R_.a.b' }, known);
    expect(ask).toThrow(says);
  });

  it('is not believed twice over', async () => {
    const account = newKeys('account');
    const { keys, jwt } = await natsUser(account);
    const info = JSON.stringify({ acc: account.publicKey, user: keys.publicKey, jwt });
    const ground = { serverVersion: '2.15.2', ownAccount: newKeys('account').publicKey };
    expect(namedRequester({ requestInfo: info, reply: '_R_.a.b' }, ground).user).toBe(keys.publicKey);
    expect(() => namedRequester({ requestInfo: `${info}, ${info}`, reply: '_R_.a.b' }, ground)).toThrow();
  });
});

describe('a requester, whoever has written its header and its reply', () => {
  const revoked = new Set<string>();
  /** What a leaf node of our own account can send: all of it is its own choice. */
  function shown(account: KeyPair, jwt: string, claims: { acc?: string; user: string }) {
    const info = { acc: account.publicKey, jwt, ...claims };
    return { requestInfo: JSON.stringify(info), reply: '_R_.forged.x' };
  }
  function trusting(account: KeyPair) {
    const verifier = new Verifier({
      operators: () => [],
      accounts: [account.publicKey],
      resolver: memoryResolver([]),
      revocations: { tokenRevoked: () => false, keyRevoked: (key) => revoked.has(key) },
    });
    onTestFinished(() => verifier.close());
    const requesters = new Requesters({ verifier });
    const ground = { serverVersion: '2.15.2', ownAccount: newKeys('account').publicKey };
    return { verifier, callerOf: (asker: ReturnType<typeof shown>) => requesters.callerOf(asker, ground) };
  }
  async function world(nats: Parameters<typeof natsUser>[1] = {}, claims: { exp?: number } = {}) {
    const account = newKeys('account');
    const { keys, jwt } = await natsUser(account, nats, claims);
    return { account, jwt, user: keys.publicKey, ...trusting(account) };
  }

  it('is the user of a token that holds, with its tags, for as long as it holds', async () => {
    const { account, jwt, user, verifier, callerOf } = await world({ tags: ['ops'] });
    const { principals, session } = await callerOf(shown(account, jwt, { user }));
    expect(principals.map(({ id }) => id)).toEqual([
      `nats:${account.publicKey}/${user}`,
      `nats-tag:${account.publicKey}:ops`,
    ]);
    expect(session?.isLive()).toBe(true);
    revoked.add(user);
    verifier.changed();
    expect(session?.isLive()).toBe(false);
    await expect(callerOf(shown(account, jwt, { user }))).rejects.toThrow(/revoked/);
  });

  it('is nobody by a token that no trusted account has signed, whatever account that names', async () => {
    const { account, user, callerOf } = await world();
    const claims = newUser(user, 'U');
    const nats = { ...claims.nats, issuer_account: account.publicKey };
    const forged = encodeJwt({ ...claims, nats }, newKeys('account'));
    await expect(callerOf(shown(account, forged, { user }))).rejects.toThrow(/not trusted here/);
    await expect(callerOf(shown(account, 'x.y.z', { user }))).rejects.toThrow(/your token on NATS/);
  });

  it('is nobody by the token of another user, or of another account', async () => {
    const { account, jwt, user, callerOf } = await world();
    const other = newKeys('user').publicKey;
    const says = /names another user than your token does/;
    await expect(callerOf(shown(account, jwt, { user: other }))).rejects.toThrow(says);
    const acc = newKeys('account').publicKey;
    await expect(callerOf(shown(account, jwt, { acc, user }))).rejects.toThrow(says);
  });

  it.each([
    ['has expired', {}, { exp: 1_000 }, /expired/],
    ['names networks', { src: ['127.0.0.1/32'] }, {}, /nobody sees from where it comes/],
    [
      'names hours that are over',
      { times: [{ start: '00:00:00', end: '00:00:00' }] },
      {},
      /not come at this time/,
    ],
    ['is for other ways than NATS', { allowed_connection_types: ['HTTP'] }, {}, /need STANDARD/],
  ])('is nobody by a token that %s', async (_, nats, claims, says) => {
    const { account, jwt, user, callerOf } = await world(nats as object, claims);
    await expect(callerOf(shown(account, jwt, { user }))).rejects.toThrow(says);
  });

  it.each(['STANDARD', 'LEAFNODE', 'WEBSOCKET'])('may have come to NATS as %s', async (type) => {
    const { account, jwt, user, callerOf } = await world({ allowed_connection_types: [type] });
    await expect(callerOf(shown(account, jwt, { user }))).resolves.toMatchObject({ address: 'nats' });
  });
});
