import type { CofferError } from '../errors.js';
import type { StoredRecord } from '../storage/storage.js';
import { broken, type EndItem, uint32, uint64 } from './format.js';

/** One item of a backup's content, see `format.ts`. */
export type Item =
  | { readonly type: 'state'; readonly sequence: number; readonly summary: Buffer }
  | { readonly type: 'record'; readonly key: Buffer; readonly record: StoredRecord }
  | { readonly type: 'audit-file'; readonly name: string }
  | { readonly type: 'audit'; readonly bytes: Buffer }
  | ({ readonly type: 'end' } & EndItem);

const TYPES = { state: 1, record: 2, 'audit-file': 3, audit: 4, end: 5 } as const;
/** Type and length. */
export const ITEM_HEADER_BYTES = 1 + 4;
/** A value with its key; far beyond every limit that a server could hold in memory several times. */
export const ITEM_BYTES_MAX = 1024 * 1024 * 1024;

/** Names of the log's files, and nothing that leads out of a folder. */
const LOG_FILE = /^audit(-\d{16})?\.log$/;

/** The item in pieces, so that a large body is not copied. */
export function encodeItem(item: Item): Uint8Array[] {
  const body = encodeBody(item);
  const length = body.reduce((sum, part) => sum + part.length, 0);
  return [Buffer.concat([Buffer.from([TYPES[item.type]]), uint32(length)]), ...body];
}

function encodeBody(item: Item): Uint8Array[] {
  switch (item.type) {
    case 'state':
      return [uint64(item.sequence), item.summary];
    case 'record': {
      const { key, record } = item;
      return [Buffer.from([key.length]), key, uint64(record.revision), record.bytes];
    }
    case 'audit-file':
      return [Buffer.from(item.name)];
    case 'audit':
      return [item.bytes];
    case 'end': {
      const { records, auditFiles, auditBytes, damaged, auditHead, hash } = item;
      return [Buffer.from(JSON.stringify({ records, auditFiles, auditBytes, damaged, auditHead, hash }))];
    }
  }
}

/** @throws CofferError `backup_broken`: a mistake of the program that wrote it, since the content is authenticated */
export function decodeItem(type: number, body: Buffer): Item {
  switch (type) {
    case TYPES.state:
      if (body.length < 8) throw malformed();
      return { type: 'state', sequence: Number(body.readBigUInt64BE(0)), summary: body.subarray(8) };
    case TYPES.record: {
      const behindKey = 1 + (body[0] ?? 0);
      if (behindKey === 1 || body.length < behindKey + 8) throw malformed();
      return {
        type: 'record',
        key: body.subarray(1, behindKey),
        record: {
          revision: Number(body.readBigUInt64BE(behindKey)),
          bytes: body.subarray(behindKey + 8),
        },
      };
    }
    case TYPES['audit-file']: {
      const name = body.toString();
      if (!LOG_FILE.test(name)) throw malformed();
      return { type: 'audit-file', name };
    }
    case TYPES.audit:
      return { type: 'audit', bytes: body };
    case TYPES.end:
      return { type: 'end', ...(JSON.parse(body.toString()) as EndItem) };
    default:
      throw malformed();
  }
}

export const malformed = (): CofferError =>
  broken('has content that this version does not know: read it with the version that wrote it');
