import type { KeyRing } from './key-ring.js';

const DIGEST_BYTES = 32;

/**
 * An incremental keyed hash over a set: the XOR of a PRF of each member, so that adding and removing one costs
 * the same however many there are. Only who has the digest key can tell which sets share a digest, and the
 * digest itself is kept sealed.
 */
export const EMPTY_DIGEST: Uint8Array = new Uint8Array(DIGEST_BYTES);

/** The digest with `member` added, or taken out if it was in. */
export function toggle(digest: Uint8Array, ring: KeyRing, member: Uint8Array): Uint8Array {
  const item = ring.authenticate(member);
  for (let i = 0; i < DIGEST_BYTES; i++) item[i] = (item[i] ?? 0) ^ (digest[i] ?? 0);
  return item;
}

/** A member that stands for a record: its storage key and its generation. */
export function recordMember(key: Uint8Array, generation: number): Buffer {
  const member = Buffer.allocUnsafeSlow(key.length + 8);
  member.set(key, 0);
  member.writeBigUInt64BE(BigInt(generation), key.length);
  return member;
}
