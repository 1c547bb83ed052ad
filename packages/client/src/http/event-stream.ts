import { CofferClientError } from '../errors.js';

/** A block of a stream of server-sent events (HTML Living Standard, 9.2.6). */
export interface Block {
  /** Empty in a block that is no event: a heartbeat. */
  readonly type: string;
  readonly data: string;
  readonly id: string | undefined;
}

/** No event of coffer's is as long; what is longer does not come from one. */
const LONGEST = 16 * 1024 * 1024;

/**
 * Takes a stream apart, however it was cut on the way.
 *
 * @throws CofferClientError `bad_answer` for an event without an end
 */
export async function* readBlocks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Block, void> {
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).replaceAll('\r\n', '\n').split('\n\n');
    rest = lines.pop() ?? '';
    for (const text of lines) yield readBlock(text);
    if (rest.length > LONGEST)
      throw new CofferClientError('bad_answer', 'the server sends an event without an end');
  }
}

function readBlock(text: string): Block {
  const data: string[] = [];
  let type = '';
  let id: string | undefined;
  for (const line of text.split('\n')) {
    const [, field = '', value = ''] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
    if (field === 'event') type = value;
    else if (field === 'data') data.push(value);
    else if (field === 'id') id = value;
  }
  return { type: data.length > 0 ? type : '', data: data.join('\n'), id };
}
