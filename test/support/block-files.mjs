import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// Plain JavaScript beside the other helpers; the contract stands in block-files.d.mts.

export const blockFiles = (folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.blk'))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .map((name) => join(folder, name));

export function truncateBlocks(folder, bytes) {
  for (const file of blockFiles(folder)) truncateSync(file, Math.max(0, statSync(file).size - bytes));
}

export function flipBits(folder, every) {
  for (const file of blockFiles(folder)) {
    const content = readFileSync(file);
    for (let place = every; place < content.length; place += every) content[place] ^= 1;
    writeFileSync(file, content);
  }
}
