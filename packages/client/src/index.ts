export { Admin } from './admin.js';
export type { BackupFacts } from './backup.js';
export { Client, type ClientOptions } from './client.js';
export { type ClientErrorCode, CofferClientError } from './errors.js';
export { createProof, type ProofOptions, type ProofRequest } from './proof/proof.js';
export type * from './types.js';
