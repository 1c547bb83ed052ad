import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.mjs';
import { NatsServer } from '../support/nats.mjs';
import { run, TemporaryFolder } from '../support/processes.mjs';
import { coffer, peer } from '../support/servers.mjs';

type Nats = typeof import('@nats-io/transport-node');
type Connection = Awaited<ReturnType<Nats['connect']>>;
/** The client that packages/identity depends on. */
const nats = createRequire(new URL('../../packages/identity/package.json', import.meta.url))(
  '@nats-io/transport-node',
) as Nats;

const folder = new TemporaryFolder();
const env = { XDG_DATA_HOME: folder.join('data'), XDG_CONFIG_HOME: folder.join('config'), HOME: folder.path };
const keys = folder.join('data', 'nats', 'nsc', 'keys');
const stores = folder.join('data', 'nats', 'nsc', 'stores');

/** Runs `coffer identity`, its words between blanks, and answers with what it printed. */
async function identity(command: string, where = env): Promise<string> {
  const { code, stdout, stderr } = await coffer(['identity', ...command.split(' ')], { env: where });
  if (code !== 0) throw new Error(`coffer identity ${command}: ${stderr}`);
  return stdout.toString();
}

const creds = (account: string, user: string): Uint8Array =>
  readFileSync(`${keys}/creds/O/${account}/${user}.creds`);
const token = (...path: string[]): string => readFileSync([stores, 'O', ...path].join('/'), 'utf8');
const accountToken = (name: string): string => token('accounts', name, `${name}.jwt`);
const claimsOf = (text: string) => JSON.parse(Buffer.from(text.split('.')[1] ?? '', 'base64url').toString());

let server: NatsServer;
const connections: Connection[] = [];
afterEach(async () => {
  await Promise.all(connections.splice(0).map((connection) => connection.close()));
});
afterAll(async () => {
  await server?.stop();
  folder[Symbol.dispose]();
});

/** Connects with the content of a creds file. */
async function connect(file: Uint8Array, url = server.url): Promise<Connection> {
  const connection = await nats.connect({
    servers: url,
    authenticator: nats.credsAuthenticator(file),
    reconnect: false,
    inboxPrefix: '_INBOX',
  });
  connections.push(connection);
  return connection;
}
const as = (account: string, user: string): Promise<Connection> => connect(creds(account, user));

/** Whether what one publishes reaches the other: a server answers to a ping after all that it was sent before. */
async function reaches(from: Connection, to: Connection, subject: string): Promise<boolean> {
  let heard = 0;
  const subscription = to.subscribe(subject, { callback: (error) => void (error ?? heard++) });
  await to.flush();
  from.publish(subject);
  await from.flush();
  await to.flush();
  subscription.unsubscribe();
  return heard > 0;
}
/** Compared with a user of the same account that may do everything. */
const mayPublish = async (user: Connection, subject: string): Promise<boolean> =>
  reaches(user, await as('A', 'all'), subject);
const maySubscribe = async (user: Connection, subject: string): Promise<boolean> =>
  reaches(await as('A', 'all'), user, subject);

beforeAll(async () => {
  await identity('add operator --sys --generate-signing-key O');
  await identity('add account A');
  await identity('edit account --sk generate --js-mem-storage 1M --js-disk-storage 1M --js-streams 1 A');
  await identity(
    'edit signing-key --account A --sk generate --role app --allow-pub app.{{name()}}.> --allow-sub app.>,_INBOX.>',
  );
  await identity('add user --account A all');
  await identity(
    'add user --account A --allow-pub app.> --deny-pub app.secret --allow-sub news.>,_INBOX.> limited',
  );
  await identity('add user --account A -K app scoped');
  await identity('add user --account A victim');
  await identity('add account B');
  await identity('add user --account B guest');
  await identity('add export --account A --subject news.>');
  await identity('add export --account A --subject bill.* --service --private');
  await identity('add import --account B --src-account A --remote-subject news.> --local-subject from-a.>');
  const file = folder.join('activation.jwt');
  await identity(`generate activation --account A --target-account B --output-file ${file}`);
  await identity(`add import --account B --token ${file} --local-subject bills.$1`);
  await identity('add account C');
  await identity('add user --account C stranger');
  await identity('add import --account C --src-account A --remote-subject bill.* --service');
  const { nats: claims } = claimsOf(token('O.jwt'));
  server = await NatsServer.start({
    operator: token('O.jwt'),
    systemAccount: claims.system_account,
    accounts: { [claims.system_account]: accountToken('SYS') },
  });
  await identity(`edit operator --service-url ${server.url}`);
  await identity('push --all');
});

describe('a nats-server in operator mode', () => {
  it('lets nobody in who is for HTTP alone, so that no nats-server ever chooses what such a key signs', async () => {
    await identity('add user --account A --conn-type HTTP web');
    await expect(as('A', 'web')).rejects.toThrow(/authorization violation/i);
  });

  it('has the accounts that were pushed, and lets their users in', async () => {
    expect(readFileSync(`${server.resolverDir}/${claimsOf(accountToken('A')).sub}.jwt`, 'utf8')).toBe(
      accountToken('A'),
    );
    const connection = await as('A', 'all');
    const heard = connection.subscribe('greeting', { max: 1 });
    connection.publish('greeting', 'hello');
    for await (const message of heard) expect(message.string()).toBe('hello');
  });

  it("enforces a user's permissions", async () => {
    const connection = await as('A', 'limited');
    expect(await mayPublish(connection, 'app.x')).toBe(true);
    expect(await mayPublish(connection, 'app.secret')).toBe(false);
    expect(await mayPublish(connection, 'other')).toBe(false);
    expect(await maySubscribe(connection, 'news.today')).toBe(true);
    expect(await maySubscribe(connection, 'app.x')).toBe(false);
  });

  it('enforces the permissions of a role, with the name of the user in them', async () => {
    const connection = await as('A', 'scoped');
    expect(await mayPublish(connection, 'app.scoped.x')).toBe(true);
    expect(await mayPublish(connection, 'app.other.x')).toBe(false);
    expect(await maySubscribe(connection, 'app.anything')).toBe(true);
    expect(await maySubscribe(connection, 'news.today')).toBe(false);
  });

  it('enforces the limits of JetStream', async () => {
    const connection = await as('A', 'all');
    const create = async (name: string, config: object) => {
      const request = JSON.stringify({ name, subjects: [`${name}.>`], retention: 'limits', ...config });
      const reply = await connection.request(`$JS.API.STREAM.CREATE.${name}`, request);
      return reply.json() as { error?: { description: string } };
    };
    const tooLarge = await create('big', { storage: 'file', max_bytes: 2_000_000 });
    expect(tooLarge.error?.description).toContain('insufficient storage');
    expect((await create('one', { storage: 'file', max_bytes: 1000 })).error).toBeUndefined();
    expect((await create('two', { storage: 'file', max_bytes: 1000 })).error?.description).toContain(
      'maximum number of streams',
    );
    const guest = await as('B', 'guest');
    const none = (await guest.request('$JS.API.STREAM.CREATE.x', '{"name":"x"}')).json() as {
      error?: { description: string };
    };
    expect(none.error?.description).toContain('JetStream not enabled for account');
  });

  it('cuts a revoked user off as soon as the account is pushed, and refuses it from then on', async () => {
    const before = creds('A', 'victim');
    const connection = await connect(before);
    const closed = connection.closed();
    await identity('revocations add-user --account A victim');
    await identity('push --account A');
    expect(String(await closed)).toMatch(/authentication revoked|authorization/i);
    await expect(connect(before)).rejects.toThrow(/authorization/i);
    await (await as('A', 'all')).flush();
    await identity('revocations delete-user --account A victim');
    await identity('push --account A');
    await (await connect(before)).flush();
  });

  it('joins accounts by exports and imports, private ones by an activation token', async () => {
    const owner = await as('A', 'all');
    const guest = await as('B', 'guest');
    owner.subscribe('bill.*', {
      callback: (_error, message) => void message.respond(`for ${message.subject}`),
    });
    await owner.flush();
    expect((await guest.request('bills.7', '')).string()).toBe('for bill.7');
    const news = guest.subscribe('from-a.news.>', { max: 1 });
    const own = guest.subscribe('from-a.>', { max: 1 });
    await guest.flush();
    owner.publish('news.today', 'good');
    for await (const message of own)
      expect([message.subject, message.string()]).toEqual(['from-a.today', 'good']);
    news.unsubscribe();
  });

  it('lets nobody use a private export without an activation token', async () => {
    const owner = await as('A', 'all');
    owner.subscribe('bill.*', { callback: (_error, message) => void message.respond('leaked') });
    await owner.flush();
    const stranger = await as('C', 'stranger');
    await expect(stranger.request('bill.7', '', { timeout: 1000 })).rejects.toThrow(/no responders|timeout/i);
  });
});

describe('pull', () => {
  it('gets back what was pushed', async () => {
    const pushed = accountToken('B');
    rmSync(`${stores}/O/accounts/B/B.jwt`);
    expect(await identity('pull --all --json')).toContain('"outcome": "stored"');
    expect(accountToken('B')).toBe(pushed);
  });

  it('replaces nothing that is newer here, unless told so', async () => {
    const pushed = accountToken('B');
    await identity('edit account --tag newer B');
    const newer = accountToken('B');
    await expect(identity('pull --account B')).rejects.toThrow('coffer identity pull');
    expect(accountToken('B')).toBe(newer);
    await identity('pull --account B --overwrite-newer');
    expect(accountToken('B')).toBe(pushed);
  });

  it('believes no server that sends what the operator did not sign', async () => {
    const stranger = new TemporaryFolder();
    const strange = { XDG_DATA_HOME: stranger.path, XDG_CONFIG_HOME: stranger.path, HOME: stranger.path };
    for (const command of ['add operator --sys X', 'add account B']) {
      const { code } = await coffer(['identity', ...command.split(' ')], { env: strange });
      expect(code).toBe(0);
    }
    const { sub } = claimsOf(accountToken('B'));
    const forged = readFileSync(`${stranger.path}/nats/nsc/stores/X/accounts/B/B.jwt`, 'utf8');
    writeFileSync(`${server.resolverDir}/${sub}.jwt`, forged);
    const before = accountToken('B');
    const { code, stdout } = await coffer(['identity', 'pull', '--account', 'B', '--json'], { env });
    expect({ code, refused: JSON.parse(stdout.toString()).pulled[0].outcome }).toEqual({
      code: 1,
      refused: 'refused',
    });
    expect(accountToken('B')).toBe(before);
    writeFileSync(`${server.resolverDir}/${sub}.jwt`, before);
    stranger[Symbol.dispose]();
  });
});

describe('push', () => {
  it('has accounts deleted that are here no more', async () => {
    const { sub } = claimsOf(accountToken('C'));
    const before = creds('C', 'stranger');
    await (await connect(before)).close();
    await identity('delete account C');
    await identity('push --prune');
    await expect(connect(before)).rejects.toThrow(/authorization/i);
    expect(() => readFileSync(`${server.resolverDir}/${sub}.jwt`)).toThrow('ENOENT');
  });

  it('says so when the server keeps no accounts, or knows another operator', async () => {
    await using plain = await NatsServer.start();
    await expect(identity(`push --account A --url ${plain.url}`)).rejects.toThrow('resolver of type full');
    const stranger = new TemporaryFolder();
    const strange = { XDG_DATA_HOME: stranger.path, XDG_CONFIG_HOME: stranger.path, HOME: stranger.path };
    await coffer(['identity', 'add', 'operator', '--sys', 'X'], { env: strange });
    const { code, stderr } = await coffer(['identity', 'push', '--all', '--url', server.url], {
      env: strange,
    });
    expect({ code, stderr: stderr.toString() }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^coffer: cannot connect to .*as a user of the system account: .*\n$/),
    });
    stranger[Symbol.dispose]();
  });

  it('goes over TLS, and trusts who it is told to', async () => {
    const { system_account } = claimsOf(token('O.jwt')).nats;
    const authority = new Authority();
    const { cert: certificate, key: privateKey } = authority.issue();
    const [cert, key, ca] = ['tls.crt', 'tls.key', 'ca.crt'].map((name) => folder.join(name)) as [
      string,
      string,
      string,
    ];
    for (const [path, pem] of [
      [cert, certificate],
      [key, privateKey],
      [ca, authority.cert],
    ] as const)
      writeFileSync(path, pem);
    await using secure = await NatsServer.start({
      operator: token('O.jwt'),
      systemAccount: system_account,
      accounts: { [system_account]: accountToken('SYS') },
      config: `tls: { cert_file: ${JSON.stringify(cert)}, key_file: ${JSON.stringify(key)} }`,
    });
    await expect(identity(`push --account A --url ${secure.url}`)).rejects.toThrow('cannot connect');
    await identity(`push --account A --url ${secure.url} --nats-ca ${ca}`);
  });

  it('comes as a user of the system account that is named, too', async () => {
    await identity('push --account A --system-user sys');
    await expect(identity('push --account A --system-user nobody')).rejects.toThrow(
      'there is no user "nobody"',
    );
  });
});

describe('the rotation of a signing key, pushed', () => {
  it('keeps honest users and imports working, and refuses what the old key signs', async () => {
    const { signing_keys } = claimsOf(accountToken('A')).nats as { signing_keys: unknown[] };
    const old = signing_keys.find((key) => typeof key === 'string');
    await identity(`edit user --account A -K ${old} all`);
    const leaked = creds('A', 'all');
    await (await connect(leaked)).close();
    const connected = await connect(leaked);
    const closed = connected.closed();
    const told = JSON.parse(await identity(`rotate-signing-key --account A --push --json`));
    expect(told).toMatchObject({ old, oldKey: 'removed', pushed: true });
    await closed;
    await expect(connect(leaked)).rejects.toThrow(/authorization/i);

    const owner = await as('A', 'all');
    owner.subscribe('bill.*', { callback: (_error, message) => void message.respond('paid') });
    await owner.flush();
    expect((await (await as('B', 'guest')).request('bills.7', '')).string()).toBe('paid');
  });

  it('of a role does the same', async () => {
    const leaked = creds('A', 'scoped');
    await identity('rotate-signing-key --account A --role app --push');
    await expect(connect(leaked)).rejects.toThrow(/authorization/i);
    const connection = await as('A', 'scoped');
    expect(await mayPublish(connection, 'app.scoped.x')).toBe(true);
    expect(await mayPublish(connection, 'app.other.x')).toBe(false);
  });

  it('of the system account does not shut out who pushes', async () => {
    const before = creds('SYS', 'sys');
    await identity('rotate-signing-key --account SYS --push --system-user sys');
    await identity('push --all --system-user sys');
    await expect(connect(before)).rejects.toThrow(/authorization/i);
  });
});

describe('the configuration that is generated', () => {
  it('starts a nats-server with a memory resolver, which lets the users in', async () => {
    const config = await identity('generate config --mem-resolver');
    await using own = await NatsServer.start({ config });
    await (await connect(creds('A', 'all'), own.url)).flush();
  });

  it.each(['--nats-resolver', '--mem-resolver'])('is one that nats-server takes: %s', async (resolver) => {
    const file = folder.join('checked.conf');
    await identity(`generate config ${resolver} --force --config-file ${file}`);
    mkdirSync(folder.join('cwd'), { recursive: true });
    const { code, stderr } = await run(peer('nats-server'), ['-t', '-c', file], { cwd: folder.join('cwd') });
    expect({ code, stderr: code === 0 ? '' : stderr.toString() }).toEqual({ code: 0, stderr: '' });
  });
});

describe("the rotation of the operator's signing key", () => {
  it('that is pushed to a server which does not know the new key is a push that failed', async () => {
    await identity('add account D');
    await identity('add user --account D visitor');
    await using own = await NatsServer.start({
      operator: token('O.jwt'),
      systemAccount: claimsOf(token('O.jwt')).nats.system_account,
      accounts: { [claimsOf(token('O.jwt')).nats.system_account]: accountToken('SYS') },
    });
    await identity(`push --all --url ${own.url}`);
    await connect(creds('D', 'visitor'), own.url);
    const before = new Set(claimsOf(token('O.jwt')).nats.signing_keys);
    await identity('edit operator --sk generate');
    const [added] = claimsOf(token('O.jwt')).nats.signing_keys.filter((key: string) => !before.has(key));
    const [former] = before;
    await identity(`edit account D -K ${added}`);
    await expect(identity(`push --account D --url ${own.url} --json`)).rejects.toThrow('not every server');
    const { code, stdout } = await coffer(['identity', 'push', '--account', 'D', '--url', own.url], { env });
    expect(code).toBe(1);
    expect(stdout.toString()).toMatch(/failed to push D to nats-server .*goes on with an older one/);
    await identity(`edit account D -K ${former}`);
    await identity(`edit operator --rm-sk ${added}`);
    await identity(`push --account D --url ${own.url}`);
  });

  it('goes on while servers are started anew with the token that has both keys', async () => {
    const tokens = async () => {
      const { system_account } = claimsOf(token('O.jwt')).nats;
      return {
        operator: token('O.jwt'),
        systemAccount: system_account,
        accounts: { [system_account]: accountToken('SYS') },
      };
    };
    await identity('rotate-signing-key --operator --keep-old');
    await using own = await NatsServer.start(await tokens());
    const told = JSON.parse(await identity(`rotate-signing-key --operator --push --url ${own.url} --json`));
    expect(told).toMatchObject({ resumed: true, oldKey: 'removed' });
    await identity(`push --all --url ${own.url}`);
    await (await connect(creds('A', 'all'), own.url)).flush();

    await using next = await NatsServer.start(await tokens());
    await identity(`push --all --url ${next.url}`);
    await (await connect(creds('A', 'all'), next.url)).flush();
  });
});

describe('without a user of the system account, and with signing keys asked for', () => {
  it('the signing key of the system account is rotated time and again, and servers hear of it', async () => {
    using own = new TemporaryFolder();
    const home = { HOME: own.path, XDG_DATA_HOME: own.join('data'), XDG_CONFIG_HOME: own.join('config') };
    const file = (...path: string[]) =>
      readFileSync(own.join('data', 'nats', 'nsc', 'stores', 'P', ...path), 'utf8');
    const signingKeys = (text: string) => claimsOf(text).nats.signing_keys;
    await identity('add operator --sys --generate-signing-key P', home);
    await identity('delete user --account SYS sys --rm-nkey --rm-creds', home);
    await identity('edit operator --require-signing-keys', home);
    const { system_account } = claimsOf(file('P.jwt')).nats;
    await using strict = await NatsServer.start({
      operator: file('P.jwt'),
      systemAccount: system_account,
      accounts: { [system_account]: file('accounts', 'SYS', 'SYS.jwt') },
    });
    await identity(`edit operator --service-url ${strict.url}`, home);
    // Which of two keys sorts first is chance.
    for (let time = 0; time < 5; time++) await identity('rotate-signing-key --account SYS --push', home);
    const pushed = readFileSync(`${strict.resolverDir}/${system_account}.jwt`, 'utf8');
    expect(signingKeys(pushed)).toEqual(signingKeys(file('accounts', 'SYS', 'SYS.jwt')));
  });
});
