import { afterEach, describe, expect, it } from 'vitest';
import { blockFiles, flipBits, truncateBlocks } from '../support/block-files.mjs';
import { NatsCluster } from '../support/cluster.mjs';

type Connection = Awaited<ReturnType<NatsCluster['connect']>>;

const STREAM = 'KV_test';

let cluster: NatsCluster;
afterEach(() => cluster?.stop());

async function ask(connection: Connection, subject: string, body: object = {}) {
  const answer = await connection.request(subject, JSON.stringify(body), { timeout: 5_000 });
  return answer.json<{ error?: { code: number }; state?: { messages: number }; seq?: number }>();
}

async function makeStream(connection: Connection, replicas: number): Promise<void> {
  const config = { name: STREAM, subjects: ['test.>'], num_replicas: replicas, storage: 'file' };
  expect((await ask(connection, `$JS.API.STREAM.CREATE.${STREAM}`, config)).error).toBeUndefined();
}

const put = (connection: Connection, subject: string, timeout = 1_000) =>
  connection.request(subject, 'x', { timeout }).then(
    (answer) => answer.json<{ seq?: number }>().seq !== undefined,
    () => false,
  );

const messages = async (connection: Connection) =>
  (await ask(connection, `$JS.API.STREAM.INFO.${STREAM}`)).state?.messages;

describe('a cluster of three', () => {
  it('goes on without its leader, whether it is killed, paused or cut off, and takes it back', async () => {
    cluster = await NatsCluster.start();
    const gate = await cluster.gate('a');
    const connection = await cluster.connect({ servers: gate.urls });
    await makeStream(connection, 3);
    let kept = 0;
    const faults = [
      async (leader: NatsCluster['servers'][number]) => leader.kill(),
      async (leader: NatsCluster['servers'][number]) => leader.pause(),
      async (leader: NatsCluster['servers'][number]) => cluster.isolate(leader, { clients: true }),
    ];
    for (const fault of faults) {
      await cluster.settled(STREAM);
      const leader = await cluster.leaderOf(STREAM);
      expect(leader).toBeDefined();
      if (leader) await fault(leader);
      // By another way: whose connection hangs does not matter here.
      const others = cluster.servers.filter((server) => server !== leader).map(({ url }) => url);
      const other = await cluster.connect({ servers: others });
      await expect.poll(() => put(other, 'test.a'), { timeout: 30_000 }).toBe(true);
      kept++;
      await other.close();
      await cluster.resume();
      await expect.poll(() => put(connection, 'test.a'), { timeout: 30_000 }).toBe(true);
      kept++;
    }
    expect(await messages(connection)).toBeGreaterThanOrEqual(kept);
  });

  it('has no leader while no two of its servers hear each other', async () => {
    cluster = await NatsCluster.start();
    const connection = await cluster.connect();
    await makeStream(connection, 3);
    await cluster.settled(STREAM);
    for (const server of cluster.servers) cluster.isolate(server);
    expect(await put(connection, 'test.a')).toBe(false);
    cluster.mend();
    await expect.poll(() => put(connection, 'test.a'), { timeout: 30_000 }).toBe(true);
  });

  it('is what it was before when all folders are set back to a copy', async () => {
    cluster = await NatsCluster.start();
    const connection = await cluster.connect();
    await makeStream(connection, 3);
    expect(await put(connection, 'test.a')).toBe(true);
    await cluster.settled(STREAM);
    const copies = await Promise.all(cluster.servers.map((server) => server.save()));
    await expect.poll(() => put(connection, 'test.b')).toBe(true);
    await Promise.all(cluster.servers.map((server) => server.kill()));
    for (const [index, server] of cluster.servers.entries()) {
      const copy = copies[index];
      if (copy === undefined) continue;
      server.putBack(copy);
      copy[Symbol.dispose]();
    }
    await cluster.resume();
    await expect.poll(() => messages(connection).catch(() => undefined)).toBe(1);
  });

  it('lets a system account and a user in by their creds', async () => {
    cluster = await NatsCluster.start({ auth: 'operator' });
    const connection = await cluster.connect();
    await makeStream(connection, 3);
    expect(await put(connection, 'test.a')).toBe(true);
    const system = await cluster.connectSystem();
    const answer = await system.request('$SYS.REQ.SERVER.PING.JSZ', '', { timeout: 2_000 });
    expect(answer.json()).toMatchObject({ data: { config: { sync_always: true } } });
  });
});

describe('the files of a server', () => {
  it('lose what is cut off them', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const [server] = cluster.servers;
    const connection = await cluster.connect();
    await makeStream(connection, 1);
    for (let count = 0; count < 10; count++) expect(await put(connection, `test.${count}`)).toBe(true);
    await server?.kill();
    const folder = server?.messagesOf(STREAM) ?? '';
    expect(blockFiles(folder)).toHaveLength(1);
    truncateBlocks(folder, 100);
    await server?.start();
    await expect.poll(() => messages(connection).catch(() => undefined)).toBeLessThan(10);
    await server?.kill();
    flipBits(folder, 64);
    await server?.start();
    await expect.poll(() => messages(connection).catch(() => undefined)).toBeLessThan(6);
  });
});
