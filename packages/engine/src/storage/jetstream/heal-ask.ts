import { randomBytes } from 'node:crypto';
import { headers, type Msg, type NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import type { Numbered } from './heal-asked.js';
import {
  isCount,
  isSeal,
  LENGTH,
  type PeerEntry,
  type PeerSeal,
  type PeerState,
  parseEntries,
  parseState,
  type Question,
  SEAL,
} from './heal-talk.js';
import type { Layout } from './layout.js';

const ANSWER_MS = 5_000;
/** For so long answers to a question to all are gathered. */
const GATHER_MS = 1_500;

/** Asks the instances of a store what they have. What does not come from one of them is passed over, as if nobody had said it. */
export class HealAsk {
  readonly #connection: NatsConnection;
  readonly #layout: Layout;
  readonly #seal: PeerSeal;
  readonly #asker = randomBytes(16).toString('hex');
  #number = 0;

  constructor(connection: NatsConnection, layout: Layout, seal: PeerSeal) {
    this.#connection = connection;
    this.#layout = layout;
    this.#seal = seal;
  }

  /**
   * Who answers at this moment.
   *
   * @param known nobody is waited for when all of these have answered
   * @throws CofferError `unavailable` as long as this instance has no key to ask with
   */
  async peers(known?: readonly string[]): Promise<PeerState[]> {
    const found = new Map<string, PeerState>();
    await this.#ask('', { ask: 'state' }, GATHER_MS, (answer, question) => {
      const state = parseState(answer.data);
      if (state && this.#isOf(state.instance, question, answer)) found.set(state.instance, state);
      return known?.every((instance) => found.has(instance)) || undefined;
    });
    return [...found.values()];
  }

  /** All that an instance has. @throws CofferError `unavailable` where it does not answer */
  async entriesOf(instance: string): Promise<Map<string, PeerEntry>> {
    const entries = new Map<string, PeerEntry>();
    for (let after: string | undefined; ; ) {
      const answer = await this.#askOne(instance, { ask: 'entries', after });
      const page = parseEntries(answer.data, after);
      if (!page) throw strange(instance);
      for (const [key, entry] of page) entries.set(key, entry);
      after = page.at(-1)?.[0];
      if (after === undefined) return entries;
    }
  }

  /** A record's bytes. @throws CofferError `unavailable` if it is not there any more, or nobody answers */
  async recordOf(instance: string, key: string): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for (let from = 0; ; ) {
      const answer = await this.#askOne(instance, { ask: 'record', key, from });
      const said = answer.headers?.get(LENGTH) ?? '';
      if (said === '') throw new CofferError('unavailable', `${instance} has a record no more: heal again`);
      const length = Number(said);
      from += answer.data.length;
      if (!isCount(length) || from > length) throw strange(instance);
      pieces.push(answer.data);
      if (from === length) return Buffer.concat(pieces);
      if (answer.data.length === 0) throw strange(instance);
    }
  }

  async #askOne(instance: string, question: Question): Promise<Msg> {
    const answer = await this.#ask(instance, question, ANSWER_MS, (one, asked) =>
      this.#isOf(instance, asked, one) ? one : undefined,
    );
    if (answer) return answer;
    throw new CofferError('unavailable', `instance ${instance} does not answer: heal again`);
  }

  /** @param take given each answer, until it returns something */
  async #ask<T>(
    to: string,
    question: Question,
    maxWait: number,
    take: (answer: Msg, question: Uint8Array) => T | undefined,
  ): Promise<T | undefined> {
    const numbered: Question & Numbered = { ...question, asker: this.#asker, number: ++this.#number };
    const asked = Buffer.from(JSON.stringify(numbered));
    const seal = this.#seal.ofQuestion(to, asked);
    if (seal === undefined) {
      throw new CofferError('unavailable', 'this instance does not follow the store yet: heal when it does');
    }
    const said = headers();
    said.set(SEAL, seal);
    const subject = to === '' ? this.#layout.peers : this.#layout.peer(to);
    const answers = await this.#connection.requestMany(subject, asked, {
      strategy: 'timer',
      maxWait,
      headers: said,
    });
    for await (const answer of answers) {
      const taken = take(answer, asked);
      if (taken !== undefined) return taken;
    }
    return undefined;
  }

  #isOf(instance: string, question: Uint8Array, answer: Msg): boolean {
    const length = answer.headers?.get(LENGTH) ?? '';
    return isSeal(this.#seal.ofAnswer(instance, question, length, answer.data), answer.headers?.get(SEAL));
  }
}

const strange = (instance: string) =>
  new CofferError(
    'unavailable',
    `instance ${instance} answers what this one does not understand: are both of one version?`,
  );
