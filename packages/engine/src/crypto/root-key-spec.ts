import { resolve } from 'node:path';

import { CofferError } from '../errors.js';

/**
 * Where a store's root key comes from.
 *
 * - `file:PATH`: a file of one line, `coffer-root-key-v1:` and 32 bytes in base64;
 * - `passphrase:prompt`, `passphrase:file:PATH`, `passphrase:env:NAME`: Argon2id of a passphrase.
 */
export type RootKeySpec =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'passphrase'; readonly source: PassphraseSource };

export type PassphraseSource =
  | { readonly from: 'prompt' }
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'env'; readonly name: string };

/** @throws CofferError `invalid_argument` with what is accepted */
export function parseRootKey(text: string): RootKeySpec {
  const [, kind, rest] = /^(file|passphrase):(.+)$/s.exec(text) ?? [];
  if (kind === 'file' && rest) return { kind, path: resolve(rest) };
  if (kind === 'passphrase') {
    if (rest === 'prompt') return { kind, source: { from: 'prompt' } };
    const [, from, value] = /^(file|env):(.+)$/s.exec(rest ?? '') ?? [];
    if (from === 'file' && value) return { kind, source: { from, path: resolve(value) } };
    if (from === 'env' && value) return { kind, source: { from, name: value } };
  }
  throw new CofferError(
    'invalid_argument',
    'a root key is file:PATH, passphrase:prompt, passphrase:file:PATH or passphrase:env:NAME',
  );
}

/** What finding or making a root key needs to know of its surroundings. */
export interface RootKeyContext {
  readonly stateDir: string;
  /** A root key inside the state folder is for development only. */
  readonly development: boolean;
  /** Asks a person; needed for `passphrase:prompt` only. The bytes are wiped after use. */
  readonly promptPassphrase?: ((question: string) => Promise<Uint8Array>) | undefined;
  /** Where `passphrase:env:` looks; `process.env` if not given. */
  readonly env?: Record<string, string | undefined> | undefined;
  readonly now?: (() => Date) | undefined;
  /** What cannot be read when the key file is not there, and what to do; by default for a store. */
  readonly whenMissing?: { readonly what: string; readonly advice: string } | undefined;
  onNotice(sentence: string): void;
}
