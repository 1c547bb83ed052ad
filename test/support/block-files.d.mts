/** What a disk does to the files in which a nats-server keeps the messages of a stream, whose folder is given. It must not run. */

/** Paths, the oldest first. */
export function blockFiles(folder: string): string[];
/** Takes so many bytes off the end of each. @returns how many in all: 0 is no damage */
export function truncateBlocks(folder: string, bytes: number): number;
/** Turns a bit round in one byte of each `every`. @returns how many in all: 0 is no damage */
export function flipBits(folder: string, every: number): number;
