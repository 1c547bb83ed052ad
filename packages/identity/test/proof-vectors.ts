import { readFileSync } from 'node:fs';

/** A proof as make-proof-vectors.mjs made it, with what it was made of. */
export interface ProofVector {
  readonly what: string;
  readonly audience: string;
  readonly id: string;
  readonly expiresIn: number;
  readonly request?: { readonly method: string; readonly path: string; readonly body: string };
  readonly payload: string;
  /** The signed bytes in hex. */
  readonly signed: string;
  readonly proof: string;
}

interface Vectors {
  /** The content of the user's creds file. */
  readonly creds: string;
  readonly publicKey: string;
  /** Unix seconds. */
  readonly now: number;
  readonly proofs: readonly ProofVector[];
  readonly audiences: readonly { readonly url: string; readonly audience: string | null }[];
}

const text = readFileSync(new URL('./vectors/proof.json', import.meta.url), 'utf8');
export const vectors = JSON.parse(text) as Vectors;

export const now = new Date(vectors.now * 1000);
export const jwt = /^eyJ.+$/m.exec(vectors.creds)?.[0] as string;
export const seed = /^SU.+$/m.exec(vectors.creds)?.[0] as string;
