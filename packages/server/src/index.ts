/**
 * The process: configuration, the HTTP door, authentication.
 *
 * A door translates a wire format and finds out who speaks; rights, encryption and audit are the engine's, and no
 * door can pass them by.
 */

export {
  ACTIONS,
  type AuditVerdict,
  type AuditVerifier,
  type AuditWitness,
  type BackupContent,
  type Migrated,
  type Restored,
  storeOwner,
} from '@coffer/engine';
export {
  type AuditTrust,
  auditVerifier,
  auditWitness,
  type ReadAuditOptions,
  readAuditLog,
  readAuditLogs,
  verifyAuditLog,
} from './audit.js';
export {
  type ReadBackupOptions,
  type RestoreBackupOptions,
  restoreBackup,
  verifyBackup,
} from './backup.js';
export { type CheckedConfig, checkConfiguration } from './checkup/configuration.js';
export { type CheckedInstallation, checkInstallation } from './checkup/doctor.js';
export type { Finding, Level } from './checkup/finding.js';
export {
  type ConfigFlags,
  type ConfigSources,
  completeLimits,
  DEFAULT_LISTEN,
  loadConfig,
  type ServerConfig,
  type ServerLimits,
} from './config/config.js';
export { explainConfig, type Setting, type SettingSource } from './config/explain.js';
export type { FileConfig, PartialSettings } from './config/file.js';
export {
  completeWasmcloud,
  DEFAULT_BACKEND,
  type NatsConfig,
  type NatsTls,
  type WasmcloudConfig,
} from './config/nats.js';
export type { JetStreamConfig, StorageConfig, StorageLimits } from './config/storage.js';
export { endByMistake } from './ending.js';
export { grantEverything, withEverything } from './init.js';
export { isLoopback, type ListenAddress } from './listen/address.js';
export { createLog, type LogLevel } from './log.js';
export { type MigrateStoreOptions, migrateStore } from './migrate.js';
export { type RunningServer, type StartOptions, startServer } from './server.js';
