import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type KeyKind, type KeyPair, keyPairFromSeed, type WascapKind } from '../src/index.js';

/** A pair as Go's nkeys made it, and a message that it signed. Message and signature are base64. */
export interface NkeyVector {
  readonly Type: KeyKind;
  readonly Seed: string;
  readonly Public: string;
  readonly Message: string;
  readonly Signature: string;
}

/** A box between two curve keys, of Go's nkeys. Plaintext and box are base64. */
interface SealedVector {
  readonly SenderSeed: string;
  readonly SenderPublic: string;
  readonly RecipientSeed: string;
  readonly RecipientPublic: string;
  readonly Plaintext: string;
  readonly Sealed: string;
}

interface Vectors {
  readonly Nkeys: readonly NkeyVector[];
  readonly Sealed: readonly SealedVector[];
  /** What is no public key, and why. */
  readonly Invalid: readonly { readonly key: string; readonly why: string }[];
}

/** A wasmCloud token, of Rust's wascap. */
export interface WascapVector {
  readonly kind: WascapKind;
  readonly note: string;
  readonly jwt: string;
  readonly issuer: string;
  readonly issuerSeed: string;
  readonly subject: string;
  readonly subjectSeed: string;
}

interface WascapVectors {
  readonly operatorSigningSeed: string;
  readonly sealed: readonly {
    readonly plaintextByte: number;
    readonly plaintextLength: number;
    readonly recipientPublic: string;
    readonly recipientSeed: string;
    readonly sealedHex: string;
    readonly senderPublic: string;
  }[];
  readonly tokens: readonly WascapVector[];
}

const read = (name: string): string => readFileSync(new URL(`./vectors/${name}`, import.meta.url), 'utf8');

export const vectors = JSON.parse(read('nkeys.json')) as Vectors;
export const wascap = JSON.parse(read('wascap.json')) as WascapVectors;

/** The folder that nsc made. */
export const NSC = fileURLToPath(new URL('./vectors/nsc', import.meta.url));

/** A file in it. */
export const nscFile = (path: string): string => readFileSync(join(NSC, path), 'utf8');

/** Paths of all files in it that end so. */
export const nscFiles = (ending: string): string[] =>
  readdirSync(NSC, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith(ending));

/** The pair of a public key, from its folder of keys. */
export const nscKey = (key: string): KeyPair =>
  keyPairFromSeed(nscFile(`nkeys/keys/${key[0]}/${key.slice(1, 3)}/${key}.nk`).trim());

export const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
