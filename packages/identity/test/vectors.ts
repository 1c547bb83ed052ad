import { readFileSync } from 'node:fs';
import type { KeyKind } from '../src/index.js';

/** A pair as Go's nkeys made it, and a message that it signed. Message and signature are base64. */
export interface NkeyVector {
  readonly Type: KeyKind;
  readonly Seed: string;
  readonly Public: string;
  readonly Message: string;
  readonly Signature: string;
}

/** Two curve keys (of a sealed box, which nothing here opens yet). */
interface SealedVector {
  readonly SenderSeed: string;
  readonly SenderPublic: string;
  readonly RecipientSeed: string;
  readonly RecipientPublic: string;
}

interface Vectors {
  readonly Nkeys: readonly NkeyVector[];
  readonly Sealed: readonly SealedVector[];
  /** What is no public key, and why. */
  readonly Invalid: readonly { readonly key: string; readonly why: string }[];
}

const text = readFileSync(new URL('./vectors/nkeys.json', import.meta.url), 'utf8');
export const vectors = JSON.parse(text) as Vectors;

export const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
