import { timingSafeEqual } from 'node:crypto';

import type { KeyRing } from '../crypto/key-ring.js';
import { damaged, type Header, parseHeader } from './format.js';

const DOMAIN = Buffer.from('coffer-moved-v1\0');

/** What is needed to write, or to believe, that a store was moved away from its bucket. */
export interface MoveProver {
  readonly ring: KeyRing;
  readonly storeId: Uint8Array;
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

/** The header of the store again; one that is not {@link markMoved} stays as it is, byte by byte. */
export function withoutMark(header: Uint8Array): Buffer {
  const { moved, ...rest } = parseHeader(header);
  return Buffer.from(moved === undefined ? header : JSON.stringify(rest));
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

/** Whether one header is another, but for what it says of a move. */
export const isSameButMoved = (a: Header, b: Header): boolean => withoutMove(a) === withoutMove(b);

const withoutMove = ({ moved: _, ...rest }: Header): string => JSON.stringify(rest);

function proofOf({ generation }: Header, { ring, storeId }: MoveProver): Buffer {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(generation));
  return ring.authenticate(Buffer.concat([DOMAIN, storeId, number]));
}
