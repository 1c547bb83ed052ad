import { setFlagsFromString } from 'node:v8';
import type { PartialSettings, ServerConfig } from '@coffer/server';
import { serve } from '../commands/serve.js';
import { Failure } from '../failure.js';
import { note } from '../output.js';
import { quote } from '../quote.js';
import { type AddressOptions, addressOf, queueGroupOf } from './address.js';
import type { NatsOptions } from './nats.js';
import { seedBytes } from './run-seeds.js';
import { runWelcome } from './run-welcome.js';
import { noteSeedFlags, type SeedOptions } from './seeds.js';

/** `coffer wasmcloud run`: a server for wasmCloud alone, by the flags of secrets-nats-kv's `run`, and more. */

/** Where state is, and who is trusted. */
export interface PlaceOptions {
  readonly stateDir?: string;
  readonly rootKey?: string;
  readonly listen?: string;
  readonly config?: string;
  readonly acceptRollback?: boolean;
  readonly trustedOperator?: readonly string[];
  readonly trustedAccount?: readonly string[];
  readonly accountTokens?: string;
  readonly trustStore?: string;
  readonly trust?: 'lineage' | 'self-issued';
  readonly allowOpenNats?: boolean;
}

export type RunOptions = AddressOptions &
  Omit<NatsOptions, 'creds'> &
  SeedOptions &
  PlaceOptions & {
    readonly secretsBucket?: string;
    readonly maxSecretHistory?: string;
    readonly secretsApiVersion?: string;
    readonly mappingAccount?: string;
    readonly allowUnauthenticatedAdmin?: boolean;
    readonly signedAdminOnly?: boolean;
  };

const API_VERSION = 'v1alpha1';
const STOCK_BUCKET = 'WASMCLOUD_SECRETS';
const ROOT_KEY_SEED = 'ENCRYPTION_XKEY_SEED';

/**
 * V8 lets the space of young objects grow to 16 MB, three times over. What a request over NATS leaves behind is small and soon
 * dead: a space that stays as it is once the program is loaded costs no time that could be measured here, and takes some 15 MB
 * off the peak under load. (Over HTTP it costs throughput.)
 */
const YOUNG_GROWTH = '--semi-space-growth-factor=1';

export async function run(options: RunOptions): Promise<void> {
  await refuseAndNote(options);
  const transitSeed = seedBytes('-t', options.transitXkeySeed || process.env.TRANSIT_XKEY_SEED);
  seedBytes('-e', options.encryptionXkeySeed || process.env[ROOT_KEY_SEED])?.fill(0);
  // In memory alone: what this process starts, and whoever looks at it from outside, sees no more than was given.
  const env = {
    ...process.env,
    ...(options.encryptionXkeySeed && { [ROOT_KEY_SEED]: options.encryptionXkeySeed }),
  };
  const { loadConfig } = await import('@coffer/server');
  const read = () => {
    const config = loadConfig({ flags: flagsOf(options), env, settings: settingsOf(options, env) });
    return withQueueGroup(config, options);
  };
  if (options.listen === undefined) setFlagsFromString(YOUNG_GROWTH);
  try {
    await serve({ read, welcome: runWelcome, start: { env, ...(transitSeed && { transitSeed }) } });
  } finally {
    transitSeed?.fill(0);
  }
}

async function refuseAndNote(options: RunOptions): Promise<void> {
  const { secretsApiVersion = API_VERSION, secretsBucket = STOCK_BUCKET } = options;
  if (secretsApiVersion !== API_VERSION) {
    throw new Failure(
      `there is no version ${quote(secretsApiVersion)} of the protocol here: only ${API_VERSION}, so leave --secrets-api-version out`,
    );
  }
  addressOf(options);
  queueGroupOf(options);
  requireAccounts(options);
  await requireTrust(options);
  await noteSeedFlags(options);
  if (secretsBucket !== STOCK_BUCKET) {
    await note(
      `coffer: the bucket ${quote(secretsBucket)} is passed over: secrets are kept in the state folder, and no bucket is read or written`,
    );
  }
}

export function requireAccounts({
  trustedAccount = [],
  mappingAccount,
}: Pick<RunOptions, 'trustedAccount' | 'mappingAccount'>): void {
  const given = [
    ...trustedAccount.map((key) => ['--trusted-account', key] as const),
    ...(mappingAccount === undefined ? [] : [['--mapping-account', mappingAccount] as const]),
  ];
  const wrong = given.find(([, key]) => !/^A[A-Z2-7]{55}$/.test(key));
  if (wrong === undefined) return;
  const [flag, key] = wrong;
  throw new Failure(
    `invalid ${flag} ${/^S/.test(key) ? '(a seed, which is secret)' : quote(key)}: it takes the public key of an account, A… and 56 characters`,
  );
}

/** Before anything is made: what is missing, in the words of these flags. A configuration file may say it instead. */
export async function requireTrust(options: PlaceOptions): Promise<void> {
  const { trustedOperator, trustedAccount, accountTokens, trustStore, trust, config } = options;
  if (accountTokens !== undefined && trustStore !== undefined) {
    throw new Failure(
      'use either --account-tokens or --trust-store: both say where the tokens of accounts are',
    );
  }
  if (config !== undefined || process.env.COFFER_CONFIG) return;
  const store = trustStore ?? process.env.COFFER_TRUST_STORE;
  const operators = trustedOperator ?? process.env.COFFER_TRUST_OPERATOR;
  if (operators && !store && accountTokens === undefined) {
    throw new Failure(
      'an operator is trusted with its accounts, whose tokens are needed: --account-tokens DIR, a folder with a file for each, ' +
        'or --trust-store DIR, an operator’s folder in an nsc store',
    );
  }
  if (operators || store || trustedAccount || trust === 'self-issued') return;
  throw new Failure(
    'nobody is trusted, so that no component would get a secret: --trusted-account A… names the account that signs your ' +
      'components, which "coffer wasmcloud inspect FILE.wasm" shows as their issuer, and --trusted-operator with --account-tokens ' +
      'an operator of many; for a migration alone --trust self-issued believes any component on its own word, as secrets-nats-kv does',
  );
}

function flagsOf(options: RunOptions) {
  const { encryptionXkeySeed, rootKey } = options;
  const ofSeed = `xkey-seed:env:${ROOT_KEY_SEED}`;
  if (process.env[ROOT_KEY_SEED] && rootKey !== undefined && rootKey !== ofSeed) {
    throw new Failure(
      `${ROOT_KEY_SEED} derives the root key, and --root-key names another: leave --root-key out, or unset ${ROOT_KEY_SEED}`,
    );
  }
  if (encryptionXkeySeed && rootKey !== undefined) {
    throw new Failure('-e derives the root key, and --root-key names another: use one of them');
  }
  return {
    listen: options.listen,
    stateDir: options.stateDir,
    rootKey: encryptionXkeySeed ? ofSeed : rootKey,
    config: options.config,
    acceptRollback: options.acceptRollback,
    trustOperator: options.trustedOperator,
    trustStore: options.trustStore,
  };
}

/** The flags, as a configuration file would say them. */
function settingsOf(
  options: RunOptions,
  env: NodeJS.ProcessEnv,
): { over: PartialSettings; under: PartialSettings } {
  const creds =
    options.natsCredsFile ??
    (options.natsNkeyFile === undefined ? env.NATS_CREDSFILE || undefined : undefined);
  const { maxSecretHistory } = options;
  const over: PartialSettings = {
    nats: given({
      servers: options.natsAddress?.split(',').map((one) => one.trim()),
      creds,
      nkey: options.natsNkeyFile,
      tls: options.natsCa === undefined ? undefined : { ca: options.natsCa },
      allowOpen: options.allowOpenNats,
    }),
    wasmcloud: given({
      prefix: options.subjectBase,
      name: options.name,
      trust: options.trust,
      mappingAccount: options.mappingAccount,
      allowUnauthenticatedAdmin: options.allowUnauthenticatedAdmin,
      unsignedAdmin: options.signedAdminOnly ? 'refused' : undefined,
    }),
    ...(maxSecretHistory !== undefined && {
      retention: [{ secrets: ['*'], keepVersions: historyOf(maxSecretHistory) }],
    }),
    ...trustSettings(options),
  };
  const [onlyAccount, ...others] = options.trustedAccount ?? [];
  const under: PartialSettings = {
    listen: 'none',
    ...(onlyAccount !== undefined && others.length === 0 && { wasmcloud: { mappingAccount: onlyAccount } }),
    nats: { servers: ['127.0.0.1:4222'] },
    ...(env[ROOT_KEY_SEED] && { rootKey: `xkey-seed:env:${ROOT_KEY_SEED}` }),
  };
  return { over, under };
}

export function trustSettings({
  trustedAccount,
  accountTokens,
}: PlaceOptions): Pick<PartialSettings, 'trust'> {
  if (trustedAccount === undefined && accountTokens === undefined) return {};
  const resolver = accountTokens === undefined ? undefined : { folder: accountTokens };
  return { trust: given({ accounts: trustedAccount && [...trustedAccount], resolver }) };
}

/** Its base is a flag, and the name behind it may be the file's. */
function withQueueGroup(config: ServerConfig, { natsQueueBase }: RunOptions): ServerConfig {
  if (natsQueueBase === undefined) return config;
  const { wasmcloud } = config;
  const queueGroup = queueGroupOf({ natsQueueBase, name: wasmcloud.name });
  return { ...config, wasmcloud: { ...wasmcloud, queueGroup } };
}

function historyOf(text: string): number {
  if (/^[1-9]\d{0,5}$/.test(text)) return Number(text);
  throw new Failure(
    `invalid --max-secret-history ${quote(text)}: write how many versions of a secret to keep, from 1`,
  );
}

export const given = <T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
