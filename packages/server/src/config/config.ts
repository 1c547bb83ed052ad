import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import {
  type AuditSettings,
  CofferError,
  DEFAULT_LIMITS,
  type RetentionRule,
  type WatchLimits,
} from '@coffer/engine';
import type { BodyLimits } from '../http/body.js';
import type { RequestRates } from '../limit/rate-limits.js';
import { formatAddress, isLoopback, listenAddress } from '../listen/address.js';
import type { ConnectionLimits } from '../listen/http-server.js';
import { LOG_LEVELS, type LogLevel } from '../log.js';
import type { TlsFiles } from '../tls/pair.js';
import { type BackendConfig, backendConfigs, checkBackends } from './backends.js';
import {
  type ConfigFile,
  type FileConfig,
  openConfigFile,
  type PartialSettings,
  problemsOf,
} from './file.js';
import { checkKeysListen } from './keys-listen.js';
import { checkNats, completeWasmcloud, type NatsConfig, natsConfig, type WasmcloudConfig } from './nats.js';
import { checkStorage, type StorageConfig, storageConfig } from './storage.js';
import { checkTrust, type TrustConfig, trustConfig } from './trust.js';

export interface ServerLimits extends BodyLimits, ConnectionLimits, RequestRates, WatchLimits {
  /** Largest value. */
  readonly valueBytes: number;
}

/** Everything that a server needs to know before it starts. Made by {@link loadConfig}, or by hand in tests. */
export interface ServerConfig {
  /** `HOST:PORT`; port 0 is any free one. `none`: nowhere, and callers come over the admin socket and NATS. */
  readonly listen: string;
  readonly stateDir: string;
  /** `file:PATH`, `passphrase:` with `prompt`, `file:PATH` or `env:NAME`, `xkey-seed:` with `file:PATH` or `env:NAME`. */
  readonly rootKey: string;
  /** Development: this machine only, every caller may do everything, and the store is marked. */
  readonly dev: boolean;
  /** Whether an address that other machines reach may be served without TLS. */
  readonly insecureHttp: boolean;
  /** Serve over TLS, with this certificate. */
  readonly tls?: TlsFiles | undefined;
  /** Under which URL clients know the server. */
  readonly publicUrl?: string | undefined;
  /** Whose identities count; absent: nobody's, and callers come with tokens. */
  readonly trust?: TrustConfig | undefined;
  /** Where NATS is; absent: there is no NATS door. */
  readonly nats?: NatsConfig | undefined;
  /** What is served there. */
  readonly wasmcloud: WasmcloudConfig;
  /** And what else, from elsewhere; absent: nothing. */
  readonly backends?: readonly BackendConfig[] | undefined;
  /** `HOST:PORT` where the public keys of backends that sign are shown as well, in clear; absent: at `listen` alone. */
  readonly jwksListen?: string | undefined;
  /** Of the log on standard error; absent: `info`, or what the one who starts the server chose. */
  readonly logLevel?: LogLevel | undefined;
  readonly limits: ServerLimits;
  readonly storage: StorageConfig;
  readonly audit?: AuditSettings;
  /** Which old versions need not be kept; absent or none: all are kept. */
  readonly retention?: readonly RetentionRule[] | undefined;
  /** Opens although the store or the audit log was put back to an earlier state, and says so in the log. */
  readonly acceptRollback?: boolean;
}

/** What the command line says; everything may be left out. */
export interface ConfigFlags {
  readonly dev?: boolean | undefined;
  readonly listen?: string | undefined;
  readonly stateDir?: string | undefined;
  readonly rootKey?: string | undefined;
  readonly publicUrl?: string | undefined;
  readonly insecureHttp?: boolean | undefined;
  readonly tlsCert?: string | undefined;
  readonly tlsKey?: string | undefined;
  /** Files with the tokens of trusted operators. */
  readonly trustOperator?: readonly string[] | undefined;
  /** The folder of an operator in an nsc store, which says where accounts are, and, without another, who is trusted. */
  readonly trustStore?: string | undefined;
  readonly acceptRollback?: boolean | undefined;
  /** The configuration file. */
  readonly config?: string | undefined;
}

export interface ConfigSources {
  readonly flags?: ConfigFlags | undefined;
  /**
   * `COFFER_LISTEN`, `COFFER_STATE_DIR`, `COFFER_ROOT_KEY`, `COFFER_PUBLIC_URL`, `COFFER_TLS_CERT`, `COFFER_TLS_KEY`,
   * `COFFER_LOG`, `COFFER_TRUST_OPERATOR`, `COFFER_TRUST_STORE`, `COFFER_CONFIG`; and where homes are.
   */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The configuration file, where no flag names one. */
  readonly file?: string | undefined;
  /** Settings as a file has them, for a command with flags of its own: some that go before the file, some behind it. */
  readonly settings?: {
    readonly over?: PartialSettings | undefined;
    readonly under?: PartialSettings | undefined;
  };
}

export const DEFAULT_LISTEN = '127.0.0.1:2633';

const MIB = 1024 * 1024;

/**
 * Puts the configuration together: flag before environment before file before default.
 *
 * @throws CofferError `invalid_argument`, one sentence that names the source of what is wrong and its place in it.
 */
export function loadConfig(sources: ConfigSources): ServerConfig {
  const { config, problems } = assembleConfig(sources);
  const [first] = problems;
  if (first !== undefined) throw first;
  return config;
}

/** A configuration, right or wrong. */
export interface AssembledConfig {
  /** As far as it can be told: what is wrong counts as not said. */
  readonly config: ServerConfig;
  readonly file: ConfigFile | undefined;
  readonly problems: readonly CofferError[];
}

/** The same, with everything that is wrong instead of the first of it. */
export function assembleConfig({ flags = {}, env, file, settings = {} }: ConfigSources): AssembledConfig {
  const path = flags.config ?? (env.COFFER_CONFIG || undefined) ?? file;
  const opened = path === undefined ? undefined : openConfigFile(path);
  const { under = {}, over = {} } = settings;
  const fromFile = layered(under, opened?.settings ?? {}, over);
  const problems: CofferError[] = [...(opened?.problems ?? []), ...problemsOf(fromFile)];
  const noting = <T>(check: () => T): T | undefined => {
    try {
      return check();
    } catch (error) {
      problems.push(error as CofferError);
      return undefined;
    }
  };
  const dev = flags.dev ?? false;
  const first = (flag: string | undefined, variable: string, stated: string | undefined) =>
    flag ?? (env[variable] || undefined) ?? stated;
  const choose = (
    flag: string | undefined,
    variable: string,
    key: 'listen' | 'stateDir' | 'rootKey' | 'publicUrl',
  ) => first(flag, variable, fromFile[key]);

  const stateDir = resolve(
    choose(flags.stateDir, 'COFFER_STATE_DIR', 'stateDir') ?? defaultStateDir(env, dev),
  );
  const config: ServerConfig = {
    listen: choose(flags.listen, 'COFFER_LISTEN', 'listen') ?? DEFAULT_LISTEN,
    stateDir,
    rootKey: choose(flags.rootKey, 'COFFER_ROOT_KEY', 'rootKey') ?? defaultRootKey(env, dev, stateDir),
    dev,
    insecureHttp: flags.insecureHttp ?? fromFile.insecureHttp ?? false,
    tls: noting(() =>
      bothOrNone(
        first(flags.tlsCert, 'COFFER_TLS_CERT', fromFile.tls?.cert),
        first(flags.tlsKey, 'COFFER_TLS_KEY', fromFile.tls?.key),
      ),
    ),
    publicUrl: choose(flags.publicUrl, 'COFFER_PUBLIC_URL', 'publicUrl'),
    trust: trustConfig({ flags, env, file: fromFile.trust }),
    nats: natsConfig(fromFile.nats),
    wasmcloud: completeWasmcloud(fromFile.wasmcloud),
    ...(fromFile.backends && { backends: backendConfigs(fromFile.backends, path) }),
    ...(fromFile.jwksListen && { jwksListen: fromFile.jwksListen }),
    logLevel: noting(() => logLevel(env)) ?? fromFile.logLevel,
    limits: completeLimits(fromFile.limits),
    storage: noting(() => storageConfig(fromFile.storage)) ?? {},
    ...(fromFile.audit && { audit: fromFile.audit }),
    retention: fromFile.retention,
    ...(flags.acceptRollback && { acceptRollback: true }),
  };
  noting(() => checkExposure(config));
  noting(() => checkPublicUrl(config.publicUrl));
  noting(() => checkTrust(config));
  noting(() => checkNats(config));
  noting(() => checkBackends(config));
  noting(() => config.jwksListen && checkKeysListen(config.jwksListen));
  noting(() => checkStorage(config));
  noting(() => {
    if (fromFile.wasmcloud === undefined || fromFile.nats !== undefined) return;
    throw refuse(
      'wasmcloud is served over NATS, and there is none: write nats: {servers: [nats://HOST:4222], …}, too',
    );
  });
  return { config, file: opened, problems };
}

/** Each setting from the last layer that states it, also within sections. */
function layered(...layers: readonly PartialSettings[]): FileConfig {
  const result: Record<string, unknown> = {};
  for (const [key, value] of layers.flatMap((layer) => Object.entries(layer))) {
    const before = result[key];
    result[key] = isSection(before) && isSection(value) ? { ...before, ...value } : value;
  }
  return result;
}

const isSection = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** All limits, the stated ones and the defaults of the others. */
export function completeLimits(stated: FileConfig['limits'] = {}): ServerLimits {
  const nameBytes = stated.nameBytes ?? DEFAULT_LIMITS.nameBytes;
  const valueBytes = stated.valueBytes ?? DEFAULT_LIMITS.valueBytes;
  // The longest form of a value is an array of numbers, four bytes each with the comma; of a name, \u escapes.
  const bodyBytes = stated.bodyBytes ?? 4 * valueBytes + 6 * nameBytes + 64 * 1024;
  const connections = stated.connections ?? 4096;
  const connectionsPerAddress = stated.connectionsPerAddress ?? Math.ceil(connections / 4);
  // Watchers leave room for other connections, and each of them for others.
  const watchers = stated.watchers ?? Math.ceil(connections / 2);
  const perPrincipal = Math.ceil(Math.min(watchers / 4, connectionsPerAddress / 2));
  return {
    nameBytes,
    valueBytes,
    bodyBytes,
    inFlightBytes: stated.inFlightBytes ?? Math.max(64 * MIB, 4 * bodyBytes),
    headerBytes: stated.headerBytes ?? 16 * 1024,
    connections,
    connectionsPerAddress,
    watchers,
    watchersPerPrincipal: stated.watchersPerPrincipal ?? perPrincipal,
    watchersPerAccount: stated.watchersPerAccount ?? Math.ceil(watchers / 2),
    principalRequestsPerSecond: stated.principalRequestsPerSecond,
    addressRequestsPerSecond: stated.addressRequestsPerSecond,
    failuresPerMinute: stated.failuresPerMinute ?? 60,
    headersSeconds: stated.headersSeconds ?? 10,
    requestSeconds: stated.requestSeconds ?? 30,
    idleSeconds: stated.idleSeconds ?? 75,
  };
}

/**
 * Refuses to serve secrets in clear to a network.
 *
 * @throws CofferError `invalid_argument`
 */
export function checkExposure({ listen, dev, insecureHttp, tls }: ServerConfig): void {
  const address = listenAddress(listen);
  if (address === undefined || isLoopback(address.host)) return;
  const where = formatAddress(address);
  if (dev) {
    throw refuse(`a development server lets everybody in and listens on this machine only, not on ${where}`);
  }
  if (tls !== undefined || insecureHttp) return;
  throw refuse(
    `${where} can be reached from other machines, and without TLS everybody on the way reads the secrets: give ` +
      '--tls-cert and --tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS, or say --insecure-http',
  );
}

function checkPublicUrl(publicUrl: string | undefined): void {
  if (publicUrl === undefined) return;
  const url = URL.canParse(publicUrl) ? new URL(publicUrl) : undefined;
  if (url?.protocol === 'https:' || url?.protocol === 'http:') return;
  throw refuse(`publicUrl must be an http or https URL, not ${JSON.stringify(publicUrl)}`);
}

function logLevel({ COFFER_LOG: stated }: Environment): LogLevel | undefined {
  if (!stated) return undefined;
  const level = LOG_LEVELS.find((one) => one === stated);
  if (level !== undefined) return level;
  throw refuse(`COFFER_LOG must be one of ${LOG_LEVELS.join(', ')}, not ${JSON.stringify(stated)}`);
}

function bothOrNone(cert: string | undefined, key: string | undefined): TlsFiles | undefined {
  if (cert !== undefined && key !== undefined) return { cert: resolve(cert), key: resolve(key) };
  if (cert === undefined && key === undefined) return undefined;
  throw refuse(
    cert === undefined
      ? 'there is a TLS key and no certificate: name its file with --tls-cert'
      : 'there is a TLS certificate and no key: name its file with --tls-key',
  );
}

type Environment = ConfigSources['env'];

function defaultStateDir(env: Environment, dev: boolean): string {
  return join(folder(env, 'XDG_STATE_HOME', '.local/state'), dev ? 'coffer-dev' : 'coffer');
}

function defaultRootKey(env: Environment, dev: boolean, stateDir: string): string {
  if (dev) return `file:${join(stateDir, 'root.key')}`;
  return `file:${join(folder(env, 'XDG_CONFIG_HOME', '.config'), 'coffer', 'root.key')}`;
}

/** A relative path in these variables is to be ignored (XDG Base Directory Specification 0.8). */
function folder(env: Environment, variable: string, below: string): string {
  const stated = env[variable];
  return stated?.startsWith('/') ? stated : join(env.HOME || homedir(), below);
}

function refuse(message: string): CofferError {
  return new CofferError('invalid_argument', message);
}
