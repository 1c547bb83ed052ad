import { createHash } from 'node:crypto';
import type { MsgHdrs, NatsConnection } from '@nats-io/nats-core';

import { CofferError } from '../../errors.js';
import type { StorageChange } from '../storage.js';
import { besideHeader, parseBeside } from './beside.js';
import { HEADER, type Layout, LINEAGE, MOST_CHUNKS } from './layout.js';
import { type MessageSeal, printOf } from './message-seal.js';
import type { Ancestor, Beside, ReplicaEntry } from './replica-contract.js';

/** Headers of nats-server (ADR-50, ADR-22). */
export const NATS_HEADER = {
  batchId: 'Nats-Batch-Id',
  batchSequence: 'Nats-Batch-Sequence',
  batchCommit: 'Nats-Batch-Commit',
  expected: 'Nats-Expected-Last-Subject-Sequence',
  /** Of the whole stream. */
  expectedEnd: 'Nats-Expected-Last-Sequence',
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

/** How records become messages. */
export interface Encoding {
  readonly layout: Layout;
  readonly seal: MessageSeal;
  /** How long a message's payload may be. */
  readonly partBytes: number;
}

/** With what the replica knows of a key: a change is made on top of that. */
export interface ChangeEncoding extends Encoding {
  readonly entry: (key: Uint8Array) => ReplicaEntry | undefined;
  /** Of the replica. */
  readonly position: number;
  /** Of a head that is there; 0 if it cannot be read. */
  readonly generation: (key: Uint8Array) => number;
}

/**
 * @param kind of the one in the place of the head: a side record that is written by itself must be as it was, too
 * @throws CofferError `unavailable` as long as there is no key to seal with
 */
export function encodeChange(
  change: Omit<StorageChange, 'expectedRevision'>,
  encoding: ChangeEncoding,
  kind: 'head' | 'side' = 'head',
): EncodedChange {
  const { entry, position } = encoding;
  const before: Outgoing[] = [];
  const after: Outgoing[] = [];
  const record = (key: Uint8Array, bytes: Uint8Array | undefined, said: Outgoing['headers']): Outgoing => {
    const known = entry(key);
    const read = [HEADER.after, String(position)] as const;
    const behind = known ? [...lineageHeader(lineageBehind(known)), read] : [read];
    const isHeadGone = bytes === undefined && known?.removed === false && said.includes(HEAD);
    const was = isHeadGone ? [[HEADER.generation, String(encoding.generation(key))] as const] : [];
    const headers = [...said, ...behind, ...was];
    const encoded = encodeRecord(encoding, key, bytes, headers, known?.chunks ?? 0);
    before.push(...encoded.parts);
    after.push(...encoded.surplus);
    return encoded.record;
  };

  const { key, bytes = EMPTY } = change.head;
  // By itself, before its head or after it, a record is no part of a change that may be refused.
  const side =
    kind === 'head' ? [SIDE, besideHeader({ head: key, fingerprint: fingerprint(bytes) })] : [SIDE];
  const sides = change.put?.map((one) => record(one.key, one.bytes, side)) ?? [];
  const known = entry(change.head.key);
  const head = record(change.head.key, change.head.bytes, [
    kind === 'head' ? HEAD : SIDE,
    [NATS_HEADER.expected, String(known?.revision ?? 0)],
  ]);
  for (const key of change.remove ?? []) after.push(record(key, undefined, side));
  return { messages: [...before, ...sides, head, ...after], head: before.length + sides.length };
}

/** One record in messages. */
export interface EncodedRecord {
  /** To go before it. */
  readonly parts: readonly Outgoing[];
  readonly record: Outgoing;
  /** To go after it: parts of its predecessor that it has no use for. */
  readonly surplus: readonly Outgoing[];
}

/** How long a message may be at the most, with its headers and its subject, whatever more the servers would take. */
const MESSAGE_BYTES = 1024 * 1024;
const HEADER_ROOM = 8 * 1024;

/** How long a part of a record may be, by what the server takes and what subject and headers leave. */
export function partBytesOf(connection: NatsConnection | undefined): number {
  const maxPayload = connection?.info?.max_payload ?? MESSAGE_BYTES;
  return Math.max(HEADER_ROOM, Math.min(maxPayload, MESSAGE_BYTES) - HEADER_ROOM);
}

/**
 * @param bytes undefined: it is removed
 * @param chunks of how many parts the one is that it replaces
 */
export function encodeRecord(
  { layout, seal, partBytes }: Encoding,
  key: Uint8Array,
  bytes: Uint8Array | undefined,
  headers: Outgoing['headers'],
  chunks: number,
): EncodedRecord {
  const removal = (subject: string, said: Outgoing['headers'] = []): Outgoing => ({
    subject,
    headers: [[HEADER.operation, REMOVED], ...said],
    data: EMPTY,
  });
  const whole = bytes === undefined || bytes.length <= partBytes;
  const parts = whole ? [] : divide(bytes, partBytes);
  const surplus = Array.from({ length: Math.max(0, chunks - parts.length) }, (_, index) =>
    removal(layout.chunk(key, parts.length + index)),
  );
  const subject = layout.record(key);
  const said: Outgoing['headers'] = [[HEADER.print, printOf(bytes ?? EMPTY)], ...headers];
  const record =
    bytes === undefined
      ? removal(subject, said)
      : whole
        ? { subject, headers: said, data: bytes }
        : {
            subject,
            headers: [[HEADER.chunks, String(parts.length)] as const, ...said],
            data: createHash('sha256').update(bytes).digest(),
          };
  return {
    parts: parts.map((data, index) => ({ subject: layout.chunk(key, index), headers: [], data })),
    record: seal.seal(record),
    surplus,
  };
}

/** By which two generations of a record are told apart: the first 8 bytes of SHA-256 of its bytes, hex; of a removed one of none. */
export const fingerprint = (bytes: Uint8Array): string =>
  createHash('sha256').update(bytes).digest('hex').slice(0, 16);

/** The same, of a message that says the whole digest. */
export const fingerprintSaid = (headers: MsgHdrs | undefined): string =>
  shortOf(headers?.get(HEADER.print) ?? '');

const shortOf = (print: string): string => Buffer.from(print, 'base64url').toString('hex', 0, 8);

export const HEAD = [HEADER.kind, 'head'] as const;
export const SIDE = [HEADER.kind, 'side'] as const;

/** What a message says of the records before it. */
export const lineageHeader = (lineage: readonly Ancestor[]): Outgoing['headers'] =>
  lineage.length > 0 ? [[HEADER.lineage, formatLineage(lineage)]] : [];

/** Of what follows on a record: that record, and those before it. */
export const lineageBehind = ({ revision, fingerprint, lineage }: ReplicaEntry): Ancestor[] =>
  [{ revision, fingerprint }, ...lineage].slice(0, LINEAGE);

function divide(bytes: Uint8Array, partBytes: number): Uint8Array[] {
  const count = Math.ceil(bytes.length / partBytes);
  return Array.from({ length: count }, (_, index) =>
    bytes.subarray(index * partBytes, (index + 1) * partBytes),
  );
}

const formatLineage = (lineage: readonly Ancestor[]): string =>
  lineage.map(({ revision, fingerprint }) => `${revision}:${fingerprint}`).join(',');

/** A message as it lies in the stream. */
export interface RawMessage {
  readonly subject: string;
  readonly headers: MsgHdrs | undefined;
  readonly data: Uint8Array;
  readonly sequence: number;
  /** How many were to come after it, when it was sent; none if not given. */
  readonly pending?: number;
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
  | { readonly kind: 'beat'; readonly instance: string; readonly bytes: Uint8Array | undefined }
  /** As it came: whether an instance has sealed it, and what it says, is for who takes it. */
  | { readonly kind: 'mark' | 'member'; readonly instance: string; readonly message: RawMessage }
  | { readonly kind: 'lease'; readonly work: string; readonly bytes: Uint8Array | undefined }
  | { readonly kind: 'meta' | 'alarm'; readonly bytes: Uint8Array | undefined };

export interface IncomingRecord {
  readonly kind: 'record';
  readonly key: Buffer;
  readonly isHead: boolean;
  /** Of those that it replaces, as {@link lineageBehind}. */
  readonly lineage: readonly Ancestor[];
  /** Up to where whoever wrote it had read. */
  readonly after: number | undefined;
  readonly beside: Beside | undefined;
  readonly removed: boolean;
  /** Of how many parts it is, which came before it; 0: it is here whole. */
  readonly chunks: number;
  /** Its bytes; of one in parts the SHA-256 of the whole. */
  readonly payload: Uint8Array;
  /** The {@link fingerprint} of its bytes. */
  readonly print: string;
}

/** @throws CofferError `tampered` for what no instance writes */
export function decodeMessage(layout: Layout, message: RawMessage): Incoming {
  const { subject, headers, data, sequence } = message;
  const place = layout.parse(subject);
  if (!place)
    throw strange(sequence, `its subject ${JSON.stringify(subject.slice(0, 100))} is not one of ours`);
  const batch = batchOf(headers);
  const bytes = isRemoved(headers) ? undefined : data;
  switch (place.kind) {
    case 'record':
      return { sequence, batch, ...recordOf(sequence, place.key, headers, data) };
    case 'beat':
      return { sequence, batch, kind: 'beat', instance: place.instance, bytes };
    case 'mark':
    case 'member':
      return { sequence, batch, kind: place.kind, instance: place.instance, message };
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
  const { isHead, lineage, after, beside, removed, chunks, fingerprint } = entryOf(sequence, headers);
  const print = headers?.get(HEADER.print);
  if (chunks > 0 && (removed || print !== Buffer.from(payload).toString('base64url'))) {
    throw strange(sequence, 'it does not say what it is composed of');
  }
  if (chunks === 0 && print !== printOf(payload)) {
    throw strange(sequence, 'its bytes are others than it says');
  }
  return {
    kind: 'record',
    key,
    isHead,
    lineage,
    after,
    beside,
    removed,
    chunks,
    payload,
    print: fingerprint,
  };
}

/** What a record's message says of it in its headers. @throws CofferError `tampered` */
export function entryOf(sequence: number, headers: MsgHdrs | undefined): ReplicaEntry {
  const header = (name: string) => headers?.get(name) ?? '';
  const kind = header(HEADER.kind);
  if (kind !== 'head' && kind !== 'side')
    throw strange(sequence, 'it lacks what an instance says with each record and each removal');
  const lineage = parseLineage(header(HEADER.lineage));
  if (!lineage) throw strange(sequence, 'its lineage cannot be read');
  const chunks = chunksOf(headers);
  if (chunks === undefined) throw strange(sequence, 'it does not say what it is composed of');
  const print = header(HEADER.print);
  if (!PRINT.test(print)) throw strange(sequence, 'it does not say what its bytes are');
  const after = header(HEADER.after);
  const generation = header(HEADER.generation);
  if (!SEQUENCE.test(after) || !GENERATION.test(generation))
    throw strange(sequence, 'it does not say what it follows on');
  const besides = header(HEADER.beside);
  const beside = parseBeside(besides);
  if (besides !== '' && !beside) throw strange(sequence, 'it does not say what it was written with');
  return {
    revision: sequence,
    removed: isRemoved(headers),
    isHead: kind === 'head',
    fingerprint: shortOf(print),
    lineage,
    chunks,
    ...(after !== '' && { after: Number(after) }),
    ...(beside && { beside }),
    ...(generation !== '' && { removedGeneration: Number(generation) }),
  };
}

/** Of how many parts a record says that it is; 0: it is whole. @returns undefined for what no instance writes */
export function chunksOf(headers: MsgHdrs | undefined): number | undefined {
  const said = headers?.get(HEADER.chunks) ?? '';
  if (said === '') return 0;
  return /^[1-9]\d{0,5}$/.test(said) && Number(said) <= MOST_CHUNKS ? Number(said) : undefined;
}

export const isRemoved = (headers: MsgHdrs | undefined): boolean =>
  headers?.get(HEADER.operation) === REMOVED;

function batchOf(headers: MsgHdrs | undefined): BatchPlace | undefined {
  const id = headers?.get(NATS_HEADER.batchId) ?? '';
  return id === '' ? undefined : { id, last: headers?.get(NATS_HEADER.batchCommit) === '1' };
}

const GENERATION = /^\d{0,16}$/;
const SEQUENCE = /^\d{0,15}$/;
const PRINT = /^[\w-]{43}$/;
const ANCESTOR = /^([1-9]\d{0,15}):([0-9a-f]{16})$/;

/** Undefined if it is none. */
function parseLineage(text: string): Ancestor[] | undefined {
  if (text === '') return [];
  const ancestors: Ancestor[] = [];
  for (const part of text.split(',')) {
    const [, revision, fingerprint] = ANCESTOR.exec(part) ?? [];
    if (fingerprint === undefined || !Number.isSafeInteger(Number(revision))) return undefined;
    ancestors.push({ revision: Number(revision), fingerprint });
  }
  return ancestors.length <= LINEAGE ? ancestors : undefined;
}

/** A record that no instance sealed. */
export const unsealed = (sequence: number): CofferError => strange(sequence, 'its seal is not good');

const strange = (sequence: number, what: string): CofferError =>
  new CofferError(
    'tampered',
    `message ${sequence} of the bucket is not coffer's: ${what}; nobody else may write there`,
  );
