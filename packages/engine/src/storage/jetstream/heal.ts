import { setTimeout as wait } from 'node:timers/promises';
import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import type { Admission, ForkJoin, HealReport, StorageAlarm } from '../shared.js';
import type { AlarmBell } from './alarm.js';
import { publishBatch } from './batch-publisher.js';
import { lastNote } from './continuity.js';
import { HealAsk } from './heal-ask.js';
import { type Joining, joinFutures } from './heal-join.js';
import {
  type HealPlan,
  type Holding,
  type Mending,
  planHeal,
  type RecordSense,
  STREAM,
} from './heal-plan.js';
import { PeerSeal, type PeerState } from './heal-talk.js';
import { readLast } from './last.js';
import { HEADER, type Layout, LINEAGE, token } from './layout.js';
import {
  encodeRecord,
  entryOf,
  fingerprint,
  formatLineage,
  HEAD,
  lineageBehind,
  NATS_HEADER,
  type Outgoing,
  partBytesOf,
  SIDE,
} from './messages.js';
import { BUCKET_FORMAT, encodeAlarm, encodeMeta, parseAlarm, parseMeta } from './notes.js';
import { publishMessage, put } from './put.js';
import type { ReplicaEntry, ReplicaLike } from './replica-contract.js';

const ANSWER_MS = 5_000;
/** For so long the others are waited for, until they take nothing over any more. */
const PAUSE_MS = 10_000;
/** How many records are brought back at the same time. */
const AT_ONCE = 32;

export interface HealOptions {
  readonly connection: NatsConnection;
  readonly layout: Layout;
  readonly replica: ReplicaLike;
  readonly alarm: AlarmBell;
  readonly sense: RecordSense;
  /** Looks at heads before they are brought back. */
  readonly admission: Admission;
  /** Of those that the store knows of. */
  readonly members: () => readonly string[];
  /** Makes the stream if it is not there. */
  readonly makeStream: () => Promise<void>;
  readonly join?: ForkJoin | undefined;
  readonly giveUpDamaged?: boolean | undefined;
  readonly dryRun: boolean;
}

/**
 * Brings back into the stream what it lacks of what the instances have, and lifts the alarm with the beginning of a new epoch, in which
 * every instance compares all that it has with the stream.
 *
 * While it works, nobody takes anything over; broken off it can be begun again. What it writes it writes by compare-and-set: whatever
 * changes meanwhile ends it.
 */
export class Heal {
  readonly #options: HealOptions;
  readonly #layout: Layout;
  readonly #connection: NatsConnection;
  readonly #ask: HealAsk;

  constructor(options: HealOptions) {
    const { connection, layout, admission } = options;
    this.#options = options;
    this.#layout = layout;
    this.#connection = connection;
    const seal = new PeerSeal(layout.stream, admission.authenticate?.bind(admission));
    this.#ask = new HealAsk(connection, layout, seal);
  }

  /** @throws CofferError `unavailable`, `conflict`, `unfit_store`, `tampered` */
  async run(): Promise<HealReport> {
    const { dryRun, replica, alarm, members } = this.#options;
    const manager = await jetstreamManager(this.#connection, { timeout: ANSWER_MS, checkAPI: false });
    const found = alarm.raised;
    const isGone = found?.kind === 'gone';
    if (isGone && !dryRun) await this.#options.makeStream();
    const isThere = !(isGone && dryRun);
    const epoch = isThere ? await this.#requireOwn(manager) : 0;
    if (!dryRun) await this.#announce(manager);
    const peers = await this.#peers(!dryRun);
    const instances = [...new Set([replica.instance, ...peers.map(({ instance }) => instance)])];
    const stream = isThere ? await this.#readStream(manager) : { all: new Map(), whole: new Map() };
    const replicas = await Promise.all(
      instances.map(async (who): Promise<Holding> => ({ who, entries: await this.#entriesOf(who) })),
    );
    await this.#leaveOutDamaged(manager, stream.whole, replicas);
    const plan = await planHeal({
      stream: { who: STREAM, entries: stream.whole },
      replicas,
      groupOf: (key) => this.#options.sense.groupOf(Buffer.from(key, 'base64url')),
      generation: (who, key) => this.#generation(manager, who, key),
    });
    const damaged = this.#lost(stream, plan);
    const bytes = (who: string, key: string) => this.#bytes(manager, who, key);
    const joinings = await joinFutures({
      plan,
      stream: stream.whole,
      replica,
      join: this.#options.join,
      bytes,
    });
    const taken = joinings.flatMap(({ joined }) => joined.taken);
    const secrets = await this.#secretsOf(manager, plan);
    if (!dryRun) {
      this.#mayGiveUp(damaged);
      if (taken.length > 0) await this.#options.join?.announce(taken);
      await this.#keep(
        manager,
        [...plan.forks, ...joinings].flatMap(({ lost }) => lost),
      );
      await this.#keep(manager, damaged);
      const givenUp = damaged.map((one) => ({ ...one, entry: { ...one.entry, removed: true } }));
      await this.#bringBack(manager, { mendings: [...plan.mendings, ...givenUp] }, stream.all);
      for (const joining of joinings) await this.#writeJoined(joining, stream.all);
      await this.#beginEpoch(manager, Math.max(epoch, replica.origin?.epoch ?? 0) + 1);
    }
    return {
      dryRun,
      alarm: found,
      compared: instances,
      absent: members().filter((member) => !instances.includes(member)),
      restored: plan.mendings.filter(({ entry }) => !entry.removed).length,
      removed: plan.mendings.filter(({ entry }) => entry.removed).length,
      forks: plan.forks.map(({ key, winner, loser, lost }) => ({
        key: hex(key),
        keptAs: lost[0] ? `f.${lost[0].key}.${lost[0].entry.fingerprint}` : '',
        winner,
        other: loser,
        secret: secrets.get(key),
      })),
      taken,
      damaged: damaged.map(({ key, entry }) => ({ key: hex(key), keptAs: `f.${key}.${entry.fingerprint}` })),
    };
  }

  /** @returns the stream's epoch, 0 if it says none */
  async #requireOwn(manager: JetStreamManager): Promise<number> {
    const { replica } = this.#options;
    const note = await lastNote(manager, this.#layout.stream, this.#layout.meta);
    if (!note?.data) return 0;
    const { incarnation, epoch } = parseMeta(note.data);
    if (replica.origin && Buffer.from(replica.origin.incarnation).equals(incarnation)) {
      if (epoch <= replica.origin.epoch) return epoch;
      throw new CofferError(
        'conflict',
        'the store was just healed, and this instance follows: look again in a moment',
      );
    }
    throw new CofferError(
      'unfit_store',
      'the bucket belongs to another store now: move that one away, or delete its stream if it is empty; nothing was written',
    );
  }

  /** Has all of them stop. One heal at a time: another's note counts as long as that one answers. */
  async #announce(manager: JetStreamManager): Promise<void> {
    const { replica, alarm } = this.#options;
    const subject = this.#layout.alarm;
    const note = await lastNote(manager, this.#layout.stream, subject);
    const healer = note?.data && parseAlarm(note.data).healer;
    if (healer && healer !== replica.instance) {
      const peers = await this.#ask.peers();
      if (peers.some(({ instance, healing }) => healing && instance === healer)) throw busy();
    }
    const announced = { ...(alarm.raised ?? precaution()), healer: replica.instance };
    const taken = await put(this.#connection, subject, encodeAlarm(announced), note?.sequence ?? 0);
    if (taken === undefined) throw busy();
    await alarm.heard(announced);
  }

  /** Those of this store and epoch; when they have to, only once they have stopped. */
  async #peers(untilPaused: boolean): Promise<PeerState[]> {
    const { origin } = this.#options.replica;
    const incarnation = Buffer.from(origin?.incarnation ?? []).toString('hex');
    for (const end = performance.now() + PAUSE_MS; ; await wait(100)) {
      const all = await this.#ask.peers();
      const ours = all.filter((peer) => peer.incarnation === incarnation && peer.epoch === origin?.epoch);
      if (!untilPaused || ours.every(({ paused }) => paused)) return ours;
      if (performance.now() > end) {
        const still = ours.filter(({ paused }) => !paused).map(({ instance }) => instance);
        throw new CofferError(
          'unavailable',
          `not all instances have stopped (${still.join(', ')}): heal again`,
        );
      }
    }
  }

  /** Of what no store is without, nobody's word counts that it is removed. */
  async #entriesOf(who: string): Promise<Map<string, ReplicaEntry>> {
    const { replica, sense } = this.#options;
    const entries =
      who === replica.instance
        ? new Map([...replica.entries()].map(([key, entry]) => [token(key), entry]))
        : await this.#ask.entriesOf(who);
    for (const [key, { removed }] of entries) {
      if (removed && sense.isLasting?.(Buffer.from(key, 'base64url'))) entries.delete(key);
    }
    return entries;
  }

  /** What is in the stream: `all` that is, and what of it is `whole`. */
  async #readStream(manager: JetStreamManager) {
    const layout = this.#layout;
    const all = new Map<string, ReplicaEntry>();
    const parts = new Map<string, number>();
    const { stream } = layout;
    const filters = [layout.all];
    const connection = this.#connection;
    const damaged = new Set<string>();
    for await (const drops of readLast({ connection, manager, stream, filters })) {
      for (const { subject, headers, sequence, data } of drops) {
        const place = layout.parse(subject);
        if (place?.kind === 'record') {
          const id = token(place.key);
          const entry = entryOf(sequence, headers);
          all.set(id, entry);
          if (entry.chunks === 0 && fingerprint(data) !== entry.fingerprint) damaged.add(id);
        } else if (place?.kind === 'chunk' && !headers?.get(HEADER.operation)) {
          const id = token(place.key);
          parts.set(id, (parts.get(id) ?? 0) + 1);
        }
      }
    }
    const whole = new Map(
      [...all].filter(([id, { chunks }]) => !damaged.has(id) && (parts.get(id) ?? 0) >= chunks),
    );
    return { all, whole };
  }

  async #generation(manager: JetStreamManager, who: string, key: string): Promise<number> {
    try {
      return this.#options.sense.generationOf(
        Buffer.from(key, 'base64url'),
        await this.#bytes(manager, who, key),
      );
    } catch {
      return 0; // what cannot be read does not win
    }
  }

  async #bytes(manager: JetStreamManager, who: string, key: string): Promise<Uint8Array> {
    const { replica } = this.#options;
    const id = Buffer.from(key, 'base64url');
    if (who === STREAM) {
      const subject = this.#layout.record(id);
      const found = await manager.streams.getMessage(this.#layout.stream, { last_by_subj: subject });
      if (!found) throw new CofferError('unavailable', 'a record of the stream is gone: heal again');
      const chunks = Number(found.header?.get(HEADER.chunks) || 0);
      if (chunks === 0) return found.data;
      const parts: Uint8Array[] = [];
      for (let index = 0; index < chunks; index++) {
        const part = await lastNote(manager, this.#layout.stream, this.#layout.chunk(id, index));
        parts.push(part?.data ?? new Uint8Array());
      }
      return Buffer.concat(parts);
    }
    const own = who === replica.instance ? replica.get(id)?.bytes : undefined;
    return own ?? this.#ask.recordOf(who, key);
  }

  /** What only the stream has must be what it says, and open. */
  async #leaveOutDamaged(
    manager: JetStreamManager,
    whole: Map<string, ReplicaEntry>,
    replicas: readonly Holding[],
  ): Promise<void> {
    const { join } = this.#options;
    const alone = [...whole].filter(([key, { removed, fingerprint }]) => {
      const isElsewhere = replicas.some(({ entries }) => entries.get(key)?.fingerprint === fingerprint);
      return !removed && !isElsewhere;
    });
    await each(alone, async ([key, entry]) => {
      const bytes = await this.#bytes(manager, STREAM, key);
      const isSound = fingerprint(bytes) === entry.fingerprint;
      if (!isSound || join?.opens(Buffer.from(key, 'base64url'), bytes) === false) whole.delete(key);
    });
  }

  /** What is damaged in the stream and stays so, since nobody has it. */
  #lost(
    { all, whole }: { all: ReadonlyMap<string, ReplicaEntry>; whole: ReadonlyMap<string, ReplicaEntry> },
    { mendings }: HealPlan,
  ): Mending[] {
    const mended = new Set(mendings.map(({ key }) => key));
    return [...all]
      .filter(([key, { removed }]) => !removed && !whole.has(key) && !mended.has(key))
      .map(([key, entry]) => ({ key, from: STREAM, entry }));
  }

  #mayGiveUp(damaged: readonly Mending[]): void {
    if (damaged.length === 0) return;
    const { join, giveUpDamaged } = this.#options;
    if (!damaged.every(({ key }) => join?.mayGiveUp(Buffer.from(key, 'base64url')) ?? true)) {
      throw new CofferError(
        'conflict',
        'the stream has a damaged record that nobody has and that all depends on: start the instances that are away, or restore a backup',
      );
    }
    if (giveUpDamaged) return;
    throw new CofferError(
      'conflict',
      `${damaged.length} records are damaged in the stream, and no instance that is here has them: start those that are away, or set them aside with “coffer storage heal --give-up-damaged”; nothing was written`,
    );
  }

  /** The names of those that have forked, as far as the engine knows. */
  async #secretsOf(manager: JetStreamManager, { forks }: HealPlan): Promise<Map<string, string>> {
    const names = new Map<string, string>();
    for (const { key, lost } of forks) {
      const head = lost.find((one) => one.key === key);
      const bytes = head && (await this.#bytes(manager, head.from, key).catch(() => undefined));
      const name = bytes && this.#options.join?.nameOf(Buffer.from(key, 'base64url'), bytes);
      if (name !== undefined) names.set(key, name);
    }
    return names;
  }

  /** All of it at once, so that a heal that is broken off has it done or still to do. */
  async #writeJoined({ key, joined, lineage }: Joining, stream: ReadonlyMap<string, ReplicaEntry>) {
    const present = stream.get(key);
    const messages: Outgoing[] = [];
    const add = (one: string, bytes: Uint8Array | undefined, said: Outgoing['headers']) => {
      const id = Buffer.from(one, 'base64url');
      const { revision, chunks } = stream.get(one) ?? { revision: 0, chunks: 0 };
      const headers = [...said, [NATS_HEADER.expected, String(revision)] as const];
      const encoded = encodeRecord(this.#layout, id, bytes, headers, chunks, this.#partBytes);
      messages.push(...encoded.parts, encoded.record, ...encoded.surplus);
    };
    for (const { key: one, bytes } of joined.put) add(one, bytes, [SIDE]);
    const known = [...(present ? lineageBehind(present) : []).slice(0, 1), ...lineage].slice(0, LINEAGE);
    add(key, joined.head, [HEAD, [HEADER.lineage, formatLineage(known)]]);
    for (const one of joined.remove) add(one, undefined, [SIDE]);
    const id = `join-${this.#options.replica.instance}-${Date.now()}-${fingerprint(joined.head)}`;
    const answer = await publishBatch(this.#connection, this.#layout.stream, id, messages, ANSWER_MS);
    if (answer.is !== 'stored') throw changed();
  }

  async #keep(manager: JetStreamManager, lost: readonly Mending[]): Promise<void> {
    await each(lost, async ({ key, from, entry }) => {
      const bytes = await this.#bytes(manager, from, key);
      const size = this.#partBytes;
      for (let part = 0; part * size < Math.max(1, bytes.length); part++) {
        const subject = this.#layout.fork(Buffer.from(key, 'base64url'), entry.fingerprint, part);
        await put(this.#connection, subject, bytes.subarray(part * size, (part + 1) * size));
      }
    });
  }

  /** Heads last: who heals again after a heal that was broken off sees by them what is still to be done. */
  async #bringBack(
    manager: JetStreamManager,
    { mendings }: Pick<HealPlan, 'mendings'>,
    stream: Map<string, ReplicaEntry>,
  ): Promise<void> {
    const write = async (mending: Mending) => {
      const present = stream.get(mending.key);
      const written = await this.#write(manager, mending, present);
      stream.set(mending.key, written);
    };
    const live = mendings.filter(({ entry }) => !entry.removed);
    for (const isHead of [false, true]) {
      await each(
        live.filter(({ entry }) => entry.isHead === isHead),
        write,
      );
      await each(
        mendings.filter(({ entry }) => entry.removed && entry.isHead === isHead),
        write,
      );
    }
  }

  async #write(
    manager: JetStreamManager,
    { key, from, entry }: Mending,
    present: ReplicaEntry | undefined,
  ): Promise<ReplicaEntry> {
    const id = Buffer.from(key, 'base64url');
    const bytes = entry.removed ? undefined : await this.#bytesOf(manager, from, key, entry);
    if (bytes && entry.isHead) {
      const head = { key: id, before: undefined, after: bytes, revision: entry.revision };
      await this.#options.admission.admit([head]);
    }
    const said: Outgoing['headers'] = [
      entry.isHead ? HEAD : SIDE,
      ...(entry.isHead && present ? [[HEADER.lineage, formatLineage(lineageBehind(present))] as const] : []),
      [NATS_HEADER.expected, String(present?.revision ?? 0)],
    ];
    const { parts, record, surplus } = encodeRecord(
      this.#layout,
      id,
      bytes,
      said,
      present?.chunks ?? 0,
      this.#partBytes,
    );
    let revision = 0;
    for (const message of [...parts, record, ...surplus]) {
      const sequence = await publishMessage(this.#connection, message);
      if (!sequence) throw changed();
      if (message === record) revision = sequence;
    }
    const lineage = entry.isHead && present ? lineageBehind(present) : [];
    return { ...entry, revision, lineage, chunks: parts.length };
  }

  async #bytesOf(
    manager: JetStreamManager,
    from: string,
    key: string,
    entry: ReplicaEntry,
  ): Promise<Uint8Array> {
    const bytes = await this.#bytes(manager, from, key);
    if (fingerprint(bytes) === entry.fingerprint) return bytes;
    throw new CofferError(
      'tampered',
      `a record of instance ${from} is not what it says: remove its replica, and heal again`,
    );
  }

  /** With this all instances go on. */
  async #beginEpoch(manager: JetStreamManager, epoch: number): Promise<void> {
    const { replica } = this.#options;
    const { stream, meta, alarm } = this.#layout;
    const [born, raised] = await Promise.all([
      lastNote(manager, stream, meta),
      lastNote(manager, stream, alarm),
    ]);
    const incarnation = replica.origin?.incarnation ?? new Uint8Array();
    const answer = await publishBatch(
      this.#connection,
      stream,
      `heal-${replica.instance}-${epoch}-${Date.now()}`,
      [
        {
          subject: meta,
          headers: [[NATS_HEADER.expected, String(born?.sequence ?? 0)]],
          data: encodeMeta({ format: BUCKET_FORMAT, incarnation, epoch }),
        },
        {
          subject: alarm,
          headers: [
            [HEADER.operation, 'DEL'],
            [NATS_HEADER.expected, String(raised?.sequence ?? 0)],
          ],
          data: new Uint8Array(),
        },
      ],
      ANSWER_MS,
    );
    if (answer.is !== 'stored') throw changed();
  }

  get #partBytes(): number {
    return partBytesOf(this.#connection);
  }
}

/** Some at the same time, until all are done or one fails. */
async function each<T>(all: readonly T[], work: (one: T) => Promise<void>): Promise<void> {
  const left = [...all].reverse();
  const worker = async () => {
    for (let one = left.pop(); one !== undefined; one = left.pop()) await work(one);
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, all.length) }, worker));
}

const hex = (key: string) => Buffer.from(key, 'base64url').toString('hex');

/** Where nothing was wrong. */
const precaution = (): StorageAlarm => ({
  kind: 'missing',
  message: 'the store is being healed, or that was broken off: heal it again if it lasts',
  instance: '0'.repeat(16),
  at: new Date(),
});

const busy = () => new CofferError('conflict', 'another instance heals the store: wait until it is done');

const changed = () =>
  new CofferError('conflict', 'the stream changed while it was healed, or did not answer: heal again');
