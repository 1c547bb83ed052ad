import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createKeyPair, openContext, saveAccount, signingKeysOf } from '@coffer/identity';
import {
  type Authenticator,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
} from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NatsServer } from '../../../test/support/nats.mjs';
import { type Home, home } from './identity-home.js';
import { coffer } from './run.js';

const BASE = 'wasmcloud.secrets.v1alpha1.nats-kv';
const ENTITY = `M${'A'.repeat(55)}`;
const ASK = [`${BASE}.get`, `${BASE}.server_xkey`];
const ADMINISTER = [
  ...['put_secret', 'get_secret', 'list_mappings'].map((operation) => `${BASE}.${operation}`),
  ...['add', 'remove'].map((one) => `${BASE}.${one}_mapping.${ENTITY}`),
  `${BASE}.list_mappings.${ENTITY}`,
];
const OTHERS = [
  `${BASE}.other`,
  `${BASE}.get.x`,
  `${BASE}.add_mapping.${ENTITY}.x`,
  'wasmcloud.secrets.v1alpha1.vault.get',
  '_INBOX.x.y',
  'wasmbus.ctl.v1.default.x',
  '$JS.API.INFO',
];

type Files = Readonly<Record<'host' | 'admin' | 'backend', string>>;

const wasmcloud = (own: Home, ...args: string[]) =>
  coffer(['wasmcloud', ...args], { env: { HOME: own.path } });

async function made(own: Home, ...args: string[]) {
  const { code, stdout, stderr } = await wasmcloud(own, 'permissions', '--json', ...args);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout);
}

/** Nobody may publish there: when it is refused, all that was refused before has been told. */
const LAST = 'refused.to.everybody';

/** The subjects that the server refuses. */
async function refused(nats: NatsConnection, act: (subject: string) => void, subjects: readonly string[]) {
  const statuses = nats.status();
  for (const subject of subjects) act(subject);
  nats.publish(LAST);
  const errors: string[] = [];
  for await (const status of statuses) {
    if (status.type === 'error') errors.push(status.error.message);
    if (errors.at(-1)?.includes(LAST)) break;
  }
  return subjects.filter((subject) => errors.some((error) => error.includes(`"${subject}"`)));
}
const publish = (nats: NatsConnection) => (subject: string) => nats.publish(subject);
const subscribe = (nats: NatsConnection, queue?: string) => (subject: string) => {
  const options = queue === undefined ? {} : { queue };
  // Its end, when it is refused, is told above.
  nats.subscribe(subject, { ...options, callback: () => {} }).closed.catch(() => {});
};

/** Answers with what it was asked, and by whom where the server says that. */
async function serve(backend: NatsConnection): Promise<void> {
  backend.subscribe(`${BASE}.>`, {
    queue: 'wasmcloud_secrets.nats-kv',
    callback: (_error, message) => {
      const info = JSON.parse(message.headers?.get('Nats-Request-Info') || 'null');
      message.respond(JSON.stringify({ subject: message.subject, info }));
    },
  });
  await backend.flush();
}

/** What is the same whichever way the servers know of the users. */
function holdsTheRoles(open: (role: keyof Files) => Promise<NatsConnection>): void {
  let host: NatsConnection;
  let admin: NatsConnection;
  let backend: NatsConnection;
  beforeAll(async () => {
    [host, admin, backend] = await Promise.all([open('host'), open('admin'), open('backend')]);
  });
  afterAll(() => Promise.all([host, admin, backend].map((nats) => nats?.close())));

  it('a host may ask, and neither administer nor listen', async () => {
    expect(await refused(host, publish(host), [...ASK, ...ADMINISTER, ...OTHERS])).toEqual([
      ...ADMINISTER,
      ...OTHERS,
    ]);
    const listening = [`${BASE}.get`, `${BASE}.>`, '>', 'wasmbus.>'];
    expect(await refused(host, subscribe(host), listening)).toEqual(listening);
    expect(await refused(host, subscribe(host, 'wasmcloud_secrets.nats-kv'), [`${BASE}.>`])).toEqual([
      `${BASE}.>`,
    ]);
  });

  it('an administrator may ask and administer, and not listen', async () => {
    expect(await refused(admin, publish(admin), [...ASK, ...ADMINISTER, ...OTHERS])).toEqual(OTHERS);
    expect(await refused(admin, subscribe(admin), [`${BASE}.>`, `${BASE}.put_secret`])).toHaveLength(2);
  });

  it('a backend may listen in its group, answer what it is asked, and publish nothing else', async () => {
    const own = [...ASK, ...ADMINISTER, ...OTHERS];
    expect(await refused(backend, publish(backend), own)).toEqual(own);
    expect(await refused(backend, subscribe(backend), [`${BASE}.>`])).toEqual([`${BASE}.>`]);
    expect(await refused(backend, subscribe(backend), ['_INBOX.>'])).toEqual(['_INBOX.>']);
    expect(await refused(backend, subscribe(backend), ['_INBOX_coffer.x'])).toEqual([]);
    expect(await refused(backend, publish(backend), ['$SYS.REQ.USER.INFO'])).toEqual([]);
    await serve(backend);
    for (const [nats, subject] of [
      [host, `${BASE}.get`],
      [host, `${BASE}.server_xkey`],
      [admin, `${BASE}.put_secret`],
      [admin, `${BASE}.add_mapping.${ENTITY}`],
    ] as const) {
      const answer = await nats.request(subject, 'x', { timeout: 5000 });
      expect(answer.json()).toMatchObject({ subject });
    }
  });
}

describe('coffer wasmcloud permissions, in operator mode', () => {
  const own = home();
  let server: NatsServer;
  let files: Files;
  let stranger: string;
  let hostOfLattice: string;

  const open = (creds: string) =>
    connect({ servers: server.url, authenticator: authenticator(readFileSync(creds)), reconnect: false });

  beforeAll(async () => {
    await own.ok('add', 'operator', 'O', '--sys', '--generate-signing-key');
    await own.ok('add', 'account', 'LATTICE');
    await own.ok('add', 'account', 'STRANGERS');
    await own.ok('add', 'user', '--account', 'LATTICE', 'rack');
    await own.ok('add', 'user', '--account', 'STRANGERS', 'mallory');
    const { users } = await made(own, '--lattice', 'LATTICE');
    files = { host: users.host.creds, admin: users.admin.creds, backend: users.backend.creds };
    await own.ok('add', 'user', '--account', 'WASMCLOUD-SECRETS', 'nobody', '-K', secretsKey());
    const creds = dirname(dirname(files.host));
    stranger = join(creds, 'STRANGERS', 'mallory.creds');
    hostOfLattice = join(creds, 'LATTICE', 'rack.creds');
    const { store } = openContext({ env: {}, cwd: own.path, home: own.path });
    server = await NatsServer.start({
      operator: store.operator().text,
      systemAccount: store.operator().claims.nats.system_account ?? '',
      accounts: Object.fromEntries(store.accounts().map(({ jwt }) => [jwt.claims.sub, jwt.text])),
    });
  });
  afterAll(async () => {
    await server?.stop();
    own[Symbol.dispose]();
  });
  /** The account's own key, which bounds nobody by a role. */
  const secretsKey = () =>
    openContext({ env: {}, cwd: own.path, home: own.path }).store.account('WASMCLOUD-SECRETS').claims.sub;

  holdsTheRoles((role) => open(files[role]));

  it('writes creds for their owner alone', () => {
    for (const file of Object.values(files)) expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('a user without a role may nothing', async () => {
    const nats = await open(join(dirname(files.host), 'nobody.creds'));
    expect(await refused(nats, publish(nats), [...ASK, ...ADMINISTER, 'x'])).toHaveLength(9);
    expect(await refused(nats, subscribe(nats), [`${BASE}.>`, '_INBOX.>', 'x'])).toHaveLength(3);
    await nats.close();
  });

  it('another account reaches nobody, and the lattice’s is heard, with who asks', async () => {
    const [backend, mallory, rack] = await Promise.all([
      open(files.backend),
      open(stranger),
      open(hostOfLattice),
    ]);
    await serve(backend);
    await expect(mallory.request(`${BASE}.get`, 'x', { timeout: 5000 })).rejects.toThrow(/no responders/i);
    const answer = await rack.request(`${BASE}.get`, 'x', { timeout: 5000 });
    const heard = answer.json<{ info: { acc: string } }>().info;
    expect(heard.acc).toBe(
      openContext({ env: {}, cwd: own.path, home: own.path }).store.account('LATTICE').claims.sub,
    );
    await expect(rack.request(`${BASE}.put_secret`, 'x', { timeout: 5000 })).rejects.toThrow(
      /no responders/i,
    );
    await Promise.all([backend, mallory, rack].map((nats) => nats.close()));
  });

  it('is run again without harm, and adds what is missing for another backend', async () => {
    const before = await made(own, '--lattice', 'LATTICE');
    expect(before.users.host.creds).toBe(files.host);
    const again = await wasmcloud(own, 'permissions');
    expect(again).toMatchObject({ code: 0, stderr: '' });
    expect(again.stdout).not.toContain('[ OK ]');
    expect(again.stdout).toMatch(/identity push --account WASMCLOUD-SECRETS -u URL$/m);
    expect(again.stdout).toContain(`"nats:${before.account.key}/${before.users.admin.key}"`);
    const vault = await wasmcloud(own, 'permissions', '-n', 'vault');
    expect(vault.stdout).toContain('[ OK ] added what was missing to the role "host"');
    expect(vault.stdout).toMatch(/^ {2}nats: \{servers: \[URL\], creds: ".*\/backend\.creds"\}$/m);
    expect(vault.stdout).toMatch(/wasmcloud run -n vault .*--mapping-account A…$/m);
    expect(vault.stdout).toMatch(/wasmcloud put NAME -n vault --nats-creds-file /m);
    expect(vault.stdout).toContain('actions: [put, activate, get, admin]');
    expect(await own.ok('describe', 'account', 'WASMCLOUD-SECRETS')).toMatch(/v1alpha1\.vault\.get /);
    expect(await own.ok('validate', '--all-accounts')).not.toContain('!');
  });

  it('bounds a role of before that lacks what roles have now: answers, and how its users connect', async () => {
    using old = home();
    await old.ok('add', 'operator', 'O', '--sys', '--generate-signing-key');
    await old.ok('add', 'account', 'OLD');
    const context = openContext({ env: {}, cwd: old.path, home: old.path });
    const { claims } = context.store.account('OLD');
    const roles = await made(old, '--show');
    const signing_keys = Object.entries<{ publish: string[]; subscribe: string[] }>(roles).map(
      ([role, may]) => {
        using pair = createKeyPair('account');
        const template = {
          pub: { allow: may.publish },
          sub: { allow: may.subscribe },
          subs: -1,
          data: -1,
          payload: -1,
        };
        const key = pair.publicKey;
        writeFileSync(join(old.path, `${role}.nk`), pair.seed(), { mode: 0o600 });
        return { kind: 'user_scope' as const, key, role, template, description: '' };
      },
    );
    saveAccount(context, 'OLD', { ...claims, nats: { ...claims.nats, signing_keys } }, {});
    const keys = signing_keys.map(({ role }) => join(old.path, `${role}.nk`));
    await old.ok('import', 'keys', '--dir', dirname(keys[0] as string));
    await made(old, '--account', 'OLD');
    const { store } = openContext({ env: {}, cwd: old.path, home: old.path });
    const now = Object.fromEntries(
      [...signingKeysOf(store.account('OLD').claims).values()].map((scope) => [scope?.role, scope?.template]),
    );
    expect(now.host?.allowed_connection_types).toEqual(['STANDARD']);
    expect(now.admin?.allowed_connection_types).toEqual(['HTTP', 'STANDARD']);
    expect(now.backend).toMatchObject({
      allowed_connection_types: ['STANDARD'],
      resp: { max: 1, ttl: 60_000_000_000 },
    });
    expect((await wasmcloud(old, 'permissions', '--account', 'OLD')).stdout).not.toContain('[ OK ]');
  });

  it('warns of those in a shared account who are bounded by nothing, and touches no role that is not its own', async () => {
    const shared = await wasmcloud(own, 'permissions', '--account', 'STRANGERS');
    expect(shared.stdout).toMatch(/\[WARN\] in this account mallory may publish or subscribe without bounds/);
    await own.ok('edit', 'signing-key', '--account', 'LATTICE', '--sk', 'generate', '--role', 'admin');
    const { code, stderr } = await wasmcloud(own, 'permissions', '--account', 'LATTICE');
    expect(code).toBe(1);
    expect(stderr).toMatch(/the account "LATTICE" has a role "admin" already, for something else/);
    expect(await own.ok('describe', 'account', 'LATTICE')).not.toMatch(/Role +\| host/);
  });
});

describe('coffer wasmcloud permissions --plain', () => {
  const own = home();
  const file = join(own.path, 'nats', 'secrets.conf');
  let server: NatsServer;

  const open = (role: string) =>
    connect({
      servers: server.url,
      authenticator: nkeyAuthenticator(readFileSync(join(dirname(file), `${role}.nk`))),
      reconnect: false,
    });

  beforeAll(async () => {
    await made(own, '--plain', file);
    server = await NatsServer.start({ config: readFileSync(file, 'utf8') });
  });
  afterAll(async () => {
    await server?.stop();
    own[Symbol.dispose]();
  });

  holdsTheRoles(open);

  it('lets no stranger in', async () => {
    await expect(connect({ servers: server.url, reconnect: false })).rejects.toThrow(/authorization/i);
    using stranger = createKeyPair('user');
    const authenticator = nkeyAuthenticator(stranger.seed());
    await expect(connect({ servers: server.url, authenticator, reconnect: false })).rejects.toThrow(
      /authorization/i,
    );
  });

  it('makes those who come with nothing hosts, by the line that the file ends with', async () => {
    const config = readFileSync(file, 'utf8').replace('# no_auth_user', 'no_auth_user');
    await using open = await NatsServer.start({ config });
    const nats = await connect({ servers: open.url });
    expect(await refused(nats, publish(nats), [...ASK, ...ADMINISTER])).toEqual(ADMINISTER);
    await nats.close();
  });

  it('replaces its file only if told to, and keeps the seeds', async () => {
    const seeds = () =>
      ['host', 'admin', 'backend'].map((role) => readFileSync(join(dirname(file), `${role}.nk`)));
    const before = seeds();
    for (const role of ['host', 'admin', 'backend'])
      expect(statSync(join(dirname(file), `${role}.nk`)).mode & 0o777).toBe(0o600);
    const { code, stderr } = await wasmcloud(own, 'permissions', '--plain', file);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: `coffer: cannot write ${file}: it exists already; --force replaces it\n`,
    });
    const { stdout } = await wasmcloud(own, 'permissions', '--plain', file, '--force', '-n', 'vault');
    expect(stdout).toContain('seed was in');
    expect(stdout).toContain(
      '[WARN] wasmcloud.secrets.v1alpha1.nats-kv was in that file, and is not any more',
    );
    expect(readFileSync(file, 'utf8')).toContain('v1alpha1.vault.get');
    expect(seeds()).toEqual(before);
  });

  it('lets one user serve several backends, each in its queue groups, and says how', async () => {
    const several = join(own.path, 'several', 'secrets.conf');
    const { code, stdout } = await wasmcloud(
      own,
      ...['permissions', '--plain', several, '-n', 'vault', '-n', 'nats-kv', '-n', 'vault'],
    );
    expect(code).toBe(0);
    const nkey = join(dirname(several), 'backend.nk');
    expect(stdout).toContain(`  nats: {servers: [URL], nkey: ${JSON.stringify(nkey)}}\n`);
    expect(stdout).toMatch(/wasmcloud run --nats-nkey-file /);
    expect(stdout).not.toContain('-n vault');
    await using both = await NatsServer.start({ config: readFileSync(several, 'utf8') });
    const authenticator = nkeyAuthenticator(readFileSync(nkey));
    const nats = await connect({ servers: both.url, authenticator, reconnect: false });
    const vault = 'wasmcloud.secrets.v1alpha1.vault.>';
    for (const group of ['wasmcloud.secrets.vault', 'wasmcloud_secrets.vault'])
      expect(await refused(nats, subscribe(nats, group), [vault])).toEqual([]);
    expect(await refused(nats, subscribe(nats, 'wasmcloud_secrets.nats-kv'), [`${BASE}.>`])).toEqual([]);
    expect(await refused(nats, subscribe(nats, 'others'), [vault])).toEqual([vault]);
    await nats.close();
  });
});

describe('coffer wasmcloud permissions', () => {
  it('shows the lists alone, for a user that is there already', async () => {
    using own = home();
    const { stdout } = await wasmcloud(own, 'permissions', '--show', '-s', 'acme.secrets', '-n', 'vault');
    expect(stdout).toContain('  publish    acme.secrets.v1alpha1.vault.get\n');
    expect(stdout).toContain('  subscribe  acme.secrets.v1alpha1.vault.> wasmcloud_secrets.vault\n');
    expect(stdout).toContain('  subscribe  acme.secrets.v1alpha1.vault.> acme.secrets.vault\n');
    const stated = await wasmcloud(own, 'permissions', '--show', '--nats-queue-base', 'x');
    expect(stated.stdout).toContain('.nats-kv.> x.nats-kv\n');
    expect(stated.stdout).not.toContain('wasmcloud_secrets');
    const { host, backend } = await made(own, '--show');
    expect(host).toEqual({ publish: ASK, subscribe: ['_INBOX.>'], answers: false });
    expect(backend).toMatchObject({ publish: ['$SYS.REQ.USER.INFO'], answers: true });
  });

  it.each<[string[], RegExp]>([
    [[], /there is no operator in .* yet: .*"coffer identity add operator NAME" makes one/],
    [['--plain', 'x', '--lattice', 'L'], /--plain is for servers without an operator/],
    [['--show', '-s', 'a..b'], /invalid --subject-base "a\.\.b"/],
    [['--show', '-n', 'a.b'], /invalid --name "a\.b": write one word/],
    [['--show', '--nats-queue-base', 'a b'], /invalid --nats-queue-base "a b"/],
    [['--operator', 'X'], /there is no operator "X"/],
  ])('%j: a sentence that says what is wrong', async (args, why) => {
    using own = home();
    const { code, stdout, stderr } = await wasmcloud(own, 'permissions', ...args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(why);
  });

  it('refuses a seed file that others can read, and takes it once they cannot', async () => {
    using own = home();
    const file = join(own.path, 'x.conf');
    const seed = join(own.path, 'admin.nk');
    writeFileSync(seed, createKeyPair('user').seed(), { mode: 0o644 });
    const { code, stderr } = await wasmcloud(own, 'permissions', '--plain', file);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /the seed in .*admin\.nk can be read by others \(its mode is 644\): "chmod 600 .*admin\.nk"/,
    );
    chmodSync(seed, 0o600);
    expect(await wasmcloud(own, 'permissions', '--plain', file)).toMatchObject({ code: 0, stderr: '' });
  });

  it('refuses a seed file that holds none', async () => {
    using own = home();
    writeFileSync(join(own.path, 'host.nk'), 'nothing');
    const { code, stderr } = await wasmcloud(own, 'permissions', '--plain', join(own.path, 'x.conf'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/host\.nk holds no seed/);
  });
});

const authenticator = (creds: Uint8Array): Authenticator => credsAuthenticator(creds);
