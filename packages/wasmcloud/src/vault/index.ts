/** HashiCorp Vault and OpenBao as a source of wasmCloud's secrets. */
export { answerTo, type HttpAnswer, NoAnswer, TIMED_OUT, TOO_LARGE } from '../backend/http-answer.js';
export { jsonAt, membersIn, textOf } from '../backend/json-at.js';
export { checkVault } from './check.js';
export { type Jwk, jwksOf, keyIdOf } from './jwks.js';
export type { ApplicationHosts, SigningKey, SigningKeys, VaultAllow, VaultOptions } from './options.js';
export { openVault } from './vault.js';
