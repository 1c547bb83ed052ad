import { connect } from '@nats-io/transport-node';
import { expect, onTestFinished, test } from 'vitest';
import { Seldom } from '../src/nats/seldom.js';
import { Teller } from '../src/nats/store-teller.js';
import { readableLog, startNats } from './nats-world.js';

test('a server that is left is named, not the next one, and once a minute where none gives anything back', async () => {
  const servers = [await startNats(), await startNats()].map(({ url }) => new URL(url).host);
  const connection = await connect({ servers, noRandomize: true, reconnectTimeWait: 10 });
  onTestFinished(() => connection.close());
  const { log, lines } = readableLog();
  let now = 0;
  void new Teller(log, 'the store’s NATS', 'nothing is changed', new Seldom(60_000, () => now)).follow(
    connection,
    servers.join(),
  );
  const said = () => lines.map((line) => [line.msg.split(':')[0], (line as { server?: string }).server]);
  const statuses = connection.status()[Symbol.asyncIterator]();
  /** @returns the servers that were left and found */
  const move = async () => {
    const before = connection.getServer();
    await connection.reconnect();
    for (;;) {
      const { value } = await statuses.next();
      if (value?.type === 'reconnect') return [before, connection.getServer()];
    }
  };
  const left = 'nothing comes back from the store’s NATS by this server';
  const connected = 'connected to the store’s NATS';
  const [first, second] = await move();
  await expect.poll(said).toEqual([
    [connected, first],
    [left, first],
    [connected, second],
  ]);
  await move();
  await move();
  now = 60_000;
  const [third, fourth] = await move();
  await expect
    .poll(() => said().slice(3))
    .toEqual([
      [left, third],
      [connected, fourth],
    ]);
});
