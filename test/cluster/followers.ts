import { createHmac } from 'node:crypto';
import { jetstreamManager } from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { afterEach, expect } from 'vitest';
import { Beats } from '../../packages/engine/src/storage/jetstream/beats.js';
import { newCommit } from '../../packages/engine/src/storage/jetstream/commit-group.js';
import { lastNote } from '../../packages/engine/src/storage/jetstream/continuity.js';
import { UNPROVEN } from '../../packages/engine/src/storage/jetstream/epoch.js';
import { Feed } from '../../packages/engine/src/storage/jetstream/feed.js';
import { Heal } from '../../packages/engine/src/storage/jetstream/heal.js';
import type { RecordSense } from '../../packages/engine/src/storage/jetstream/heal-plan.js';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { Link } from '../../packages/engine/src/storage/jetstream/link.js';
import { markOf } from '../../packages/engine/src/storage/jetstream/mark.js';
import { memberMessage } from '../../packages/engine/src/storage/jetstream/member-message.js';
import { MessageSeal } from '../../packages/engine/src/storage/jetstream/message-seal.js';
import { type EncodedChange, encodeChange } from '../../packages/engine/src/storage/jetstream/messages.js';
import { encodeMeta, type MemberNote, parseMeta } from '../../packages/engine/src/storage/jetstream/notes.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { Replica } from '../../packages/engine/src/storage/jetstream/replica.js';
import type { HealReport, IncomingHead } from '../../packages/engine/src/storage/shared.js';
import type { NatsCluster } from '../support/cluster.mjs';
import { TemporaryFolder } from '../support/processes.mjs';

export const layout = new Layout('test');
export const bytes = (text: string) => Buffer.from(text);
const INCARNATION = Buffer.alloc(16, 7);

const authenticate = (message: Uint8Array) => createHmac('sha256', INCARNATION).update(message).digest();
/** As these instances seal. */
export const seal = new MessageSeal({ stream: layout.stream, authenticate });

const cleanup: (() => unknown)[] = [];

/** Ended after the test, the newest first. */
export function later<T>(ends: () => T): void {
  cleanup.push(ends);
}

afterEach(async () => {
  for (const end of cleanup.splice(0).reverse()) await end();
});

/** Makes the bucket of a store, as the driver does, and a connection to write to it with. */
export async function makeBucket(urls: string | string[], replicas = 1): Promise<NatsConnection> {
  const connection = await connect({ servers: urls, reconnectTimeWait: 50, maxReconnectAttempts: -1 });
  later(() => connection.close());
  await makeStream(connection, replicas);
  const meta = encodeMeta({ format: 1, incarnation: INCARNATION, epoch: 1 });
  // The server that is asked may not have heard of the stream yet.
  const born = () => connection.request(layout.meta, meta).then(() => true, String);
  await expect.poll(born).toBe(true);
  return connection;
}

async function makeStream(connection: NatsConnection, replicas = 1): Promise<void> {
  const manager = await jetstreamManager(connection);
  await manager.streams.add({
    name: layout.stream,
    subjects: [layout.all],
    num_replicas: replicas,
    max_msgs_per_subject: 1,
    discard: 'new',
    allow_direct: false,
    deny_delete: true,
    allow_atomic: true,
  } as never);
}

/** Records of one group have a key that begins alike, up to a slash, which a head's has not; a head's generation is the number that it begins with. */
const SENSE: RecordSense = {
  isHead: (key) => !Buffer.from(key).includes('/'),
  groupOf: (key) => Buffer.from(key).toString().split('/')[0] ?? '',
  generationOf: (_, value) => Number.parseInt(Buffer.from(value).toString(), 10) || 0,
  // A life has less than ten states.
  isLaterLife: (generation, removed) => generation >= removed + 10,
};

interface FollowerOptions {
  /** For people. */
  readonly name?: string;
  /** How long it remembers heads that were removed. */
  readonly rememberedMs?: number | undefined;
  /** How long what all have read waits until nothing is believed to be on its way that was written before. */
  readonly underWayMs?: number | undefined;
}

/** An instance as far as this goes: a replica and its feed. */
export class Follower {
  readonly admitted: IncomingHead[] = [];
  readonly notices: string[] = [];
  readonly beats = new Beats({ consistency: { bounded: 1_000 }, beatMs: 50 });
  readonly feed: Feed;
  #ended = false;

  private constructor(
    readonly folder: TemporaryFolder,
    readonly replica: Replica,
    readonly link: Link,
    { name = 'test', rememberedMs, underWayMs = 0 }: FollowerOptions,
  ) {
    this.feed = new Feed({
      layout,
      replica,
      link,
      beats: this.beats,
      name,
      version: '0',
      sense: SENSE,
      noteMs: 1_000,
      rememberedMs,
      underWayMs,
      onNotice: (sentence) => this.notices.push(sentence),
    });
  }

  /** @param folder of one that has ended, to go on with it */
  static async open(
    urls: string | string[],
    folder = temporaryFolder(),
    options: FollowerOptions = {},
  ): Promise<Follower> {
    const replica = await Replica.open(folder.join('store'), {
      minFreeBytes: 0,
      onFatal: (error) => {
        throw error;
      },
    });
    const link = new Link(() =>
      connect({ servers: urls, reconnectTimeWait: 50, maxReconnectAttempts: -1, timeout: 1_000 }),
    );
    await link.open();
    if (replica.origin === undefined) {
      const connection = link.connection;
      if (!connection) throw new Error('no connection');
      const manager = await jetstreamManager(connection);
      const { created } = await manager.streams.info(layout.stream);
      const note = await lastNote(manager, layout.stream, layout.meta);
      const { incarnation } = parseMeta(note?.data ?? new Uint8Array());
      await replica.bind({ incarnation, epoch: UNPROVEN, created });
    }
    const follower = new Follower(folder, replica, link, options);
    later(() => follower.end());
    return follower;
  }

  /** The engine's word, if it is to be another than yes. */
  admission: () => void | Promise<void> = () => {};

  /** Called before each head that a heal of its own brings back. */
  bringingBack: () => void | Promise<void> = () => {};

  start(): this {
    const admit = async (heads: readonly IncomingHead[]) => {
      await this.admission();
      this.admitted.push(...heads);
    };
    this.feed.start({ admit, authenticate });
    return this;
  }

  async heal(dryRun = false, giveUpDamaged = false, without: readonly string[] = []): Promise<HealReport> {
    const { connection } = this.link;
    if (!connection) throw new Error('no connection');
    this.feed.healing = true;
    try {
      const report = await new Heal({
        connection,
        layout,
        seal,
        replica: this.replica,
        alarm: this.feed.alarm,
        sense: SENSE,
        admission: { admit: () => this.bringingBack(), authenticate },
        members: () => this.feed.members.list(),
        makeStream: () => makeStream(connection),
        dryRun,
        giveUpDamaged,
        without,
      }).run();
      if (!dryRun) await expect.poll(() => this.feed.alarm.current).toBeUndefined();
      return report;
    } finally {
      this.feed.healing = false;
    }
  }

  text(key: string): string | undefined {
    return this.replica.get(bytes(key))?.bytes.toString();
  }

  /** As the driver does, and waits until it is here. @param part bytes that go into one message @param beside records beside it */
  async commit(key: string, value: string | undefined, part = 1_000, beside: Beside = {}): Promise<number> {
    const connection = this.link.connection;
    if (!connection) throw new Error('no connection');
    const sequence = await commit(connection, this.replica, key, value, part, beside);
    await this.feed.passed(sequence);
    return sequence;
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.feed.close();
    await this.link.close();
    await this.replica.close();
  }
}

function temporaryFolder(): TemporaryFolder {
  const folder = new TemporaryFolder();
  later(() => folder[Symbol.dispose]());
  return folder;
}

/** What is written and removed with a head. */
export interface Beside {
  readonly put?: Readonly<Record<string, string>>;
  readonly remove?: readonly string[];
}

/** What an instance that has `replica` sends of a change, for who overhears it. */
export function messagesOf(
  replica: Replica,
  key: string,
  value: string | undefined,
  part = 1_000,
  { put = {}, remove = [] }: Beside = {},
): EncodedChange {
  const change = {
    head: { key: bytes(key), bytes: value === undefined ? undefined : bytes(value) },
    expectedRevision: 0,
    put: Object.entries(put).map(([side, text]) => ({ key: bytes(side), bytes: bytes(text) })),
    remove: remove.map(bytes),
  };
  return encodeChange(change, {
    layout,
    seal,
    position: replica.position,
    generation: (one) => SENSE.generationOf(one, replica.get(one)?.bytes ?? bytes('')),
    entry: (one) => replica.entry(one),
    partBytes: part,
  });
}

/** Commits as an instance that has `replica`. @returns the sequence of the last message */
export async function commit(
  connection: NatsConnection,
  replica: Replica,
  key: string,
  value: string | undefined,
  part = 1_000,
  beside: Beside = {},
): Promise<number> {
  const { messages, head } = messagesOf(replica, key, value, part, beside);
  const id = newCommit();
  let answer: { seq?: number; error?: unknown } = {};
  const mark = markOf({ layout, seal, instance: replica.instance }, id, messages.slice(head, head + 1));
  const all = [...mark, ...messages];
  for (const [index, message] of all.entries()) {
    const said = headers();
    for (const [name, text] of message.headers) said.set(name, text);
    said.set('Nats-Batch-Id', id);
    said.set('Nats-Batch-Sequence', String(index + 1));
    if (index < all.length - 1) connection.publish(message.subject, message.data, { headers: said });
    else {
      said.set('Nats-Batch-Commit', '1');
      const options = { headers: said, timeout: 5_000 };
      answer = (await connection.request(message.subject, message.data, options)).json();
    }
  }
  if (!answer.seq || answer.error) throw new Error(JSON.stringify(answer));
  return answer.seq;
}

/** What is said of a member, as an instance would. @param said what differs of a note, or the life that was forgotten */
export async function sayOfMember(
  connection: NatsConnection,
  instance: string,
  said: Partial<MemberNote> | number,
): Promise<void> {
  const note = { name: 'test', version: '0', life: 0, epoch: 1, confirmed: 0, awaited: 0, at: new Date() };
  const whole = typeof said === 'number' ? said : { ...note, ...said };
  await publishMessage(connection, seal.seal(memberMessage(layout, instance, whole)));
}

/** All servers as they are at this moment: as after a power cut before which they had not synced. @returns what sets them back */
export async function putBackTo(nats: NatsCluster): Promise<() => Promise<void>> {
  const copies = await Promise.all(
    nats.servers.map(async (server) => ({ server, copy: await server.save() })),
  );
  later(() => {
    for (const { copy } of copies) copy[Symbol.dispose]();
  });
  return async () => {
    for (const { server } of copies) await server.kill();
    for (const { server, copy } of copies) server.putBack(copy);
    for (const { server } of copies) await server.start();
    await nats.ready();
  };
}
