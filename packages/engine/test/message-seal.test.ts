import { headers as natsHeaders } from '@nats-io/nats-core';
import { describe, expect, it } from 'vitest';
import { isPrintOf, MessageSeal } from '../src/storage/jetstream/message-seal.js';
import type { Outgoing } from '../src/storage/jetstream/messages.js';
import { keyed, sealOf } from './sealing.js';

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
  const seal = sealOf('KV_coffer');

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
    ['Coffer-Beside', 'cw:0123456789abcdef'],
    ['Coffer-Seal', ''],
  ])('is not good where %s is another', (name, value) => {
    const sent = received(seal.seal(RECORD));
    sent.headers.set(name, value);
    expect(seal.isGood(sent.subject, sent.headers)).toBe(false);
  });

  it('is not good for what says no more with which change it was written', () => {
    const beside = ['Coffer-Beside', 'cw:0123456789abcdef'] as const;
    const sent = received(seal.seal({ ...RECORD, headers: [...RECORD.headers, beside] }));
    expect(seal.isGood(sent.subject, sent.headers)).toBe(true);
    sent.headers.delete('Coffer-Beside');
    expect(seal.isGood(sent.subject, sent.headers)).toBe(false);
  });

  it('is not good in another bucket, nor to another store', () => {
    const sent = received(seal.seal(RECORD));
    expect(sealOf('KV_other').isGood(sent.subject, sent.headers)).toBe(false);
    expect(sealOf('KV_coffer', 'b').isGood(sent.subject, sent.headers)).toBe(false);
    expect(seal.isGood(RECORD.subject, undefined)).toBe(false);
  });

  it('waits for its key: nothing is sealed and nothing is judged without', () => {
    const waiting = new MessageSeal({ stream: 'KV_coffer' });
    const sent = received(seal.seal(RECORD));
    expect(waiting.isGood(sent.subject, sent.headers)).toBe(undefined);
    expect(waiting.sealIfKnown(RECORD)).toBe(undefined);
    expect(() => waiting.seal(RECORD)).toThrow(expect.objectContaining({ code: 'unavailable' }));
    waiting.begin(keyed('a'));
    expect(waiting.isGood(sent.subject, sent.headers)).toBe(true);
  });

  it('is none of the record that the key comes with', () => {
    const exempt = new MessageSeal({ stream: 'KV_coffer', exempt: RECORD.subject });
    const sent = received(exempt.seal(RECORD));
    expect(sent.headers.has('Coffer-Seal')).toBe(false);
    expect(isPrintOf(sent)).toBe(true);
    expect(exempt.isGood(sent.subject, sent.headers)).toBe(true);
    expect(exempt.hasKey).toBe(false);
  });
});
