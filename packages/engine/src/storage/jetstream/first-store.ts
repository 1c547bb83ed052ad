import type { StreamInfo } from '@nats-io/jetstream';
import { CopiesLayout } from '../../audit/copies/format.js';
import { CofferError } from '../../errors.js';
import { denialOf } from './rights.js';

export interface FirstStoreOptions {
  readonly bucket: string;
  /** The bucket's, named as it is. */
  readonly stream: string;
  /** @returns undefined where JetStream says that there is none of this name */
  readonly find: (name: string) => Promise<StreamInfo | undefined>;
}

/**
 * Before a new store is made where the bucket is not there, or empty: that there was none. The copies of the audit logs lie in a stream
 * of their own, and tell of one whose bucket was lost. Its instances, if there are any, can bring it back; behind a load balancer
 * an instance of a new one would answer that there are no secrets, and take changes into a store that is thrown away.
 *
 * @throws CofferError `unfit_store`; what nats.js does
 */
export async function requireFirstStore({ bucket, stream, find }: FirstStoreOptions): Promise<void> {
  const { stream: copies } = new CopiesLayout(bucket);
  const found = await find(copies).catch((error: unknown) => {
    // Who may not look makes no copies either.
    if (denialOf(error)) return undefined;
    throw error;
  });
  if (!found || found.state.last_seq === 0) return;
  // Another instance may have made store and copies since it was looked for.
  const now = await find(stream);
  if (now && now.state.messages > 0) return;
  throw new CofferError(
    'unfit_store',
    `there was a store in the bucket ${bucket}: the copies of its audit logs are there (${copies}), and the stream ${stream} ` +
      `is ${now ? 'empty' : 'not there'}; no new store was made, and nothing was changed. Where an instance of that store runs, ` +
      `bring it back there (“coffer storage status”, “coffer storage heal”), and start this one again; without one, restore a backup. ` +
      `For a store that begins anew name another bucket, or take the copies away first: nats stream rm ${copies}`,
  );
}
