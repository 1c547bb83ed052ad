import { createHmac } from 'node:crypto';
import { headers as natsHeaders } from '@nats-io/nats-core';
import { describe, expect, it } from 'vitest';
import { isPrintOf, MessageSeal } from '../src/storage/jetstream/message-seal.js';
import type { Outgoing } from '../src/storage/jetstream/messages.js';

const keyed = (key: string) => (message: Uint8Array) => createHmac('sha256', key).update(message).digest();

const RECORD: Outgoing = {
  subject: '$KV.coffer.r.c2VjcmV0',
  headers: [
    ['Coffer-Kind', 'head'],
    ['Coffer-Lineage', '7:0123456789abcdef'],
    ['Nats-Expected-Last-Subject-Sequence', '7'],
  ],
  data: Buffer.from('bytes of a record'),
};

const received = ({ subject, headers: said, data }: Outgoing) => {
  const headers = natsHeaders();
  for (const [name, value] of said) headers.set(name, value);
  return { subject, headers, data };
};

describe('the seal of a message', () => {
  const seal = new MessageSeal('KV_coffer', keyed('a'));

  it('is good for the message that was sealed, and for no other', () => {
    const sent = received(seal.seal(RECORD));
    expect(seal.isGood(sent.subject, sent.headers)).toBe(true);
    expect(isPrintOf(sent)).toBe(true);
    expect(seal.isGood('$KV.coffer.r.b3RoZXI', sent.headers)).toBe(false);
    expect(isPrintOf({ ...sent, data: Buffer.from('other bytes') })).toBe(false);
  });

  it.each([
    ['KV-Operation', 'DEL'],
    ['Coffer-Kind', 'side'],
    ['Coffer-Chunks', '2'],
    ['Coffer-Lineage', '8:0123456789abcdef'],
    ['Coffer-Print', 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'],
    ['Coffer-Seal', ''],
  ])('is not good where %s is another', (name, value) => {
    const sent = received(seal.seal(RECORD));
    sent.headers.set(name, value);
    expect(seal.isGood(sent.subject, sent.headers)).toBe(false);
  });

  it('is not good in another bucket, nor to another store', () => {
    const sent = received(seal.seal(RECORD));
    expect(new MessageSeal('KV_other', keyed('a')).isGood(sent.subject, sent.headers)).toBe(false);
    expect(new MessageSeal('KV_coffer', keyed('b')).isGood(sent.subject, sent.headers)).toBe(false);
    expect(seal.isGood(RECORD.subject, undefined)).toBe(false);
  });

  it('waits for its key: nothing is sealed and nothing is judged without', () => {
    const waiting = new MessageSeal('KV_coffer');
    const sent = received(seal.seal(RECORD));
    expect(waiting.isGood(sent.subject, sent.headers)).toBe(undefined);
    expect(waiting.sealIfKnown(RECORD)).toBe(undefined);
    expect(() => waiting.seal(RECORD)).toThrow(expect.objectContaining({ code: 'unavailable' }));
    waiting.begin(keyed('a'));
    expect(waiting.isGood(sent.subject, sent.headers)).toBe(true);
  });
});
