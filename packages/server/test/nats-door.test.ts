import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Authority } from '../../../test/support/certificates.mjs';
import type { NatsServer } from '../../../test/support/nats.mjs';
import { completeWasmcloud, type NatsConfig } from '../src/index.js';
import { NatsDoor } from '../src/nats/door.js';
import {
  asUser,
  BASE,
  CLOSED,
  NatsOperator,
  natsUser,
  newKeys,
  openDoor,
  readableLog,
  startNats,
  startTwoNats,
  until,
  withoutCredentials,
} from './nats-world.js';
import { temporaryFolder } from './support.js';

const OPEN = /lets everybody in, into the very account.*coffer wasmcloud permissions.*--allow-open-nats/;

describe('a NATS server that lets everybody in', () => {
  it('is refused at the start, with what to do', async () => {
    const nats = await startNats();
    await expect(openDoor(withoutCredentials(nats))).rejects.toThrow(OPEN);
    await expect(openDoor(withoutCredentials(nats))).rejects.toMatchObject({ code: 'invalid_argument' });
  });

  it('is refused although we come with a password, when strangers land in the same account', async () => {
    const nats = await startNats({
      config:
        'no_auth_user: guest\nauthorization: { users: [{user: coffer, password: hello}, {user: guest, password: g}] }',
    });
    await expect(openDoor(asUser(nats))).rejects.toThrow(OPEN);
  });

  it('is refused when it does not say into which account strangers come', async () => {
    const nats = await startNats({
      config:
        'no_auth_user: guest\naccounts: { A: {users: [{user: coffer, password: hello}]}, ' +
        'B: {users: [{user: guest, password: g, permissions: {publish: {deny: [">"]}}}]} }',
    });
    await expect(openDoor(asUser(nats))).rejects.toThrow(/does not say on \$SYS\.REQ\.USER\.INFO/);
  });

  it('is served where the configuration says that it may be open, with a warning', async () => {
    const nats = await startNats();
    const { door, says } = await openDoor({ ...withoutCredentials(nats), allowOpen: true });
    expect(door.notServing).toBeUndefined();
    expect(door.closed).toBe(false);
    expect(says('although strangers may be on the NATS server')).toHaveLength(1);
  });

  it('is none where strangers have an account of their own', async () => {
    const nats = await startNats({
      config:
        'no_auth_user: guest\naccounts: { A: {users: [{user: coffer, password: hello}]}, B: {users: [{user: guest, password: g}]} }',
    });
    const { door } = await openDoor(asUser(nats));
    expect([door.notServing, door.closed]).toEqual([undefined, true]);
  });

  it('stops being served when it opens up, and is served again once it is closed', async () => {
    const nats = await startNats({ config: CLOSED });
    const { door, says } = await openDoor(asUser(nats));
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
    const { door } = await openDoor(asUser(nats));
    await nats.restart({ config: '' });
    await until(async () => /lets everybody in/.test((await door.admission()) ?? ''), 'the door to stop');
    door.configure({ allowOpen: true });
    await until(() => door.notServing === undefined, 'the door to serve');
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
    const { door } = await openDoor({
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
    const { door } = await openDoor({ ...withoutCredentials(nats), nkey });
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
    const { door } = await openDoor({ ...withoutCredentials(nats), tls: { ca, cert, key } });
    expect([door.notServing, door.closed]).toEqual([undefined, true]);
  });

  it('is not made in clear where the configuration wants TLS', async () => {
    const nats = await startNats({ config: CLOSED });
    const { door, says } = await openDoor({
      ...asUser(nats),
      servers: [`tls://coffer:hello@127.0.0.1:${nats.port}`],
    });
    expect(door.notServing?.reason).toMatch(/does not support 'tls'/);
    expect(says('there is no connection to NATS')).toHaveLength(1);
  });

  it('is tried for ever with credentials that are refused, says so once, and is made when they are right', async () => {
    const nats = await startNats({ config: 'authorization: { user: coffer, password: other }' });
    const { door, says } = await openDoor(asUser(nats));
    expect(door.notServing?.reason).toMatch(/does not let us in .*nats\.creds/);
    await nats.restart({ config: CLOSED });
    await until(() => door.notServing === undefined, 'the door to serve');
    expect(says('there is no connection to NATS').length).toBeLessThanOrEqual(2);
  });

  it('is tried with pauses, whatever servers a cluster tells of: from the start, and when a password changed', async () => {
    const servers = await startTwoNats({ config: 'authorization: { user: coffer, password: other }' });
    const [first] = servers as [NatsServer];
    const refused = () => servers.reduce((sum, { refusedLogins }) => sum + refusedLogins, 0);
    /** Of the next eight logins. */
    const seconds = async () => {
      const [begun, before] = [performance.now(), refused()];
      await until(() => refused() >= before + 8, 'eight logins to be refused');
      return (performance.now() - begun) / 1_000;
    };
    const { door, says } = await openDoor(asUser(first));
    expect(await seconds()).toBeGreaterThan(1);
    expect(door.notServing?.reason).toMatch(/does not let us in/);

    for (const server of servers) await server.reload({ config: CLOSED });
    await until(() => door.notServing === undefined, 'the door to serve');
    for (const server of servers) {
      await server.reload({ config: 'authorization: { user: coffer, password: other }' });
    }
    expect(await seconds()).toBeGreaterThan(1);
    for (const server of servers) await server.reload({ config: CLOSED });
    await until(() => door.notServing === undefined, 'the door to serve again');
    expect(door.reconnects).toBe(1);
    expect(says('there is no connection to NATS')).toHaveLength(2);
  });

  it('is made when NATS is there at last', async () => {
    const nats = await startNats({ config: CLOSED });
    await nats.pause();
    const { door } = await openDoor(asUser(nats));
    expect([door.connected, door.notServing?.reason]).toEqual([false, 'connection refused']);
    await nats.restart();
    await until(() => door.notServing === undefined, 'the door to serve');
    expect(door.reconnects).toBe(0);
  });

  it('is made again and again, and the log is told of each change once', async () => {
    const nats = await startNats({ config: CLOSED });
    const { door, says } = await openDoor(asUser(nats));
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
    const old = await natsUser(account, {}, { exp: Math.floor(Date.now() / 1000) + 5 });
    const { door, lines } = await openDoor({ ...withoutCredentials(nats), creds: old.creds });
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
    const opening = openDoor({ servers: ['nats://127.0.0.1:1'], allowOpen: false, ...config });
    await expect(opening).rejects.toThrow(`${path} ${says}`.replace(` ${says}`, ''));
    await expect(opening).rejects.toThrow(says);
    await expect(opening).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});

describe('a NATS door that leaves the requests to others', () => {
  it('answers what has come, takes no more, and goes on when it may', async () => {
    const nats = await startNats({ config: CLOSED });
    const asked = await connect({ servers: nats.url, user: 'coffer', pass: 'hello' });
    onTestFinished(() => asked.close());
    const first = await openMember(asUser(nats), 'first');
    const second = await openMember(asUser(nats), 'second');
    const ask = async () => (await asked.request(`${BASE}.get`, '', { timeout: 5_000 })).string();
    let going = true;
    let answered = 0;
    const load = Promise.all(
      Array.from({ length: 4 }, async () => {
        while (going) {
          expect(await ask()).toMatch(/^(first|second)$/);
          answered++;
        }
      }),
    );
    for (let round = 0; round < 5; round++) {
      const before = answered;
      first.hold('the reason');
      expect(first.notServing?.reason).toBe('the reason');
      await until(() => first.inFlight === 0 && answered > before + 20, 'the others to answer');
      first.hold(undefined);
      expect(first.notServing).toBeUndefined();
      const more = answered;
      await until(() => answered > more + 20, 'more answers');
    }
    going = false;
    await load;
    second.hold('none is left');
    first.hold('none is left');
    const told = () => ask().catch((error: Error) => error.message);
    await expect.poll(told).toMatch(/no responders/);
    first.hold(undefined);
    await expect.poll(told).toBe('first');
  });

  it('stays away over a new connection, and a new look at the NATS server', async () => {
    const nats = await startNats({ config: CLOSED });
    const door = await openMember(asUser(nats), 'one');
    door.hold('the reason');
    await nats.restart();
    await until(() => door.connected && door.reconnects > 0, 'the connection');
    expect(door.notServing?.reason).toBe('the reason');
    const asked = await connect({ servers: nats.url, user: 'coffer', pass: 'hello' });
    onTestFinished(() => asked.close());
    const ask = () => asked.request(`${BASE}.get`, '').then((answer) => answer.string());
    await expect(ask()).rejects.toThrow(/no responders/);
    door.hold(undefined);
    await expect.poll(() => ask().catch((error: Error) => error.message)).toBe('one');
  });
});

/** A NATS door whose requests are answered with a name, each after some turns of the event loop. */
async function openMember(config: NatsConfig, name: string): Promise<NatsDoor> {
  const { log } = readableLog();
  const door = await NatsDoor.open(config, { log, againMs: 50, backends: [completeWasmcloud()] });
  onTestFinished(() => door.close(0));
  const serve = (connection: NatsConnection) => {
    let serving = true;
    let inFlight = 0;
    const subscription = connection.subscribe(`${BASE}.get`, {
      queue: 'q',
      callback: (_, message) => {
        inFlight++;
        setImmediate(() => {
          message.respond(name);
          inFlight--;
        });
      },
    });
    return {
      get inFlight() {
        return inFlight;
      },
      get serving() {
        return serving;
      },
      drain: async () => {
        if (serving) await subscription.drain();
        serving = false;
      },
    };
  };
  await door.serve([{ name: 'nats-kv', serve }]);
  return door;
}
