import type { Msg, NatsConnection, Subscription } from '@nats-io/nats-core';
import { headers } from '@nats-io/nats-core';
import { Asked } from './heal-asked.js';
import { generationOf, type RecordSense } from './heal-plan.js';
import {
  type Authenticate,
  isSeal,
  LENGTH,
  PeerSeal,
  type PeerState,
  parseQuestion,
  type Question,
  SEAL,
} from './heal-talk.js';
import { type Layout, token } from './layout.js';
import type { Link } from './link.js';
import type { ReplicaLike } from './replica-contract.js';

/** Bytes of a record, or of entries but for the last of them, in one answer; and what of a message they may be. */
const ANSWER_BYTES = 256 * 1024;
const ANSWER_SHARE = 1 / 2;

export interface HealPeerOptions {
  readonly layout: Layout;
  readonly link: Link;
  readonly replica: ReplicaLike;
  readonly sense: RecordSense;
  readonly paused: () => boolean;
  readonly healing: () => boolean;
}

/**
 * Answers who heals the store what this instance's replica has: sealed records, as they lie in the bucket that everybody who can ask
 * can read. It answers instances of this store only, and each question once: who else asks hears nothing.
 *
 * Life: `start` … `close`.
 */
export class HealPeer {
  readonly #options: HealPeerOptions;
  readonly #asked = new Asked();
  #seal: PeerSeal;
  #connection: NatsConnection | undefined;
  #subscriptions: Subscription[] = [];

  constructor(options: HealPeerOptions) {
    this.#options = options;
    this.#seal = new PeerSeal(options.layout.stream);
  }

  /** @param authenticate without it nothing is answered */
  start(authenticate: Authenticate | undefined): void {
    this.#seal = new PeerSeal(this.#options.layout.stream, authenticate);
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
        const to = message.subject === layout.peers ? '' : replica.instance;
        const given = message.headers?.get(SEAL);
        const isOurs = isSeal(this.#seal.ofQuestion(to, message.data), given);
        if (isOurs && this.#asked.isNew(question)) this.#answer(question, message);
      } catch {
        // What is thrown here ends the connection; who asked hears nothing, and says so.
      }
    };
    this.#subscriptions = [layout.peers, layout.peer(replica.instance)].map((subject) =>
      connection.subscribe(subject, { callback }),
    );
  }

  #answer(question: Question, message: Msg): void {
    const { replica, sense, paused, healing } = this.#options;
    switch (question.ask) {
      case 'state': {
        const { instance, origin, position, outlived, life } = replica;
        const incarnation = Buffer.from(origin?.incarnation ?? []).toString('hex');
        const state: PeerState = {
          instance,
          incarnation,
          epoch: origin?.epoch ?? 0,
          created: origin?.created,
          position,
          outlived,
          life,
          paused: paused(),
          healing: healing(),
        };
        this.#respond(message, Buffer.from(JSON.stringify(state)));
        return;
      }
      case 'entries': {
        const after = question.after === undefined ? undefined : Buffer.from(question.after, 'base64url');
        const page: string[] = [];
        let size = 0;
        for (const [key, entry] of replica.entries(after)) {
          const record = entry.isHead ? replica.get(key) : undefined;
          const generation = record && generationOf(sense, key, record.bytes);
          const text = JSON.stringify([token(key), { ...entry, generation }]);
          page.push(text);
          size += text.length;
          if (size > this.#answerBytes) break;
        }
        this.#respond(message, Buffer.from(`[${page.join()}]`));
        return;
      }
      case 'record': {
        const record = replica.get(Buffer.from(question.key, 'base64url'));
        if (!record) return void this.#respond(message, new Uint8Array());
        const piece = record.bytes.subarray(question.from, question.from + this.#answerBytes);
        this.#respond(message, piece, String(record.bytes.length));
      }
    }
  }

  /** As much as the server takes, whatever it was told to. */
  get #answerBytes(): number {
    const maxPayload = this.#connection?.info?.max_payload ?? ANSWER_BYTES;
    return Math.min(ANSWER_BYTES, Math.floor(maxPayload * ANSWER_SHARE));
  }

  #respond(message: Msg, data: Uint8Array, length = ''): void {
    const seal = this.#seal.ofAnswer(this.#options.replica.instance, message.data, length, data);
    if (seal === undefined) return;
    const said = headers();
    said.set(SEAL, seal);
    if (length !== '') said.set(LENGTH, length);
    message.respond(data, { headers: said });
  }
}
