import { CofferClientError, invalid } from '../errors.js';
import type { AuditQuery } from './types.js';

const NEWLINE = 0x0a;
/** No entry comes near. */
const LINE_BYTES_MAX = 16 * 2 ** 20;

/** As a URL's query, with its question mark; empty for none. */
export function queryText({ follow, since, until, ...query }: AuditQuery): string {
  const parts = { ...query, follow: follow ? '1' : undefined, since: instant(since), until: instant(until) };
  const stated = Object.entries(parts).flatMap(([key, value]): [string, string][] =>
    value === undefined ? [] : [[key, String(value)]],
  );
  return stated.length === 0 ? '' : `?${new URLSearchParams(stated)}`;
}

function instant(time: Date | undefined): string | undefined {
  if (time !== undefined && Number.isNaN(time.getTime())) {
    throw invalid('since and until are times that there are');
  }
  return time?.toISOString();
}

/** The lines that chunks of bytes make; empty ones are signs of life. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  let carry: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const text = Buffer.concat([carry, chunk]);
    let start = 0;
    for (let end = text.indexOf(NEWLINE); end >= 0; end = text.indexOf(NEWLINE, start)) {
      if (end > start) yield text.toString('utf8', start, end);
      start = end + 1;
    }
    carry = text.subarray(start);
    if (carry.length > LINE_BYTES_MAX)
      throw new CofferClientError('bad_answer', 'the answer is no audit log');
  }
  // The server ends with a whole line; what is in between could cut the rest off.
  if (carry.length > 0) throw new CofferClientError('bad_answer', 'the answer ends in the middle of a line');
}
