import type { KeyRing } from '../crypto/key-ring.js';
import { CofferError } from '../errors.js';
import type { StoredRecord } from '../storage/storage.js';
import { LogCheck } from './check-log.js';
import { RecordCheck } from './check-records.js';
import type { FoundDamage, LogHead, Preamble } from './format.js';

/**
 * Looks at what a backup is made of on its way into it, so that damage is noticed while earlier backups are still there. It
 * opens every record and follows the chain of the log; signatures, which take long, are for a verification.
 */
export class SourceCheck {
  #records: RecordCheck | undefined;
  #log: LogCheck | undefined;
  /** Something that all hangs on does not hold. */
  #isUnusable = false;

  /** @param ring as it was when the snapshot was taken */
  constructor(
    preamble: Pick<Preamble, 'storeId' | 'header'>,
    ring: KeyRing,
    { sequence, summary }: { sequence: number; summary: Buffer },
  ) {
    this.#try(() => {
      this.#records = new RecordCheck(preamble, ring, { sequence, summary }, damaged);
    });
    const { anchor } = this.#records?.summary ?? {};
    const options = { storeId: preamble.storeId.toString('hex'), verify: () => true };
    this.#log = new LogCheck(options, { anchor, sequence });
  }

  addRecord(key: Buffer, record: StoredRecord): void {
    if (!this.#isUnusable) this.#try(() => this.#records?.add(key, record));
  }

  addLog(bytes: Buffer): void {
    this.#log?.add(bytes);
  }

  finish(head: LogHead): FoundDamage {
    let valuesHold = true;
    let auditLine = 0;
    if (!this.#isUnusable) this.#try(() => (valuesHold = this.#records?.finish().valuesHold ?? true));
    this.#try(() => (auditLine = this.#log?.finish(head).broken?.seq ?? 0));
    const values = valuesHold ? 0 : Math.max(1, this.#records?.closedValues ?? 0);
    return { records: values + (this.#isUnusable ? 1 : 0), auditLine };
  }

  #try(check: () => unknown): void {
    try {
      check();
    } catch (error) {
      if (!(error instanceof CofferError)) throw error;
      this.#isUnusable = true;
    }
  }
}

const damaged = (what: string) => new CofferError('tampered', what);
