import { errors, type NatsConnection } from '@nats-io/transport-node';
import { Failure } from '../../failure.js';
import { displayName, quote } from '../../quote.js';
import { SourceGone } from '../attempts.js';

/** @throws Failure, unless it can be called so */
export function checkBucketName(name: string): string {
  if (/^[\w-]+$/.test(name)) return name;
  throw new Failure(`${quote(name)} is no name of a bucket: it has letters, digits, - and _ alone`);
}

/** One entry that a bucket has kept of a key. */
export interface Entry {
  /** Of the whole bucket: those of one key ascend, with gaps. */
  readonly revision: number;
  /** Undefined: the key was deleted at that point. */
  readonly value: Uint8Array | undefined;
}

/**
 * A KV bucket of NATS JetStream, which is read and never written.
 *
 * Messages are asked for one by one, from the stream's leader: that needs no consumer, and no permission but for the two subjects
 * `$JS.API.STREAM.INFO.KV_<bucket>` and `$JS.API.STREAM.MSG.GET.KV_<bucket>`.
 *
 * Source of the format: NATS ADR-8 (JetStream based key-value stores).
 */
export class NatsBucket {
  readonly #nats: NatsConnection;
  readonly #name: string;

  /** @param name as {@link checkBucketName} lets it pass */
  constructor(nats: NatsConnection, name: string) {
    this.#nats = nats;
    this.#name = name;
  }

  /** The keys that have entries, deleted ones too, in the order of their bytes; undefined if there is no such bucket. */
  async keys(): Promise<string[] | undefined> {
    const keys = new Set<string>();
    for (;;) {
      const answer = await this.#ask('INFO', { subjects_filter: this.#subject('>'), offset: keys.size });
      if (answer === undefined) return undefined;
      const { subjects = {} } = record(answer.state);
      const found = Object.keys(record(subjects));
      for (const subject of found) keys.add(subject.slice(this.#subject('').length));
      const total = Number(answer.total ?? 0);
      if (found.length === 0 || keys.size >= total) break;
    }
    return [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }

  /** What was kept of a key, the oldest first. */
  async *history(key: string): AsyncGenerator<Entry, void> {
    for (let next = 1; ; ) {
      const answer = await this.#ask('MSG.GET', { seq: next, next_by_subj: this.#subject(key) });
      if (answer === undefined) return;
      const entry = entryOf(answer, this.#subject(key));
      if (entry === undefined)
        throw new SourceGone('this nats-server is older than 2.9, and finds no entries by their keys');
      yield entry;
      next = entry.revision + 1;
    }
  }

  /** One entry of a key; undefined if it is kept no more. */
  async entry(key: string, revision: number): Promise<Entry | undefined> {
    const answer = await this.#ask('MSG.GET', { seq: revision });
    return answer && entryOf(answer, this.#subject(key));
  }

  #subject(key: string): string {
    return `$KV.${this.#name}.${key}`;
  }

  /** Undefined: there is no such stream or message. */
  async #ask(what: 'INFO' | 'MSG.GET', request: object): Promise<Answer | undefined> {
    const subject = `$JS.API.STREAM.${what}.KV_${this.#name}`;
    try {
      const message = await this.#nats.request(subject, JSON.stringify(request), { timeout: PATIENCE_MS });
      const answer = record(JSON.parse(message.string()));
      if (answer.error === undefined) return answer;
      const { code, description } = record(answer.error);
      if (code === 404) return undefined;
      throw new SourceGone(`NATS answers: ${displayName(String(description))}`);
    } catch (error) {
      throw error instanceof Failure ? error : new SourceGone(reasonOf(error, subject));
    }
  }
}

const PATIENCE_MS = 10_000;

type Answer = Record<string, unknown>;

function record(value: unknown): Answer {
  if (typeof value !== 'object' || value === null) throw new SourceGone(UNREADABLE);
  return value as Answer;
}

const UNREADABLE = 'NATS gives an answer that JetStream does not give';

/** Undefined: it is on another subject. */
function entryOf({ message }: Answer, wanted: string): Entry | undefined {
  const { subject, seq, hdrs = '', data = '' } = record(message);
  if (!Number.isSafeInteger(seq) || typeof hdrs !== 'string' || typeof data !== 'string') {
    throw new SourceGone(UNREADABLE);
  }
  if (subject !== wanted) return undefined;
  // Markers are put in the place of what was deleted, purged, or has outlived its time.
  const isMarker = /^(KV-Operation:\s*(DEL|PURGE)|Nats-Marker-Reason:.*)\s*$/im.test(
    Buffer.from(hdrs, 'base64').toString('latin1'),
  );
  return { revision: seq as number, value: isMarker ? undefined : Buffer.from(data, 'base64') };
}

function reasonOf(error: unknown, subject: string): string {
  const reason = error instanceof errors.RequestError ? (error.cause ?? error) : error;
  if (reason instanceof errors.NoRespondersError) {
    return 'this NATS server or account has no JetStream: name the one that has the buckets with --nats-address and --nats-creds-file';
  }
  if (reason instanceof errors.PermissionViolationError) {
    return `NATS does not let this user publish on ${subject}: come as one who may read the buckets`;
  }
  if (reason instanceof errors.TimeoutError) {
    return `NATS gives no answer on ${subject} within ${PATIENCE_MS / 1000} s`;
  }
  if (reason instanceof SyntaxError) return UNREADABLE;
  return `the connection to NATS failed: ${reason instanceof Error ? reason.message : 'it has ended'}`;
}
