import type { ManyAnswer } from '@coffer/engine';

/** Bytes that are encoded at a time: a multiple of three, so that no padding comes between. */
const PART_BYTES = 48 * 1024;

/**
 * The answer of `get-many` in one buffer, which its receiver wipes. The values are wiped: after this the answer is the only
 * copy, but for small parts of it that the encoder leaves behind.
 */
export function manyAnswer(answers: readonly ManyAnswer[]): Buffer {
  const heads = answers.map(headOf);
  const size = answers.reduce(
    (sum, answer, index) => sum + Buffer.byteLength(heads[index] ?? '') + tailBytes(answer),
    OPENING.length + CLOSING.length,
  );
  const body = Buffer.alloc(size);
  let at = body.write(OPENING, 'latin1');
  answers.forEach((answer, index) => {
    at += body.write(heads[index] ?? '', at);
    if (!('value' in answer)) return;
    at = writeBase64(body, at, answer.value);
    at += body.write('"}', at, 'latin1');
    answer.value.fill(0);
  });
  body.write(CLOSING, at, 'latin1');
  return body;
}

const OPENING = '{"secrets":[';
const CLOSING = ']}';

/** All of an entry but its value and what follows that; with the comma before it. */
function headOf(answer: ManyAnswer, index: number): string {
  const start = `${index === 0 ? '' : ','}{"name":${JSON.stringify(answer.name)},`;
  if ('error' in answer) return `${start}"error":"${answer.error}"}`;
  if ('unchanged' in answer) return `${start}"version":${answer.version},"unchanged":true}`;
  return `${start}"version":${answer.version},"value":"`;
}

function tailBytes(answer: ManyAnswer): number {
  return 'value' in answer ? base64Length(answer.value.length) + 2 : 0;
}

/** How long `bytes` are in base64. */
export const base64Length = (bytes: number): number => 4 * Math.ceil(bytes / 3);

function writeBase64(body: Buffer, start: number, value: Uint8Array): number {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  let at = start;
  for (let from = 0; from < bytes.length; from += PART_BYTES) {
    at += body.write(bytes.toString('base64', from, from + PART_BYTES), at, 'latin1');
  }
  return at;
}
