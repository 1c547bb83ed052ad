/**
 * wasmCloud's secrets protocol (`v1alpha1`) over NATS: the backend's side, which any store of secrets can stand behind, and the
 * host's side.
 */
export type {
  Answered,
  Application,
  Asker,
  BackendOperations,
  BackendOptions,
  BackendTrust,
  Entity,
  FetchSecret,
  Host,
  Mapping,
  Operation,
  Requester,
  Secret,
  SecretQuery,
  ServedBackend,
  TransitKeys,
} from './backend/options.js';
export { SecretsError, type SecretsErrorCode } from './protocol/errors.js';
