import { asBuffer } from '../../bytes.js';
import { CofferError } from '../../errors.js';
import type { StorageAlarm } from '../shared.js';
import type { ReplicaOrigin } from './replica-contract.js';

/** What a replica knows beside its records; written with each transaction. */
export interface ReplicaState {
  readonly instance: string;
  /** How often it was forgotten, and came back. */
  readonly life: number;
  /** Whose stream it is a copy of; undefined before the first was named. */
  readonly bucket: string | undefined;
  readonly alarm: StorageAlarm | undefined;
  readonly origin: ReplicaOrigin | undefined;
  readonly position: number;
  readonly settled: number;
  /** The sequence of this instance's own mark; 0 if there is none since it was bound. */
  readonly mark: number;
  /** See {@link ReplicaLike.outlived}. */
  readonly outlived: number;
  /** Keys of the highest records since it was bound, the newest first. */
  readonly newest: readonly Uint8Array[];
}

/** What is so of a copy that is of no stream: a new one, and one that was emptied. */
export const OF_NO_STREAM = {
  origin: undefined,
  position: 0,
  settled: 0,
  mark: 0,
  outlived: 0,
  newest: [],
} as const satisfies Partial<ReplicaState>;

export const newReplicaState = (instance: string): ReplicaState => ({
  instance,
  life: 0,
  bucket: undefined,
  alarm: undefined,
  ...OF_NO_STREAM,
});

/** The rest is as it is in {@link ReplicaState}; what came later than the first versions may be missing. */
interface StateJson extends Partial<Omit<ReplicaState, 'origin' | 'alarm' | 'newest'>> {
  readonly instance: string;
  readonly position: number;
  readonly origin?: Omit<ReplicaOrigin, 'incarnation'> & { readonly incarnation: string };
  readonly alarm?: Omit<StorageAlarm, 'at'> & { readonly at: string };
  readonly newest: readonly string[];
}

export function encodeReplicaState({ origin, alarm, newest, ...state }: ReplicaState): Buffer {
  const json: StateJson = {
    ...state,
    ...(origin && { origin: { ...origin, incarnation: asBuffer(origin.incarnation).toString('hex') } }),
    ...(alarm && { alarm: { ...alarm, at: alarm.at.toISOString() } }),
    newest: newest.map((key) => asBuffer(key).toString('base64')),
  };
  return Buffer.from(JSON.stringify(json));
}

/** @throws CofferError `tampered` */
export function decodeReplicaState(row: Buffer | undefined): ReplicaState {
  try {
    const { origin, alarm, newest, ...state } = JSON.parse(String(row)) as StateJson;
    const { instance, position } = state;
    const whole = /^[0-9a-f]{16}$/.test(instance) && Number.isSafeInteger(position) && Array.isArray(newest);
    if (!whole) throw new TypeError('a field is missing');
    return {
      ...newReplicaState(instance),
      ...state,
      origin: origin && { ...origin, incarnation: Buffer.from(origin.incarnation, 'hex') },
      alarm: alarm && { ...alarm, at: new Date(alarm.at) },
      newest: newest.map((key) => Buffer.from(key, 'base64')),
    };
  } catch (cause) {
    throw new CofferError(
      'tampered',
      "the replica's own record (key 0001) is damaged: move the folder away, and a new replica is read from JetStream",
      { cause },
    );
  }
}
