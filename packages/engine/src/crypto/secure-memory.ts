import { constants } from 'node:buffer';

import sodium from 'sodium-native';

import { asBuffer } from '../bytes.js';

/**
 * Memory for the few long-lived keys: outside the garbage collector's heap, between guard pages, locked so that it is
 * not swapped, left out of core dumps, and wiped when it is freed.
 */
export function secureBuffer(bytes: number): Buffer {
  if (bytes < 1 || bytes > constants.MAX_LENGTH) throw new RangeError(`cannot allocate ${bytes} bytes`);
  return sodium.sodium_malloc(bytes);
}

export function secureRandom(bytes: number): Buffer {
  const buffer = secureBuffer(bytes);
  sodium.randombytes_buf(buffer);
  return buffer;
}

/** Overwrites the bytes with zeros in a way that no optimiser leaves out. */
export function wipe(bytes: Uint8Array): void {
  sodium.sodium_memzero(asBuffer(bytes));
}

/** True if this process may lock memory; if not, keys could reach the swap space. */
export function canLockMemory(): boolean {
  const page = Buffer.allocUnsafeSlow(4_096);
  try {
    sodium.sodium_mlock(page);
    sodium.sodium_munlock(page);
    return true;
  } catch {
    return false;
  }
}
