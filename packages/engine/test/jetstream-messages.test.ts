import { createHash } from 'node:crypto';
import { headers } from '@nats-io/nats-core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { type GroupOptions, takeGroup, type Waiting } from '../src/storage/jetstream/commit-group.js';
import { compareVersions, requireVersion } from '../src/storage/jetstream/fitness.js';
import { divide } from '../src/storage/jetstream/large-change.js';
import { Layout } from '../src/storage/jetstream/layout.js';
import { printOf } from '../src/storage/jetstream/message-seal.js';
import {
  decodeMessage,
  encodeChange,
  fingerprint,
  type Outgoing,
} from '../src/storage/jetstream/messages.js';
import type { ReplicaEntry } from '../src/storage/jetstream/replica-contract.js';
import { MOST_AT_ONCE } from '../src/storage/shared.js';
import type { StorageChange } from '../src/storage/storage.js';
import { sealOf } from './sealing.js';

const layout = new Layout('test');
const seal = sealOf(layout.stream);
const key = (text: string) => Buffer.from(text);

/** As it would come back from the stream. */
function decoded({ subject, headers: said, data }: Outgoing, sequence = 1) {
  const received = headers();
  for (const [name, value] of said) received.set(name, value);
  return decodeMessage(layout, { subject, headers: received, data, sequence });
}

const entryOf = (entry: Partial<ReplicaEntry>): ReplicaEntry => ({
  revision: 7,
  removed: false,
  isHead: true,
  fingerprint: fingerprint(Buffer.from('before')),
  lineage: [],
  chunks: 0,
  ...entry,
});

const headOf = (at: string): StorageChange => ({
  head: { key: key(at), bytes: Buffer.from('x') },
  expectedRevision: 0,
});

describe('messages of a change', () => {
  test('mean what the change does, whatever its bytes', () => {
    const bytes = fc.uint8Array({ maxLength: 3_000 });
    const keyBytes = fc.uint8Array({ minLength: 1, maxLength: 300 }).filter(([first]) => first !== 0);
    const keys = fc.uniqueArray(keyBytes, {
      minLength: 3,
      maxLength: 6,
      selector: (one) => Buffer.from(one).toString('hex'),
    });
    fc.assert(
      fc.property(keys, bytes, bytes, ([head = key('h'), put = key('p'), removed = key('r')], of, side) => {
        const change = {
          head: { key: head, bytes: of },
          expectedRevision: 7,
          put: [{ key: put, bytes: side }],
          remove: [removed],
        };
        const known = (one: Uint8Array) => (one === head ? entryOf({ chunks: 2 }) : undefined);
        const encoded = encodeChange(change, {
          layout,
          seal,
          position: 9,
          generation: () => 3,
          entry: known,
          partBytes: 1_024,
        });
        const records = new Map<string, Buffer | undefined>();
        const parts: Uint8Array[] = [];
        for (const message of encoded.messages.map((one) => decoded(one))) {
          if (message.kind === 'chunk') {
            if (message.bytes) parts[message.index] = message.bytes;
          } else if (message.kind === 'record') {
            const whole = message.chunks > 0 ? Buffer.concat(parts.splice(0)) : Buffer.from(message.payload);
            if (!message.removed) expect(fingerprint(whole)).toBe(message.print);
            records.set(message.key.toString('hex'), message.removed ? undefined : whole);
            if (message.isHead) {
              expect(message.lineage).toEqual([{ revision: 7, fingerprint: entryOf({}).fingerprint }]);
            } else {
              expect(message.beside).toEqual({ head: Buffer.from(head), fingerprint: fingerprint(of) });
            }
          }
        }
        const hex = (one: Uint8Array) => Buffer.from(one).toString('hex');
        expect(records).toEqual(
          new Map([
            [hex(put), Buffer.from(side)],
            [hex(head), Buffer.from(of)],
            [hex(removed), undefined],
          ]),
        );
      }),
    );
  });

  test('come in an order of which each beginning is a state without harm', () => {
    const change = { ...headOf('h'), put: [{ key: key('s'), bytes: Buffer.alloc(10) }], remove: [key('r')] };
    const { messages, head } = encodeChange(change, {
      layout,
      seal,
      position: 9,
      generation: () => 3,
      entry: () => undefined,
      partBytes: 4,
    });
    expect(messages.map(({ subject }) => subject.split('.')[2])).toEqual(['c', 'c', 'c', 'r', 'r', 'r']);
    expect(messages[head]?.subject).toBe(layout.record(key('h')));
    expect(messages.at(-1)?.subject).toBe(layout.record(key('r')));
  });

  test.each([
    ['another subject', { subject: '$KV.test.x.y' }],
    ['a record without a kind', { headers: [] }],
    ['a record with another fingerprint', { data: Buffer.from('other') }],
    [
      'a lineage of nothing',
      {
        headers: [
          ['Coffer-Kind', 'head'],
          ['Coffer-Lineage', '0:00'],
        ],
      },
    ],
    [
      'parts without a digest',
      {
        headers: [
          ['Coffer-Kind', 'side'],
          ['Coffer-Chunks', '2'],
        ],
      },
    ],
  ] as [string, Partial<Outgoing>][])('with %s are refused', (_, other) => {
    const [message] = encodeChange(headOf('h'), {
      layout,
      seal,
      position: 9,
      generation: () => 3,
      entry: () => undefined,
      partBytes: 1_024,
    }).messages;
    if (!message) throw new Error('there is no message');
    expect(decoded(message)).toMatchObject({ kind: 'record' });
    expect(() => decoded({ ...message, ...other })).toThrow(/not coffer's/);
  });
});

describe('a group of changes', () => {
  const options: GroupOptions = {
    layout,
    seal,
    position: 9,
    generation: () => 3,
    instance: '0123456789abcdef',
    fence: key('header'),
    fenceRevision: 3,
    partBytes: 1_024,
    entry: () => undefined,
    single: false,
  };
  const waiting = (change: StorageChange): Waiting => ({
    change,
    fence: 3,
    resolve: () => {},
    reject: () => {},
  });
  const taken = (queue: Waiting[], more: Partial<GroupOptions> = {}) =>
    takeGroup(queue, { ...options, ...more }).members.map(({ waiting: { change } }) =>
      Buffer.from(change.head.key).toString(),
    );

  test('has no two of the same record, and no change overtakes another of its record', () => {
    const queue = [
      waiting(headOf('a')),
      waiting({ ...headOf('b'), put: [{ key: key('a'), bytes: Buffer.alloc(1) }] }),
      waiting(headOf('b')),
      waiting(headOf('c')),
    ];
    expect(taken(queue)).toEqual(['a', 'c']);
    expect(taken(queue)).toEqual(['b']);
    expect(taken(queue)).toEqual(['b']);
  });

  test("has a change of the ring's record alone, and single ones where it is asked for", () => {
    const queue = ['a', 'header', 'b', 'c'].map((at) => waiting(headOf(at)));
    expect(taken(queue)).toEqual(['a', 'b', 'c']);
    queue.push(waiting(headOf('d')));
    expect(taken(queue)).toEqual(['header']);
    queue.push(waiting(headOf('e')));
    expect(taken(queue, { single: true })).toEqual(['d']);
  });

  test('is no longer than a batch may be', () => {
    const queue = Array.from({ length: 1_000 }, (_, n) => waiting(headOf(`h${n}`)));
    const lengths: number[] = [];
    while (queue.length > 0) lengths.push(takeGroup(queue, options).messages.length);
    expect(Math.max(...lengths)).toBeLessThan(1_000);
    expect(lengths.reduce((sum, length) => sum + length - 1, 0)).toBe(1_000);
  });
});

describe('a change that is longer than a batch', () => {
  const sides = (count: number) =>
    Array.from({ length: count }, (_, n) => ({ key: key(`s${n}`), bytes: Buffer.from('x') }));

  test('has its new records before it and its removals behind it', () => {
    const there = new Set(sides(100).map((side) => side.key.toString()));
    const entry = (one: Uint8Array) => {
      const name = Buffer.from(one).toString();
      return there.has(name) || name.startsWith('r') ? entryOf({ isHead: false }) : undefined;
    };
    const remove = Array.from({ length: 2_000 }, (_, n) => key(`r${n}`));
    const change = { ...headOf('h'), put: sides(2_000), remove, divisible: true };
    const division = divide(change, {
      layout,
      seal,
      position: 9,
      generation: () => 3,
      entry,
      partBytes: 1_024,
    });
    expect(division?.before.flat()).toHaveLength(1_900);
    expect(division?.change.put).toHaveLength(100);
    const kept = division?.change.remove?.length ?? 0;
    expect(kept + (division?.after.length ?? 0)).toBe(2_000);
    for (const part of division?.before ?? []) expect(part.length).toBeLessThan(1_000);
    expect(100 + kept).toBeLessThan(1_000);
  });

  test('is refused whole where its side records mean something without their head', () => {
    const all = { layout, seal, position: 9, generation: () => 3, entry: () => undefined, partBytes: 1_024 };
    expect(() => divide({ ...headOf('h'), put: sides(2_000) }, all)).toThrow('in parts');
    // As many as the manifest lets pass.
    expect(divide({ ...headOf('h'), put: sides(MOST_AT_ONCE) }, all)).toBeUndefined();
  });

  test('cannot replace more than that', () => {
    const all = {
      layout,
      seal,
      position: 9,
      generation: () => 3,
      entry: () => entryOf({}),
      partBytes: 1_024,
    };
    const change = { ...headOf('h'), put: sides(2_000), divisible: true };
    expect(() => divide(change, all)).toThrow('in parts');
    expect(divide({ ...headOf('h'), put: sides(500) }, all)).toBeUndefined();
  });
});

test('versions are compared by their numbers, what leads to a release comes before it, and what is no version is the oldest', () => {
  const order = [
    '',
    '2.9.25',
    '2.12.15',
    '2.14.0',
    '2.14.2-1',
    '2.14.2-RC',
    '2.14.2-RC.2',
    '2.14.2-RC.10',
    '2.14.2-RC.10.1',
  ];
  order.push('v2.14.2', '2.14.3-RC.1', '2.15.0', '10.0.0');
  expect([...order].reverse().sort(compareVersions)).toEqual(order);
  for (const same of ['v2.14.2', '2.14.2+build.5']) expect(compareVersions(same, '2.14.2')).toBe(0);
  expect(compareVersions('2.14.2 or so', '0.0.1')).toBeLessThan(0);
});

test('a server is new enough from 2.14.2 on, and refused below with what to do', () => {
  for (const version of ['2.12.15', '2.14.1', '2.14.2-RC.1', '2.14.2-dev+abc', '']) {
    expect(() => requireVersion(version, 'n1')).toThrow(/n1 is nats-server .*needs 2\.14\.2 or newer/);
  }
  for (const version of ['2.14.2', '2.14.10', '2.15.0-RC.1', '2.15.2', '3.0.0'])
    requireVersion(version, 'n1');
});

describe('a message is none of an instance’s', () => {
  const record = (id: Uint8Array, more: readonly (readonly [string, string])[] = [], print = printOf(X)) => {
    const said = [['Coffer-Kind', 'head'], ['Coffer-Print', print], ...more] as const;
    return decoded({ subject: layout.record(id), headers: said, data: X });
  };
  // What a record in parts has for its payload, it says in its headers.
  const X = createHash('sha256').update('x').digest();
  const tampered = expect.objectContaining({ code: 'tampered' });

  test.each([
    ['of the rows that a replica keeps for itself', Buffer.concat([Buffer.of(0, 4), Buffer.alloc(8, 9)])],
    ['that is one of them', Buffer.of(0, 1)],
    ['that is longer than any', Buffer.alloc(301, 1)],
  ])('under a key %s', (_, id) => {
    expect(() => record(id)).toThrow(tampered);
    expect(layout.parse(layout.chunk(id, 0))).toBeUndefined();
    expect(layout.parseFork(layout.fork(id, 'ab'.repeat(8), 0))).toBeUndefined();
  });

  test('of more parts than a record has, or of a number that is none', () => {
    const parts = (count: string) => record(key('s'), [['Coffer-Chunks', count]], X.toString('base64url'));
    expect(parts('10000')).toMatchObject({ chunks: 10_000 });
    for (const count of ['10001', '9007199254740991', '0', '1e3', '0x10', '-1'])
      expect(() => parts(count)).toThrow(tampered);
  });

  test('with a lineage of a sequence that no other instance can be told', () => {
    const after = (sequence: string) =>
      record(key('s'), [['Coffer-Lineage', `${sequence}:${'ab'.repeat(8)}`]]);
    expect(after('9007199254740991')).toMatchObject({ lineage: [{ revision: Number.MAX_SAFE_INTEGER }] });
    for (const sequence of ['9007199254740992', '9999999999999999', '0']) {
      expect(() => after(sequence)).toThrow(tampered);
    }
  });
});
