import type { JetStreamManager, StreamInfo } from '@nats-io/jetstream';
import { Regression } from './admission.js';
import type { Layout } from './layout.js';
import type { ReplicaLike } from './replica-contract.js';

/**
 * Looks whether the stream still is the one that this instance has read, and has all that it had.
 *
 * @param position up to where this instance has read
 * @returns what the stream's leader says of it
 * @throws Regression where it is not; what nats.js does where nobody answers
 */
export async function checkContinuity(
  manager: JetStreamManager,
  layout: Layout,
  replica: ReplicaLike,
  position: number,
): Promise<StreamInfo> {
  const info = await manager.streams.info(layout.stream);
  if (replica.origin && info.created !== replica.origin.created) {
    throw new Regression(
      'recreated',
      `the stream was made anew at ${info.created}; the one of this store is of ${replica.origin.created}`,
    );
  }
  if (info.state.last_seq < position) {
    throw new Regression(
      'behind',
      `the stream ends at ${info.state.last_seq}, and this instance has read up to ${position}`,
    );
  }
  return info;
}
