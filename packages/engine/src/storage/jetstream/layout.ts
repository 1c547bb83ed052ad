import { keyOfText, keyText } from '../../bytes.js';

/**
 * What lies in the bucket, under `$KV.<bucket>.`; the stream of a KV bucket keeps the last message of each subject.
 *
 * - `meta`: the store's birth, JSON `{format, incarnation, epoch, seal}`. Written once, by compare-and-set, before all else; `epoch`
 *   grows with every heal, which seals it, and positions of another epoch mean nothing.
 * - `r.<key>`: a record. The payload is the record's bytes; the headers say what it is. A removed one is an empty message with
 *   `KV-Operation: DEL`, and stays until every member has confirmed it (`sweeper.ts`).
 *   Each is sealed (`message-seal.ts`), and says what it follows on (`lineage.ts`), and beside which head it was written (`beside.ts`).
 * - `c.<key>.<n>`: a part of a record that is longer than one message may be; its `r.<key>` has `Coffer-Chunks` and the SHA-256 of
 *   the whole for a payload.
 * - `w.<instance>`: an instance's mark, the first message of each of its commits: which it is, JSON, sealed (`mark.ts`).
 * - `b.<instance>`: its last beat. `m.<instance>`: what it says of itself, or that it was forgotten, JSON, sealed but of
 *   an instance that is new. `l.<work>`: who holds a lease, JSON.
 * - `alarm`: why nobody writes, JSON; removed (`DEL`) by a heal.
 * - `f.<key>.<fingerprint>.<n>`: a record that lost a fork, kept by a heal; nobody reads it but a person.
 *
 * A commit is one atomic batch (nats-server 2.12, ADR-50): mark, chunks, side records, head, what is removed. The mark states the
 * revision that the ring's record must have (`Nats-Expected-Last-Subject-Sequence-Subject`), so that nothing sealed under a ring
 * that was replaced meanwhile is ever stored; the head states its own. The batch's id is the commit's, and which attempt at it.
 */
export class Layout {
  readonly bucket: string;
  /** Of the stream behind the bucket. */
  readonly stream: string;
  /** No part of the stream: where all instances are asked what they have. */
  readonly peers: string;
  readonly #prefix: string;

  constructor(bucket: string) {
    this.bucket = bucket;
    this.stream = `KV_${bucket}`;
    this.peers = `coffer.store.${bucket}`;
    this.#prefix = `$KV.${bucket}.`;
  }

  get all(): string {
    return `${this.#prefix}>`;
  }
  get meta(): string {
    return `${this.#prefix}meta`;
  }
  get alarm(): string {
    return `${this.#prefix}alarm`;
  }
  record(key: Uint8Array): string {
    return `${this.#prefix}r.${token(key)}`;
  }
  chunk(key: Uint8Array, index: number): string {
    return `${this.#prefix}c.${token(key)}.${index}`;
  }
  mark(instance: string): string {
    return `${this.#prefix}w.${instance}`;
  }
  /** All instances'. */
  get marks(): string {
    return this.mark('*');
  }
  beat(instance: string): string {
    return `${this.#prefix}b.${instance}`;
  }
  member(instance: string): string {
    return `${this.#prefix}m.${instance}`;
  }
  lease(work: string): string {
    return `${this.#prefix}l.${work}`;
  }

  /** What lost a fork, by the record's key and the fingerprint of its bytes; in parts if it is long. */
  fork(key: Uint8Array, fingerprint: string, part: number): string {
    return `${this.#prefix}f.${token(key)}.${fingerprint}.${part}`;
  }
  /** All that was set aside. */
  get forks(): string {
    return `${this.#prefix}f.>`;
  }
  /** Where one instance is asked. */
  peer(instance: string): string {
    return `${this.peers}.${instance}`;
  }

  /** What instances say of themselves and to each other. */
  get notes(): string[] {
    return ['alarm', 'm.>', 'l.>'].map((subject) => this.#prefix + subject);
  }

  /** All that an instance takes over: everything but other instances' marks and beats. */
  followed(instance: string): string[] {
    const every = ['meta', 'alarm', 'r.>', 'c.>', 'm.>', 'l.>', `w.${instance}`, `b.${instance}`];
    return every.map((subject) => this.#prefix + subject);
  }

  /**
   * The same for who reads much of the stream: all of it, and what of that is taken over. To find the next message of one filter costs
   * the server little and of several much, the more the longer the stream is: with nats-server 2.15 and 40,000 records six seconds,
   * in place of 0.2.
   */
  whole(instance: string): { readonly filters: string[]; readonly only: (subject: string) => boolean } {
    const only = (subject: string) => {
      const found = this.parse(subject);
      if (found?.kind !== 'mark' && found?.kind !== 'beat') return found !== undefined;
      return found.instance === instance;
    };
    return { filters: [this.all], only };
  }

  /** What a subject says of a record that was set aside; undefined of another subject. */
  parseFork(subject: string): { key: Buffer; fingerprint: string; part: number } | undefined {
    if (!subject.startsWith(`${this.#prefix}f.`)) return undefined;
    const [id = '', print = '', part = '', ...rest] = subject.slice(this.#prefix.length + 2).split('.');
    const key = keyOf(id);
    const isOurs = key && INSTANCE.test(print) && /^\d{1,6}$/.test(part) && rest.length === 0;
    return isOurs ? { key, fingerprint: print, part: Number(part) } : undefined;
  }

  /** Which of the above a subject is; undefined for what does not belong here. */
  parse(subject: string): Subject | undefined {
    if (!subject.startsWith(this.#prefix) || !isLiteral(subject)) return undefined;
    const [kind, first, second, ...rest] = subject.slice(this.#prefix.length).split('.');
    if (rest.length > 0) return undefined;
    if ((kind === 'meta' || kind === 'alarm') && first === undefined) return { kind };
    if (first === undefined || first === '') return undefined;
    if (kind === 'c') {
      const key = keyOf(first);
      if (!key || second === undefined || !/^\d{1,6}$/.test(second)) return undefined;
      return { kind: 'chunk', key, index: Number(second) };
    }
    if (second !== undefined) return undefined;
    if (kind === 'r') {
      const key = keyOf(first);
      return key && { kind: 'record', key };
    }
    if (kind === 'l') return { kind: 'lease', work: first };
    if (!INSTANCE.test(first)) return undefined;
    if (kind === 'w') return { kind: 'mark', instance: first };
    if (kind === 'b') return { kind: 'beat', instance: first };
    return kind === 'm' ? { kind: 'member', instance: first } : undefined;
  }
}

export type Subject =
  | { readonly kind: 'meta' | 'alarm' }
  | { readonly kind: 'record'; readonly key: Buffer }
  | { readonly kind: 'chunk'; readonly key: Buffer; readonly index: number }
  | { readonly kind: 'mark' | 'beat' | 'member'; readonly instance: string }
  | { readonly kind: 'lease'; readonly work: string };

/** An instance's id; a fingerprint is written so, too. */
const INSTANCE = /^[0-9a-f]{16}$/;

/** False for what a server would take for more than one subject. */
export const isLiteral = (subject: string): boolean =>
  subject.split('.').every((token) => token !== '*' && token !== '>');

/** A key as one token of a subject. */
export const token = keyText;

/** Of a record's key, at most; LMDB's own limit is not far above it, and what a replica writes before a key needs some, too. */
const KEY_BYTES = 300;

/**
 * Undefined if no key of a record is written so: a key that begins with 00 is a replica's own (`replica-rows.ts`), which nothing that
 * comes in may write.
 */
function keyOf(text: string): Buffer | undefined {
  const key = keyOfText(text);
  const isRecords = key.length > 0 && key.length <= KEY_BYTES && key[0] !== 0;
  return isRecords && token(key) === text ? key : undefined;
}

/** Headers of our own on records. */
export const HEADER = {
  /** `head` or `side`. */
  kind: 'Coffer-Kind',
  /** Of a record in parts: how many. */
  chunks: 'Coffer-Chunks',
  /** Of a record: up to 8 of those before it, the newest first, `<revision>:<fingerprint>` with commas between. */
  lineage: 'Coffer-Lineage',
  /** Of a record: up to where the stream was read by whoever wrote it. */
  after: 'Coffer-After',
  /** Of a record beside a head: that head's key, and its fingerprint in the same change, `<key>:<fingerprint>`. */
  beside: 'Coffer-Beside',
  /** On all that is sealed: the SHA-256 of its bytes, base64url, by which headers alone tell whether it is what it was. */
  print: 'Coffer-Print',
  /** On each record but the key ring's, and on what an instance says of itself and its commits: see `message-seal.ts`. */
  seal: 'Coffer-Seal',
  /** Of a head that is removed: the generation of what was there, by which it is told from a later life. */
  generation: 'Coffer-Generation',
  operation: 'KV-Operation',
} as const;

/** How many of its predecessors a record names. */
export const LINEAGE = 8;

/** Of how many parts a record is, at most: of 80 MiB where a server takes the shortest messages that coffer sends. */
export const MOST_CHUNKS = 10_000;
