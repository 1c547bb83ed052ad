import { readFileSync } from 'node:fs';

interface WascapVector {
  readonly kind: string;
  readonly note: string;
  readonly jwt: string;
  readonly issuer: string;
  readonly subject: string;
}

const { tokens, operatorSigningSeed } = JSON.parse(
  readFileSync(new URL('./vectors/wascap.json', import.meta.url), 'utf8'),
) as { readonly tokens: readonly WascapVector[]; readonly operatorSigningSeed: string };

/** The signing key of the vectors' operator. */
export const OPERATOR_SIGNING_SEED = operatorSigningSeed;

/** A minute after the vectors were issued, in seconds since 1970. */
export const WASCAP_NOW = 1_795_316_788 + 60;

/** A token of Rust's wascap. */
export function wascapVector(kind: string, note: string): WascapVector {
  const found = tokens.find((one) => one.kind === kind && one.note.includes(note));
  if (found === undefined) throw new Error(`no such vector: ${kind}, ${note}`);
  return found;
}
