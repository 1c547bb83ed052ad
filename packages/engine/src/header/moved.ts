import { timingSafeEqual } from 'node:crypto';

import type { KeyRing } from '../crypto/key-ring.js';
import { damaged, type Header, headerGeneration, parseHeader } from './format.js';
import { encodeHeader, type HeaderKeys } from './wrapping.js';

const DOMAIN = Buffer.from('coffer-moved-v2\0');

/** What is needed to write, or to believe, that a store was moved away from its bucket. */
export interface MoveProver {
  readonly ring: KeyRing;
  readonly storeId: Uint8Array;
  /** From which it was moved away: of another one the proof says nothing. */
  readonly bucket: string;
}

/**
 * The header as it lies in a bucket from which its store was moved away: the same, generation and wrapped ring included, with a
 * proof that who wrote it had the ring. Nothing is lost then, and whoever else may write to the bucket cannot say so.
 */
export function markMoved(header: Uint8Array, prover: MoveProver): Buffer {
  const parsed = parseHeader(header);
  const moved = proofOf(parsed, prover).toString('base64');
  return Buffer.from(JSON.stringify({ ...parsed, moved }));
}

/** The header as it was before it was {@link markMoved}; another one stays as it is, byte by byte. */
export function withoutMark(header: Uint8Array): Buffer {
  const { moved, ...rest } = parseHeader(header);
  return Buffer.from(moved === undefined ? header : JSON.stringify(rest));
}

/**
 * The header of a store that is moved into a bucket, or stays there after all: of a generation that is higher than its own, and than
 * that of the one which the bucket has. So nothing that ever said that the store was moved away can be put there again.
 *
 * @throws CofferError `io`
 */
export function movedIn(
  header: Uint8Array,
  found: Uint8Array | undefined,
  keys: HeaderKeys,
): Promise<Buffer> {
  const { ring: _, proof, moved, generation, ...rest } = parseHeader(header);
  const highest = Math.max(generation, found ? headerGeneration(found) : 0);
  return encodeHeader({ ...rest, generation: highest + 1 }, keys, true);
}

/** Whether a header says that its store was moved away, of one whose proof was checked before. */
export const saysMoved = (header: Uint8Array): boolean => parseHeader(header).moved !== undefined;

/**
 * Whether the store of a header was moved away.
 *
 * @throws CofferError `tampered` if it says so without the proof
 */
export function isMoved(header: Header, prover: MoveProver): boolean {
  if (header.moved === undefined) return false;
  const said = Buffer.from(header.moved, 'base64');
  const proof = proofOf(header, prover);
  if (said.length !== proof.length || !timingSafeEqual(said, proof)) throw damaged();
  return true;
}

/** Whether one header is another, or says of it that its store was moved away. */
export const isMarkOf = (next: Header, before: Header): boolean =>
  JSON.stringify(next) === JSON.stringify(before) ||
  (before.moved === undefined && withoutMove(next) === withoutMove(before));

const withoutMove = ({ moved: _, ...rest }: Header): string => JSON.stringify(rest);

function proofOf({ generation }: Header, { ring, storeId, bucket }: MoveProver): Buffer {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(generation));
  return ring.authenticate(Buffer.concat([DOMAIN, storeId, number, Buffer.from(bucket)]));
}
