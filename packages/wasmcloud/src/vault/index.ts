/** HashiCorp Vault and OpenBao as a source of wasmCloud's secrets. */
export { jsonAt, membersIn, textOf } from '../backend/json-at.js';
export { checkVault } from './check.js';
export { type Jwk, jwksOf, keyIdOf } from './jwks.js';
export type { ApplicationHosts, SigningKey, SigningKeys, VaultAllow, VaultOptions } from './options.js';
export { openVault } from './vault.js';
