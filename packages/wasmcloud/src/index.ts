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
export { serveBackend } from './backend/serve.js';
export type { SecretSource } from './backend/source.js';
export { SourceReason } from './backend/source-reason.js';
export { AdminClient, type AdminClientOptions, type AdminRequestOptions } from './host/admin-client.js';
export { NoAnswerError } from './host/ask.js';
export { type HostRequest, SecretsClient, type SecretsClientOptions } from './host/secrets-client.js';
export { isSecretsErrorCode, SecretsError, type SecretsErrorCode } from './protocol/errors.js';
export { HOST_XKEY, PROOF, REQUEST_INFO, RESPONSE_XKEY } from './protocol/headers.js';
export {
  API_VERSION,
  type BackendAddress,
  DEFAULT_PREFIX,
  isSubjectPrefix,
  isSubjectToken,
  operationSubject,
  subjectBase,
} from './protocol/subjects.js';
