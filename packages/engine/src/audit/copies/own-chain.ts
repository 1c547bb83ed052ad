import type { Anchor } from '../../integrity.js';
import { linesOf } from '../cursor.js';
import { sha256 } from '../hash.js';
import type { AuditLog } from '../log.js';
import { readLog } from '../reader.js';
import { parseEntry } from '../verifier.js';
import { parseSpan } from './format.js';
import type { CopiesReader } from './reader.js';
import type { CopiesStream } from './stream.js';

/** True if this line is in the log, or stood right before the log's first. */
export async function agrees(log: AuditLog, { seq, hash }: Anchor): Promise<boolean> {
  const { durable } = log;
  if (seq === durable.seq) return hash === durable.hash;
  if (seq > durable.seq) return false;
  const end = { seq: () => seq + 1, more: async () => false };
  for await (const lines of readLog(log.folder, { from: seq }, end)) {
    for (const line of linesOf({ bytes: lines })) {
      const entry = parseEntry(line);
      if (entry?.seq === seq) return sha256(line) === hash;
      return entry?.seq === seq + 1 && entry.prev === hash;
    }
  }
  return false;
}

/** The last line at the end of a message of a chain that the log has too; 0 if there is none. */
export async function commonLine(
  log: AuditLog,
  stream: CopiesStream,
  reader: CopiesReader,
  chain: string,
): Promise<number> {
  const subject = stream.layout.chain(chain);
  const end = await reader.end(chain);
  let low = 1;
  let high = end?.message ?? 0;
  let common = 0;
  while (low <= high) {
    const middle = Math.floor((low + high) / 2);
    const message = await stream.next(subject, middle);
    const span = message && parseSpan(message.header);
    if (message && span && (await agrees(log, { seq: span.last, hash: span.hash }))) {
      common = Math.max(common, span.last);
      low = message.seq + 1;
    } else {
      high = middle - 1;
    }
  }
  return common;
}
