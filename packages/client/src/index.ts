/**
 * What a program imports to fetch its secrets. Begin with {@link Store}, or with {@link Client} where values are wanted once.
 *
 * @module @coffer/client
 */
export type { Cache } from './cache/cache.js';
export { FileCache } from './cache/file-cache.js';
export type { KeySource } from './cache/key.js';
export { MemoryCache } from './cache/memory-cache.js';
export { Client, type ClientOptions } from './client.js';
export { StaticUpdater } from './derived/static-updater.js';
export { Updater, type UpdaterOptions } from './derived/updater.js';
export { Watcher } from './derived/watcher.js';
export { type ClientErrorCode, CofferClientError } from './errors.js';
export * as field from './fields/field.js';
export { type Field, type Fields, type FieldValues, fields, type Prefixed } from './fields/fields.js';
export type { OutputOf, SchemaIssue, SchemaResult, StandardSchema } from './fields/standard-schema.js';
export { createProof, type ProofOptions, type ProofRequest } from './proof/proof.js';
export type { Secret } from './secret/secret.js';
export { SecretBytes } from './secret/secret-bytes.js';
export { StaticFile } from './secret/static-file.js';
export { StaticSecret } from './secret/static-secret.js';
export { EnvClient, type EnvClientOptions } from './sources/env-client.js';
export { FileClient } from './sources/file-client.js';
export type { Keyring, KeyringVersion } from './store/keyring.js';
export type {
  Declares,
  StoreClient,
  StoreEvents,
  StoreMetrics,
  StoreOptions,
  Ticker,
} from './store/options.js';
export type { SecretSource } from './store/secret-source.js';
export { type Opened, Store } from './store/store.js';
export type { VersionedSecret } from './store/versioned-secret.js';
export type * from './types.js';
