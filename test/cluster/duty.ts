import { jetstreamManager } from '@nats-io/jetstream';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { parseLease, parseMember } from '../../packages/engine/src/storage/jetstream/notes.js';
import type { NatsCluster } from '../support/cluster.mjs';

/** @returns a function that asks the stream for the name of the instance that has the background work; undefined if none has it */
export async function dutyOn(
  cluster: NatsCluster,
  bucket = 'coffer',
): Promise<() => Promise<string | undefined>> {
  const layout = new Layout(bucket);
  const { streams } = await jetstreamManager(await cluster.connect());
  const last = (subject: string) => streams.getMessage(layout.stream, { last_by_subj: subject });
  return async () => {
    const lease = await last(layout.lease('background'));
    if (!lease?.data.length) return undefined;
    const member = await last(layout.member(parseLease(lease.data).instance));
    return member ? parseMember(member.data).name : undefined;
  };
}
