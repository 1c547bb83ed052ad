import { hash } from 'node:crypto';

/** What the first line of a log carries in place of the hash of a line before. */
export const GENESIS = '0'.repeat(64);

/** Hex. Of a line: of its exact bytes without the newline. */
export const sha256 = (bytes: string | Uint8Array): string => hash('sha256', bytes);
