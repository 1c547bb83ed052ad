import { createHash, randomBytes } from 'node:crypto';

import type { LogCopy } from '../audit/copy.js';
import type { KeyRing } from '../crypto/key-ring.js';
import { wipe } from '../crypto/secure-memory.js';
import { CofferError } from '../errors.js';
import { HEADER_KEY } from '../keys.js';
import type { StorageSnapshot } from '../storage/storage.js';
import {
  BLOCK_BYTES,
  type FoundDamage,
  keyPurpose,
  type LogHead,
  type Preamble,
  type Trailer,
} from './format.js';
import { encodeItem, type Item } from './items.js';
import { BackupSealer } from './sealer.js';
import { SourceCheck } from './source-check.js';

/** One moment of a store and of its log, to be written into a backup. */
export interface BackupSource {
  readonly storeId: Uint8Array;
  /** As it is when the snapshot is taken, and stays so: records under a key that is destroyed meanwhile are in the snapshot. */
  readonly ring: KeyRing;
  readonly snapshot: StorageSnapshot;
  /**
   * The last line of the log. To be read in the same turn of the event loop in which the snapshot is taken, so that the log
   * tells of no change that the snapshot lacks.
   */
  readonly auditHead: LogHead;
  /** The log up to that line. */
  readonly log: LogCopy;
  readonly backupId?: Buffer;
  readonly madeAt: Date;
}

/** What a backup is. */
export interface BackupFacts {
  /** Hex. */
  readonly backupId: string;
  /** Hex. */
  readonly storeId: string;
  readonly madeAt: Date;
  /** Size of the file. */
  readonly bytes: number;
  readonly records: number;
  /** In the store and its log when it was made; the backup itself is whole. */
  readonly damaged: FoundDamage;
  readonly auditHead: LogHead;
}

export const newBackupId = (): Buffer => randomBytes(16);

/**
 * The bytes of a backup file, in blocks of at most 64 KiB and a little; where they go is the reader's affair. Between two
 * blocks others get their turn. Closes the snapshot as soon as the records are read. Whoever made the source closes it in
 * the end, whatever comes.
 *
 * @returns what was written; the file is whole only with the last bytes before
 */
export async function* produceBackup(source: BackupSource): AsyncGenerator<Buffer, BackupFacts> {
  const { snapshot } = source;
  let content: Content | undefined;
  try {
    content = new Content(source);
    content.add({ type: 'state', sequence: snapshot.sequence, summary: Buffer.from(snapshot.summary ?? []) });
    for await (const _ of addRecords(content, snapshot)) yield* content.sealer.take();
    snapshot.close();
    for await (const _ of addLog(content, source)) yield* content.sealer.take();
    const { preamble, sealer } = content;
    const trailer = content.end(source.auditHead);
    yield* sealer.take();
    yield sealer.trailer(trailer);
    return {
      backupId: preamble.backupId.toString('hex'),
      storeId: preamble.storeId.toString('hex'),
      madeAt: preamble.madeAt,
      bytes: sealer.bytes,
      ...trailer,
    };
  } finally {
    content?.sealer.wipe();
  }
}

/** The items, counted and hashed on their way. */
class Content {
  readonly preamble: Preamble;
  readonly sealer: BackupSealer;
  readonly #hash = createHash('sha256');
  #records = 0;
  #auditFiles = 0;
  #auditBytes = 0;
  readonly #check: SourceCheck;

  constructor({ storeId, ring, snapshot, madeAt, backupId = newBackupId() }: BackupSource) {
    const header = headerOf(snapshot);
    // In the header of the snapshot too: a new key is in force, and an old one gone, only once the header says so.
    const dataKey = ring.newest.id;
    this.preamble = { backupId, storeId: Buffer.from(storeId), madeAt, dataKey, header };
    const key = ring.subkey(keyPurpose(backupId), dataKey) as Buffer;
    this.sealer = new BackupSealer(this.preamble, key);
    wipe(key);
    const { sequence, summary } = snapshot;
    this.#check = new SourceCheck(this.preamble, ring, { sequence, summary: Buffer.from(summary ?? []) });
  }

  add(item: Item): void {
    if (item.type === 'record') {
      this.#records++;
      this.#check.addRecord(item.key, item.record);
    }
    if (item.type === 'audit') this.#check.addLog(item.bytes);
    if (item.type === 'audit-file') this.#auditFiles++;
    if (item.type === 'audit') this.#auditBytes += item.bytes.length;
    for (const part of encodeItem(item)) {
      this.#hash.update(part);
      this.sealer.add(part);
    }
  }

  end(auditHead: LogHead): Trailer {
    const records = this.#records;
    const damaged = this.#check.finish(auditHead);
    const item: Item = {
      type: 'end',
      records,
      auditFiles: this.#auditFiles,
      auditBytes: this.#auditBytes,
      damaged,
      auditHead,
      hash: this.#hash.copy().digest('hex'),
    };
    for (const part of encodeItem(item)) this.sealer.add(part);
    this.sealer.finish();
    return { records, damaged, auditHead };
  }
}

function headerOf(snapshot: StorageSnapshot): Buffer {
  for (const [key, { bytes }] of snapshot.scan(HEADER_KEY)) {
    if (HEADER_KEY.equals(key)) return Buffer.from(bytes);
  }
  throw new CofferError('tampered', "the store's header is gone: there is nothing to back up");
}

/** Each is opened, which takes about as long for a small one as for none. */
const TURN_RECORDS = 100;

/** About a block's worth in one go, so that no cursor is open while others have their turn. */
async function* addRecords(content: Content, snapshot: StorageSnapshot): AsyncIterable<void> {
  const all = Buffer.alloc(0);
  for (let after: Uint8Array | undefined, more = true; more; ) {
    let taken = 0;
    let records = 0;
    more = false;
    for (const [key, record] of snapshot.scan(all, after)) {
      content.add({ type: 'record', key: Buffer.from(key), record });
      after = key;
      taken += key.length + record.bytes.length;
      more = taken >= BLOCK_BYTES || ++records === TURN_RECORDS;
      if (more) break;
    }
    yield;
    await otherTurns();
  }
}

async function* addLog(content: Content, { log }: BackupSource): AsyncIterable<void> {
  const buffer = Buffer.alloc(BLOCK_BYTES);
  for (const { name, file, bytes } of log.parts) {
    content.add({ type: 'audit-file', name });
    for (let position = 0; position < bytes; ) {
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, bytes - position), position);
      if (bytesRead === 0) {
        throw new CofferError('audit_broken', `the file ${name} of the audit log became shorter`);
      }
      content.add({ type: 'audit', bytes: buffer.subarray(0, bytesRead) });
      position += bytesRead;
      yield;
    }
  }
}

const otherTurns = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
