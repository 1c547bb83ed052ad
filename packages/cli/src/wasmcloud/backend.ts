import { decodeUser, parseCreds } from '@coffer/identity';
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
  SeedOptions & { readonly unsigned?: boolean; readonly json?: boolean };

/** Whom a command asks, and as whom. */
export interface Backend {
  readonly client: AdminClient;
  /** Runs a request; its failure begins with `what`, and says what to do. */
  during<T>(what: string, request: Promise<T>): Promise<T>;
}

/** A person waits, and a backend that is started anew is back by then. */
const PATIENCE_MS = 5_000;

/** Runs `use` with a client of the backend, whose connection ends with it. */
export async function withBackend<T>(
  options: BackendOptions,
  use: (backend: Backend) => Promise<T>,
): Promise<T> {
  await noteSeedFlags(options);
  const address = addressOf(options);
  const signer = signerOf(options);
  try {
    return await withNats(options, async (nats) => {
      const client = new AdminClient({
        ...address,
        nats,
        transitKey: options.transitXkeySeed || process.env.TRANSIT_XKEY_SEED || undefined,
        proofUser: signer && { creds: signer.creds },
        timeoutMs: PATIENCE_MS,
        deadlineMs: PATIENCE_MS,
      });
      const asked = { address, signer: signer?.principal, transitKeyGiven: transitKeyName(options) };
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
  /** Who signed it, as grants name it. */
  readonly signer: string | undefined;
  /** What named the transit key; undefined: the backend did. */
  readonly transitKeyGiven: string | undefined;
}

function transitKeyName({ transitXkeySeed }: SeedOptions): string | undefined {
  if (transitXkeySeed) return '-t';
  return process.env.TRANSIT_XKEY_SEED ? 'TRANSIT_XKEY_SEED' : undefined;
}

/** Who signs requests: by default whoever comes with creds. */
function signerOf(options: BackendOptions): { creds: Buffer; principal: string } | undefined {
  if (options.unsigned) {
    if (options.creds === undefined) return undefined;
    throw new Failure(
      '--creds signs requests, and --unsigned does not: use one of them, or --nats-creds-file',
    );
  }
  const named = signingCreds(options);
  if (named === undefined) return undefined;
  const creds = read(named.named, named.path);
  const { jwt, seed } = parseCreds(creds);
  seed.fill(0);
  const { sub, iss, nats } = decodeUser(jwt).claims;
  return { creds, principal: `nats:${nats.issuer_account ?? iss}/${sub}` };
}

function signingCreds(options: BackendOptions): Named | undefined {
  if (options.creds !== undefined) return { named: '--creds', path: options.creds };
  if (process.env.COFFER_CREDS) return { named: 'COFFER_CREDS', path: process.env.COFFER_CREDS };
  return natsCredsOf(options);
}
