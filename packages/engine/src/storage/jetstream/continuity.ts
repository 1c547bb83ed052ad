import { setTimeout as wait } from 'node:timers/promises';
import {
  JetStreamApiError,
  type JetStreamManager,
  type StoredMsg,
  type StreamInfo,
} from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { Regression } from './admission.js';
import { type EpochSeal, Outdated, requireEpoch, UNPROVEN } from './epoch.js';
import { HEADER, type Layout } from './layout.js';
import { contradicts } from './lineage.js';
import { lastOfMember } from './member-message.js';
import type { MessageSeal } from './message-seal.js';
import { decodeMessage } from './messages.js';
import type { Meta } from './notes.js';
import type { OwnNote } from './own-note.js';
import { put } from './put.js';
import type { ReplicaEntry, ReplicaLike } from './replica-contract.js';

/** nats-server's codes for a stream that is not there. */
const STREAM_NOT_FOUND = 10_059;
/** What is found must be found again, so often, each time behind a message that most servers took. */
const CONFIRMATIONS = 3;
const CONFIRMATION_MS = 400;

export interface ContinuityOptions {
  readonly layout: Layout;
  readonly replica: ReplicaLike;
  readonly seal: EpochSeal;
  readonly messageSeal: MessageSeal;
  /** See {@link OwnNote.hasLapsed}. */
  readonly hasLapsed: () => boolean;
}

/**
 * Looks whether the stream still is the one that this instance has read, and has all that it had.
 *
 * What speaks against it is not believed at once: a server that was cut off from the others and does not know yet that it leads no
 * more answers with what it has. Such a one can take no message. So a finding counts only if it is there again, several times, after
 * most servers took a message of ours.
 */
export class Continuity {
  readonly #layout: Layout;
  readonly #replica: ReplicaLike;
  readonly #seal: EpochSeal;
  readonly #messageSeal: MessageSeal;
  readonly #hasLapsed: () => boolean;

  constructor({ layout, replica, seal, messageSeal, hasLapsed }: ContinuityOptions) {
    this.#layout = layout;
    this.#replica = replica;
    this.#seal = seal;
    this.#messageSeal = messageSeal;
    this.#hasLapsed = hasLapsed;
  }

  /**
   * Each second: whether it is the same stream, and is as long as it was.
   *
   * @param position up to where it is read
   * @throws Regression, {@link Outdated}; what nats.js does where nobody answers
   */
  async look(
    manager: JetStreamManager,
    connection: NatsConnection,
    position: () => number,
  ): Promise<StreamInfo> {
    return this.confirmed(connection, position, () => this.#look(manager, position()));
  }

  /** Before each reading: also whether it has what this instance had last. Errors as {@link look}. */
  async check(
    manager: JetStreamManager,
    connection: NatsConnection,
    position: () => number,
  ): Promise<{ readonly info: StreamInfo; readonly meta: Meta }> {
    return this.confirmed(connection, position, async () => {
      const info = await this.#look(manager, position());
      const meta = await this.#checkMeta(manager);
      await this.#checkMark(manager);
      if (position() > 0) await this.#checkMember(manager, meta, position());
      await Promise.all(
        this.#replica.newest().map(({ key, entry }) => this.#checkRecord(manager, key, entry)),
      );
      return { info, meta };
    });
  }

  /**
   * Whether the stream's leader has records as they are here, with all their parts. Errors as {@link look}.
   *
   * @param level up to where the stream may have forgotten what was removed
   */
  async checkKeys(
    manager: JetStreamManager,
    connection: NatsConnection,
    position: () => number,
    keys: readonly Uint8Array[],
    level: () => number,
  ): Promise<void> {
    await this.confirmed(connection, position, async () => {
      for (const key of keys) {
        const entry = this.#replica.entry(key);
        if (entry) await this.#checkRecord(manager, key, entry, level());
        for (let index = 0; entry && index < entry.chunks; index++) {
          await this.#checkPart(manager, key, index, entry);
        }
      }
      return this.#look(manager, position());
    });
  }

  async #checkPart(
    manager: JetStreamManager,
    key: Uint8Array,
    index: number,
    entry: ReplicaEntry,
  ): Promise<void> {
    if (await this.#last(manager, this.#layout.chunk(key, index))) return;
    throw new Regression(
      'damaged',
      `the record of sequence ${entry.revision} lacks a part of its value in the stream`,
    );
  }

  /** What the stream's leader has under a key, against what is here. Errors as {@link look}, not confirmed. */
  async #checkRecord(
    manager: JetStreamManager,
    key: Uint8Array,
    entry: ReplicaEntry,
    level?: number,
  ): Promise<void> {
    const { stream } = this.#layout;
    const found = await manager.streams.getMessage(stream, { last_by_subj: this.#layout.record(key) });
    compareRecord(this.#layout, entry, found ?? undefined, level);
  }

  /** By it is seen whether a commit of this instance's was lost, however much others wrote since; but not where somebody wrote over it. */
  async #checkMark(manager: JetStreamManager): Promise<void> {
    const { instance, mark } = this.#replica;
    if (mark === 0) return;
    const found = await this.#last(manager, this.#layout.mark(instance));
    if (found && found.sequence >= mark) return;
    throw new Regression(
      found ? 'behind' : 'missing',
      `the last commit of this instance was at ${mark}, and the stream has ${found ? `one at ${found.sequence}` : 'none'}`,
    );
  }

  /**
   * A member that was forgotten may have what was removed and is forgotten too. So may one that has said that it had more of this
   * stream than it has: others took it at its word; and a new one that was silent. What no instance has sealed says nothing.
   */
  async #checkMember(manager: JetStreamManager, meta: Meta, position: number): Promise<void> {
    const { instance, life, origin } = this.#replica;
    if (this.#hasLapsed()) throw new Outdated(meta);
    if (origin?.epoch === UNPROVEN) return;
    const last = await lastOfMember(manager, this.#layout, this.#messageSeal, instance);
    if (!last) throw new Regression('missing', 'what this instance said of itself is not in the stream');
    const { said } = last;
    if (!said || said.life < life) return;
    if (!said.note) throw new Outdated(meta);
    if (said.note.epoch === meta.epoch && said.note.confirmed > position) throw new Outdated(meta, true);
  }

  async #checkMeta(manager: JetStreamManager): Promise<Meta> {
    const note = await this.#last(manager, this.#layout.meta);
    return requireEpoch(note?.data, this.#replica.origin, this.#seal);
  }

  #last(manager: JetStreamManager, subject: string): Promise<LastNote | undefined> {
    return lastNote(manager, this.#layout.stream, subject);
  }

  async #look(manager: JetStreamManager, position: number): Promise<StreamInfo> {
    const info = await manager.streams.info(this.#layout.stream).catch((error: unknown) => {
      if (!(error instanceof JetStreamApiError) || error.code !== STREAM_NOT_FOUND) throw error;
      throw new Regression('gone', `the stream ${this.#layout.stream} is not there any more`);
    });
    const { created } = info;
    const { origin } = this.#replica;
    if (origin && created !== origin.created) {
      await this.#checkMeta(manager); // a heal may have made it anew
      throw new Regression('recreated', `the stream was made anew at ${created}, after ${origin.created}`);
    }
    const last = info.state.last_seq;
    if (last < position) {
      await this.#checkMeta(manager); // a heal may have gone on where it was put back
      throw new Regression(
        'behind',
        `the stream ends at ${last}, and this instance has read up to ${position}`,
      );
    }
    return info;
  }

  /**
   * What speaks against the stream only if it is there again, several times.
   *
   * @throws what `look` does at last
   */
  async confirmed<T>(connection: NatsConnection, position: () => number, look: () => Promise<T>): Promise<T> {
    for (let time = 1; ; time++) {
      const read = position();
      try {
        return await look();
      } catch (error) {
        if (!(error instanceof Regression) || time > CONFIRMATIONS) throw error;
        // Not into a stream that is not ours.
        if (error.kind !== 'gone' && error.kind !== 'recreated') {
          const beat = this.#layout.beat(this.#replica.instance);
          const sequence = (await put(connection, beat, new Uint8Array())) ?? 0;
          // No doubt is left then, and what is written meanwhile must not hide it.
          if (sequence <= read) throw error;
        }
        await wait(CONFIRMATION_MS);
      }
    }
  }
}

export interface LastNote {
  readonly sequence: number;
  /** Undefined: it was removed. */
  readonly data: Uint8Array | undefined;
  /** When the server took it, by its clock. */
  readonly at: Date;
}

/** What the stream's leader has as the last message of a subject; undefined if there is none. */
export async function lastNote(
  manager: JetStreamManager,
  stream: string,
  subject: string,
): Promise<LastNote | undefined> {
  const found = await manager.streams.getMessage(stream, { last_by_subj: subject });
  if (!found) return undefined;
  const { seq: sequence, header, time: at } = found;
  return { sequence, data: header?.get(HEADER.operation) ? undefined : found.data, at };
}

/**
 * One record of the stream against what this instance had.
 *
 * @param level up to where the stream may have forgotten what was removed; left out where that cannot be known
 * @throws Regression if it is not there, older, another at the same place, or of another line
 */
export function compareRecord(
  layout: Layout,
  entry: ReplicaEntry,
  found: StoredMsg | undefined,
  level = Number.POSITIVE_INFINITY,
): void {
  if (!found) {
    if (entry.removed && entry.revision <= level) return;
    throw new Regression(
      'missing',
      entry.removed
        ? `that the record of sequence ${entry.revision} was removed is not in the stream any more, and not every instance had it`
        : `the record of sequence ${entry.revision} is not in the stream any more, and none that replaced it`,
    );
  }
  const { seq: sequence, subject, header: headers, data } = found;
  if (sequence < entry.revision) {
    throw new Regression(
      'behind',
      `a record is at sequence ${sequence} of the stream again, and was at ${entry.revision}`,
    );
  }
  const record = decodeMessage(layout, { subject, headers, data, sequence });
  if (record.kind !== 'record') return;
  const isFork =
    sequence === entry.revision ? record.print !== entry.fingerprint : contradicts(entry, record);
  if (isFork) {
    throw new Regression(
      'fork',
      `the record at sequence ${sequence} of the stream does not follow on the one of ${entry.revision} that this instance ` +
        'has: the stream was put back, and written on',
    );
  }
}
