import { connect } from '@nats-io/transport-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { asUser, BASE, CLOSED, openDoor, startNats, until } from './nats-world.js';

const OPEN = /lets everybody in, into the very account.*coffer wasmcloud permissions.*--allow-open-nats/;

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
    await expect(openDoor(asUser(first.nats))).rejects.toThrow(OPEN);
  });

  it('stops being served when an open member joins the cluster', async () => {
    const first = await member(USERS, 'one');
    const { door, says } = await openDoor(asUser(first.nats));
    expect(door.notServing).toBeUndefined();
    await member(OPENED, 'two', first);
    await until(() => says('nothing is served over NATS until it is closed').length > 0, 'the error');
    expect(await door.admission()).toMatch(/lets everybody in/);
  });

  it('goes on being served while a member cannot be tried, and says so', async () => {
    const nats = await startNats({ config: CLOSED });
    const config = asUser(nats);
    const { door, lines } = await openDoor({ ...config, servers: [...config.servers, 'nats://127.0.0.1:1'] });
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
      await expect(openDoor(asUser(nats), { answers: true })).rejects.toThrow(
        /into an account from which the requests of hosts are answered: it imports.*no_auth_user/,
      );
    },
  );

  it('do no harm when it imports nothing, as far as can be seen', async () => {
    const nats = await startNats({ config: accounts('') });
    const { door, says } = await openDoor(asUser(nats), { answers: true });
    expect([door.notServing, door.closed]).toEqual([undefined, true]);
    expect(says('strangers are let into another account')).toHaveLength(1);
  });

  it('do no harm by listening there', async () => {
    const nats = await startNats({ config: accounts('') });
    const stranger = await connect({ servers: nats.url });
    onTestFinished(() => stranger.close());
    stranger.subscribe('>');
    await stranger.flush();
    const { door } = await openDoor(asUser(nats), { answers: true });
    expect(door.closed).toBe(true);
  });

  it('stop the service when the account imports it later', async () => {
    const nats = await startNats({ config: accounts('') });
    await nats.restart();
    const { door } = await openDoor(asUser(nats), { answers: true, everyMs: 50 });
    expect(await door.admission()).toBeUndefined();
    await nats.reload({ config: imported('>') });
    await until(
      async () => /it imports the service/.test((await door.admission()) ?? ''),
      'the door to stop',
    );
    expect(door.reconnects).toBe(0);
  });
});
