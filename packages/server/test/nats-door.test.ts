import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type Msg } from '@nats-io/transport-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Authority } from '../../../test/support/certificates.mjs';
import { completeWasmcloud, type NatsConfig } from '../src/index.js';
import { NatsDoor } from '../src/nats/door.js';
import {
  asUser,
  CLOSED,
  NatsOperator,
  natsUser,
  newKeys,
  readableLog,
  startNats,
  until,
  withoutCredentials,
} from './nats-world.js';
import { temporaryFolder } from './support.js';

const BASE = 'wasmcloud.secrets.v1alpha1.nats-kv';
const served = { inFlight: 0, serving: true, drain: async () => {} };

async function open(config: NatsConfig, { everyMs = 60_000, answers = false } = {}) {
  const { log, lines, says } = readableLog();
  const door = await NatsDoor.open(config, { log, againMs: 50, everyMs, backend: completeWasmcloud() });
  onTestFinished(() => door.close(0));
  await door.serve((connection) => {
    const callback = (_: unknown, message: Msg) => void message.respond('here');
    if (answers) connection.subscribe(`${BASE}.>`, { queue: 'q', callback });
    return served;
  });
  return { door, lines, says };
}

const OPEN = /lets everybody in, into the very account.*coffer wasmcloud permissions.*--allow-open-nats/;

describe('a NATS server that lets everybody in', () => {
  it('is refused at the start, with what to do', async () => {
    const nats = await startNats();
    await expect(open(withoutCredentials(nats))).rejects.toThrow(OPEN);
    await expect(open(withoutCredentials(nats))).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it('is refused although we come with a password, when strangers land in the same account', async () => {
    const nats = await startNats({
      config:
        'no_auth_user: guest\nauthorization: { users: [{user: coffer, password: hello}, {user: guest, password: g}] }',
    });
    await expect(open(asUser(nats))).rejects.toThrow(OPEN);
  });

  it('is refused when it does not say into which account strangers come', async () => {
    const nats = await startNats({
      config:
        'no_auth_user: guest\naccounts: { A: {users: [{user: coffer, password: hello}]}, ' +
        'B: {users: [{user: guest, password: g, permissions: {publish: {deny: [">"]}}}]} }',
    });
    await expect(open(asUser(nats))).rejects.toThrow(/does not say on \$SYS\.REQ\.USER\.INFO/);
  });

  it('is served where the configuration says that it may be open, with a warning', async () => {
    const nats = await startNats();
    const { door, says } = await open({ ...withoutCredentials(nats), allowOpen: true });
    expect(door.notServing).toBeUndefined();
    expect(door.closed).toBe(false);
    expect(says('although strangers may be on the NATS server')).toHaveLength(1);
  });

  it('is none where strangers have an account of their own', async () => {
    const nats = await startNats({
      config:
        'no_auth_user: guest\naccounts: { A: {users: [{user: coffer, password: hello}]}, B: {users: [{user: guest, password: g}]} }',
    });
    const { door } = await open(asUser(nats));
    expect([door.notServing, door.closed]).toEqual([undefined, true]);
  });

  it('stops being served when it opens up, and is served again once it is closed', async () => {
    const nats = await startNats({ config: CLOSED });
    const { door, says } = await open(asUser(nats));
    expect(await door.admission()).toBeUndefined();
    await nats.restart({ config: '' });
    await until(() => says('and nothing is served over NATS until it is closed').length > 0, 'the error');
    expect(door.notServing?.reason).toMatch(/lets everybody in/);
    expect(door.notServing?.since.getTime()).toBeGreaterThan(Date.now() - 20_000);
    expect(await door.admission()).toMatch(/lets everybody in/);
    await nats.restart({ config: CLOSED });
    await until(() => door.notServing === undefined, 'the door to serve');
    expect(await door.admission()).toBeUndefined();
    // Once each, whatever the number of looks.
    expect(says('nothing is served over NATS until it is closed')).toHaveLength(1);
  });

  it('may be opened by a configuration that is read again', async () => {
    const nats = await startNats({ config: CLOSED });
    const { door } = await open(asUser(nats));
    await nats.restart({ config: '' });
    await until(async () => /lets everybody in/.test((await door.admission()) ?? ''), 'the door to stop');
    door.configure({ allowOpen: true });
    await until(() => door.notServing === undefined, 'the door to serve');
  });
});

describe('a NATS server of which only a part is open', () => {
  const USERS = 'accounts { A: { users: [{user: coffer, password: hello}, {user: anyone, password: y}] } }';
  const OPENED = `${USERS}\nno_auth_user: anyone`;

  /** A member of a cluster; `first` is one that is there already. */
  async function member(config: string, name: string, first?: { routes: string }) {
    const others = first ? `, routes: ["nats://${first.routes}"]` : '';
    const cluster = `server_name: ${name}\ncluster { name: c, host: 127.0.0.1, port: -1${others} }`;
    const nats = await startNats({ config: `${config}\njetstream: disabled\n${cluster}` });
    const [, routes = ''] = await nats.process.waitFor(/route connections on (127\.0\.0\.1:\d+)/);
    return { nats, routes };
  }

  it('is refused where another member of the cluster is open', async () => {
    const first = await member(USERS, 'one');
    const second = await member(OPENED, 'two', first);
    const connection = await connect({ servers: first.nats.url, user: 'coffer', pass: 'hello' });
    onTestFinished(() => connection.close());
    const told = () => connection.info?.connect_urls?.some((url) => url.endsWith(`:${second.nats.port}`));
    await until(() => told() === true, 'the servers to find each other');
    await expect(open(asUser(first.nats))).rejects.toThrow(OPEN);
  });

  it('stops being served when an open member joins the cluster', async () => {
    const first = await member(USERS, 'one');
    const { door, says } = await open(asUser(first.nats));
    expect(door.notServing).toBeUndefined();
    await member(OPENED, 'two', first);
    await until(() => says('nothing is served over NATS until it is closed').length > 0, 'the error');
    expect(await door.admission()).toMatch(/lets everybody in/);
  });

  it('goes on being served while a member cannot be tried, and says so', async () => {
    const nats = await startNats({ config: CLOSED });
    const config = asUser(nats);
    const { door, lines } = await open({ ...config, servers: [...config.servers, 'nats://127.0.0.1:1'] });
    expect([door.notServing, door.closed]).toEqual([undefined, true]);
    const untried = ['127.0.0.1:1 (connection refused)'];
    expect(lines.filter((line) => 'untried' in line)).toMatchObject([{ untried }]);
  });
});

describe('strangers in another account', () => {
  const accounts = (imports: string) => `no_auth_user: anyone
    accounts {
      SECRETS: { users: [{user: coffer, password: hello}], exports: [{service: "${BASE}.>"}, {service: "${BASE}.add_mapping.*"}] }
      LATTICE: { users: [{user: anyone, password: x}], imports: [${imports}] }
    }`;
  const imported = (subject: string) =>
    accounts(`{service: {account: SECRETS, subject: "${BASE}.${subject}"}}`);

  it.each(['>', 'get', 'put_secret', 'add_mapping.*'])(
    'are refused when it imports ….%s',
    async (subject) => {
      const nats = await startNats({ config: imported(subject) });
      await expect(open(asUser(nats), { answers: true })).rejects.toThrow(
        /into an account from which the requests of hosts are answered: it imports.*no_auth_user/,
      );
    },
  );

  it('do no harm when it imports nothing, as far as can be seen', async () => {
    const nats = await startNats({ config: accounts('') });
    const { door, says } = await open(asUser(nats), { answers: true });
    expect([door.notServing, door.closed]).toEqual([undefined, true]);
    expect(says('strangers are let into another account')).toHaveLength(1);
  });

  it('do no harm by listening there', async () => {
    const nats = await startNats({ config: accounts('') });
    const stranger = await connect({ servers: nats.url });
    onTestFinished(() => stranger.close());
    stranger.subscribe('>');
    await stranger.flush();
    const { door } = await open(asUser(nats), { answers: true });
    expect(door.closed).toBe(true);
  });

  it('stop the service when the account imports it later', async () => {
    const nats = await startNats({ config: accounts('') });
    await nats.restart();
    const { door } = await open(asUser(nats), { answers: true, everyMs: 50 });
    expect(await door.admission()).toBeUndefined();
    await nats.reload({ config: imported('>') });
    await until(
      async () => /it imports the service/.test((await door.admission()) ?? ''),
      'the door to stop',
    );
    expect(door.reconnects).toBe(0);
  });
});

describe('the connection to NATS', () => {
  it.each([false, true])('is made with creds of a user in operator mode (TLS: %s)', async (secure) => {
    const operator = new NatsOperator();
    const account = operator.account('A');
    const authority = new Authority();
    const folder = await temporaryFolder();
    const issued = authority.issue();
    const ca = join(folder, 'ca.pem');
    writeFileSync(ca, authority.cert);
    writeFileSync(join(folder, 'c.pem'), issued.cert);
    writeFileSync(join(folder, 'k.pem'), issued.key);
    const tls = `tls: { cert_file: "${folder}/c.pem", key_file: "${folder}/k.pem" }`;
    const { port } = await operator.start(secure ? tls : '');
    const { creds } = await natsUser(account);
    const scheme = secure ? 'tls' : 'nats';
    const { door } = await open({
      servers: [`${scheme}://127.0.0.1:${port}`],
      creds,
      allowOpen: false,
      ...(secure && { tls: { ca } }),
    });
    expect([door.notServing, door.closed, door.connected]).toEqual([undefined, true, true]);
  });

  it('is made with the seed of an nkey', async () => {
    const keys = newKeys('user');
    const nkey = join(await temporaryFolder(), 'user.nk');
    writeFileSync(nkey, `${Buffer.from(keys.seed()).toString()}\n`, { mode: 0o600 });
    const nats = await startNats({ config: `authorization: { users: [{nkey: ${keys.publicKey}}] }` });
    const { door } = await open({ ...withoutCredentials(nats), nkey });
    expect(door.notServing).toBeUndefined();
  });

  it('is made with a certificate, and a server that demands one of everybody is closed', async () => {
    const authority = new Authority();
    const folder = await temporaryFolder();
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text, { mode: 0o600 });
      return join(folder, name);
    };
    const issued = authority.issue();
    const ca = file('ca.pem', authority.cert);
    const [cert, key] = [file('c.pem', issued.cert), file('k.pem', issued.key)];
    const nats = await startNats({
      config: `tls: { cert_file: "${cert}", key_file: "${key}", ca_file: "${ca}", verify: true }`,
    });
    const { door } = await open({ ...withoutCredentials(nats), tls: { ca, cert, key } });
    expect([door.notServing, door.closed]).toEqual([undefined, true]);
  });

  it('is not made in clear where the configuration wants TLS', async () => {
    const nats = await startNats({ config: CLOSED });
    const { door, says } = await open({
      ...asUser(nats),
      servers: [`tls://coffer:hello@127.0.0.1:${nats.port}`],
    });
    expect(door.notServing?.reason).toMatch(/does not support 'tls'/);
    expect(says('there is no connection to NATS')).toHaveLength(1);
  });

  it('is tried for ever with credentials that are refused, says so once, and is made when they are right', async () => {
    const nats = await startNats({ config: 'authorization: { user: coffer, password: other }' });
    const { door, says } = await open(asUser(nats));
    expect(door.notServing?.reason).toMatch(/does not let us in .*nats\.creds/);
    await nats.restart({ config: CLOSED });
    await until(() => door.notServing === undefined, 'the door to serve');
    expect(says('there is no connection to NATS').length).toBeLessThanOrEqual(2);
  });

  it('is made when NATS is there at last', async () => {
    const nats = await startNats({ config: CLOSED });
    await nats.pause();
    const { door } = await open(asUser(nats));
    expect([door.connected, door.notServing?.reason]).toEqual([false, 'connection refused']);
    await nats.restart();
    await until(() => door.notServing === undefined, 'the door to serve');
    expect(door.reconnects).toBe(0);
  });

  it('is made again and again, and the log is told of each change once', async () => {
    const nats = await startNats({ config: CLOSED });
    const { door, says } = await open(asUser(nats));
    for (const times of [1, 2]) {
      await nats.pause();
      await until(() => !door.connected, 'the connection to be lost');
      expect(door.notServing).toBeDefined();
      await nats.restart();
      await until(() => door.notServing === undefined, 'the door to serve');
      expect(door.reconnects).toBe(times);
    }
    expect(says('the connection to NATS is lost')).toHaveLength(2);
    expect(says('connected to NATS')).toHaveLength(3);
  });

  it('takes creds that were renewed while the server refused the old ones', async () => {
    const operator = new NatsOperator();
    const account = operator.account('A');
    const nats = await operator.start();
    const old = await natsUser(account, {}, { exp: Math.floor(Date.now() / 1000) + 2 });
    const { door, lines } = await open({ ...withoutCredentials(nats), creds: old.creds });
    expect(door.notServing).toBeUndefined();
    await until(
      () => lines.some(({ reason }) => reason?.includes('expired') === true),
      'the creds to expire',
    );
    const { readFileSync } = await import('node:fs');
    writeFileSync(old.creds, readFileSync((await natsUser(account)).creds));
    await until(() => door.notServing === undefined, 'the door to serve');
  });

  it.each([
    ['creds', 'is not there', undefined],
    ['creds', 'cannot be used', 'nonsense'],
    ['nkey', 'cannot be used', 'SUAAA'],
    ['nkey', 'holds no seed of a user', 'account'],
    ['ca', 'holds no certificate', 'nonsense'],
  ])('is no matter of trying when a file of %s %s', async (setting, says, content) => {
    const path = join(await temporaryFolder(), 'file');
    const text = content === 'account' ? Buffer.from(newKeys('account').seed()).toString() : content;
    if (text !== undefined) writeFileSync(path, text);
    const config = setting === 'ca' ? { tls: { ca: path } } : { [setting]: path };
    const opening = open({ servers: ['nats://127.0.0.1:1'], allowOpen: false, ...config });
    await expect(opening).rejects.toThrow(`${path} ${says}`.replace(` ${says}`, ''));
    await expect(opening).rejects.toThrow(says);
    await expect(opening).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});
