import { resolve } from 'node:path';
import { CofferError } from '@coffer/engine';
import { audienceOf, IdentityError, kindOfPublicKey } from '@coffer/identity';
import { isLoopback, listenAddress } from '../listen/address.js';
import type { FileConfig } from './file.js';

/** Where the tokens of accounts are. Exactly one of the three. */
export interface ResolverConfig {
  /** A folder with a file `<public key>.jwt` for each account, as nats-server's full resolver keeps it. */
  readonly folder?: string | undefined;
  /** The folder of one operator in an nsc store. */
  readonly store?: string | undefined;
  /** A NATS server with an account resolver. */
  readonly nats?: NatsResolverConfig | undefined;
}

export interface NatsResolverConfig {
  readonly servers: readonly string[];
  /** A file with the creds of a user of the system account. */
  readonly creds?: string | undefined;
  /** A file with the certificate authorities to trust (PEM), in place of the system's. */
  readonly ca?: string | undefined;
}

/** Whose identities count. */
export interface TrustConfig {
  /** The trusted operators: each a path of a file with its token, the token, or its public key alone. None: that of the store. */
  readonly operators: readonly string[];
  /** Accounts that are trusted without an operator, by their public keys. */
  readonly accounts: readonly string[];
  readonly resolver: ResolverConfig | undefined;
  /** URLs that a proof may be made for, beside `publicUrl`. */
  readonly audiences: readonly string[];
  /** By how much the clocks of the server and of its callers may differ. */
  readonly clockSkewSeconds: number;
  /** How long the token of an account counts before it is looked up again. */
  readonly maxAgeSeconds: number;
}

export const DEFAULT_CLOCK_SKEW_SECONDS = 5;
export const DEFAULT_MAX_AGE_SECONDS = 300;

/** What was said of trust, each source apart. */
export interface StatedTrust {
  readonly flags: {
    readonly trustOperator?: readonly string[] | undefined;
    readonly trustStore?: string | undefined;
  };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly file: FileConfig['trust'];
}

/** What is trusted; undefined where nothing is said of it. Paths are made absolute. */
export function trustConfig({ flags, env, file }: StatedTrust): TrustConfig | undefined {
  const operators = flags.trustOperator ?? listOf(env.COFFER_TRUST_OPERATOR) ?? file?.operators;
  const store = flags.trustStore ?? (env.COFFER_TRUST_STORE || undefined);
  if (operators === undefined && store === undefined && file === undefined) return undefined;
  return {
    operators: (operators ?? []).map((one) => (isToken(one) || isOperatorKey(one) ? one : resolve(one))),
    accounts: file?.accounts ?? [],
    resolver: store === undefined ? absolute(file?.resolver) : { store: resolve(store) },
    audiences: file?.audiences ?? [],
    clockSkewSeconds: file?.clockSkewSeconds ?? DEFAULT_CLOCK_SKEW_SECONDS,
    maxAgeSeconds: file?.maxAgeSeconds ?? DEFAULT_MAX_AGE_SECONDS,
  };
}

/** Whether an entry of `operators` is a token itself, and no path. */
export const isToken = (entry: string): boolean => /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/.test(entry);

/** Whether an entry of `operators` is the public key of one, who is known by it alone. */
export const isOperatorKey = (entry: string): boolean => kindOfPublicKey(entry) === 'operator';

/** What of a configuration decides whether its trust can be. */
interface Trusting {
  readonly trust?: TrustConfig | undefined;
  readonly dev: boolean;
  readonly listen: string;
  readonly publicUrl?: string | undefined;
}

/**
 * Refuses trust that says too little, or could not be kept.
 *
 * @throws CofferError `invalid_argument`
 */
export function checkTrust({ trust, dev, listen, publicUrl }: Trusting): void {
  if (trust === undefined) return;
  if (dev) {
    throw refuse(
      'a development server lets everybody in, so that trust decides nothing: leave out --dev, or trust',
    );
  }
  const { operators, accounts, resolver, audiences } = trust;
  for (const account of accounts) requireAccount(account);
  if (publicUrl !== undefined) requireAudience('publicUrl', publicUrl);
  for (const audience of audiences) requireAudience('trust.audiences', audience);
  if (operators.length === 0 && accounts.length === 0 && resolver?.store === undefined) {
    throw refuse(
      'trust names nobody: write the files of the operators’ tokens into trust.operators, or the folder of an nsc store ' +
        'into trust.resolver.store',
    );
  }
  if (operators.length > 0 && resolver === undefined) {
    throw refuse(
      'trust.resolver is missing: say where the tokens of accounts are, store: DIR, folder: DIR or nats: {servers: […]}',
    );
  }
  const address = listenAddress(listen);
  if (publicUrl === undefined && audiences.length === 0 && address && !isLoopback(address.host)) {
    throw refuse(
      'trust needs publicUrl, for a proof counts for one server alone: write the URL that callers use, such as ' +
        'publicUrl: https://coffer.example.com',
    );
  }
}

function requireAccount(text: string): void {
  if (kindOfPublicKey(text) === 'account') return;
  throw refuse('trust.accounts takes public keys of accounts, which begin with A and have 56 characters');
}

/** A proof must name exactly what the server expects. */
function requireAudience(setting: string, url: string): void {
  try {
    audienceOf(url);
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error;
    throw refuse(`${setting} is no audience of proofs: ${error.message}`);
  }
}

function absolute(stated: ResolverConfig | undefined): ResolverConfig | undefined {
  if (stated === undefined) return undefined;
  const { folder, store, nats } = stated;
  if (folder !== undefined) return { folder: resolve(folder) };
  if (store !== undefined) return { store: resolve(store) };
  if (nats === undefined) return undefined;
  const { servers, creds, ca } = nats;
  return { nats: { servers, ...(creds && { creds: resolve(creds) }), ...(ca && { ca: resolve(ca) }) } };
}

/** As in PATH. */
function listOf(text: string | undefined): readonly string[] | undefined {
  return text ? text.split(':').filter((one) => one !== '') : undefined;
}

function refuse(message: string): CofferError {
  return new CofferError('invalid_argument', message);
}
