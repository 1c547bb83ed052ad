import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// Plain JavaScript beside the other helpers; the contract stands in block-files.d.mts.

export const blockFiles = (folder) =>
  readdirSync(folder)
    .filter((name) => name.endsWith('.blk'))
    .sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
    .map((name) => join(folder, name));

export function truncateBlocks(folder, bytes) {
  let damaged = 0;
  for (const file of blockFiles(folder)) {
    const { size } = statSync(file);
    const left = Math.max(0, size - bytes);
    truncateSync(file, left);
    damaged += size - left;
  }
  return damaged;
}

export function flipBits(folder, every) {
  let damaged = 0;
  for (const file of blockFiles(folder)) {
    const content = readFileSync(file);
    for (let place = every; place < content.length; place += every) {
      content[place] ^= 1;
      damaged++;
    }
    writeFileSync(file, content);
  }
  return damaged;
}
