import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

import { CofferError } from '../errors.js';
import { ByteSource } from './byte-source.js';
import { decodeItem, ITEM_BYTES_MAX, ITEM_HEADER_BYTES, type Item, malformed } from './items.js';

/** The same file seen from the sources and from what they are built to. */
const PROGRAM = fileURLToPath(new URL('../../dist/backup/dump-store.js', import.meta.url));
const STORE_ID_BYTES = 16;

/**
 * Reads a store that may be damaged in whatever way, or in use, through another process.
 *
 * @returns its id and its records, as they are asked for
 * @throws CofferError `tampered` if it cannot be read to its end
 */
export async function readStore(
  folder: string,
): Promise<{ storeId: Buffer; items: AsyncIterable<Item>; stop(): void }> {
  const child = spawn(process.execPath, [PROGRAM, folder], { stdio: ['ignore', 'pipe', 'pipe'] });
  let reason = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    reason = (reason + text).slice(0, 1_000);
  });
  const ended = once(child, 'close') as Promise<[code: number | null, signal: string | null]>;
  const source = new ByteSource(child.stdout);
  const failed = async () => {
    const [code, signal] = await ended;
    if (code === 0) return undefined;
    const why = signal === null ? reason.replaceAll('\n', ' ') : `reading it ends with ${signal}`;
    return new CofferError('tampered', why);
  };
  const items = async function* (): AsyncIterable<Item> {
    for (;;) {
      const header = await source.take(ITEM_HEADER_BYTES);
      if (!header) break;
      const length = header.readUInt32BE(1);
      const body = length <= ITEM_BYTES_MAX ? await source.take(length) : undefined;
      if (!body) break;
      yield decodeItem(header[0] as number, body);
    }
    const error = await failed();
    if (error) throw error;
  };
  const storeId = await source.take(STORE_ID_BYTES);
  if (!storeId) throw (await failed()) ?? malformed();
  return { storeId, items: items(), stop: () => void child.kill() };
}
