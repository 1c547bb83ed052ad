import { headers as natsHeaders } from '@nats-io/nats-core';
import { expect, test } from 'vitest';
import { Layout } from '../src/storage/jetstream/layout.js';
import { headsPrint, markOf, sealedMark } from '../src/storage/jetstream/mark.js';
import { MessageSeal, printOf } from '../src/storage/jetstream/message-seal.js';
import type { Outgoing, RawMessage } from '../src/storage/jetstream/messages.js';
import { sealOf } from './sealing.js';

const layout = new Layout('coffer');
const seal = sealOf(layout.stream);
const INSTANCE = '0123456789abcdef';
const COMMIT = '00112233445566778899aabbccddeeff';

const head = seal.seal({ subject: layout.record(Buffer.from('s')), headers: [], data: Buffer.from('x') });
const markBy = (by: MessageSeal, instance = INSTANCE): readonly Outgoing[] =>
  markOf({ layout, seal: by, instance }, COMMIT, [head]);

function received({ subject, headers: said, data }: Outgoing): RawMessage {
  const headers = natsHeaders();
  for (const [name, value] of said) headers.set(name, value);
  return { subject, headers, data, sequence: 7 };
}

const [mark = head] = markBy(seal);

test('a mark says which commit it is of, and what that changes', () => {
  const said = sealedMark(seal, received(mark));
  expect(said).toEqual({ commit: COMMIT, heads: headsPrint([printOf(head.data)]) });
  expect(said?.heads).not.toBe(headsPrint([printOf(Buffer.from('other'))]));
});

test.each<[string, Partial<RawMessage>]>([
  ['of another instance', { subject: layout.mark('f'.repeat(16)) }],
  ['of another commit', { data: Buffer.from(String(mark.data).replace(COMMIT, 'f'.repeat(32))) }],
  ['of another bucket', { subject: new Layout('other').mark(INSTANCE) }],
  ['that says nothing of itself', { headers: undefined }],
])('a mark %s says nothing', (_, other) => {
  expect(sealedMark(seal, { ...received(mark), ...other })).toBeUndefined();
});

test('what an instance has sealed elsewhere is no mark', () => {
  expect(sealedMark(seal, received(head))).toBeUndefined();
  const moved = { ...received(head), subject: layout.mark(INSTANCE) };
  expect(sealedMark(seal, moved)).toBeUndefined();
});

test('without a key there is none, and none is believed', () => {
  const waiting = new MessageSeal({ stream: layout.stream });
  expect(markBy(waiting)).toEqual([]);
  expect(sealedMark(waiting, received(mark))).toBeUndefined();
  expect(sealedMark(sealOf(layout.stream, 'b'), received(mark))).toBeUndefined();
});
