import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import type { Admission } from '../shared.js';
import { publishBatch } from './batch-publisher.js';
import { lastNote } from './continuity.js';
import { each } from './each.js';
import type { Joining } from './heal-join.js';
import type { Mending } from './heal-plan.js';
import { HealWritten } from './heal-written.js';
import { HEADER, type Layout, LINEAGE } from './layout.js';
import type { MessageSeal } from './message-seal.js';
import {
  type Encoding,
  encodeRecord,
  fingerprint,
  HEAD,
  lineageBehind,
  lineageHeader,
  NATS_HEADER,
  type Outgoing,
  partBytesOf,
  SIDE,
} from './messages.js';
import { encodeMeta, type Meta } from './notes.js';
import { publishMessage } from './put.js';
import type { ReplicaEntry } from './replica-contract.js';
import { nothing } from './stream-image.js';

const ANSWER_MS = 5_000;
/** How often it is tried to end it, while instances say that they are there. */
const ENDINGS = 20;

export interface HealWriterOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly seal: MessageSeal;
  /** Up to where there are parts of a record, whatever it says itself. */
  readonly parts: ReadonlyMap<string, number>;
  /** Where the heal is announced in the stream. */
  readonly announced: number;
  /** What all instances have read long ago, of a stream that may have been put back since. */
  readonly outlived: number;
  /** Who heals. */
  readonly instance: string;
  /** Looks at heads before they are brought back. */
  readonly admission: Admission;
  /** What somebody has under a key. */
  readonly bytes: (who: string, key: string) => Promise<Uint8Array>;
}

/** What a heal writes into the stream, by compare-and-set: whatever changes meanwhile ends it. */
export class HealWriter {
  readonly #options: HealWriterOptions;
  readonly #parts: Map<string, number>;
  readonly #written: HealWritten;
  /** The stream is longer by now. */
  #end: number;

  constructor(options: HealWriterOptions) {
    this.#options = options;
    this.#parts = new Map(options.parts);
    this.#written = new HealWritten({ ...options, from: options.announced });
    this.#end = options.announced;
  }

  /** Sets records aside, where only a person looks. A head's first part comes last: who finds it finds all. */
  async keep(records: readonly Mending[]): Promise<void> {
    const { layout, seal, bytes: bytesOf } = this.#options;
    const size = this.#partBytes;
    const keep = async ({ key, from, entry }: Mending) => {
      const bytes = await bytesOf(from, key);
      for (let part = Math.max(0, Math.ceil(bytes.length / size) - 1); part >= 0; part--) {
        const subject = layout.fork(Buffer.from(key, 'base64url'), entry.fingerprint, part);
        const data = bytes.subarray(part * size, (part + 1) * size);
        await this.#publish(seal.seal({ subject, headers: [], data }));
      }
    };
    for (const isHead of [false, true]) {
      const some = records.filter(({ entry }) => entry.isHead === isHead);
      await each(some, keep);
    }
  }

  /**
   * Heads last: who heals again after a heal that was broken off sees by them what is still to be done.
   *
   * @param stream what is there, and then what was written
   */
  async bringBack(mendings: readonly Mending[], stream: Map<string, ReplicaEntry>): Promise<void> {
    const write = async (mending: Mending) => {
      stream.set(mending.key, await this.#write(mending, stream.get(mending.key)));
    };
    for (const isHead of [false, true]) {
      for (const removed of [false, true]) {
        const some = mendings.filter(({ entry }) => entry.isHead === isHead && entry.removed === removed);
        await each(some, write);
      }
    }
  }

  /** All of it at once, so that a heal that is broken off has it done or still to do. */
  async writeJoined(
    { key, joined, lineage: others }: Joining,
    stream: Map<string, ReplicaEntry>,
  ): Promise<void> {
    const { connection, layout, instance } = this.#options;
    const lineage = [...pastOf(stream.get(key)).slice(0, 1), ...others].slice(0, LINEAGE);
    const messages: Outgoing[] = [];
    const places = new Map<string, number>();
    const add = (one: string, bytes: Uint8Array | undefined, said: Outgoing['headers']) => {
      const id = Buffer.from(one, 'base64url');
      const there = stream.get(one);
      const revision = there?.revision ?? 0;
      const behind = one === key ? lineage : pastOf(there);
      const headers = [
        ...said,
        ...lineageHeader(behind),
        this.#read,
        [NATS_HEADER.expected, String(revision)] as const,
      ];
      const encoded = encodeRecord(this.#encoding, id, bytes, headers, this.#parts.get(one) ?? 0);
      places.set(one, messages.length + encoded.parts.length);
      messages.push(...encoded.parts, encoded.record, ...encoded.surplus);
      this.#written.add(encoded.record);
    };
    for (const { key: one, bytes } of joined.put) add(one, bytes, [SIDE]);
    add(key, joined.head, [HEAD]);
    for (const one of joined.remove) add(one, undefined, [SIDE]);
    const id = `join-${instance}-${Date.now()}-${fingerprint(joined.head)}`;
    const answer = await publishBatch(connection, layout.stream, id, messages, ANSWER_MS);
    if (answer.is !== 'stored') throw changed();
    const first = answer.sequence - messages.length + 1;
    for (const [one, place] of places) {
      stream.set(one, { ...(stream.get(one) ?? nothing(0)), revision: first + place });
    }
  }

  /**
   * Lifts the alarm, if nothing has come that this heal knows nothing of. With this all instances go on.
   *
   * @param begunAt where in the stream
   * @param stream what is there
   */
  async beginEpoch(
    begunAt: (begins: number) => Meta,
    stream: ReadonlyMap<string, ReplicaEntry>,
  ): Promise<void> {
    const { manager, layout } = this.#options;
    for (let ending = 1; ending <= ENDINGS; ending++) {
      const end = await this.#written.upTo(stream);
      if (end === undefined) throw changed();
      const begun = begunAt(end + 1);
      if (!(await this.#beginAt(end, begun))) continue;
      const there = await lastNote(manager, layout.stream, layout.meta);
      if (!there?.data || !Buffer.from(encodeMeta(begun)).equals(there.data)) throw changed();
      return;
    }
    throw changed();
  }

  /** @returns false if something came behind `end` */
  async #beginAt(end: number, begun: Meta): Promise<boolean> {
    const { connection, manager, layout, instance } = this.#options;
    const { stream, meta, alarm } = layout;
    const [born, raised] = await Promise.all([
      lastNote(manager, stream, meta),
      lastNote(manager, stream, alarm),
    ]);
    const messages: Outgoing[] = [
      {
        subject: meta,
        headers: [
          [NATS_HEADER.expectedEnd, String(end)],
          [NATS_HEADER.expected, String(born?.sequence ?? 0)],
        ],
        data: encodeMeta(begun),
      },
      {
        subject: alarm,
        headers: [
          [HEADER.operation, 'DEL'],
          [NATS_HEADER.expected, String(raised?.sequence ?? 0)],
        ],
        data: new Uint8Array(),
      },
    ];
    const id = `heal-${instance}-${begun.epoch}-${Date.now()}`;
    const answer = await publishBatch(connection, stream, id, messages, ANSWER_MS);
    if (answer.is !== 'stored' && answer.is !== 'conflict') throw changed();
    return answer.is === 'stored';
  }

  async #write(
    { key, from, entry, lineage = lineageBehind(entry) }: Mending,
    present: ReplicaEntry | undefined,
  ): Promise<ReplicaEntry> {
    const { admission } = this.#options;
    const id = Buffer.from(key, 'base64url');
    const bytes = entry.removed ? undefined : await this.#bytesOf(from, key, entry);
    if (bytes && entry.isHead) {
      await admission.admit([{ key: id, before: undefined, after: bytes, revision: entry.revision }]);
    }
    const said: Outgoing['headers'] = [
      entry.isHead ? HEAD : SIDE,
      ...lineageHeader(lineage),
      this.#read,
      [NATS_HEADER.expected, String(present?.revision ?? 0)],
    ];
    const encoded = encodeRecord(this.#encoding, id, bytes, said, this.#parts.get(key) ?? 0);
    const { parts, record, surplus } = encoded;
    let revision = 0;
    for (const message of [...parts, record, ...surplus]) {
      const sequence = await this.#publish(message);
      if (message === record) revision = sequence;
    }
    this.#parts.set(key, parts.length);
    return { ...entry, revision, lineage, chunks: parts.length };
  }

  async #publish(message: Outgoing): Promise<number> {
    const sequence = await publishMessage(this.#options.connection, message);
    if (!sequence) throw changed();
    this.#written.add(message);
    this.#end = Math.max(this.#end, sequence);
    return sequence;
  }

  async #bytesOf(from: string, key: string, entry: ReplicaEntry): Promise<Uint8Array> {
    const bytes = await this.#options.bytes(from, key);
    if (fingerprint(bytes) === entry.fingerprint) return bytes;
    throw new CofferError(
      'tampered',
      `a record of instance ${from} is not what it says: stop it, remove its replica (the folder “store”), and start it again; it is a new one then, so forget the old one (“coffer storage forget ${from}”), and heal again`,
    );
  }

  /** No further than where it will lie. */
  get #read() {
    return [
      HEADER.after,
      String(Math.min(Math.max(this.#options.announced, this.#options.outlived), this.#end)),
    ] as const;
  }

  get #encoding(): Encoding {
    const { layout, seal } = this.#options;
    return { layout, seal, partBytes: this.#partBytes };
  }

  get #partBytes(): number {
    return partBytesOf(this.#options.connection);
  }
}

/** Nothing of what no instance wrote. */
const pastOf = (present: ReplicaEntry | undefined) =>
  present && present.fingerprint !== '' ? lineageBehind(present) : [];

const changed = () =>
  new CofferError('conflict', 'the stream changed while it was healed, or did not answer: heal again');
