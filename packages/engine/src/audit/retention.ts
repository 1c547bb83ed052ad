import { open } from 'node:fs/promises';

import type { Anchor } from '../integrity.js';
import { sha256 } from './hash.js';
import { LineHead } from './line-head.js';
import { linesBackwards } from './lines.js';
import type { Segment } from './segments.js';

/** A closed file that may go, and its last line. */
export interface ExpiredSegment {
  readonly segment: Segment;
  readonly last: Anchor;
}

/** Those whose last line is from before `then`, from the oldest on; one that cannot be read stays, and all behind it. */
export async function* expiredSegments(
  segments: readonly Segment[],
  then: Date,
): AsyncIterable<ExpiredSegment> {
  for (const segment of segments) {
    const line = await lastLine(segment.path);
    const head = line && LineHead.of(line);
    if (!line || !head || !(head.time < then.getTime())) return;
    yield { segment, last: { seq: head.seq, hash: sha256(line) } };
  }
}

async function lastLine(path: string): Promise<Buffer | undefined> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    for await (const { line, terminated } of linesBackwards(file, size)) return terminated ? line : undefined;
    return undefined;
  } finally {
    await file.close();
  }
}
