/**
 * Administration: tokens, the policy, revocations, keys, the audit log, backups. Programs that fetch secrets have no need for it.
 *
 * @module @coffer/client/admin
 */
export { Admin } from './admin.js';
export type { BackupFacts } from './backup.js';
export type * from './types.js';
