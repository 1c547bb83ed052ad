import { decodeUser, IdentityError, parseCreds, parsePublicKey, publicKeyOf } from '@coffer/identity';
import { AdminClient, type BackendAddress } from '@coffer/wasmcloud';
import type { NatsConnection } from '@nats-io/transport-node';
import { read } from '../connection.js';
import { Failure } from '../failure.js';
import { type AddressOptions, addressOf } from './address.js';
import { inWords } from './explain.js';
import { connectNats, type Named, type NatsOptions, natsCredsOf } from './nats.js';
import { noteSeedFlags, type SeedOptions } from './seeds.js';

/** What every command takes that administers a backend. */
export type BackendOptions = AddressOptions &
  NatsOptions &
  SeedOptions & { readonly sign?: boolean; readonly unsigned?: boolean; readonly json?: boolean };

/** Whom a command asks, and as whom. */
export interface Backend {
  readonly client: AdminClient;
  /** Runs a request; its failure begins with `what`, and says what to do. */
  during<T>(what: string, request: Promise<T>): Promise<T>;
}

/** A person waits, and a backend that is started anew is back by then. */
const PATIENCE_MS = 5_000;

/**
 * Runs `use` with a client of the backend, whose connection ends with it.
 *
 * @param reads nothing is read unsigned: the creds for NATS sign, too, without being asked to
 */
export async function withBackend<T>(
  options: BackendOptions,
  use: (backend: Backend) => Promise<T>,
  { reads = false }: { readonly reads?: boolean } = {},
): Promise<T> {
  await noteSeedFlags(options);
  const address = addressOf(options);
  const transitKey = transitKeyOf(options);
  const signer = signerOf(options, reads);
  try {
    return await withNats(options, async (nats) => {
      const client = new AdminClient({
        ...address,
        nats,
        transitKey: transitKey?.key,
        proofUser: signer && { creds: signer.creds },
        timeoutMs: PATIENCE_MS,
        deadlineMs: PATIENCE_MS,
      });
      const asked: Asked = {
        address,
        reads,
        signer: signer?.principal,
        byKey: options.natsNkeyFile !== undefined,
        transitKeyGiven: transitKey?.named,
      };
      return use({ client, during: (what, request) => inWords(what, asked, request) });
    });
  } finally {
    signer?.creds.fill(0);
  }
}

/** Runs `use` with a connection, and ends it. */
export async function withNats<T>(
  options: NatsOptions,
  use: (nats: NatsConnection) => Promise<T>,
): Promise<T> {
  const nats = await connectNats(options);
  try {
    return await use(nats);
  } finally {
    await nats.close();
  }
}

/** What a request was like that a backend refused. */
export interface Asked {
  readonly address: Required<BackendAddress>;
  readonly reads: boolean;
  /** Who signed it, as grants name it. */
  readonly signer: string | undefined;
  /** It came to NATS by a key without a token, with which nothing can be signed. */
  readonly byKey: boolean;
  /** What named the transit key; undefined: the backend did. */
  readonly transitKeyGiven: string | undefined;
}

/** @throws Failure, which names where it comes from, and repeats nothing of what may be a seed */
function transitKeyOf({ transitXkeySeed }: SeedOptions): { key: string; named: string } | undefined {
  const named = transitXkeySeed ? '-t' : 'TRANSIT_XKEY_SEED';
  const key = transitXkeySeed || process.env.TRANSIT_XKEY_SEED;
  if (!key) return undefined;
  if (isXkey(key)) return { key, named };
  throw new Failure(
    `what ${named} holds is no transit key: it is a public key (X…, 56 characters) or its seed (SX…, 58); without it the ` +
      'backend is asked for its key',
  );
}

function isXkey(key: string): boolean {
  try {
    return parsePublicKey(key.startsWith('S') ? publicKeyOf(key) : key).kind === 'curve';
  } catch (error) {
    if (error instanceof IdentityError) return false;
    throw error;
  }
}

/** Who signs requests: only who says so, as secrets-nats-kv's users come with creds and trust nobody; and who wants to read. */
function signerOf(options: BackendOptions, reads: boolean): { creds: Buffer; principal: string } | undefined {
  const { sign = false, unsigned = false, creds } = options;
  if (unsigned && sign) throw new Failure('use either --sign or --unsigned');
  if (unsigned && creds !== undefined) {
    throw new Failure(
      '--creds signs requests, and --unsigned does not: use one of them, or --nats-creds-file',
    );
  }
  const named = unsigned ? undefined : signingCreds(options, sign || reads);
  if (named !== undefined) return signingAs(named);
  if (!sign) return undefined;
  throw new Failure(
    '--sign takes creds to sign with: --creds FILE, --nats-creds-file FILE, COFFER_CREDS or NATS_CREDSFILE',
  );
}

function signingAs({ named, path }: Named): { creds: Buffer; principal: string } {
  const creds = read(named, path);
  const { jwt, seed } = parseCreds(creds);
  seed.fill(0);
  const { sub, iss, nats } = decodeUser(jwt).claims;
  return { creds, principal: `nats:${nats.issuer_account ?? iss}/${sub}` };
}

function signingCreds(options: BackendOptions, withThoseForNats: boolean): Named | undefined {
  if (options.creds !== undefined) return { named: '--creds', path: options.creds };
  if (process.env.COFFER_CREDS) return { named: 'COFFER_CREDS', path: process.env.COFFER_CREDS };
  return withThoseForNats ? natsCredsOf(options) : undefined;
}
