import { LogCopy } from '../audit/copy.js';
import type { AuditLog } from '../audit/log.js';
import type { Caller } from '../caller.js';
import type { KeyRing } from '../crypto/key-ring.js';
import { CofferError } from '../errors.js';
import type { Gate } from '../gate.js';
import { administersAll, type Rights } from '../rights.js';
import type { Storage } from '../storage/storage.js';
import { type BackupSource, newBackupId, produceBackup } from './produce.js';
import { BackupRun } from './run.js';

/** How long a reader may take nothing, in milliseconds: meanwhile the store's file can only grow. */
const PATIENCE = 60_000;
const ATTEMPTS = 3;

export interface BackupsContext extends Rights {
  readonly storage: Storage;
  readonly ring: KeyRing;
  readonly audit: AuditLog;
  readonly auditFolder: string;
  readonly gate: Gate;
  readonly now: () => Date;
  /** Default: a minute. */
  readonly patience?: number | undefined;
}

/** Backups of a store that is in use, one at a time. */
export class Backups {
  readonly #context: BackupsContext;
  #running: BackupRun | undefined;
  /** When the last one was made in whole. */
  lastMade: Date | undefined;

  constructor(context: BackupsContext) {
    this.#context = context;
  }

  /**
   * The bytes of a backup, as of the moment of the first `next`. Audited before the first and before the last of them.
   *
   * @throws CofferError `access_denied`, on the way too if the caller may no longer; `conflict` while another one is made;
   *   `abandoned` if the reader took nothing for a minute; `stopped`
   */
  async *backup(caller: Caller): AsyncGenerator<Uint8Array, void> {
    const { gate, audit, storage, now } = this.#context;
    const backupId = newBackupId();
    const asked = { caller, action: 'backup', target: backupId.toString('hex') } as const;
    const isAllowed = () => administersAll(this.#context, caller);
    if (!isAllowed()) await gate.deny(asked);
    if (this.#running) {
      await gate.fail(asked, new CofferError('conflict', 'another backup is being made: wait for its end'));
    }
    const run = new BackupRun(asked, gate, isAllowed, this.#context.patience ?? PATIENCE);
    this.#running = run;
    try {
      await gate.allow(asked);
      // So that the end of the log in the backup is signed.
      await audit.checkpoint();
      const moment = await this.#moment(run);
      yield* run.pass(produceBackup({ storeId: storage.incarnation, backupId, madeAt: now(), ...moment }));
      this.lastMade = now();
    } catch (error) {
      await run.end(error);
      throw error;
    } finally {
      // Here without an end: the reader has gone.
      await run.end(new CofferError('abandoned', 'the reader went away before the end of the backup'));
      this.#running = undefined;
    }
  }

  /** Store and log as of one moment. */
  async #moment(run: BackupRun): Promise<Pick<BackupSource, 'snapshot' | 'ring' | 'auditHead' | 'log'>> {
    const { storage, audit, auditFolder, ring: live } = this.#context;
    for (let attempt = 1; ; attempt++) {
      // Nothing comes between these.
      const snapshot = run.hold(storage.snapshot());
      const auditHead = audit.durable;
      const ring = live.copy();
      run.hold({ close: () => ring.wipe() });
      try {
        return { snapshot, ring, auditHead, log: run.hold(await LogCopy.open(auditFolder, auditHead)) };
      } catch (error) {
        // The retirement of old files is in the log behind this moment: a later one is needed.
        if ((error as CofferError).code !== 'conflict' || attempt === ATTEMPTS) throw error;
        snapshot.close();
      }
    }
  }

  /** Ends the one that is under way, and waits until that is in the log. */
  async close(): Promise<void> {
    await this.#running?.end(new CofferError('stopped', 'the server is shutting down'));
  }
}
