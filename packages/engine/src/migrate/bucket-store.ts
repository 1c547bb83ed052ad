import { setTimeout as wait } from 'node:timers/promises';

import { CofferError } from '../errors.js';
import { HEADER_KEY } from '../keys.js';
import type { JetStreamStorage } from '../storage/jetstream/storage.js';
import { localOptions, type MigrateOptions } from './options.js';

/** How long nothing may come from the stream before it is given up, and how long there may be no connection. */
const PATIENCE_MS = 10_000;
const CONNECTION_MS = 2_000;
const LOOK_MS = 20;
const AGAIN_MS = 200;

/** @param incarnation of the store that is to be there, if there is none */
export async function openBucketStore(
  folder: string,
  options: MigrateOptions,
  incarnation?: Uint8Array,
): Promise<JetStreamStorage> {
  const { jetstream, version } = options;
  // Who has an embedded store needs no NATS.
  const { JetStreamStorage } = await import('../storage/jetstream/storage.js');
  return JetStreamStorage.open(folder, {
    ...localOptions(options),
    jetstream,
    version,
    fence: HEADER_KEY,
    incarnation,
  });
}

/**
 * Waits until all that is in the stream now is in the replica.
 *
 * @throws CofferError `unavailable`
 */
export async function caughtUp({ shared }: JetStreamStorage): Promise<void> {
  let wanted: number | undefined;
  let last = -1;
  for (let since = performance.now(); ; ) {
    const { replicaSequence, connected, problem } = shared.health;
    if (connected) wanted ??= (await shared.status()).streamSequence;
    if (wanted !== undefined && replicaSequence >= wanted) return;
    if (replicaSequence > last) since = performance.now();
    last = replicaSequence;
    if (performance.now() - since > (connected ? PATIENCE_MS : CONNECTION_MS)) {
      throw problem ?? new CofferError('unavailable', 'nothing comes from the stream: is NATS reachable?');
    }
    await wait(LOOK_MS);
  }
}

/**
 * Does it again while JetStream takes nothing for a moment: nothing of it was changed then.
 *
 * @throws CofferError what else comes, and `unavailable` if that lasts
 */
export async function patiently<T>(act: () => Promise<T>): Promise<T> {
  for (const end = performance.now() + PATIENCE_MS; ; ) {
    try {
      return await act();
    } catch (error) {
      const isPassing = error instanceof CofferError && error.code === 'unavailable';
      if (!isPassing || performance.now() > end) throw error;
      await wait(AGAIN_MS);
    }
  }
}
