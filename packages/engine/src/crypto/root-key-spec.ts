import { resolve } from 'node:path';

import { CofferError } from '../errors.js';

/**
 * Where a store's root key comes from.
 *
 * - `file:PATH`: a file of one line, `coffer-root-key-v1:` and 32 bytes in base64;
 * - `passphrase:prompt`, `passphrase:file:PATH`, `passphrase:env:NAME`: Argon2id of a passphrase;
 * - `xkey-seed:file:PATH`, `xkey-seed:env:NAME`: HKDF of an xkey's seed, such as secrets-nats-kv was given.
 */
export type RootKeySpec =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'passphrase'; readonly source: PassphraseSource }
  | { readonly kind: 'xkey-seed'; readonly source: GivenSource };

export type PassphraseSource = { readonly from: 'prompt' } | GivenSource;

export type GivenSource =
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'env'; readonly name: string };

/** @throws CofferError `invalid_argument` with what is accepted */
export function parseRootKey(text: string): RootKeySpec {
  const [, kind, rest] = /^(file|passphrase|xkey-seed):(.+)$/s.exec(text) ?? [];
  if (kind === 'file' && rest) return { kind, path: resolve(rest) };
  if (kind === 'passphrase' && rest === 'prompt') return { kind, source: { from: 'prompt' } };
  if (kind === 'passphrase' || kind === 'xkey-seed') {
    const [, from, value] = /^(file|env):(.+)$/s.exec(rest ?? '') ?? [];
    if (from === 'file' && value) return { kind, source: { from, path: resolve(value) } };
    if (from === 'env' && value) return { kind, source: { from, name: value } };
  }
  throw new CofferError(
    'invalid_argument',
    'a root key is file:PATH, passphrase:prompt, passphrase:file:PATH, passphrase:env:NAME, xkey-seed:file:PATH or ' +
      'xkey-seed:env:NAME',
  );
}

/** What finding or making a root key needs to know of its surroundings. */
export interface RootKeyContext {
  readonly stateDir: string;
  /** A root key inside the state folder is for development only. */
  readonly development: boolean;
  /** Asks a person; needed for `passphrase:prompt` only. The bytes are wiped after use. */
  readonly promptPassphrase?: ((question: string) => Promise<Uint8Array>) | undefined;
  /** Where `passphrase:env:` and `xkey-seed:env:` look; `process.env` if not given. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly now?: (() => Date) | undefined;
  /** What cannot be read when the key file is not there, and what to do; by default for a store. */
  readonly whenMissing?: { readonly what: string; readonly advice: string } | undefined;
  onNotice(sentence: string): void;
}
