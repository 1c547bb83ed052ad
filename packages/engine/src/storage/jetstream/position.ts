import { hash } from 'node:crypto';

import { asBuffer } from '../../bytes.js';
import { CofferError } from '../../errors.js';
import type { ReplicaOrigin } from './replica-contract.js';

/**
 * How far a store is, for clients: `<stream>-<epoch>-<sequence>`. The stream's name are 16 hex digits: the first 8 of the store's
 * incarnation, and the first 8 of SHA-256 of when the stream was made, since a bucket can be made anew under its name and counts
 * from the beginning then.
 */
export const positionOf = (origin: ReplicaOrigin | undefined, sequence: number): string =>
  `${origin ? storeOf(origin) + streamOf(origin) : UNKNOWN}-${origin?.epoch ?? 0}-${sequence}`;

/** What a position asks of who reads that stream. */
export interface Owed {
  /** That of the stream, or a later one: it was healed, and the heal has not been seen here. */
  readonly epoch: number;
  readonly sequence: number;
}

/**
 * @returns undefined if nothing has to be waited for: it is of a time before a heal, which has brought back all of it; of a stream
 *   that the store was moved out of; or of another store, of which nothing will ever come here
 * @throws CofferError `invalid_argument` for what is no position
 */
export function owedOf(position: string, origin: ReplicaOrigin | undefined): Owed | undefined {
  const [, store, stream, ...numbers] = FORM.exec(position) ?? [];
  const [epoch, sequence] = numbers.map(Number);
  if (epoch === undefined || sequence === undefined) {
    throw new CofferError('invalid_argument', 'what was seen is no position of a store');
  }
  if (!origin || store !== storeOf(origin) || epoch < origin.epoch) return undefined;
  // A heal may have made the stream anew.
  if (epoch === origin.epoch && stream !== streamOf(origin)) return undefined;
  return { epoch, sequence };
}

const FORM = /^([0-9a-f]{8})([0-9a-f]{8})-(\d{1,9})-(\d{1,15})$/;
const UNKNOWN = '0'.repeat(16);

const storeOf = ({ incarnation }: ReplicaOrigin): string => asBuffer(incarnation).toString('hex', 0, 4);

const streamOf = ({ created }: ReplicaOrigin): string => hash('sha256', created).slice(0, 8);
