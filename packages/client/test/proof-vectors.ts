import { readFileSync } from 'node:fs';

/** What packages/identity made, and describes, in its test/make-proof-vectors.mjs. */
interface Vectors {
  readonly creds: string;
  readonly publicKey: string;
  /** Unix seconds. */
  readonly now: number;
  readonly proofs: readonly {
    readonly what: string;
    readonly audience: string;
    readonly id: string;
    readonly expiresIn: number;
    readonly request?: { readonly method: string; readonly path: string; readonly body: string };
    readonly proof: string;
  }[];
  readonly audiences: readonly { readonly url: string; readonly audience: string | null }[];
}

const text = readFileSync(new URL('./vectors/proof.json', import.meta.url), 'utf8');
export const vectors = JSON.parse(text) as Vectors;

export const { creds } = vectors;
export const jwt = /^eyJ.+$/m.exec(creds)?.[0] as string;
export const seed = /^SU.+$/m.exec(creds)?.[0] as string;
