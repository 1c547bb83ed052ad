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

/** Where one logs in, and as what. The mount is a path that may stand in a URL. */
export interface LoginPlace {
  readonly namespace: string | undefined;
  readonly authMount: string;
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

/**
 * Reads where a secret is from what a manifest says: its key, field and version, and the policy's properties.
 *
 * @throws SecretsError `InvalidRequest` for the former, `PolicyError` for the latter
 */
export function referenceOf(query: SecretQuery, policy: string, defaults: Defaults): VaultReference {
  const key = encodedPath(query.key);
  if (key === undefined) throw invalid('the key is no path of Vault’s, such as team/app');
  const properties = propertiesOf(policy);
  const role = textProperty(properties, 'role_name', 'roleName') ?? defaults.role;
  if (role === undefined) {
    throw new SecretsError(
      'PolicyError',
      'the policy names no role of Vault’s: add role_name to its properties',
    );
  }
  const engine = trimmedPath(
    textProperty(properties, 'secret_engine_path', 'secretEnginePath') ?? defaults.enginePath,
  );
  const mount = textProperty(properties, 'mount_path', 'mountPath') ?? defaults.authMount;
  return {
    namespace: namespaceOf(textProperty(properties, 'namespace')) ?? defaults.namespace,
    authMount: authMountOf(mount),
    role,
    engine,
    enginePath: enginePathOf(engine),
    key,
    field: query.field,
    version: versionOf(query.version),
  };
}

/** @throws SecretsError `PolicyError` */
export function authMountOf(path: string): string {
  // As the README of Vault's users has it, and as its API has it.
  const mount = encodedPath(trimmedPath(path).replace(/^auth\//, ''));
  if (mount !== undefined) return mount;
  throw new SecretsError('PolicyError', 'mount_path is no path of an auth method of Vault’s, such as jwt');
}

/** Vault's own, where no secrets engine is: a token reads of itself there, for one, in full. */
const OWN = ['auth', 'cubbyhole', 'identity', 'sys'];

/** @throws SecretsError `PolicyError` */
export function enginePathOf(path: string): string {
  const engine = encodedPath(path);
  if (engine !== undefined && !OWN.includes(engine.split('/')[0]?.toLowerCase() as string)) return engine;
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
