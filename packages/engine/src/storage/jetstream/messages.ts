import { createHash } from 'node:crypto';
import type { MsgHdrs } from '@nats-io/nats-core';

import { CofferError } from '../../errors.js';
import type { StorageChange } from '../storage.js';
import { HEADER, type Layout, LINEAGE } from './layout.js';
import type { Ancestor, ReplicaEntry } from './replica-contract.js';

/** Headers of nats-server (ADR-50, ADR-22). */
export const NATS_HEADER = {
  batchId: 'Nats-Batch-Id',
  batchSequence: 'Nats-Batch-Sequence',
  batchCommit: 'Nats-Batch-Commit',
  expected: 'Nats-Expected-Last-Subject-Sequence',
  expectedSubject: 'Nats-Expected-Last-Subject-Sequence-Subject',
} as const;

const REMOVED = 'DEL';
const EMPTY = new Uint8Array();

/** A message that is to be published. */
export interface Outgoing {
  readonly subject: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly data: Uint8Array;
}

/** What a change is in messages: bulk first, then the head, then what is removed, so that each prefix of them is consistent. */
export interface EncodedChange {
  readonly messages: readonly Outgoing[];
  /** Which of them is the head. */
  readonly head: number;
}

/**
 * @param entry what the replica knows of a key: a change is made on top of that
 * @param partBytes how long a message's payload may be
 * @param kind of the one in the place of the head: a side record that is written by itself must be as it was, too
 */
export function encodeChange(
  change: Omit<StorageChange, 'expectedRevision'>,
  layout: Layout,
  entry: (key: Uint8Array) => ReplicaEntry | undefined,
  partBytes: number,
  kind: 'head' | 'side' = 'head',
): EncodedChange {
  const before: Outgoing[] = [];
  const after: Outgoing[] = [];
  const removal = (subject: string, headers: Outgoing['headers'] = []): Outgoing => ({
    subject,
    headers: [[HEADER.operation, REMOVED], ...headers],
    data: EMPTY,
  });
  /** The record's own message; its parts go before, and those of its predecessor that it has no use for are removed after. */
  const record = (key: Uint8Array, bytes: Uint8Array | undefined, headers: Outgoing['headers']): Outgoing => {
    const parts = bytes === undefined || bytes.length <= partBytes ? [] : divide(bytes, partBytes);
    for (const [index, data] of parts.entries()) {
      before.push({ subject: layout.chunk(key, index), headers: [], data });
    }
    for (let index = parts.length; index < (entry(key)?.chunks ?? 0); index++) {
      after.push(removal(layout.chunk(key, index)));
    }
    const subject = layout.record(key);
    const said: Outgoing['headers'] = [[HEADER.print, fingerprint(bytes ?? EMPTY)], ...headers];
    if (bytes === undefined) return removal(subject, said);
    if (parts.length === 0) return { subject, headers: said, data: bytes };
    const data = createHash('sha256').update(bytes).digest();
    return { subject, headers: [[HEADER.chunks, String(parts.length)], ...said], data };
  };

  const sides = change.put?.map(({ key, bytes }) => record(key, bytes, [SIDE])) ?? [];
  const known = entry(change.head.key);
  const head = record(change.head.key, change.head.bytes, [
    [HEADER.kind, kind],
    ...(known && kind === 'head' ? [[HEADER.lineage, formatLineage(lineageBehind(known))] as const] : []),
    [NATS_HEADER.expected, String(known?.revision ?? 0)],
  ]);
  for (const key of change.remove ?? []) after.push(record(key, undefined, [SIDE]));
  return { messages: [...before, ...sides, head, ...after], head: before.length + sides.length };
}

/** By which two generations of a record are told apart: the first 8 bytes of SHA-256 of its bytes, hex; of a removed one of none. */
export const fingerprint = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 16);

const SIDE = [HEADER.kind, 'side'] as const;

/** Of what follows on a record: that record, and those before it. */
export const lineageBehind = ({ revision, fingerprint, lineage }: ReplicaEntry): Ancestor[] =>
  [{ revision, fingerprint }, ...lineage].slice(0, LINEAGE);

function divide(bytes: Uint8Array, partBytes: number): Uint8Array[] {
  const count = Math.ceil(bytes.length / partBytes);
  return Array.from({ length: count }, (_, index) =>
    bytes.subarray(index * partBytes, (index + 1) * partBytes),
  );
}

export const formatLineage = (lineage: readonly Ancestor[]): string =>
  lineage.map(({ revision, fingerprint }) => `${revision}:${fingerprint}`).join(',');

/** A message as it lies in the stream. */
export interface RawMessage {
  readonly subject: string;
  readonly headers: MsgHdrs | undefined;
  readonly data: Uint8Array;
  readonly sequence: number;
}

/** A message of the stream, parsed. */
export type Incoming = { readonly sequence: number; readonly batch: BatchPlace | undefined } & IncomingBody;

/** Of which batch a message was a part, and whether its last. */
export interface BatchPlace {
  readonly id: string;
  readonly last: boolean;
}

type IncomingBody =
  | IncomingRecord
  /** Undefined bytes: the record has no use for the part any more. */
  | {
      readonly kind: 'chunk';
      readonly key: Buffer;
      readonly index: number;
      readonly bytes: Uint8Array | undefined;
    }
  | { readonly kind: 'mark'; readonly instance: string }
  | { readonly kind: 'beat' | 'member'; readonly instance: string; readonly bytes: Uint8Array | undefined }
  | { readonly kind: 'lease'; readonly work: string; readonly bytes: Uint8Array | undefined }
  | { readonly kind: 'meta' | 'alarm'; readonly bytes: Uint8Array | undefined };

export interface IncomingRecord {
  readonly kind: 'record';
  readonly key: Buffer;
  readonly isHead: boolean;
  readonly lineage: readonly Ancestor[];
  readonly removed: boolean;
  /** Of how many parts it is, which came before it; 0: it is here whole. */
  readonly chunks: number;
  /** Its bytes; of one in parts the SHA-256 of the whole. */
  readonly payload: Uint8Array;
  /** The {@link fingerprint} of its bytes. */
  readonly print: string;
}

/** @throws CofferError `tampered` for what no instance writes */
export function decodeMessage(layout: Layout, { subject, headers, data, sequence }: RawMessage): Incoming {
  const place = layout.parse(subject);
  if (!place) throw strange(sequence, 'its subject is not one of ours');
  const batch = batchOf(headers);
  const bytes = isRemoved(headers) ? undefined : data;
  switch (place.kind) {
    case 'record':
      return { sequence, batch, ...recordOf(sequence, place.key, headers, data) };
    case 'mark':
      return { sequence, batch, kind: 'mark', instance: place.instance };
    case 'beat':
    case 'member':
      return { sequence, batch, kind: place.kind, instance: place.instance, bytes };
    default:
      return { sequence, batch, ...place, bytes };
  }
}

function recordOf(
  sequence: number,
  key: Buffer,
  headers: MsgHdrs | undefined,
  payload: Uint8Array,
): IncomingRecord {
  const header = (name: string) => headers?.get(name) ?? '';
  const kind = header(HEADER.kind);
  if (kind !== 'head' && kind !== 'side') throw strange(sequence, 'it does not say whether it is a head');
  const lineage = parseLineage(header(HEADER.lineage));
  if (!lineage) throw strange(sequence, 'its lineage cannot be read');
  const removed = isRemoved(headers);
  const chunks = header(HEADER.chunks) === '' ? 0 : Number(header(HEADER.chunks));
  if (!Number.isInteger(chunks) || chunks < 0 || (chunks > 0 && (removed || payload.length !== 32))) {
    throw strange(sequence, 'it does not say what it is composed of');
  }
  const print = header(HEADER.print);
  if (!PRINT.test(print) || (chunks === 0 && print !== fingerprint(payload))) {
    throw strange(sequence, 'its bytes have another fingerprint than it says');
  }
  return { kind: 'record', key, isHead: kind === 'head', lineage, removed, chunks, payload, print };
}

const isRemoved = (headers: MsgHdrs | undefined): boolean => headers?.get(HEADER.operation) === REMOVED;

function batchOf(headers: MsgHdrs | undefined): BatchPlace | undefined {
  const id = headers?.get(NATS_HEADER.batchId) ?? '';
  return id === '' ? undefined : { id, last: headers?.get(NATS_HEADER.batchCommit) === '1' };
}

const PRINT = /^[0-9a-f]{16}$/;
const ANCESTOR = /^([1-9]\d{0,15}):([0-9a-f]{16})$/;

/** Undefined if it is none. */
function parseLineage(text: string): Ancestor[] | undefined {
  if (text === '') return [];
  const ancestors: Ancestor[] = [];
  for (const part of text.split(',')) {
    const [, revision, fingerprint] = ANCESTOR.exec(part) ?? [];
    if (revision === undefined || fingerprint === undefined) return undefined;
    ancestors.push({ revision: Number(revision), fingerprint });
  }
  return ancestors.length <= LINEAGE ? ancestors : undefined;
}

const strange = (sequence: number, what: string): CofferError =>
  new CofferError(
    'tampered',
    `message ${sequence} of the bucket is not coffer's: ${what}; nobody else may write there`,
  );
