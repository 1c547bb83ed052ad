import { expect, test } from 'vitest';
import {
  BUCKET_FORMAT,
  encodeAlarm,
  encodeMember,
  encodeMeta,
  parseAlarm,
  parseMember,
  parseMeta,
} from '../src/storage/jetstream/notes.js';

test('an epoch that no store comes to is none', () => {
  const meta = { format: BUCKET_FORMAT, incarnation: Buffer.alloc(16, 7), epoch: 1_000_000 };
  expect(parseMeta(encodeMeta(meta))).toEqual(meta);
  for (const epoch of [1_000_000_001, Number.MAX_SAFE_INTEGER, -1, 0.5]) {
    expect(() => parseMeta(encodeMeta({ ...meta, epoch }))).toThrow(
      expect.objectContaining({ code: 'tampered' }),
    );
  }
});

test('what people read of others is short and can be seen: a note that says more is none, and an instance writes no such note', () => {
  const at = new Date(1_000);
  const member = { name: 'a', version: '1', life: 0, epoch: 1, confirmed: 0, awaited: 0, at };
  const alarm = {
    kind: 'missing',
    message: 'gone',
    instance: '0'.repeat(16),
    at,
    healer: undefined,
  } as const;
  expect(parseMember(encodeMember(member))).toEqual(member);
  const lacking = { ...member, lacksRootKey: true as const };
  expect(parseMember(encodeMember(lacking))).toEqual(lacking);
  expect(parseAlarm(encodeAlarm(alarm))).toEqual(alarm);
  const written = (note: object) => Buffer.from(JSON.stringify(note));
  for (const text of ['\u001b[2Jcleared', 'back\u202Ewards', 'x'.repeat(10_000)]) {
    expect(() => parseMember(written({ ...member, name: text }))).toThrow(/not coffer's \(name\)/);
    expect(() => parseAlarm(written({ ...alarm, message: text }))).toThrow(/not coffer's \(message\)/);
    expect(parseMember(encodeMember({ ...member, name: text })).name.length).toBeLessThanOrEqual(256);
    expect(parseAlarm(encodeAlarm({ ...alarm, message: text })).message).not.toMatch(/\p{Cc}|\p{Cf}/u);
  }
});
