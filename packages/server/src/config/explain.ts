import { hostname } from 'node:os';
import { DEFAULT_MIN_FREE_BYTES, SEGMENT_BYTES, SEGMENT_DAYS } from '@coffer/engine';
import { describePath } from '../describe.js';
import { maskLogin } from '../nats/servers.js';
import type { BackendConfig } from './backends.js';
import { type AssembledConfig, assembleConfig, type ConfigFlags, type ConfigSources } from './config.js';
import type { NatsReach } from './nats.js';

/** One setting of a server's, and who decided it. */
export interface Setting {
  /** As it is written in a configuration file, with dots: `limits.nameBytes`. */
  readonly key: string;
  /** Undefined: it is not set, and has no default. */
  readonly value: unknown;
  readonly from: SettingSource;
}

export type SettingSource =
  | { readonly kind: 'flag'; readonly name: string }
  | { readonly kind: 'environment'; readonly name: string }
  | { readonly kind: 'file'; readonly name: string; readonly line?: number }
  | { readonly kind: 'default' };

export interface ExplainedConfig extends AssembledConfig {
  readonly settings: readonly Setting[];
}

/** Settings that more than the file can decide: `loadConfig` asks the same flags and variables. */
const DECIDED_BY: Readonly<
  Record<string, { readonly flag?: keyof ConfigFlags; readonly variable?: string }>
> = {
  listen: { flag: 'listen', variable: 'COFFER_LISTEN' },
  stateDir: { flag: 'stateDir', variable: 'COFFER_STATE_DIR' },
  rootKey: { flag: 'rootKey', variable: 'COFFER_ROOT_KEY' },
  publicUrl: { flag: 'publicUrl', variable: 'COFFER_PUBLIC_URL' },
  'tls.cert': { flag: 'tlsCert', variable: 'COFFER_TLS_CERT' },
  'tls.key': { flag: 'tlsKey', variable: 'COFFER_TLS_KEY' },
  'trust.operators': { flag: 'trustOperator', variable: 'COFFER_TRUST_OPERATOR' },
  'trust.resolver.store': { flag: 'trustStore', variable: 'COFFER_TRUST_STORE' },
  logLevel: { variable: 'COFFER_LOG' },
  insecureHttp: { flag: 'insecureHttp' },
  dev: { flag: 'dev' },
  acceptRollback: { flag: 'acceptRollback' },
};

/** The variables of the environment that decide settings. */
export const CONFIG_VARIABLES: readonly string[] = [
  'COFFER_CONFIG',
  ...Object.values(DECIDED_BY).flatMap(({ variable }) => variable ?? []),
];

/** The configuration as a server would have it, each setting with its source, and everything that is wrong in it. */
export function explainConfig(sources: ConfigSources): ExplainedConfig {
  const assembled = assembleConfig(sources);
  const { config, file } = assembled;
  // What the engine decides where nobody else does.
  const storage = {
    kind: 'embedded',
    quotaBytes: undefined,
    minFreeBytes: DEFAULT_MIN_FREE_BYTES,
    ...(config.storage.kind === 'jetstream' && {
      ...unsetReach(config.storage),
      placement: undefined,
      systemCreds: undefined,
      instanceName: hostname(),
    }),
    ...config.storage,
  };
  const nats = config.nats && { ...unsetReach(config.nats), ...config.nats };
  const audit = {
    segmentBytes: SEGMENT_BYTES,
    segmentDays: SEGMENT_DAYS,
    retentionDays: undefined,
    ...config.audit,
  };
  // By their numbers, as they stand in the file.
  const backends = config.backends && Object.fromEntries(config.backends.map(withoutFolder).entries());
  const explained = { ...config, nats, backends, storage, audit };
  const settings = leavesOf(explained).map(([path, value]): Setting => {
    const key = describePath(path.map((part) => (/^\d+$/.test(part) ? Number(part) : part)));
    return { key, value: masked(key, value), from: sourceOf(key, path) };
  });
  return { ...assembled, settings };

  function sourceOf(key: string, path: readonly string[]): SettingSource {
    const { flag, variable } = DECIDED_BY[key] ?? {};
    if (flag !== undefined && sources.flags?.[flag] !== undefined)
      return { kind: 'flag', name: optionOf(flag) };
    if (variable !== undefined && sources.env[variable]) return { kind: 'environment', name: variable };
    if (file === undefined || !has(file.settings, path)) return { kind: 'default' };
    const line = file.lineOf(path);
    return { kind: 'file', name: file.path, ...(line === undefined ? {} : { line }) };
  }
}

/** It is no setting, but where the file is. */
function withoutFolder(backend: BackendConfig): object {
  const { folder: _, ...settings } = { folder: undefined, ...backend };
  return settings;
}

/** The servers first, then as whom. */
const unsetReach = ({ servers }: NatsReach): NatsReach => ({
  servers,
  creds: undefined,
  nkey: undefined,
  tls: undefined,
});

/** URLs may hold a password, and what should be a public key may be a seed. */
function masked(key: string, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((one) => masked(key, one));
  if (typeof value !== 'string') return value;
  if (/^S[A-Z2-7]{57}$/.test(value)) return 'S… (a seed)';
  return /\.(servers|address)$/.test(key) ? maskLogin(value) : value;
}

/** Plain objects are gone into; lists are values. */
function leavesOf(value: object, path: readonly string[] = []): [readonly string[], unknown][] {
  return Object.entries(value).flatMap(([key, inner]: [string, unknown]) => {
    const here = [...path, key];
    const isGroup = typeof inner === 'object' && inner !== null && !Array.isArray(inner);
    return isGroup ? leavesOf(inner, here) : [[here, inner] as [readonly string[], unknown]];
  });
}

function has(settings: object, path: readonly string[]): boolean {
  const found = path.reduce<unknown>(
    (at, key) => (at as Record<string, unknown> | undefined)?.[key],
    settings,
  );
  return found !== undefined;
}

/** `stateDir` as it is typed: `--state-dir`. */
const optionOf = (flag: string): string =>
  `--${flag.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
