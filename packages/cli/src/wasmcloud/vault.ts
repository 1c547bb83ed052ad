import { formatCreds } from '@coffer/identity';
import { Failure } from '../failure.js';
import { credsFile, needed, runDropIn, said } from './drop-in.js';
import { given, type PlaceOptions } from './run.js';
import { seedBytes } from './run-seeds.js';

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
    applicationHosts: options.applicationHost && hostsOf(options.applicationHost),
  });
  const settings = { address, ...more };
  const signing = said(options.serverNkeySeed, 'SV_SERVER_NKEY_SEED');
  await runDropIn(options, {
    nats: given({
      servers,
      creds: credsOf(options),
      tls: options.natsCa === undefined ? undefined : { ca: options.natsCa },
    }),
    backend: {
      name: said(options.secretsServiceName, 'SV_SERVICE_NAME') ?? 'vault',
      kind: 'vault',
      grants: options.grants ?? 'upstream',
      ...(prefix !== undefined && { prefix }),
      settings,
    },
    jwksListen: said(options.jwksAddress, 'SV_JWKS_ADDRESS'),
    transitSeed: seedBytes('--server-xkey-seed', said(options.serverXkeySeed, 'SV_SERVER_XKEY_SEED')),
    signingSeed: signing === undefined ? undefined : Buffer.from(signing),
  });
}

function credsOf(options: VaultOptions): string | undefined {
  const jwt = said(options.natsJwt, 'SV_NATS_JWT');
  const seed = said(options.natsSeed, 'SV_NATS_SEED');
  if ((jwt === undefined) !== (seed === undefined)) {
    throw new Failure(
      '--nats-jwt and --nats-seed (SV_NATS_JWT, SV_NATS_SEED) go together: give both, or neither',
    );
  }
  if (jwt === undefined || seed === undefined)
    return options.natsCredsFile ?? (process.env.NATS_CREDSFILE || undefined);
  const bytes = Buffer.from(seed);
  const content = formatCreds(jwt, bytes);
  bytes.fill(0);
  try {
    return credsFile(content);
  } finally {
    content.fill(0);
  }
}

/** Hosts by their own keys, or by those that sign for them. */
function hostsOf(all: readonly string[]): { readonly keys?: string[]; readonly clusters?: string[] } {
  const keys = all.filter((key) => key.startsWith('N'));
  const clusters = all.filter((key) => !key.startsWith('N'));
  return { ...(keys.length > 0 && { keys }), ...(clusters.length > 0 && { clusters }) };
}
