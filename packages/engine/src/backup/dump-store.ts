/**
 * A program of its own: `node dump-store.js FOLDER` writes the records of a store, sealed as they are, on standard output as
 * items of a backup's content, without the last one. LMDB reads through the memory map of its file: where that is
 * damaged, the process dies by a signal, and it is this one.
 */
import { LmdbReader } from '../storage/lmdb-reader.js';
import { encodeItem, type Item } from './items.js';

const PART_BYTES = 256 * 1024;

const [, , folder = ''] = process.argv;

try {
  const reader = await LmdbReader.open(folder);
  const { snapshot, incarnation } = reader;
  await write(Buffer.from(incarnation));
  const { sequence, summary } = snapshot;
  await writeItems([{ type: 'state', sequence, summary: Buffer.from(summary ?? []) }]);
  for (let after: Uint8Array | undefined, more = true; more; ) {
    const part: Item[] = [];
    let bytes = 0;
    more = false;
    for (const [key, record] of snapshot.scan(Buffer.alloc(0), after)) {
      part.push({ type: 'record', key: Buffer.from(key), record });
      after = key;
      bytes += record.bytes.length;
      more = bytes >= PART_BYTES;
      if (more) break;
    }
    await writeItems(part);
  }
  await reader.close();
} catch (error) {
  process.stderr.write((error as Error).message);
  process.exitCode = 1;
}

function writeItems(items: readonly Item[]): Promise<void> {
  return write(Buffer.concat(items.flatMap(encodeItem)));
}

function write(bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
  });
}
