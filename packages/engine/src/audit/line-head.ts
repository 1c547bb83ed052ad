import type { FileHandle } from 'node:fs/promises';

const HEAD_BYTES = 256;

/** What stands at the start of every line that a log writes: its `seq` and its time, read without the rest. */
export class LineHead {
  readonly seq: number;
  /** Milliseconds. */
  readonly time: number;

  private constructor(seq: number, time: number) {
    this.seq = seq;
    this.time = time;
  }

  /** Undefined if the bytes do not begin as a line of ours does. */
  static of(line: Buffer): LineHead | undefined {
    const text = line.toString('latin1', 0, HEAD_BYTES);
    const [, time, seq] = /^\{"id":\d{1,20},"time":"([^"]{20,30})","seq":(\d{1,16}),/.exec(text) ?? [];
    return time === undefined ? undefined : new LineHead(Number(seq), Date.parse(time));
  }

  /** Of a file's first line. */
  static async ofFile(file: FileHandle): Promise<LineHead | undefined> {
    const start = Buffer.alloc(HEAD_BYTES);
    const { bytesRead } = await file.read(start, 0, HEAD_BYTES, 0);
    return LineHead.of(start.subarray(0, bytesRead));
  }
}
