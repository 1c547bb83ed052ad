import { createHash } from 'node:crypto';

import type { KeyRing } from '../crypto/key-ring.js';
import { SecretStreamOpener, STREAM_HEADER_BYTES, STREAM_OVERHEAD } from '../crypto/secret-stream.js';
import { wipe } from '../crypto/secure-memory.js';
import { CofferError } from '../errors.js';
import { ByteSource } from './byte-source.js';
import {
  BLOCK_BYTES,
  broken,
  damagedPreamble,
  HASH_BYTES,
  keyPurpose,
  MAGIC,
  type Preamble,
  parsePreamble,
  parseTrailer,
  preambleLength,
  sha256,
  TRAILER_BYTES,
} from './format.js';
import { decodeItem, ITEM_BYTES_MAX, ITEM_HEADER_BYTES, type Item, malformed } from './items.js';
import type { BackupFacts } from './produce.js';

/**
 * Reads a backup as a stream: first {@link preamble}, then with the ring's help its items. What it gives is authentic;
 * whether it is all is known when the items have come to their end.
 */
export class BackupReader {
  readonly #source: ByteSource;
  #opening: Buffer = Buffer.alloc(0);

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#source = new ByteSource(bytes);
  }

  /** @throws CofferError `backup_broken`, `newer_format` */
  async preamble(): Promise<Preamble> {
    const magic = await this.#source.take(MAGIC.length);
    if (!magic?.equals(MAGIC)) throw noBackup(magic);
    const length = await this.#need(4);
    const json = await this.#need(preambleLength(length));
    const hash = await this.#need(HASH_BYTES);
    this.#opening = Buffer.concat([magic, length, json]);
    if (!sha256(this.#opening).equals(hash)) throw damagedPreamble();
    return parsePreamble(json);
  }

  /**
   * The items but the last, which is checked against what came before.
   *
   * @throws CofferError `backup_broken`
   */
  async *items(
    { backupId, storeId, madeAt, dataKey }: Preamble,
    ring: KeyRing,
  ): AsyncGenerator<Item, BackupFacts> {
    const header = await this.#need(STREAM_HEADER_BYTES);
    const key = ring.subkey(keyPurpose(backupId), dataKey);
    if (!key) throw damagedPreamble();
    const opener = new SecretStreamOpener(key, header, sha256(this.#opening));
    wipe(key);
    try {
      const content = new ByteSource(this.#blocks(opener));
      const end = yield* readItems(content);
      const trailer = await this.#trailer();
      const agrees =
        trailer.records === end.records &&
        trailer.damaged.records === end.damaged.records &&
        trailer.damaged.auditLine === end.damaged.auditLine &&
        trailer.auditHead.seq === end.auditHead.seq &&
        trailer.auditHead.hash === end.auditHead.hash;
      if (!agrees) throw broken('was changed in its last bytes');
      return {
        backupId: backupId.toString('hex'),
        storeId: storeId.toString('hex'),
        madeAt,
        bytes: this.#source.position,
        ...trailer,
      };
    } finally {
      opener.wipe();
    }
  }

  /** Ends the reading of the source. */
  async close(): Promise<void> {
    await this.#source.close();
  }

  async *#blocks(opener: SecretStreamOpener): AsyncIterable<Buffer> {
    for (let number = 1; ; number++) {
      const start = this.#source.position;
      const where = `in its block ${number}, ${start} bytes from the beginning`;
      const length = (await this.#need(4)).readUInt32BE(0);
      if (length < STREAM_OVERHEAD || length > BLOCK_BYTES + STREAM_OVERHEAD) throw changed(where);
      const opened = opener.open(await this.#need(length));
      if (!opened) throw changed(where);
      yield opened.message;
      if (opened.last) return;
    }
  }

  async #trailer() {
    const facts = await this.#need(TRAILER_BYTES - HASH_BYTES);
    const hash = this.#source.hash();
    if (!(await this.#need(HASH_BYTES)).equals(hash)) throw broken('was changed in its last bytes');
    if ((await this.#source.take(1)) !== undefined) throw broken('goes on behind its end: bytes were added');
    return parseTrailer(facts);
  }

  async #need(length: number): Promise<Buffer> {
    const bytes = await this.#source.take(length);
    if (bytes) return bytes;
    throw broken(`is cut off: it ends after ${this.#source.position} bytes, in the middle`);
  }
}

async function* readItems(content: ByteSource): AsyncGenerator<Item, Extract<Item, { type: 'end' }>> {
  const counted = { records: 0, auditFiles: 0, auditBytes: 0 };
  const hash = createHash('sha256');
  for (;;) {
    const header = await content.take(ITEM_HEADER_BYTES);
    const length = header?.readUInt32BE(1) ?? 0;
    if (!header || length > ITEM_BYTES_MAX) throw malformed();
    const body = await content.take(length);
    if (!body) throw malformed();
    const item = decodeItem(header[0] as number, body);
    if (item.type === 'end') {
      const same =
        item.hash === hash.digest('hex') &&
        item.records === counted.records &&
        item.auditFiles === counted.auditFiles &&
        item.auditBytes === counted.auditBytes;
      // Nothing may follow, and to see that is what checks that the last block was the last.
      if (!same || (await content.take(1)) !== undefined) throw malformed();
      return item;
    }
    hash.update(header).update(body);
    if (item.type === 'record') counted.records++;
    if (item.type === 'audit-file') counted.auditFiles++;
    if (item.type === 'audit') counted.auditBytes += item.bytes.length;
    yield item;
  }
}

function noBackup(magic: Buffer | undefined): CofferError {
  if (magic && /^coffer-backup-v\d+\n?$/.test(magic.toString('latin1').trimEnd())) {
    return new CofferError('newer_format', 'the backup was made by a newer coffer: read it with that one');
  }
  return broken('is none: it does not begin as a backup of coffer does');
}

const changed = (where: string): CofferError =>
  broken(`was changed, damaged or put together from others ${where}: take another copy of it`);
