import type { SecretQuery } from '../backend/options.js';
import { propertiesOf, textProperty } from '../backend/policy-properties.js';
import { SourceReason } from '../backend/source-reason.js';
import { SecretsError } from '../protocol/errors.js';
import { encodedPath, trimmedPath } from './path.js';

/** What a policy may leave out. */
export interface Defaults {
  readonly namespace: string | undefined;
  readonly authMount: string;
  readonly enginePath: string;
  readonly role: string | undefined;
}

/** What a policy, and the defaults, say of where a secret is, and as what one logs in: as people write it. */
export interface Place {
  readonly namespace: string | undefined;
  readonly authMount: string;
  readonly engine: string;
  readonly role: string | undefined;
}

const ROLE_CHARACTERS = 512;

/** Where one logs in, and as what. The mount is a path that may stand in a URL. */
export interface LoginPlace {
  readonly namespace: string | undefined;
  readonly authPath: string;
  readonly role: string;
}

/** A secret in Vault, and how one comes by it. */
export interface VaultReference extends LoginPlace {
  /** As people write it. */
  readonly engine: string;
  /** This and the key may stand in a URL. */
  readonly enginePath: string;
  readonly key: string;
  readonly field: string | undefined;
  readonly version: number | undefined;
}

/** @throws SecretsError `PolicyError` for a policy that says something else than texts */
export function placeOf(policy: string, defaults: Defaults): Place {
  const properties = propertiesOf(policy);
  const said = (...names: readonly string[]) => textProperty(properties, ...names);
  return {
    namespace: namespaceOf(said('namespace')) ?? defaults.namespace,
    authMount: trimmedMount(said('mount_path', 'mountPath') ?? defaults.authMount),
    engine: trimmedPath(said('secret_engine_path', 'secretEnginePath') ?? defaults.enginePath),
    role: roleOf(said('role_name', 'roleName')) ?? defaults.role,
  };
}

/**
 * Reads where a secret is from what a manifest says: its key, field and version, and the policy's properties.
 *
 * @throws SecretsError `InvalidRequest` for the former, `PolicyError` for the latter
 */
export function referenceOf(
  query: SecretQuery,
  policy: string,
  defaults: Defaults,
  allowed: { require(place: Place): void },
): VaultReference {
  const key = encodedPath(query.key);
  if (key === undefined) throw invalid('the key is no path of Vault’s, such as team/app');
  const place = placeOf(policy, defaults);
  const { namespace, authMount, engine, role } = place;
  if (role === undefined) {
    throw new SecretsError(
      'PolicyError',
      'the policy names no role of Vault’s: add role_name to its properties',
    );
  }
  const reference = {
    namespace,
    authPath: authPathOf(authMount),
    role,
    engine,
    enginePath: enginePathOf(engine),
    key,
    field: query.field,
    version: versionOf(query.version),
  };
  allowed.require(place);
  return reference;
}

/** It stands in what hosts are told. @throws SecretsError `PolicyError` */
function roleOf(role: string | undefined): string | undefined {
  if (role === undefined || role.length <= ROLE_CHARACTERS) return role;
  throw new SecretsError('PolicyError', `role_name is longer than ${ROLE_CHARACTERS} characters`);
}

/** As the README of Vault's users has it, and as its API has it. */
export const trimmedMount = (path: string): string => trimmedPath(path).replace(/^auth\//, '');

/** @throws SecretsError `PolicyError` */
export function authPathOf(mount: string): string {
  const path = encodedPath(mount);
  if (path !== undefined) return path;
  throw new SecretsError('PolicyError', 'mount_path is no path of an auth method of Vault’s, such as jwt');
}

/** Vault's own, where no secrets engine is: a token reads of itself there, for one, in full. */
const OWN = ['auth', 'cubbyhole', 'identity', 'sys'];

/** @throws SecretsError `PolicyError` */
export function enginePathOf(path: string): string {
  const engine = encodedPath(path);
  const [first = ''] = (engine ?? '').toLowerCase().split('/');
  // Behind a namespace there are such as well: what is mounted there is asked for, and they are no KV.
  if (engine !== undefined && !OWN.includes(first)) return engine;
  throw new SecretsError(
    'PolicyError',
    'secret_engine_path is no path of a secrets engine of Vault’s, such as secret',
  );
}

/** It goes into a header. @throws SecretsError `PolicyError` */
export function namespaceOf(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const namespace = trimmedPath(path);
  if (/^[\w.~-]+(\/[\w.~-]+)*$/.test(namespace) && encodedPath(namespace) !== undefined) return namespace;
  throw new SecretsError('PolicyError', 'namespace is no path of a namespace of Vault’s, such as team/a');
}

function versionOf(version: string | undefined): number | undefined {
  if (version === undefined) return undefined;
  if (/^[1-9]\d{0,9}$/.test(version)) return Number(version);
  throw invalid('the version is no number of a version of Vault’s');
}

const invalid = (why: string): SecretsError =>
  new SecretsError('InvalidRequest', '', { cause: new SourceReason(why) });
