import { randomBytes } from 'node:crypto';
import { asBuffer } from '../../bytes.js';
import type { StorageChange } from '../storage.js';
import { generationOf, type RecordSense } from './heal-plan.js';
import type { Layout } from './layout.js';
import { markOf } from './mark.js';
import { type ChangeEncoding, encodeChange, NATS_HEADER, type Outgoing } from './messages.js';
import type { ReplicaLike } from './replica-contract.js';

/** nats-server takes 1,000 messages in a batch; what is larger than this is a batch of its own. */
const GROUP_MESSAGES = 250;
const GROUP_BYTES = 1024 * 1024;
/** Nats-server counts with a message its subject, headers and the entry around it. */
const MESSAGE_BYTES = 512;

/** A commit that waits. */
export interface Waiting {
  readonly change: StorageChange;
  /** The revision of the ring's record in the turn in which the change was sealed. */
  readonly fence: number;
  readonly resolve: (revision: number) => void;
  readonly reject: (error: Error) => void;
}

/** One of a {@link Group}. */
export interface Member {
  readonly waiting: Waiting;
  /** The revision that its head is said to have; of a removed one its tombstone's. */
  readonly expected: number;
  /** Of its head among the group's messages. */
  readonly head: number;
}

/** Changes that go into the stream as one batch. */
export interface Group {
  /** As the batch's mark says. */
  readonly commit: string;
  readonly messages: readonly Outgoing[];
  readonly members: readonly Member[];
  /** The ring's record, as the group states it. */
  readonly fence: number;
  readonly bytes: number;
}

export interface GroupOptions extends ChangeEncoding {
  readonly instance: string;
  /** The key of the ring's record, and its revision in the replica, which is that of all in the queue. */
  readonly fence: Uint8Array;
  readonly fenceRevision: number;
  /** Alone: another group was refused, and it is to be seen because of whom. */
  readonly single: boolean;
}

/** Of a change that is made on top of what the replica has at this moment. */
export function changeEncoding(
  { layout, seal, sense, replica }: EncodingParts,
  partBytes: number,
): ChangeEncoding {
  return {
    layout,
    seal,
    partBytes,
    position: replica.position,
    generation: (key) => generationOf(sense, key, replica.get(key)?.bytes ?? new Uint8Array()),
    entry: (key) => replica.entry(key),
  };
}

export interface EncodingParts extends Pick<ChangeEncoding, 'layout' | 'seal'> {
  readonly sense: RecordSense;
  readonly replica: ReplicaLike;
}

/**
 * Takes as many of `queue` as may go together: no two that touch the same record, and a change of the ring's record alone, since
 * nothing that was sealed under the ring before it may come behind it.
 */
export function takeGroup(queue: Waiting[], options: GroupOptions): Group {
  const { layout, fence, fenceRevision, entry, single } = options;
  const messages: Outgoing[] = [];
  const members: Member[] = [];
  const touched = new Set<string>();
  let bytes = MESSAGE_BYTES;
  const left: Waiting[] = [];
  let closed = false;
  for (const waiting of queue) {
    const { change } = waiting;
    const keys = keysOf(change);
    const isFence = sameBytes(change.head.key, fence);
    const fits = !closed && !keys.some((key) => touched.has(key)) && (!isFence || members.length === 0);
    if (!fits) {
      // What comes behind it in the queue may touch the same records.
      for (const key of keys) touched.add(key);
      left.push(waiting);
      continue;
    }
    const encoded = encodeChange(change, options);
    const size = encoded.messages.reduce((sum, { data }) => sum + data.length + MESSAGE_BYTES, 0);
    if (
      members.length > 0 &&
      (messages.length + encoded.messages.length >= GROUP_MESSAGES || bytes + size > GROUP_BYTES)
    ) {
      closed = true;
      left.push(waiting);
      continue;
    }
    members.push({
      waiting,
      expected: entry(change.head.key)?.revision ?? 0,
      head: messages.length + encoded.head,
    });
    messages.push(...encoded.messages);
    for (const key of keys) touched.add(key);
    bytes += size;
    closed ||= single || isFence;
  }
  queue.splice(0, queue.length, ...left);
  const commit = newCommit();
  const heads = members.flatMap(({ head }) => messages[head] ?? []);
  const mark = markOf(options, commit, heads, underRing(layout, fence, fenceRevision));
  return {
    commit,
    messages: [...mark, ...messages],
    members: members.map((one) => ({ ...one, head: mark.length + one.head })),
    fence: fenceRevision,
    bytes,
  };
}

export const newCommit = (): string => randomBytes(16).toString('hex');

/** With these a message, and the batch of which it is the first, is stored under the ring of that revision only. */
export const underRing = (layout: Layout, fence: Uint8Array, revision: number): Outgoing['headers'] => [
  [NATS_HEADER.expected, String(revision)],
  [NATS_HEADER.expectedSubject, layout.record(fence)],
];

export const sameBytes = (one: Uint8Array, other: Uint8Array): boolean => asBuffer(one).equals(other);

function keysOf({ head, put = [], remove = [] }: StorageChange): string[] {
  const keys = [head.key, ...put.map(({ key }) => key), ...remove];
  return keys.map((key) => asBuffer(key).toString('latin1'));
}
