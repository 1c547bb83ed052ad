import {
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  PersistMode,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { counted } from '../../counted.js';

import { CofferError } from '../../errors.js';
import type { Layout } from './layout.js';
import { denialOf } from './rights.js';

export const DESCRIPTION = 'The store of coffer, a secrets service: nobody else may write here.';
const isOurs = (description: string | undefined): boolean => description === DESCRIPTION;

/** What a stream must have to be a store. */
export const REQUIRED = {
  storage: StorageType.File,
  retention: RetentionPolicy.Limits,
  max_msgs_per_subject: 1,
  /** What is full refuses, and forgets nothing. */
  discard: DiscardPolicy.New,
  /** Followers, and leaders that are none any more, may answer direct gets. */
  allow_direct: false,
  deny_delete: true,
  allow_atomic: true,
} as const satisfies Partial<StreamConfig>;

/** By these a message may be removed, written or added up by the servers, which no instance asks for. */
const REFUSED = ['allow_msg_ttl', 'allow_msg_schedules', 'allow_msg_counter'];

/** @throws CofferError `unfit_store` */
export function requireConfig({ config, state }: StreamInfo, bucket: string, layout: Layout): void {
  const { messages } = state;
  const { description } = config;
  const wrong: string[] = [];
  const actual = config as unknown as Readonly<Record<string, unknown>>;
  for (const [name, value] of Object.entries(REQUIRED)) {
    if ((actual[name] ?? false) !== value) wrong.push(`${name} is ${String(actual[name])}, not ${value}`);
  }
  wrong.push(...REFUSED.filter((name) => actual[name]).map((name) => `${name} is set`));
  if (config.subjects?.length !== 1 || config.subjects[0] !== layout.all) {
    wrong.push(`its subjects are not ${layout.all}`);
  }
  if (config.max_age > 0) wrong.push('its messages expire (max_age)');
  if (config.max_msgs > 0) wrong.push('it holds a limited number of messages (max_msgs)');
  if (config.max_msg_size > 0) wrong.push('it limits the size of messages (max_msg_size)');
  if (config.persist_mode === PersistMode.Async)
    wrong.push('it acknowledges before it writes (persist_mode)');
  if (config.mirror || config.sources?.length) wrong.push('it is fed from another stream');
  if (config.sealed) wrong.push('it is sealed');
  if (config.subject_transform) wrong.push('it changes subjects');
  if (wrong.length === 0) return;
  const what = isOurs(description)
    ? 'cannot be a store of coffer any more, since its stream was changed'
    : `was not made by coffer (it holds ${counted(messages, 'message')}). Name another one in storage.bucket, which coffer makes itself; nothing ` +
      'was written. What stands against it';
  throw new CofferError('unfit_store', `the bucket ${bucket} ${what}: ${wrong.join('; ')}`);
}

/**
 * Takes from a store's bucket that one message may remove all others (`Nats-Rollup`), which no instance sends: the KV client makes its
 * buckets so, and coffer once did.
 *
 * @throws CofferError `unfit_store` where this user may not, or JetStream does not do it; what nats.js does where nobody answers
 */
export async function refuseRollups(
  manager: JetStreamManager,
  { config: { name } }: StreamInfo,
  bucket: string,
): Promise<void> {
  try {
    await manager.streams.update(name, { allow_rollup_hdrs: false });
  } catch (cause) {
    const refusal = cause instanceof JetStreamApiError ? cause.message : denialOf(cause);
    if (refusal === undefined) throw cause;
    throw new CofferError(
      'unfit_store',
      `in the bucket ${bucket} one message may remove all others (allow_rollup_hdrs), and this could not be changed: ${refusal}. ` +
        `Change it: nats stream edit ${name} --no-allow-rollup`,
      { cause },
    );
  }
}
