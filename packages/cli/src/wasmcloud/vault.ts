import { formatCreds, kindOfPublicKey } from '@coffer/identity';
import { Failure } from '../failure.js';
import { note } from '../output.js';
import { needed, runDropIn, said, saidSeed } from './drop-in.js';
import { given, type PlaceOptions } from './run.js';
import { seedBytes } from './run-seeds.js';
import { noteSeen } from './seeds.js';

/** `coffer wasmcloud vault`: in place of secrets-vault, by its flags and variables. */

export type VaultOptions = PlaceOptions & {
  readonly natsAddress?: string;
  readonly natsJwt?: string;
  readonly natsSeed?: string;
  readonly natsCredsFile?: string;
  readonly natsCa?: string;
  readonly jwksAddress?: string;
  readonly serverNkeySeed?: string;
  readonly serverXkeySeed?: string;
  readonly secretsPrefix?: string;
  readonly secretsServiceName?: string;
  readonly vaultAddress?: string;
  readonly vaultCa?: string;
  readonly vaultAuthMethod?: string;
  readonly jwtAuthAudience?: string;
  readonly vaultDefaultSecretEngine?: string;
  readonly vaultDefaultNamespace?: string;
  readonly applicationHost?: readonly string[];
  readonly grants?: 'required' | 'upstream';
};

/** As secrets-vault: policies may name whatever they like, and Vault decides. */
const EVERYTHING = ['*'];
const ALLOW = {
  namespaces: EVERYTHING,
  authMounts: EVERYTHING,
  enginePaths: EVERYTHING,
  roles: EVERYTHING,
};

export async function vault(options: VaultOptions): Promise<void> {
  const address = needed(
    said(options.vaultAddress, 'SV_VAULT_ADDRESS'),
    '--vault-address',
    'SV_VAULT_ADDRESS',
  );
  const servers = said(options.natsAddress, 'SV_NATS_ADDRESS')
    ?.split(',')
    .map((one) => one.trim());
  const prefix = said(options.secretsPrefix, 'SV_SECRETS_PREFIX');
  const more = given({
    ca: options.vaultCa,
    authMount: said(options.vaultAuthMethod, 'SV_VAULT_AUTH_METHOD'),
    audience: said(options.jwtAuthAudience, 'SV_JWT_AUTH_AUDIENCE'),
    enginePath: said(options.vaultDefaultSecretEngine, 'SV_VAULT_DEFAULT_SECRET_ENGINE'),
    namespace: said(options.vaultDefaultNamespace, 'SV_VAULT_DEFAULT_NAMESPACE'),
    applicationHosts: options.applicationHost && applicationHostsOf(options.applicationHost),
  });
  const jwks = said(options.jwksAddress, 'SV_JWKS_ADDRESS');
  await noteSeen(seedFlags(options));
  await noteClear(address, jwks);
  const creds = credsOf(options);
  const signing = saidSeed(options.serverNkeySeed, 'SV_SERVER_NKEY_SEED');
  const file = creds === undefined ? options.natsCredsFile || process.env.NATS_CREDSFILE : undefined;
  await runDropIn(options, {
    nats: given({
      servers,
      creds: file || undefined,
      tls: options.natsCa === undefined ? undefined : { ca: options.natsCa },
    }),
    backend: {
      name: said(options.secretsServiceName, 'SV_SERVICE_NAME') ?? 'vault',
      kind: 'vault',
      grants: options.grants ?? 'upstream',
      ...(prefix !== undefined && { prefix }),
      settings: { address, insecureHttp: true, allow: ALLOW, ...more },
    },
    jwksListen: jwks && (/^http:/.test(jwks) ? jwks : `http://${jwks}`),
    creds,
    transitSeed: seedBytes('--server-xkey-seed', saidSeed(options.serverXkeySeed, 'SV_SERVER_XKEY_SEED')),
    signingSeed: signing === undefined ? undefined : Buffer.from(signing),
  });
}

const seedFlags = ({ natsSeed, serverNkeySeed, serverXkeySeed }: VaultOptions) => [
  ...(natsSeed ? [['--nats-seed', 'SV_NATS_SEED'] as const] : []),
  ...(serverNkeySeed ? [['--server-nkey-seed', 'SV_SERVER_NKEY_SEED'] as const] : []),
  ...(serverXkeySeed ? [['--server-xkey-seed', 'SV_SERVER_XKEY_SEED'] as const] : []),
];

/** What "coffer server" refuses goes on here as it went with secrets-vault, and is not passed over. */
async function noteClear(address: string, jwks: string | undefined): Promise<void> {
  const { isLoopback } = await import('@coffer/server');
  const isFar = (host: string | undefined) => host !== undefined && !isLoopback(host.replace(/^\[|\]$/g, ''));
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url?.protocol === 'http:' && isFar(url.hostname)) {
    await note(
      `coffer: warning: log-ins, tokens and secrets pass to ${url.origin} in clear: whoever is on the way reads them all, and can be ` +
        'anybody to Vault. Give Vault a certificate, and write https:// in --vault-address',
    );
  }
  if (isFar(jwks?.replace(/^http:\/\//, '').replace(/:\d+$/, ''))) {
    await note(
      `coffer: warning: the keys by which Vault checks log-ins are shown at ${jwks} in clear: whoever changes them on the way is anybody ` +
        'to Vault. Where others are on that way, give Vault the key itself (jwt_validation_pubkeys)',
    );
  }
}

function credsOf(options: VaultOptions): Buffer | undefined {
  const jwt = said(options.natsJwt, 'SV_NATS_JWT');
  const seed = saidSeed(options.natsSeed, 'SV_NATS_SEED');
  if ((jwt === undefined) !== (seed === undefined)) {
    throw new Failure(
      '--nats-jwt and --nats-seed (SV_NATS_JWT, SV_NATS_SEED) go together: give both, or neither',
    );
  }
  if (jwt === undefined || seed === undefined) return undefined;
  const bytes = Buffer.from(seed);
  try {
    const { buffer, byteOffset, length } = formatCreds(jwt, bytes);
    return Buffer.from(buffer, byteOffset, length);
  } finally {
    bytes.fill(0);
  }
}

/** Hosts by their own keys, or by those that sign for them. @throws Failure, which repeats nothing of what may be a seed */
function applicationHostsOf(all: readonly string[]): {
  readonly keys?: string[];
  readonly clusters?: string[];
} {
  const kinds = all.map((key) => [key, kindOfPublicKey(key)] as const);
  const keys = kinds.flatMap(([key, kind]) => (kind === 'server' ? [key] : []));
  const clusters = kinds.flatMap(([key, kind]) => (kind === 'cluster' || kind === 'account' ? [key] : []));
  if (keys.length + clusters.length === all.length) {
    return { ...(keys.length > 0 && { keys }), ...(clusters.length > 0 && { clusters }) };
  }
  throw new Failure(
    '--application-host takes public keys of 56 characters: of a host (N…), or of what signs for hosts (C… or A…)',
  );
}
