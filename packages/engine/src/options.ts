import type { Signer } from './audit/signer.js';
import type { RootKeySpec } from './crypto/root-key-spec.js';
import type { CofferError } from './errors.js';
import type { Limits } from './names.js';
import type { RetentionRule } from './retention/rules.js';
import type { JetStreamOptions } from './storage/jetstream/options.js';
import type { SpaceLimits } from './storage/space.js';
import type { Storage } from './storage/storage.js';
import type { WatchLimits } from './watch/watchers.js';

/** In the state folder. */
export const STORE_FOLDER = 'store';
export const AUDIT_FOLDER = 'audit';

/** Changes are refused when the disk has less room than this, so that reads can still be audited. */
export const DEFAULT_MIN_FREE_BYTES = 64 * 1024 * 1024;

/** How the audit log is kept. */
export interface AuditSettings {
  /** A file of the log is closed when it has this many bytes; default 64 MiB. */
  readonly segmentBytes?: number | undefined;
  /** … or when its first entry is this many days old; default 30. */
  readonly segmentDays?: number | undefined;
  /** Closed files are removed when all of their entries are this many days old; without it all are kept. */
  readonly retentionDays?: number | undefined;
}

export interface EngineOptions {
  /** Holds the store (`store/`), the audit log (`audit/`) and nothing that could open the store. */
  readonly stateDir: string;
  readonly rootKey: RootKeySpec;
  /** A development store, which a production engine never opens, nor the reverse. */
  readonly development?: boolean;
  /** The server's signing key from a 32-byte Ed25519 seed, which the store keeps. */
  createSigner(seed: Uint8Array): Signer;
  readonly limits?: Partial<Limits & WatchLimits> | undefined;
  /** With `jetstream`, the store is in NATS JetStream and the state folder has a replica of it. */
  readonly storage?:
    | (Partial<SpaceLimits> & { readonly jetstream?: JetStreamOptions | undefined })
    | undefined;
  /** Opens another store than those, for tests of what an engine does with it. */
  readonly openStorage?: ((onFatal: (error: CofferError) => void) => Promise<Storage>) | undefined;
  readonly audit?: AuditSettings | undefined;
  readonly promptPassphrase?: ((question: string) => Promise<Uint8Array>) | undefined;
  /** Where root keys `passphrase:env:` and `xkey-seed:env:` are looked for; `process.env` if not given. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Opens although the store or the audit log was put back to an earlier state; the log tells that it was accepted. */
  readonly acceptRollback?: boolean | undefined;
  /** Which old versions need not be kept; none: all are kept. See {@link RetentionRule}. */
  readonly retention?: readonly RetentionRule[] | undefined;
  readonly now?: (() => Date) | undefined;
  /** Milliseconds that have passed, on a clock that nobody sets; `performance.now` if not given. */
  readonly uptime?: (() => number) | undefined;
  /** How long the reader of a backup may take nothing, in milliseconds; a minute if not given. */
  readonly backupPatience?: number | undefined;
  /** Durability is lost and nothing more will be acknowledged: say why, and end the process. */
  onFatal(error: CofferError): void;
  /** A sentence that a person should read. */
  onNotice?(sentence: string): void;
}
