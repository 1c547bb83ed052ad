import { CofferClientError } from '../errors.js';

/** A block of a stream of server-sent events (HTML Living Standard, 9.2.6). */
export interface Block {
  /** Empty in a block that is no event: a heartbeat. */
  readonly type: string;
  readonly data: string;
  readonly id: string | undefined;
}

/** In characters. An event of coffer's is a name and the numbers of versions, some hundred thousand at most. */
const LONGEST = 4 * 1024 * 1024;

/**
 * Takes a stream apart, however it was cut on the way, and looks at each character once.
 *
 * @throws CofferClientError `bad_answer` for an event without an end
 */
export async function* readBlocks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Block, void> {
  const decoder = new TextDecoder();
  let lines: string[] = [];
  let line = '';
  let length = 0;
  for await (const chunk of chunks) {
    const [end = '', ...more] = decoder.decode(chunk, { stream: true }).split('\n');
    line += end;
    length += end.length;
    for (const next of more) {
      if (line.endsWith('\r')) line = line.slice(0, -1);
      if (line !== '') lines.push(line);
      else {
        yield readBlock(lines);
        lines = [];
        length = 0;
      }
      line = next;
      length += next.length + 1;
    }
    if (length > LONGEST)
      throw new CofferClientError('bad_answer', 'the server sends an event without an end');
  }
}

function readBlock(lines: readonly string[]): Block {
  const data: string[] = [];
  let type = '';
  let id: string | undefined;
  for (const line of lines) {
    const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === 'event') type = value;
    else if (field === 'data') data.push(value);
    else if (field === 'id') id = value;
  }
  return { type: data.length > 0 ? type : '', data: data.join('\n'), id };
}
