import { headers } from '@nats-io/nats-core';
import { expect, test } from 'vitest';

import { Intake, type Whole } from '../src/storage/jetstream/intake.js';
import { Layout } from '../src/storage/jetstream/layout.js';
import { MessageSeal } from '../src/storage/jetstream/message-seal.js';
import { encodeRecord, type RawMessage, SIDE } from '../src/storage/jetstream/messages.js';
import { UnclaimedParts } from '../src/storage/jetstream/unclaimed-parts.js';
import { sealOf } from './sealing.js';

const layout = new Layout('bucket');
const seal = sealOf(layout.stream);

/** A record in parts, as a heal writes it: one message after the other. */
function inParts(key: string, bytes: Uint8Array, sequence: number): RawMessage[] {
  const { parts, record } = encodeRecord(
    { layout, seal, partBytes: 1_000 },
    Buffer.from(key),
    bytes,
    [SIDE],
    0,
  );
  return [...parts, record].map((message, index) => {
    const said = headers();
    for (const [name, value] of message.headers) said.set(name, value);
    return { subject: message.subject, headers: said, data: message.data, sequence: sequence + index };
  });
}

function raw(key: string, bytes: Uint8Array, sequence: number, pending?: number): RawMessage {
  const { record } = encodeRecord({ layout, seal, partBytes: 1_000 }, Buffer.from(key), bytes, [SIDE], 0);
  const said = headers();
  for (const [name, value] of record.headers) said.set(name, value);
  return {
    subject: record.subject,
    headers: said,
    data: record.data,
    sequence,
    ...(pending !== undefined && { pending }),
  };
}

/** A record whose parts were replaced, and time. */
function begin(pending: number) {
  let now = 0;
  const intake = new Intake(layout, seal, () => now);
  const take = (later: number) => {
    now += later;
    return intake.take().upTo;
  };
  intake.add([raw('big', Buffer.alloc(3_000), 100, pending)]);
  expect(take(0)).toBeUndefined();
  return { intake, take };
}

test('a record that lacks a part waits for its successor for as long as the backlog takes', () => {
  const { intake, take } = begin(8);
  for (let index = 1; index < 8; index++) {
    // Others write meanwhile, so that it never ends.
    intake.add([raw(`s${index}`, Buffer.from('x'), 100 + index, 8)]);
    expect(take(1_000)).toBeUndefined();
  }
  intake.add([raw('big', Buffer.from('small now'), 108, 8)]);
  expect(take(1_000)).toBe(108);
});

test('what comes is settled when nothing was behind it, and nothing of it waits for more', () => {
  const intake = new Intake(layout, seal);
  intake.add([raw('s1', Buffer.from('x'), 1, 2), raw('s2', Buffer.from('x'), 2, 1)]);
  expect(intake.take()).toMatchObject({ upTo: 2, settled: false });
  intake.add([raw('s3', Buffer.from('x'), 3, 0)]);
  expect(intake.take()).toMatchObject({ upTo: 3, settled: true });
  intake.add([raw('big', Buffer.alloc(3_000), 9, 0)]);
  expect(intake.take()).toMatchObject({ upTo: undefined, settled: false });
});

test('a record that lacks a part is damaged when the backlog has been read and nothing replaces it, whoever else writes', () => {
  const { intake, take } = begin(2);
  intake.add([raw('s1', Buffer.from('x'), 101, 5), raw('s2', Buffer.from('x'), 102, 5)]);
  expect(take(4_000)).toBeUndefined();
  intake.add([raw('s3', Buffer.from('x'), 103, 5)]);
  expect(take(900)).toBeUndefined();
  expect(() => take(200)).toThrow(/lacks a part/);
});

test('a record that no instance sealed is none, as soon as there is a key to tell by', () => {
  const forged = raw('s1', Buffer.from('x'), 1);
  forged.headers?.set('Coffer-Lineage', '7:0123456789abcdef');
  const filling = new Intake(layout, new MessageSeal({ stream: layout.stream }));
  filling.add([forged]);
  expect(filling.take()).toMatchObject({ upTo: 1 });
  expect(() => new Intake(layout, seal).add([forged])).toThrow('its seal is not good');
  expect(() =>
    new Intake(layout, sealOf(layout.stream, 'b')).add([raw('s1', Buffer.from('x'), 1)]),
  ).toThrow();
});

test('a record in parts is whole wherever its messages are torn apart on the way, and another one waits meanwhile', () => {
  const value = Buffer.alloc(3_500, 'v');
  const messages = inParts('large', value, 1);
  expect(messages).toHaveLength(5);
  for (let torn = 1; torn < messages.length; torn++) {
    const intake = new Intake(layout, seal);
    intake.add(messages.slice(0, torn));
    expect(intake.take().messages).toEqual([]);
    intake.add(messages.slice(torn));
    expect(intake.take()).toMatchObject({ messages: [{ sequence: 5, bytes: value }], upTo: 5 });
  }
  const intake = new Intake(layout, seal, () => 0);
  const waiting = raw('big', Buffer.alloc(3_000), 5, 9);
  intake.add([...messages.slice(0, 4), waiting]);
  expect(intake.take().upTo).toBe(4);
  intake.add(inParts('large', value, 6).slice(4));
  intake.add([raw('big', Buffer.from('small now'), 11)]);
  expect(intake.take().messages).toMatchObject([{ sequence: 10, bytes: value }, { sequence: 11 }]);
});

const part = (key: string, index: number, data: Uint8Array, sequence: number): RawMessage => ({
  subject: layout.chunk(Buffer.from(key), index),
  headers: headers(),
  data,
  sequence,
});
const removed = (key: string, index: number, sequence: number): RawMessage => {
  const message = part(key, index, Buffer.alloc(0), sequence);
  message.headers?.set('KV-Operation', 'DEL');
  return message;
};

test('of parts nothing is kept when their record has come, nor of one that is removed', () => {
  const parts = new UnclaimedParts();
  const intake = new Intake(layout, seal, undefined, parts);
  const value = Buffer.alloc(3_500, 'v');
  const messages = inParts('large', value, 2);
  // What somebody else put beside them is of no use any more, either.
  intake.add([part('large', 9, Buffer.alloc(1_000), 1), ...messages.slice(0, 2)]);
  intake.take();
  expect(parts.size).toBeGreaterThan(3_000);
  intake.add(messages.slice(2));
  expect(intake.take()).toMatchObject({ messages: [{ bytes: value }] });
  expect(parts.size).toBe(0);
  intake.add([part('other', 0, Buffer.alloc(1_000), 7), removed('large', 3, 8), removed('other', 0, 9)]);
  expect(intake.take()).toMatchObject({ upTo: 9 });
  expect(parts.size).toBe(0);
});

test('parts that no record claims are kept up to a limit, and one whose parts come meanwhile is whole', () => {
  const limit = 30_000;
  const parts = new UnclaimedParts(limit);
  const intake = new Intake(layout, seal, undefined, parts);
  const value = Buffer.alloc(3_500, 'v');
  let sequence = 0;
  const foreign = (count: number) => {
    for (let at = 0; at < count; at++) {
      sequence++;
      intake.add([part(`foreign ${sequence}`, 0, Buffer.alloc(at % 2 ? 1 : 900), sequence)]);
      intake.take();
      expect(parts.size).toBeLessThanOrEqual(limit);
    }
  };
  foreign(100);
  const came: Whole[] = [];
  for (const message of inParts('large', value, 0)) {
    foreign(5);
    sequence++;
    intake.add([{ ...message, sequence }]);
    came.push(...intake.take().messages);
  }
  expect(came).toMatchObject([{ kind: 'record', bytes: value }]);
});

test('what is kept of parts costs nothing where others come', { timeout: 60_000 }, () => {
  const intake = new Intake(layout, seal);
  const many = Array.from({ length: 50_000 }, (_, at) => part(`foreign ${at}`, 0, Buffer.alloc(1), at + 1));
  intake.add(many);
  intake.take();
  const begun = performance.now();
  for (let at = 0; at < 1_000; at++) {
    intake.add([part('foreign', 0, Buffer.alloc(1), 100_000 + at)]);
    intake.take();
  }
  // A copy of what is kept, each time, takes ten times as long.
  expect(performance.now() - begun).toBeLessThan(1_500);
});
