import { createProof, type KeyPair, seal } from '@coffer/identity';
import { HOST_XKEY, PROOF, REQUEST_INFO } from '@coffer/wasmcloud';
import { headers, type Msg } from '@nats-io/transport-node';
import { describe, expect, it } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { rotateTransitKey } from '../src/wasmcloud/transit-ring.js';
import { CLOSED, natsUser, newKeys, startNats, until, withoutCredentials } from './nats-world.js';
import { trustingAccounts, WasmWorld } from './wasm-world.js';

const SUBJECT = 'wasmcloud.secrets.v1alpha1.nats-kv';
const refusalOf = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: Error) => error.message,
  );
const text = (value: string) => ({ kind: 'string', value: Buffer.from(value) }) as const;

/** A user of the trusted account, with the proofs that it makes. */
async function user(world: WasmWorld, conditions = {}) {
  const { keys, jwt } = await natsUser(world.account, conditions);
  const id = `nats:${world.account.publicKey}/${keys.publicKey}`;
  return { keys, jwt, id, proofUser: { keyPair: keys, jwt } };
}

const everything = (id: string) => ({
  to: [id],
  actions: ['get', 'info', 'put', 'create-version', 'activate', 'delete', 'admin'],
  secrets: ['*'],
});

describe('unsigned administration', () => {
  it('counts where NATS lets only those in who may: it puts, maps and takes back, and reads nothing', async () => {
    const world = await WasmWorld.start();
    const admin = await world.admin();
    expect(await admin.putSecret('db', text(canary('1')))).toBe(1);
    expect(await admin.putSecret('db', text(canary('2')))).toBe(2);
    expect(await world.refusal('db')).toBe('Unauthorized');
    await admin.addMapping(world.component.publicKey, ['db', 'later']);
    expect(await world.get('db')).toBe(`string 2 ${canary('2')}`);
    expect(await world.refusal('later')).toBe('SecretNotFound');
    await admin.removeMapping(world.component.publicKey, ['db']);
    expect(await world.refusal('db')).toBe('Unauthorized');
    expect(await refusalOf(admin.listMappings())).toMatch(/takes a signed request/);
    expect(await refusalOf(admin.getSecret({ key: 'db' }))).toMatch(/takes a signed request/);
    const by = new Set(
      world.audit().map(({ action, principal }) => `${action} ${principal.id} ${principal.ip}`),
    );
    expect([...by]).toEqual(
      expect.arrayContaining(['add-mapping nats-permission nats', 'remove-mapping nats-permission nats']),
    );
  });

  it('is what NATS lets be published, and nothing else', async () => {
    const permissions = `{publish: {allow: ["${SUBJECT}.server_xkey", "${SUBJECT}.put_secret"]}, subscribe: "_INBOX.>"}`;
    const nats = await startNats({
      config: `authorization: { users: [{user: coffer, password: hello}, {user: putter, password: p, permissions: ${permissions}}] }`,
    });
    const world = await WasmWorld.start({}, { natsServer: nats });
    const putter = await world.admin({
      nats: await world.connect({ user: 'putter', pass: 'p' }),
      timeoutMs: 500,
      deadlineMs: 500,
    });
    expect(await putter.putSecret('db', text('x'))).toBe(1);
    expect(await refusalOf(putter.addMapping(world.component.publicKey, ['db']))).toMatch(
      /NATS does not let this connection publish/,
    );
    expect(world.audit().filter(({ action }) => action === 'add-mapping')).toEqual([]);
  });

  it('counts for nothing on a NATS server that lets everybody in, unless the configuration says so', async () => {
    const nats = await startNats();
    const open = { ...withoutCredentials(nats), allowOpen: true };
    const world = await WasmWorld.start({ nats: open }, { natsServer: nats });
    const admin = await world.admin({ nats: await world.connect({ authenticator: () => undefined }) });
    const refused =
      /lets everybody in, so that an unsigned request counts for nothing.*allowUnauthenticatedAdmin/;
    expect(await refusalOf(admin.putSecret('db', text('x')))).toMatch(refused);
    expect(await refusalOf(admin.addMapping(world.component.publicKey, ['db']))).toMatch(refused);
    const signer = await user(world);
    await world.grant(everything(signer.id));
    const signed = await world.admin({
      nats: await world.connect({ authenticator: () => undefined }),
      proofUser: signer.proofUser,
    });
    expect(await signed.putSecret('db', text('x'))).toBe(1);

    const loose = await WasmWorld.start(
      { nats: open, wasmcloud: { allowUnauthenticatedAdmin: true, name: 'loose' } },
      { natsServer: nats },
    );
    const anybody = await loose.admin({
      name: 'loose',
      nats: await loose.connect({ authenticator: () => undefined }),
    });
    expect(await anybody.putSecret('db', text('x'))).toBe(1);
  });

  it('counts for nothing where it is refused, so that a signed put does not come again without its proof', async () => {
    const world = await WasmWorld.start({ wasmcloud: { unsignedAdmin: 'refused' } });
    const signer = await user(world);
    await world.grant(everything(signer.id));
    const admin = await world.admin({ proofUser: signer.proofUser });
    const spy = await world.connect();
    const seen: Msg[] = [];
    spy.subscribe(`${SUBJECT}.put_secret`, { callback: (_error, message) => void seen.push(message) });
    await spy.flush();
    await admin.putSecret('db', text('old'));
    await admin.putSecret('db', text('new'));
    await until(() => seen.length > 0, 'the recorded put');
    const [recorded] = seen as [Msg];
    const stripped = headers();
    stripped.set(HOST_XKEY, recorded.headers?.get(HOST_XKEY) ?? '');
    const again = () =>
      spy
        .request(recorded.subject, recorded.data, { headers: stripped, timeout: 5_000 })
        .then((m) => m.string());
    const refused = /takes no unsigned administration.*sign it/;
    expect(await again()).toMatch(refused);
    expect(await refusalOf((await world.admin()).addMapping(world.component.publicKey, ['db']))).toMatch(
      refused,
    );
    expect(Buffer.from((await admin.getSecret({ key: 'db' })).value).toString()).toBe('new');

    const { config } = world;
    const unsigned = async (unsignedAdmin: 'permitted' | 'refused') => {
      await world.server.reload(() => ({ ...config, wasmcloud: { ...config.wasmcloud, unsignedAdmin } }));
      expect(world.log.says('configuration read again').at(-1)).toMatchObject({
        applied: ['wasmcloud.unsignedAdmin'],
        needRestart: [],
      });
      return refusalOf((await world.admin()).putSecret('other', text('x')));
    };
    expect(await unsigned('permitted')).toBe('done');
    expect(await unsigned('refused')).toMatch(refused);
  });

  it('answers nothing while the NATS server is open, and goes on when it is closed', async () => {
    const world = await WasmWorld.start();
    await world.open();
    await world.put('db', 'x');
    await world.nats.restart({ config: '' });
    await until(
      () => world.log.says('nothing is served over NATS until it is closed').length > 0,
      'the error',
    );
    expect(await world.refusal('db')).toMatch(/^Other: the NATS server lets everybody in/);
    const admin = await world.admin();
    expect(await refusalOf(admin.putSecret('db', text('y')))).toMatch(/lets everybody in/);
    await world.nats.restart({ config: CLOSED });
    await until(async () => (await world.refusal('db')).startsWith('got'), 'the door to serve');
    expect(await world.get('db')).toBe('string 1 x');
  }, 60_000);
});

describe('mappings', () => {
  it('are to the account that the configuration names, where several are trusted', async () => {
    const account = newKeys('account');
    const trust = trustingAccounts(account.publicKey, newKeys('account').publicKey);
    const world = await WasmWorld.start({ trust }, { account });
    const admin = await world.admin();
    expect(await refusalOf(admin.addMapping(world.component.publicKey, ['db']))).toMatch(
      /needs wasmcloud\.mappingAccount in its configuration/,
    );
    const named = await WasmWorld.start(
      { trust, wasmcloud: { mappingAccount: account.publicKey, name: 'named' } },
      { account },
    );
    await (await named.admin({ name: 'named' })).addMapping(named.component.publicKey, ['db']);
    await named.put('db', 'x');
    expect(await named.get('db', { backend: 'named' })).toBe('string 1 x');
  });

  it('are to who is believed on its own word, where nobody is trusted', async () => {
    const world = await WasmWorld.start({ trust: undefined, wasmcloud: { trust: 'self-issued' } });
    await (await world.admin()).addMapping(world.component.publicKey, ['db']);
    await world.put('db', 'x');
    expect(await world.get('db')).toBe('string 1 x');
  });

  it('are listed to who administers the names, of one or all', async () => {
    const world = await WasmWorld.start();
    const signer = await user(world);
    await world.grant(everything(signer.id));
    const admin = await world.admin({ proofUser: signer.proofUser });
    const provider = newKeys('provider').publicKey;
    const { component, account } = world;
    await admin.addMapping(component.publicKey, ['b', 'a']);
    await admin.addMapping(provider, ['c']);
    const all = [
      { entity: component.publicKey, account: account.publicKey, names: ['a', 'b'] },
      { entity: provider, account: account.publicKey, names: ['c'] },
    ];
    expect(await admin.listMappings()).toEqual(all);
    expect(await admin.listMappings(provider)).toEqual(all.slice(1));
  });

  it('that are removed and still hold by another grant are no silent lie', async () => {
    const world = await WasmWorld.start();
    await world.open();
    const admin = await world.admin();
    await admin.addMapping(world.component.publicKey, ['db']);
    expect(await refusalOf(admin.removeMapping(world.component.publicKey, ['db']))).toMatch(
      /^Other: .*grant/,
    );
  });
});

describe('signed administration', () => {
  async function signedWorld() {
    const world = await WasmWorld.start();
    const signer = await user(world);
    await world.grant(everything(signer.id));
    return { world, signer, admin: await world.admin({ proofUser: signer.proofUser }) };
  }

  it('goes by grants, not by what NATS lets through', async () => {
    const { world, admin, signer } = await signedWorld();
    expect(await admin.putSecret('db', text(canary('x')))).toBe(1);
    const secret = await admin.getSecret({ key: 'db' });
    expect(Buffer.from(secret.value).toString()).toBe(canary('x'));
    expect(world.audit().at(-1)).toMatchObject({ action: 'get', principal: { id: signer.id, ip: 'nats' } });
    const nobody = await world.admin({ proofUser: (await user(world)).proofUser });
    expect(await refusalOf(nobody.putSecret('db', text('y')))).toBe('Unauthorized');
    expect(await refusalOf(nobody.addMapping(world.component.publicKey, ['db']))).toBe('Unauthorized');
    expect(await refusalOf(nobody.getSecret({ key: 'db' }))).toBe('Unauthorized');
  });

  it('is one change, however often it is sent, until its proof ends', async () => {
    const { admin } = await signedWorld();
    const operationId = 'once';
    expect(await admin.putSecret('db', text('a'), { operationId })).toBe(1);
    expect(await admin.putSecret('db', text('b'))).toBe(2);
    expect(await admin.putSecret('db', text('a'), { operationId })).toBe(1);
    const current = await admin.getSecret({ key: 'db' });
    expect([current.version, Buffer.from(current.value).toString()]).toEqual(['2', 'b']);
    expect(await refusalOf(admin.putSecret('db', text('c'), { operationId }))).toMatch(/^Other: /);
  });

  it('is refused by users whose token lets them come otherwise only', async () => {
    const { world } = await signedWorld();
    const way = async (conditions: object) => {
      const other = await user(world, conditions);
      await world.grant(everything(other.id));
      return refusalOf((await world.admin({ proofUser: other.proofUser })).putSecret('db', text('x')));
    };
    expect(await way({ allowed_connection_types: ['WEBSOCKET'] })).toMatch(
      /allowed_connection_types need STANDARD/,
    );
    expect(await way({ allowed_connection_types: ['STANDARD'] })).toBe('done');
    expect(await way({ src: ['127.0.0.1/32'] })).toMatch(/through NATS nobody sees from where it comes/);
  });

  it('counts for nothing where nobody is trusted', async () => {
    const world = await WasmWorld.start({ trust: undefined, wasmcloud: { trust: 'self-issued' } });
    const admin = await world.admin({ proofUser: (await user(world)).proofUser });
    expect(await refusalOf(admin.putSecret('db', text('x')))).toMatch(/trusts no identities/);
  });

  /** Sends an add_mapping by hand, with whatever proof. */
  async function byHand(changes: {
    readonly subject?: string;
    readonly path?: string;
    readonly method?: string;
    readonly body?: string;
    readonly sent?: string;
    readonly audience?: string;
    readonly expiresIn?: number;
    readonly now?: Date;
    readonly bound?: boolean;
    readonly keys?: KeyPair;
  }) {
    const { world, signer } = await signedWorld();
    const connection = await world.connect();
    const xkey = (await connection.request(`${SUBJECT}.server_xkey`)).string();
    const subject = `${SUBJECT}.add_mapping.${world.component.publicKey}`;
    const { path = `/${subject}`, method = 'NATS', body = '["db"]', sent = '["db"]', bound = true } = changes;
    const { audience = `xkey:${xkey}`, keys = signer.keys, ...times } = changes;
    const request = { method, path, body: Buffer.from(body) };
    const proof = createProof({
      jwt: signer.jwt,
      keyPair: keys,
      audience,
      ...(times.expiresIn !== undefined && { expiresIn: times.expiresIn }),
      ...(times.now && { now: times.now }),
      ...(bound && { request }),
    });
    const send = async (content = sent): Promise<string> => {
      const hdrs = headers();
      hdrs.set(PROOF, proof);
      const answer: Msg = await connection.request(subject, content, { headers: hdrs, timeout: 5_000 });
      return answer.string();
    };
    return { world, send };
  }

  it.each([
    ['for another subject', { path: `/${SUBJECT}.put_secret` }, /another path/],
    ['for another method', { method: 'POST' }, /another method/],
    ['for another body', { body: '["other"]' }, /another body/],
    ['bound to no request', { bound: false }, /bound to no request/],
    ['for another server', { audience: 'https://coffer.example.com' }, /this proof is for https/],
    ['that has ended', { now: new Date(Date.now() - 120_000) }, /this proof ended/],
    ['signed by another key', { keys: 'other' }, /./],
  ])('is refused with a proof %s, and is not taken for unsigned', async (_, changes, says) => {
    const keys = 'keys' in changes ? newKeys('user') : undefined;
    const { keys: _keys, ...rest } = changes as { keys?: unknown };
    const { world, send } = await byHand({ ...rest, ...(keys && { keys }) });
    const answer = await send();
    expect(answer).toMatch(says);
    expect(answer).toMatch(/^Other: /);
    expect(world.audit().filter(({ action }) => action === 'add-mapping')).toEqual([]);
  });

  it('is refused with two proofs, and with one that is none', async () => {
    const { world } = await signedWorld();
    const connection = await world.connect();
    for (const name of [PROOF, PROOF.toLowerCase()]) {
      const hdrs = headers();
      hdrs.append(name, 'a');
      hdrs.append(name, 'b');
      const answer = await connection.request(
        `${SUBJECT}.add_mapping.${world.component.publicKey}`,
        '["db"]',
        { headers: hdrs, timeout: 5_000 },
      );
      expect(answer.string()).toMatch(/^Other: /);
    }
  });

  it.each([
    ['proof', PROOF, ''],
    ['blank proof', PROOF, '   '],
    ['proof in another case', PROOF.toUpperCase(), ''],
    ['requester', REQUEST_INFO, ''],
  ])('with an empty %s is refused, and is not taken for unsigned', async (_, name, value) => {
    const { world } = await signedWorld();
    const connection = await world.connect();
    const hdrs = headers();
    hdrs.set(name, value);
    const subject = `${SUBJECT}.add_mapping.${world.component.publicKey}`;
    const answer = await connection.request(subject, '["db"]', { headers: hdrs, timeout: 5_000 });
    expect(answer.string()).toMatch(/^Other: /);
    expect(world.audit().filter(({ action }) => action === 'add-mapping')).toEqual([]);
  });

  it('is answered as it was when it comes again, and is no second change', async () => {
    const { world, send } = await byHand({});
    expect(await send()).toBe('ok');
    expect(await send()).toBe('ok');
    await (await world.admin()).removeMapping(world.component.publicKey, ['db']);
    expect(await send()).toBe('ok');
    await world.put('db', 'x');
    expect(await world.refusal('db')).toBe('Unauthorized');
  });

  it('shows a list once for each proof, so that who overhears it cannot have it sent to another key', async () => {
    const { world, signer } = await signedWorld();
    const connection = await world.connect();
    const xkey = (await connection.request(`${SUBJECT}.server_xkey`)).string();
    const subject = `${SUBJECT}.list_mappings`;
    const [own, other] = [newKeys('curve'), newKeys('curve')];
    const box = seal(Buffer.from('{}'), own, xkey);
    const proof = createProof({
      jwt: signer.jwt,
      keyPair: signer.keys,
      audience: `xkey:${xkey}`,
      request: { method: 'NATS', path: `/${subject}`, body: box },
    });
    const ask = async (answerTo: KeyPair) => {
      const hdrs = headers();
      hdrs.set(PROOF, proof);
      hdrs.set(HOST_XKEY, answerTo.publicKey);
      return (await connection.request(subject, box, { headers: hdrs, timeout: 5_000 })).string();
    };
    expect(await ask(other)).toMatch(/DecryptionError/);
    expect(await ask(own)).toMatch(/^xkv1/);
    expect(await ask(own)).toMatch(/shown before/);
  });

  it('takes proofs for each transit key that is served, and none for one that is retired', async () => {
    const { world, signer } = await signedWorld();
    const { engine } = world.server;
    const [old] = engine.transitKeys('nats-kv');
    const connection = await world.connect();
    const first = await world.admin({
      nats: connection,
      proofUser: signer.proofUser,
      transitKey: old?.publicKey,
    });
    const admin = { principals: [{ id: 'socket', kind: 'socket' }], address: 'unix' } as const;
    await rotateTransitKey(engine, 'nats-kv', admin);
    expect(await first.putSecret('db', text('x'))).toBe(1);
    expect(await world.metrics()).toContain(
      `coffer_wasmcloud_transit_key_last_use_timestamp_seconds{key="${old?.publicKey}"}`,
    );
    await engine.retireTransitKey(admin, { backend: 'nats-kv', publicKey: old?.publicKey ?? '' });
    expect(await refusalOf(first.putSecret('db', text('y')))).toBe('DecryptionError');
    const mapping = first.addMapping(newKeys('component').publicKey, ['db']);
    expect(await refusalOf(mapping)).toMatch(/this proof is for xkey:/);
  });
});

describe('a limit of requests', () => {
  const limits = { principalRequestsPerSecond: 0.001 };
  const limited = async (world: WasmWorld) =>
    /coffer_http_requests_limited_total\{limit="principal"\} (\d+)/.exec(await world.metrics())?.[1];

  it('holds for components, before the store is asked', async () => {
    const world = await WasmWorld.start({ limits });
    await world.open();
    await world.put('db', 'x');
    expect(await world.get('db')).toBe('string 1 x');
    expect(await world.refusal('db')).toMatch(
      /^Other: busy: too many requests of component:A.*try again in \d+ s$/,
    );
    expect(world.audit().filter(({ action }) => action === 'get')).toHaveLength(1);
    expect(await limited(world)).toBe('1');
  });

  it('holds for each who administers, and for all together who are not known', async () => {
    const world = await WasmWorld.start({ limits });
    const [first, second] = [await user(world), await user(world)];
    await world.grant(everything(first.id), everything(second.id));
    const busy = /^Other: busy: too many requests of/;
    for (const { proofUser } of [first, second]) {
      const admin = await world.admin({ proofUser });
      expect(await refusalOf(admin.putSecret('db', text('x')))).toBe('done');
      expect(await refusalOf(admin.getSecret({ key: 'db' }))).toMatch(busy);
      expect(await refusalOf(admin.listMappings())).toMatch(busy);
      expect(await refusalOf(admin.addMapping(world.component.publicKey, ['db']))).toMatch(busy);
    }
    expect(await refusalOf((await world.admin()).putSecret('db', text('y')))).toBe('done');
    expect(await refusalOf((await world.admin()).putSecret('db', text('z')))).toMatch(busy);
    expect(await limited(world)).toBe('7');
  });
});
