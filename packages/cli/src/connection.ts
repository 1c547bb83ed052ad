import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Client } from '@coffer/client';
import type { Admin } from '@coffer/client/admin';
import { Failure, isClientError, systemReason, Unidentified } from './failure.js';
import { note } from './output.js';

/** Which server to talk to and as whom; on every command that talks to one. */
export interface ConnectionOptions extends ProofOptions {
  readonly tokenFile?: string;
  readonly ca?: string;
}

/** Who the user is by a NATS creds file, and to which server; without one, see {@link withClient}. */
export interface ProofOptions {
  readonly server?: string;
  readonly creds?: string;
  readonly audience?: string;
}

/**
 * Runs `use` with a client, whose connections end with it: an open one would hold the process for seconds. Who comes
 * `again` was warned of what there is to warn of.
 */
export async function withClient<T>(
  options: ConnectionOptions,
  use: (client: Client) => Promise<T>,
  { again = false } = {},
): Promise<T> {
  const credential = credentialFrom(options);
  const [server, audience] = [serverFrom(options), audienceFrom(options)];
  const client = await connect({ server, audience, ...credential, ca: authoritiesFrom(options) });
  if (!again) await warnIfExposed(client);
  return hinting(credential.creds ? WITH_CREDS : WITHOUT_CREDS, whileOpen(client, use));
}

/** As {@link withClient}, for administration. */
export async function withAdmin<T>(
  options: ConnectionOptions,
  use: (admin: Admin, client: Client) => Promise<T>,
): Promise<T> {
  const { Admin } = await import('@coffer/client/admin');
  return withClient(options, (client) => use(new Admin(client), client));
}

const WITHOUT_CREDS = 'use --token-file FILE, --creds FILE, COFFER_TOKEN or COFFER_CREDS';

/** By what the server's own sentence is about; what else can be wrong with a proof needs no other creds. */
const WITH_CREDS: readonly (readonly [about: RegExp, hint: string])[] = [
  [/: name that as the audience$/, 'that is --audience URL, or COFFER_AUDIENCE'],
  [
    /: (user U|your identity is )/,
    'ask whoever gave you the creds file for a new one, which --creds FILE takes',
  ],
];

/** Ends what is said of a caller that the server does not know with what to do, by how the caller came. */
async function hinting<T>(hints: string | typeof WITH_CREDS, call: Promise<T>): Promise<T> {
  return call.catch((error: unknown) => {
    if (!(error instanceof Unidentified)) throw error;
    const hint = typeof hints === 'string' ? hints : hints.find(([about]) => about.test(error.message))?.[1];
    throw new Failure(hint === undefined ? error.message : `${error.message}; ${hint}`);
  });
}

/** The server of an import that secrets are read from. What the environment says is not for it, least of all the token. */
export async function withSource<T>(
  options: { readonly from: string; readonly fromTokenFile?: string; readonly fromCa?: string },
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const { from, fromTokenFile, fromCa } = options;
  const token = fromTokenFile === undefined ? undefined : tokenFrom('--from-token-file', fromTokenFile);
  const client = await connect({ server: from, token, ca: caFrom('--from-ca', fromCa) });
  await warnIfExposed(client);
  return hinting('use --from-token-file FILE', whileOpen(client, use));
}

/** The server of this machine, by its admin socket. What the environment says is not for it. */
export async function withSocket<T>(path: string, use: (client: Client) => Promise<T>): Promise<T> {
  return whileOpen(await connect({ server: `unix:${path}`, ca: undefined }), use);
}

// Flag, then environment, then default. An empty variable counts as none.

/** The server's address, as written; undefined for the default. */
export function serverFrom({ server }: ProofOptions): string | undefined {
  return server || process.env.COFFER_SERVER || process.env.SETEC_SERVER || undefined;
}

/** What the proofs are for if it is not the server's address. */
export function audienceFrom({ audience }: ProofOptions): string | undefined {
  return audience || process.env.COFFER_AUDIENCE || undefined;
}

/** The content of the creds file, for the receiver to wipe. */
export function credsFrom({ creds }: ProofOptions): Buffer | undefined {
  if (creds !== undefined) return read('--creds', creds);
  return process.env.COFFER_CREDS ? read('COFFER_CREDS', process.env.COFFER_CREDS) : undefined;
}

function credentialFrom(options: ConnectionOptions): { token?: string; creds?: Buffer } {
  const { tokenFile, creds } = options;
  if (tokenFile !== undefined && creds !== undefined) throw new Failure('use either --token-file or --creds');
  if (tokenFile !== undefined) return { token: tokenFrom('--token-file', tokenFile) };
  if (creds !== undefined) return { creds: read('--creds', creds) };
  const [variable, another] = CREDENTIALS.filter((name) => process.env[name]);
  if (another !== undefined) throw new Failure(ambiguous(`${variable} and ${another}`));
  if (variable === undefined) return {};
  const value = process.env[variable] as string;
  if (variable === 'COFFER_TOKEN') return { token: value };
  return variable === 'COFFER_CREDS'
    ? { creds: read(variable, value) }
    : { token: tokenFrom(variable, value) };
}

/** The variables that say who one is. */
export const CREDENTIALS = ['COFFER_TOKEN', 'COFFER_TOKEN_FILE', 'COFFER_CREDS'] as const;

const ambiguous = (variables: string): string =>
  `${variables} are both set: unset one of them, or say who you are by --token-file or --creds`;

async function connect({
  server,
  token,
  creds,
  audience,
  ca,
}: {
  readonly server: string | undefined;
  readonly token?: string | undefined;
  readonly creds?: Buffer | undefined;
  readonly audience?: string | undefined;
  readonly ca: Buffer | undefined;
}): Promise<Client> {
  const { Client, createProof } = await import('@coffer/client');
  try {
    const client = new Client({
      ...(server ? { server } : {}),
      ...(token ? { token } : {}),
      ...(creds === undefined ? {} : { creds }),
      ...(audience === undefined ? {} : { audience }),
      ...(ca === undefined ? {} : { ca }),
    });
    // The client would look at them when it is used, in the middle of a command.
    if (creds) createProof({ creds, audience: audience ?? client.server });
    return client;
  } catch (error) {
    throw isClientError(error) ? new Failure(error.message) : error;
  } finally {
    creds?.fill(0);
  }
}

/** A line where a credential goes over a network in clear. */
export async function warnIfExposed({ exposed, server }: Pick<Client, 'exposed' | 'server'>): Promise<void> {
  if (exposed && !process.env.COFFER_INSECURE_HTTP) await note(exposure(server));
}

async function whileOpen<T>(client: Client, use: (client: Client) => Promise<T>): Promise<T> {
  try {
    return await use(client);
  } finally {
    client.close();
  }
}

const exposure = (server: string): string =>
  `coffer: warning: ${server} is reached without TLS, so everybody on the way can use your credential and read the secrets: ` +
  'use https://, or set COFFER_INSECURE_HTTP=1 if the network itself encrypts';

/** The token in a file that an option or a variable names. */
export function tokenFrom(option: string, path: string): string {
  const token = read(option, path).toString('utf8').trim();
  if (token === '') throw new Failure(`${option} ${path} is empty: write the token into it`);
  return token;
}

/** Whom to trust, by `--ca` or the environment. */
export function authoritiesFrom({ ca }: ConnectionOptions): Buffer | undefined {
  return ca === undefined ? caFrom('COFFER_CA', process.env.COFFER_CA || undefined) : caFrom('--ca', ca);
}

export function caFrom(option: string, path: string | undefined): Buffer | undefined {
  if (path === undefined) return undefined;
  const ca = read(option, path);
  // TLS takes other bytes for a list of no authorities, without a word.
  if (!holdsCertificate(ca)) throw new Failure(`${option}: no certificate in ${path}: it takes PEM`);
  return ca;
}

function holdsCertificate(bytes: Buffer): boolean {
  if (!/-----BEGIN (X509 |TRUSTED )?CERTIFICATE-----/.test(bytes.toString('latin1'))) return false;
  try {
    new X509Certificate(bytes);
    return true;
  } catch {
    return false;
  }
}

/** The bytes of a file that an option or a variable names. */
export function read(option: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new Failure(`cannot read ${option} ${path}: ${systemReason(error)}`);
  }
}
