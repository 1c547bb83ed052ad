import type { Signer } from '../audit/signer.js';
import type { VerifyOptions } from '../audit/verifier.js';
import type { KeyRing } from '../crypto/key-ring.js';
import type { RootKeyParameters } from '../crypto/root-key.js';
import { LogCheck, type LogCounts } from './check-log.js';
import { RecordCheck, type RecordCounts, unusable } from './check-records.js';
import type { Preamble } from './format.js';
import { type Item, malformed } from './items.js';
import type { BackupFacts } from './produce.js';
import { headerOf } from './root-key.js';

/** How signatures of the audit log are made and checked; the server's are nkeys. */
export interface Signing {
  createSigner(seed: Uint8Array): Signer;
  verify: VerifyOptions['verify'];
}

/** What a backup was found to hold. */
export interface BackupContent extends BackupFacts, RecordCounts {
  /** Of the store's changes; the restored one's go on far behind it. */
  readonly sequence: number;
  readonly development: boolean;
  readonly rootKey: RootKeyParameters;
  /** The server's public key, which signed the audit log. */
  readonly serverKey: string;
  readonly audit: LogCounts;
}

/** Checks the items of a backup as they are read. */
export class BackupCheck {
  readonly #preamble: Preamble;
  readonly #ring: KeyRing;
  readonly #verify: VerifyOptions;
  readonly #serverKey: string;
  #parts: { records: RecordCheck; log: LogCheck; sequence: number } | undefined;

  constructor(preamble: Preamble, ring: KeyRing, signing: Signing) {
    this.#preamble = preamble;
    this.#ring = ring;
    const serverKey = signing.createSigner(ring.signingSeed).publicKey;
    this.#serverKey = serverKey;
    this.#verify = {
      storeId: preamble.storeId.toString('hex'),
      verify: (message, signature, key) => key === serverKey && signing.verify(message, signature, key),
    };
  }

  /** @throws CofferError `backup_broken` */
  add(item: Item): void {
    if (item.type === 'state') {
      if (this.#parts) throw malformed();
      const records = new RecordCheck(this.#preamble, this.#ring, item, unusable);
      const { anchor } = records.summary;
      const log = new LogCheck(this.#verify, { anchor, sequence: item.sequence });
      this.#parts = { records, log, sequence: item.sequence };
      return;
    }
    if (!this.#parts) throw malformed();
    if (item.type === 'record') this.#parts.records.add(item.key, item.record);
    if (item.type === 'audit') this.#parts.log.add(item.bytes);
  }

  /** @throws CofferError `backup_broken` */
  finish(facts: BackupFacts): BackupContent {
    if (!this.#parts) throw malformed();
    const { records, log, sequence } = this.#parts;
    const { development, rootKey } = headerOf(this.#preamble);
    const audit = log.finish(facts.auditHead);
    return {
      ...facts,
      ...records.finish(),
      sequence,
      development,
      rootKey,
      serverKey: this.#serverKey,
      audit,
    };
  }
}
