import { dirname, isAbsolute, resolve } from 'node:path';
import { CofferError } from '@coffer/engine';
import { DEFAULT_PREFIX, isSubjectPrefix, isSubjectToken } from '@coffer/wasmcloud';
import { type KubernetesSettings, kubernetesSettings } from '@coffer/wasmcloud/kubernetes';
import { z } from 'zod';
import {
  DEFAULT_IN_FLIGHT,
  HOST_CLUSTERS,
  HOST_KEYS,
  type NatsConfig,
  requireKeys,
  type WasmcloudConfig,
} from './nats.js';
import type { TrustConfig } from './trust.js';

const text = z.string().min(1);

/** What all kinds have. */
const common = {
  name: text,
  prefix: text.optional(),
  queueGroup: text.optional(),
  trust: z.enum(['lineage', 'self-issued'], 'must be lineage or self-issued').optional(),
  grants: z.enum(['required', 'upstream'], 'must be required or upstream').optional(),
  maxInFlight: z.int().min(1).max(65_536).optional(),
  timeoutSeconds: z.number().positive().max(600).optional(),
};

const ofModule = z.strictObject({
  ...common,
  kind: z.literal('module'),
  module: text,
  settings: z.record(z.string(), z.unknown()).optional(),
});

const keys = z.array(text).min(1);

const patterns = z.array(text).max(1_000).optional();

const vaultSettings = z.strictObject({
  address: text,
  insecureHttp: z.boolean().optional(),
  ca: text.optional(),
  namespace: text.optional(),
  authMount: text.optional(),
  enginePath: text.optional(),
  kvVersion: z.literal([1, 2], 'must be 1 or 2').optional(),
  role: text.optional(),
  allow: z
    .strictObject({ namespaces: patterns, authMounts: patterns, enginePaths: patterns, roles: patterns })
    .optional(),
  audience: text.optional(),
  timeoutSeconds: z.number().positive().max(600).optional(),
  retries: z.int().min(0).max(10).optional(),
  applicationHosts: z.strictObject({ keys: keys.optional(), clusters: keys.optional() }).optional(),
});

const ofVault = z.strictObject({ ...common, kind: z.literal('vault'), settings: vaultSettings });

const ofKubernetes = z.strictObject({
  ...common,
  kind: z.literal('kubernetes'),
  settings: kubernetesSettings,
});

/** A backend in the configuration file. */
export const backendSchema = z.discriminatedUnion(
  'kind',
  [ofVault, ofKubernetes, ofModule],
  'must be vault, kubernetes or module',
);

type Stated = z.output<typeof backendSchema>;

/** A backend whose secrets lie elsewhere than in coffer's own store. */
export type BackendConfig = VaultBackend | KubernetesBackend | ModuleBackend;

/** HashiCorp Vault, or OpenBao. */
export interface VaultBackend extends Common {
  readonly kind: 'vault';
  /** As `VaultOptions` of @coffer/wasmcloud, without the keys and the name. */
  readonly settings: z.output<typeof vaultSettings>;
}

/** The Secrets of a cluster. */
export interface KubernetesBackend extends Common {
  readonly kind: 'kubernetes';
  readonly settings: KubernetesSettings;
}

/** One that somebody else wrote. */
export interface ModuleBackend extends Common {
  readonly kind: 'module';
  /** The absolute path of a file, or the name of a package. */
  readonly module: string;
  /** Where a package is looked for first. */
  readonly folder: string;
  readonly settings: Readonly<Record<string, unknown>>;
}

interface Common {
  readonly name: string;
  readonly prefix: string;
  readonly queueGroup: string;
  /** Which components and providers are believed, as `wasmcloud.trust`. */
  readonly trust: 'lineage' | 'self-issued';
  /** `required`: a grant of `get` on `<name>/<key>` is needed as well. `upstream`: what lies behind decides alone. */
  readonly grants: 'required' | 'upstream';
  readonly maxInFlight: number;
  /** So long an answer may take in all. A host waits for 10 s. */
  readonly timeoutSeconds: number;
}

const DEFAULT_TIMEOUT_SECONDS = 9;

/** The stated settings, and the defaults of the others. @param file that of the configuration, to whose folder paths of modules are relative */
export function backendConfigs(
  stated: readonly Stated[] = [],
  file: string | undefined,
): readonly BackendConfig[] {
  const folder = file === undefined ? process.cwd() : dirname(resolve(file));
  return stated.map((one) => {
    const { name, prefix = DEFAULT_PREFIX } = one;
    const shared: Common = {
      name,
      prefix,
      queueGroup: one.queueGroup ?? `${prefix}.${name}`,
      trust: one.trust ?? 'lineage',
      grants: one.grants ?? 'required',
      maxInFlight: one.maxInFlight ?? DEFAULT_IN_FLIGHT,
      timeoutSeconds: one.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS,
    };
    if (one.kind === 'vault') return { ...shared, kind: one.kind, settings: one.settings };
    if (one.kind === 'kubernetes') return { ...shared, kind: one.kind, settings: one.settings };
    return {
      ...shared,
      kind: one.kind,
      module: moduleIn(one.module, folder),
      folder,
      settings: one.settings ?? {},
    };
  });
}

const moduleIn = (module: string, folder: string): string =>
  /^\.{0,2}\//.test(module) || isAbsolute(module) ? resolve(folder, module) : module;

/** Everything that is served over NATS, coffer's own store first. */
export const servedBackends = ({
  wasmcloud,
  backends = [],
}: Pick<Backends, 'backends'> & { readonly wasmcloud: WasmcloudConfig }): readonly Pick<
  WasmcloudConfig,
  'name' | 'prefix'
>[] => [...(wasmcloud.serve ? [wasmcloud] : []), ...backends];

interface Backends {
  readonly backends?: readonly BackendConfig[] | undefined;
  readonly nats?: NatsConfig | undefined;
  readonly wasmcloud: Pick<WasmcloudConfig, 'name' | 'serve'>;
  readonly trust?: TrustConfig | undefined;
}

/**
 * Refuses backends that nobody could reach, or of which two would answer the same.
 *
 * @throws CofferError `invalid_argument`
 */
export function checkBackends({ backends = [], nats, wasmcloud, trust }: Backends): void {
  if (backends.length === 0) {
    if (nats === undefined || wasmcloud.serve) return;
    throw refuse(
      'wasmcloud.serve: false leaves nothing to be served over NATS: write backends, or leave out nats',
    );
  }
  if (nats === undefined) {
    throw refuse(
      'backends are served over NATS, and there is none: write nats: {servers: [nats://HOST:4222], …}, too',
    );
  }
  checkAudiences(backends);
  backends.forEach((backend, index) => {
    const at = `backends[${index}]`;
    checkNames(at, backend);
    if (backend.kind === 'vault') {
      const { keys, clusters } = backend.settings.applicationHosts ?? {};
      requireKeys(`${at}.settings.applicationHosts.keys`, keys, HOST_KEYS);
      requireKeys(`${at}.settings.applicationHosts.clusters`, clusters, HOST_CLUSTERS);
    }
    if (backends.findIndex(({ name }) => name === backend.name) !== index) {
      throw refuse(
        `${at}.name: ${JSON.stringify(backend.name)} is the name of another backend: each has its own`,
      );
    }
    if (wasmcloud.serve && backend.name === wasmcloud.name) {
      throw refuse(
        `${at}.name: ${JSON.stringify(backend.name)} is wasmcloud.name, by which coffer's own store is served: take another one`,
      );
    }
    if (trust === undefined && backend.trust !== 'self-issued') {
      throw refuse(
        `${at}: somebody must be trusted: write the public key of the account that signs your components into trust.accounts`,
      );
    }
    if (backend.kind === 'kubernetes' && backend.grants === 'upstream') checkRules(at, backend.settings);
  });
}

/** Of all Vaults, where none is written. */
const AUDIENCE = 'Vault';

/** Pairs of Vaults whose log-ins are for the same audience. */
function sharedAudiences(backends: readonly BackendConfig[]): readonly [VaultBackend, VaultBackend][] {
  const vaults = backends.filter(({ kind }) => kind === 'vault') as readonly VaultBackend[];
  const audienceOf = ({ settings }: VaultBackend) => settings.audience ?? AUDIENCE;
  return vaults.flatMap((one, index) =>
    vaults
      .slice(index + 1)
      .filter((other) => audienceOf(other) === audienceOf(one))
      .map((other): [VaultBackend, VaultBackend] => [one, other]),
  );
}

/**
 * A log-in of one backend is as good as one of another to a Vault that takes both keys. So both must ask the same of whoever logs in.
 *
 * @throws CofferError `invalid_argument`
 */
function checkAudiences(backends: readonly BackendConfig[]): void {
  for (const [one, other] of sharedAudiences(backends)) {
    const differs = (['trust', 'grants'] as const).find((key) => one[key] !== other[key]);
    const hosts = ({ settings }: VaultBackend) => JSON.stringify(settings.applicationHosts ?? {});
    if (differs === undefined && hosts(one) === hosts(other)) continue;
    throw refuse(
      `backends[${backends.indexOf(other)}].settings.audience: it is that of ${JSON.stringify(one.name)}, too, which has another ` +
        `${differs ?? 'settings.applicationHosts'}: who is let in by one of them would be let in by the other. Give each an audience of ` +
        'its own, and bind it in Vault (bound_audiences)',
    );
  }
}

/** What a person should know of backends that are not refused. */
export const noticesOf = (backends: readonly BackendConfig[]): readonly string[] =>
  sharedAudiences(backends).map(
    ([one, other]) =>
      `The backends ${one.name} and ${other.name} have the same audience: a Vault that takes log-ins of one may take those of the ` +
      'other. Give each an audience of its own, or have each auth method read the keys of one (/.well-known/keys/NAME).',
  );

/** A grant names its components. Where none is needed a rule has to: applications and hosts are what hosts say, and open nothing. */
function checkRules(at: string, { impersonation }: KubernetesSettings): void {
  const index = impersonation.findIndex(({ entities }) => entities === undefined);
  if (index < 0) return;
  throw refuse(
    `${at}.settings.impersonation[${index}]: with grants: upstream a rule says in entities for whom it is, since applications and hosts ` +
      'are what hosts say: ["component:ACCOUNT/M…"], or ["*"] for all that the backend believes',
  );
}

function checkNames(at: string, { name, prefix, queueGroup }: BackendConfig): void {
  // A slash would make two things of "<name>/<key>" in a grant.
  if (!isSubjectToken(name) || name.includes('/') || !/^[!-~]+$/.test(name)) {
    throw refuse(`${at}.name is one token of a subject, of ASCII: no dots, slashes, wildcards or spaces`);
  }
  if (!isSubjectPrefix(prefix)) {
    throw refuse(`${at}.prefix consists of tokens of a subject, without wildcards and spaces`);
  }
  if (!isSubjectPrefix(queueGroup)) throw refuse(`${at}.queueGroup has no spaces and no wildcards`);
}

const refuse = (message: string): CofferError => new CofferError('invalid_argument', message);
