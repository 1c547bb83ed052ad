import { createHash, type Hash } from 'node:crypto';
import { CofferClientError } from '../errors.js';
import { parseJson } from '../http/shapes.js';
import { backupPreamble } from './answers.js';

/** What a backup says of itself, in clear. */
export interface BackupFacts {
  readonly backupId: string;
  readonly storeId: string;
  readonly madeAt: Date;
  /** Size of the file. */
  readonly bytes: number;
  readonly records: number;
  /** What the server found damaged in its store and log on the way; the backup of it is whole. */
  readonly damaged: {
    /** How many records do not hold. */
    readonly records: number;
    /** The line of the audit log that does not hold; 0 if all do. */
    readonly auditLine: number;
  };
  /** The last line of the audit log in it, and its SHA-256 in hex. */
  readonly auditHead: { readonly seq: number; readonly hash: string };
}

// The format is in docs/backup.md; without its key, only the clear parts around the sealed ones can be checked.
const MAGIC = Buffer.from('coffer-backup-v1\n');
const LENGTH_BYTES = 4;
const PREAMBLE_BYTES_MAX = 1024 * 1024;
const HASH_BYTES = 32;
const TRAILER_BYTES = 4 * 8 + HASH_BYTES + HASH_BYTES;

/** Passes a backup's bytes on, and fails in the end if they are not all, or were changed on their way. */
export async function* wholeBackup(
  chunks: AsyncIterable<Uint8Array>,
  server: string,
): AsyncGenerator<Uint8Array, BackupFacts> {
  const form = new OuterForm(server);
  for await (const chunk of chunks) {
    form.add(chunk);
    yield chunk;
  }
  return form.finish();
}

class OuterForm {
  readonly #server: string;
  readonly #hash: Hash = createHash('sha256');
  #start: Buffer = Buffer.alloc(0);
  /** The last bytes so far, which may be the trailer. */
  #end: Buffer = Buffer.alloc(0);
  #bytes = 0;

  constructor(server: string) {
    this.#server = server;
  }

  add(chunk: Uint8Array): void {
    if (this.#start.length < MAGIC.length + LENGTH_BYTES + PREAMBLE_BYTES_MAX) this.#addToStart(chunk);
    this.#bytes += chunk.length;
    const held = Buffer.concat([this.#end, chunk]);
    const passed = Math.max(0, held.length - TRAILER_BYTES);
    this.#hash.update(held.subarray(0, passed));
    this.#end = Buffer.from(held.subarray(passed));
  }

  finish(): BackupFacts {
    const facts = this.#end.subarray(0, TRAILER_BYTES - HASH_BYTES);
    const hash = this.#hash.update(facts).digest();
    if (this.#end.length < TRAILER_BYTES || !this.#end.subarray(facts.length).equals(hash)) {
      throw this.#notWhole('it is cut off, or was changed on its way');
    }
    const number = (index: number) => Number(facts.readBigUInt64BE(8 * index));
    return {
      ...this.#preamble(),
      bytes: this.#bytes,
      records: number(0),
      damaged: { records: number(1), auditLine: number(2) },
      auditHead: { seq: number(3), hash: facts.toString('hex', 32) },
    };
  }

  #addToStart(chunk: Uint8Array): void {
    const preambleEnd = this.#preambleEnd;
    if (preambleEnd !== undefined && this.#start.length >= preambleEnd) return;
    this.#start = Buffer.concat([this.#start, chunk]);
    const magic = this.#start.subarray(0, MAGIC.length);
    if (!MAGIC.subarray(0, magic.length).equals(magic)) throw this.#notWhole('it does not begin as one');
  }

  get #preambleEnd(): number | undefined {
    const begin = MAGIC.length + LENGTH_BYTES;
    return this.#start.length < begin ? undefined : begin + this.#start.readUInt32BE(MAGIC.length);
  }

  #preamble(): Pick<BackupFacts, 'backupId' | 'storeId' | 'madeAt'> {
    const json = this.#start.subarray(MAGIC.length + LENGTH_BYTES, this.#preambleEnd);
    return backupPreamble(parseJson(json), 'the backup');
  }

  #notWhole(why: string): CofferClientError {
    return new CofferClientError(
      'bad_answer',
      `the answer of ${this.#server} is no whole backup: ${why}; try again`,
    );
  }
}
