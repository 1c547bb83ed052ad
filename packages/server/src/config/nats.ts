import { resolve } from 'node:path';
import { CofferError } from '@coffer/engine';
import { type KeyKind, kindOfPublicKey } from '@coffer/identity';
import { DEFAULT_PREFIX, isSubjectPrefix, isSubjectToken } from '@coffer/wasmcloud';
import { parseNatsServers } from '../nats/servers.js';
import type { FileConfig } from './file.js';
import type { TrustConfig } from './trust.js';

/** Where the configuration says how a NATS is reached: that of the door, or that of the store. */
export type NatsSection = 'nats' | 'storage';
/** As whom: the user of a section, or that of the system account, of which `storage` says as well. */
export type NatsUser = NatsSection | 'system';

export const sectionOf = (user: NatsUser): NatsSection => (user === 'system' ? 'storage' : user);

/** The setting with the creds of a user. */
export const credsSetting = (user: NatsUser): string =>
  user === 'system' ? 'storage.systemCreds' : `${user}.creds`;

/** How a NATS is reached, and as whom. */
export interface NatsReach {
  /** `nats://HOST:PORT` or `tls://HOST:PORT`, of one cluster; `USER:PASSWORD@` may stand before the host. */
  readonly servers: readonly string[];
  /** A file with the creds of a user. */
  readonly creds?: string | undefined;
  /** In place of the file its content, each time a copy for the receiver to wipe. */
  readonly heldCreds?: (() => Buffer) | undefined;
  /** A file with the seed of a user's nkey. */
  readonly nkey?: string | undefined;
  readonly tls?: NatsTls | undefined;
}

/** That it is there opens the NATS door. */
export interface NatsConfig extends NatsReach {
  /** Serve although the NATS server lets everybody in. */
  readonly allowOpen: boolean;
}

/** Files, PEM. */
export interface NatsTls {
  /** The authorities to trust, in place of the system's. */
  readonly ca?: string | undefined;
  /** The certificate that shows who comes, with its key. */
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
}

/** coffer's own store as a backend for wasmCloud, behind the NATS door. */
export interface WasmcloudConfig {
  /** False: only the other backends are served. */
  readonly serve: boolean;
  readonly name: string;
  readonly prefix: string;
  readonly queueGroup: string;
  /** Which components and providers are believed: those whose tokens descend from who is trusted, or any on their own word. */
  readonly trust: 'lineage' | 'self-issued';
  readonly hosts: {
    readonly keys?: readonly string[] | undefined;
    readonly clusters?: readonly string[] | undefined;
  };
  /** The account under which mappings become grants; undefined: the only one of `trust.accounts`. */
  readonly mappingAccount?: string | undefined;
  /** Take unsigned administration although the NATS server lets everybody in. */
  readonly allowUnauthenticatedAdmin: boolean;
  /** Unsigned administration: whose NATS permits it, as secrets-nats-kv's own tools come, or nobody's. */
  readonly unsignedAdmin: 'permitted' | 'refused';
  readonly maxInFlight: number;
}

export const DEFAULT_BACKEND = 'nats-kv';
export const DEFAULT_IN_FLIGHT = 256;

/** Paths are made absolute. */
export function natsConfig(stated: FileConfig['nats']): NatsConfig | undefined {
  if (stated === undefined) return undefined;
  return { ...reachOf(stated), allowOpen: stated.allowOpen ?? false };
}

/** Paths are made absolute. */
export function reachOf({ servers, creds, nkey, tls }: NatsReach): NatsReach {
  const files = Object.entries(tls ?? {}).map(([name, path]) => [name, path && resolve(path)]);
  return {
    servers,
    ...(creds && { creds: resolve(creds) }),
    ...(nkey && { nkey: resolve(nkey) }),
    ...(tls && { tls: Object.fromEntries(files) as NatsTls }),
  };
}

/** All settings of the backend, the stated ones and the defaults of the others, which are those of secrets-nats-kv. */
export function completeWasmcloud(stated: FileConfig['wasmcloud'] = {}): WasmcloudConfig {
  const { name = DEFAULT_BACKEND, hosts = {}, mappingAccount } = stated;
  return {
    serve: stated.serve ?? true,
    name,
    prefix: stated.prefix ?? DEFAULT_PREFIX,
    queueGroup: stated.queueGroup ?? `wasmcloud_secrets.${name}`,
    trust: stated.trust ?? 'lineage',
    hosts,
    mappingAccount,
    allowUnauthenticatedAdmin: stated.allowUnauthenticatedAdmin ?? false,
    unsignedAdmin: stated.unsignedAdmin ?? 'permitted',
    maxInFlight: stated.maxInFlight ?? DEFAULT_IN_FLIGHT,
  };
}

/** Undefined: any host is believed. */
export function believedHosts({ hosts }: WasmcloudConfig): WasmcloudConfig['hosts'] | undefined {
  return hosts.keys === undefined && hosts.clusters === undefined ? undefined : hosts;
}

/** What of a configuration decides whether its NATS door can be. */
interface Serving {
  readonly nats?: NatsConfig | undefined;
  readonly wasmcloud: WasmcloudConfig;
  readonly trust?: TrustConfig | undefined;
  readonly dev: boolean;
}

/**
 * Refuses a NATS door that says too little, contradicts itself, or would believe nobody.
 *
 * @throws CofferError `invalid_argument`
 */
export function checkNats({ nats, wasmcloud, trust, dev }: Serving): void {
  checkBackend(wasmcloud, trust);
  if (nats === undefined) return;
  if (dev) {
    throw refuse(
      'a development server lets everybody in, and NATS brings others than this machine’s programs: leave out --dev, or nats',
    );
  }
  checkReach(nats);
  if (trust === undefined && wasmcloud.serve && wasmcloud.trust !== 'self-issued') {
    throw refuse(
      'with nats somebody must be trusted: write the public key of the account that signs your components into trust.accounts, ' +
        'or your operator into trust.operators with a trust.resolver. For a migration alone wasmcloud.trust: self-issued believes ' +
        'any component on its own word',
    );
  }
}

/**
 * Refuses servers that are none, and more than one user.
 *
 * @throws CofferError `invalid_argument`
 */
export function checkReach({ servers, creds, nkey, tls }: NatsReach, section: NatsSection = 'nats'): void {
  const { login } = parseNatsServers(servers, section);
  const stated = [
    creds && `${section}.creds`,
    nkey && `${section}.nkey`,
    login && `a user in the URL of ${section}.servers`,
  ].filter(Boolean);
  if (stated.length > 1) {
    throw refuse(`there are several credentials for NATS, ${stated.join(' and ')}: keep one of them`);
  }
  if ((tls?.cert === undefined) !== (tls?.key === undefined)) {
    throw refuse(`${section}.tls.cert and ${section}.tls.key go together: name both files, or neither`);
  }
}

function checkBackend(wasmcloud: WasmcloudConfig, trust: TrustConfig | undefined): void {
  const { name, prefix, queueGroup, hosts, mappingAccount, unsignedAdmin } = wasmcloud;
  if (!isSubjectToken(name)) {
    throw refuse('wasmcloud.name is one token of a subject: no dots, wildcards or spaces');
  }
  if (!isSubjectPrefix(prefix)) {
    throw refuse('wasmcloud.prefix consists of tokens of a subject, without wildcards and spaces');
  }
  if (!isSubjectPrefix(queueGroup)) throw refuse('wasmcloud.queueGroup has no spaces and no wildcards');
  requireKeys('wasmcloud.hosts.keys', hosts.keys, HOST_KEYS);
  requireKeys('wasmcloud.hosts.clusters', hosts.clusters, HOST_CLUSTERS);
  if (unsignedAdmin === 'refused' && wasmcloud.allowUnauthenticatedAdmin) {
    throw refuse(
      'wasmcloud.allowUnauthenticatedAdmin takes unsigned administration from everybody, and wasmcloud.unsignedAdmin refuses it: keep one of them',
    );
  }
  if (mappingAccount === undefined) return;
  requireKeys('wasmcloud.mappingAccount', [mappingAccount], { account: ['accounts', 'A'] });
  const onlyAccounts = trust && trust.operators.length === 0 && trust.resolver?.store === undefined;
  if (onlyAccounts && !trust.accounts.includes(mappingAccount)) {
    throw refuse(
      'wasmcloud.mappingAccount is none of trust.accounts, so that a mapping would let nobody in: name one of them',
    );
  }
}

type Kinds = Partial<Record<KeyKind, readonly [what: string, letter: string]>>;

/** Of lists of hosts: their own keys, and those that sign their tokens. */
export const HOST_KEYS: Kinds = { server: ['hosts', 'N'] };
export const HOST_CLUSTERS: Kinds = { cluster: ['clusters', 'C'], account: ['accounts', 'A'] };

/** @throws CofferError `invalid_argument` for a key of another kind, or none */
export function requireKeys(setting: string, keys: readonly string[] = [], kinds: Kinds): void {
  if (keys.every((key) => (kindOfPublicKey(key) ?? '') in kinds)) return;
  const named = Object.values(kinds).map(([what, letter]) => `${what} (${letter}…)`);
  throw refuse(`${setting} takes public keys of ${named.join(' or ')}, of 56 characters`);
}

function refuse(message: string): CofferError {
  return new CofferError('invalid_argument', message);
}
