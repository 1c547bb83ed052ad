/** What a disk does to the files in which a nats-server keeps the messages of a stream, whose folder is given. It must not run. */

/** Paths, the oldest first. */
export function blockFiles(folder: string): string[];
/** Takes so many bytes off the end of each. */
export function truncateBlocks(folder: string, bytes: number): void;
/** Turns a bit round in one byte of each `every`. */
export function flipBits(folder: string, every: number): void;
