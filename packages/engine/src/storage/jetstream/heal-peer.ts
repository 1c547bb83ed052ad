import type { Msg, NatsConnection, Subscription } from '@nats-io/nats-core';
import { headers } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import { parseQuestion, type Question } from './heal-talk.js';
import type { Layout } from './layout.js';
import type { Link } from './link.js';
import type { ReplicaEntry, ReplicaLike } from './replica-contract.js';

/** Bytes of entries in one answer, but for the last of them. */
const PAGE_BYTES = 256 * 1024;
/** Bytes of a record in one answer: every nats-server takes so many. */
const PIECE_BYTES = 256 * 1024;
const ANSWER_MS = 5_000;
/** For so long answers to a question to all are gathered. */
const GATHER_MS = 1_500;
/** Of a record's answer: how long it is in all. */
const LENGTH = 'Coffer-Length';

/** An instance that answers, and how it is. */
export interface PeerState {
  readonly instance: string;
  readonly incarnation: string;
  readonly epoch: number;
  /** It takes nothing over at the moment. */
  readonly paused: boolean;
  /** It works at a heal itself. */
  readonly healing: boolean;
}

export interface HealPeerOptions {
  readonly layout: Layout;
  readonly link: Link;
  readonly replica: ReplicaLike;
  readonly paused: () => boolean;
  readonly healing: () => boolean;
}

/**
 * Answers who heals the store what this instance's replica has: sealed records, as they lie in the bucket that everybody who can ask
 * can read.
 *
 * Life: `start` … `close`.
 */
export class HealPeer {
  readonly #options: HealPeerOptions;
  #connection: NatsConnection | undefined;
  #subscriptions: Subscription[] = [];

  constructor(options: HealPeerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#options.link.onChange(() => this.#subscribe());
    this.#subscribe();
  }

  close(): void {
    if (this.#connection?.isClosed() === false) for (const one of this.#subscriptions) one.unsubscribe();
    this.#subscriptions = [];
  }

  /** nats.js keeps subscriptions over reconnections, but not from one connection to the next. */
  #subscribe(): void {
    const { link, layout, replica } = this.#options;
    const { connection } = link;
    if (!connection || connection === this.#connection) return;
    this.#connection = connection;
    const callback = (error: Error | null, message: Msg) => {
      const question = error ? undefined : parseQuestion(message.data);
      if (!question) return;
      try {
        this.#answer(question, message);
      } catch {
        // What is thrown here ends the connection; who asked hears nothing, and says so.
      }
    };
    this.#subscriptions = [layout.peers, layout.peer(replica.instance)].map((subject) =>
      connection.subscribe(subject, { callback }),
    );
  }

  #answer(question: Question, message: Msg): void {
    const { replica, paused, healing } = this.#options;
    switch (question.ask) {
      case 'state': {
        const { instance, origin } = replica;
        const incarnation = Buffer.from(origin?.incarnation ?? []).toString('hex');
        const state: PeerState = {
          instance,
          incarnation,
          epoch: origin?.epoch ?? 0,
          paused: paused(),
          healing: healing(),
        };
        message.respond(JSON.stringify(state));
        return;
      }
      case 'entries': {
        const after = question.after === undefined ? undefined : Buffer.from(question.after, 'base64url');
        const page: string[] = [];
        let size = 0;
        for (const [key, entry] of replica.entries(after)) {
          const text = JSON.stringify([Buffer.from(key).toString('base64url'), entry]);
          page.push(text);
          size += text.length;
          if (size > PAGE_BYTES) break;
        }
        message.respond(`[${page.join()}]`);
        return;
      }
      case 'record': {
        const record = replica.get(Buffer.from(question.key, 'base64url'));
        if (!record) return void message.respond(new Uint8Array());
        const said = headers();
        said.set(LENGTH, String(record.bytes.length));
        const piece = record.bytes.subarray(question.from, question.from + PIECE_BYTES);
        message.respond(piece, { headers: said });
      }
    }
  }
}

/** Who answers at this moment. */
export async function findPeers(connection: NatsConnection, layout: Layout): Promise<PeerState[]> {
  const found: PeerState[] = [];
  const answers = await connection.requestMany(layout.peers, JSON.stringify({ ask: 'state' }), {
    strategy: 'timer',
    maxWait: GATHER_MS,
  });
  for await (const answer of answers) {
    const state = answer.json<PeerState>();
    if (!found.some(({ instance }) => instance === state.instance)) found.push(state);
  }
  return found;
}

/** All that an instance has. @throws Error where it does not answer */
export async function entriesOf(
  connection: NatsConnection,
  layout: Layout,
  instance: string,
): Promise<Map<string, ReplicaEntry>> {
  const entries = new Map<string, ReplicaEntry>();
  for (let after: string | undefined; ; ) {
    const page = await ask(connection, layout, instance, { ask: 'entries', ...(after && { after }) });
    const found = page.json<[string, ReplicaEntry][]>();
    for (const [key, entry] of found) entries.set(key, entry);
    after = found.at(-1)?.[0];
    if (found.length === 0) return entries;
  }
}

/** A record's bytes. @throws CofferError `unavailable` if it is not there any more; Error where nobody answers */
export async function recordOf(
  connection: NatsConnection,
  layout: Layout,
  instance: string,
  key: string,
): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for (let from = 0; ; ) {
    const answer = await ask(connection, layout, instance, { ask: 'record', key, from });
    const length = answer.headers?.get(LENGTH) ?? '';
    if (length === '') throw new CofferError('unavailable', `${instance} has a record no more: heal again`);
    pieces.push(answer.data);
    from += answer.data.length;
    if (from >= Number(length) || answer.data.length === 0) return Buffer.concat(pieces);
  }
}

const ask = (connection: NatsConnection, layout: Layout, instance: string, question: Question) =>
  connection.request(layout.peer(instance), JSON.stringify(question), { timeout: ANSWER_MS });
