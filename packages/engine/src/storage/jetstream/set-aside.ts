import type { NatsConnection } from '@nats-io/nats-core';
import type { SetAside } from '../shared.js';
import { readLast } from './last.js';
import type { Layout } from './layout.js';
import { managerOf } from './manager.js';

const ANSWER_MS = 5_000;
/** Header of nats-server: how long a message is of which the headers alone are read. */
const LENGTH = 'Nats-Msg-Size';

/**
 * How much lies in the bucket that heals have set aside, and whatever else somebody wrote there.
 *
 * @param remove what is there when this is asked is removed, for good
 * @throws what nats.js does where nobody answers, or this user may not purge
 */
export async function setAside(
  connection: NatsConnection,
  layout: Layout,
  remove: boolean,
): Promise<SetAside> {
  const manager = await managerOf(connection, ANSWER_MS);
  const { stream, forks: filter } = layout;
  let records = 0;
  let bytes = 0;
  let last = 0;
  const all = { connection, manager, stream, filters: [filter], headersOnly: true };
  for await (const drops of readLast(all)) {
    for (const { subject, headers, sequence } of drops) {
      // A record that is long is in several parts.
      if ((layout.parseFork(subject)?.part ?? 0) === 0) records += 1;
      bytes += Number(headers?.get(LENGTH) ?? 0);
      last = sequence;
    }
  }
  // What a heal sets aside meanwhile stays.
  if (remove && last > 0) await manager.streams.purge(stream, { filter, seq: last + 1 });
  return { records, bytes, removed: remove };
}
