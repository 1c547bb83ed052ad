import { timingSafeEqual } from 'node:crypto';
import type { Numbered } from './heal-asked.js';
import { LINEAGE, MOST_CHUNKS } from './layout.js';
import type { Ancestor, ReplicaEntry } from './replica-contract.js';

/**
 * What instances ask each other for a heal. It comes over NATS, where others may publish as well: whatever is not exactly a question
 * is none.
 */
export type Question =
  | { readonly ask: 'state' }
  /** The entries behind a key, as many as go into one answer. */
  | { readonly ask: 'entries'; readonly after?: string | undefined }
  /** A piece of a record. */
  | { readonly ask: 'record'; readonly key: string; readonly from: number };

/** Bytes of a question, at most. */
const QUESTION_BYTES = 4 * 1024;

/** @returns undefined for what is no question */
export function parseQuestion(bytes: Uint8Array): (Question & Numbered) | undefined {
  if (bytes.length > QUESTION_BYTES) return undefined;
  const fields = fieldsOf(bytes) ?? {};
  const { asker, number } = fields;
  const question = questionOf(fields);
  if (!question || typeof asker !== 'string' || !ASKER.test(asker) || !isCount(number)) return undefined;
  return { ...question, asker, number };
}

function questionOf(fields: Fields): Question | undefined {
  switch (fields.ask) {
    case 'state':
      return { ask: 'state' };
    case 'entries': {
      const { after } = fields;
      return after === undefined || isKey(after) ? { ask: 'entries', after } : undefined;
    }
    case 'record': {
      const { key, from } = fields;
      return isKey(key) && isCount(from) ? { ask: 'record', key, from } : undefined;
    }
    default:
      return undefined;
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** @returns undefined for what is no JSON object */
export function fieldsOf(bytes: Uint8Array): Fields | undefined {
  try {
    return objectOf(JSON.parse(Buffer.from(bytes).toString()));
  } catch {
    return undefined;
  }
}

const objectOf = (json: unknown): Fields | undefined =>
  typeof json === 'object' && json !== null && !Array.isArray(json) ? (json as Fields) : undefined;

/** A record's key, in base64url. */
export const isKey = (value: unknown): value is string => {
  if (typeof value !== 'string' || value === '') return false;
  return Buffer.from(value, 'base64url').toString('base64url') === value;
};

export const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;

/** Keyed by what only instances of the store have; undefined as long as the key is not there. */
export type Authenticate = (message: Uint8Array) => Uint8Array | undefined;

/** Header of questions and answers. */
export const SEAL = 'Coffer-Seal';
/** Header of a record's answer: how long it is in all. */
export const LENGTH = 'Coffer-Length';

/**
 * Tells what instances say to each other from what others do: a keyed digest of a question and whom it asks, or of an answer, the
 * question that it answers (which is never twice the same), and who answers.
 */
export class PeerSeal {
  readonly #stream: string;
  readonly #authenticate: Authenticate;

  constructor(stream: string, authenticate: Authenticate = () => undefined) {
    this.#stream = stream;
    this.#authenticate = authenticate;
  }

  /** @param to an instance; empty: all. @returns undefined as long as there is no key */
  ofQuestion(to: string, question: Uint8Array): string | undefined {
    return this.#of(['question', to], question, new Uint8Array());
  }

  /** @param length of all that this is a part of, as the answer's header says */
  ofAnswer(from: string, question: Uint8Array, length: string, answer: Uint8Array): string | undefined {
    return this.#of(['answer', from, length], question, answer);
  }

  #of(what: readonly string[], question: Uint8Array, answer: Uint8Array): string | undefined {
    const said = JSON.stringify([...what, this.#stream, question.length]);
    const mac = this.#authenticate(Buffer.concat([DOMAIN, Buffer.from(`${said}\0`), question, answer]));
    return mac && Buffer.from(mac).toString('hex');
  }
}

const DOMAIN = Buffer.from('coffer-heal-v1\0');

/** @param expected undefined: nothing fits */
export function isSeal(expected: string | undefined, given: string | undefined): boolean {
  if (expected === undefined || given === undefined) return false;
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}

/** An instance that answers, and how it is. */
export interface PeerState {
  readonly instance: string;
  readonly incarnation: string;
  readonly epoch: number;
  /** When the server made the stream that it has read. */
  readonly created?: string | undefined;
  /** Up to where its replica is. */
  readonly position?: number | undefined;
  /** As of the replica. */
  readonly outlived?: number | undefined;
  /** How often it was forgotten, and came back. */
  readonly life?: number | undefined;
  /** It takes nothing over at the moment. */
  readonly paused: boolean;
  /** It works at a heal itself. */
  readonly healing: boolean;
}

/** @returns undefined for what is none */
export function parseState(bytes: Uint8Array): PeerState | undefined {
  const fields = fieldsOf(bytes) ?? {};
  const { instance, incarnation, epoch, created, position, outlived, life, paused, healing } = fields;
  if (typeof instance !== 'string' || !INSTANCE.test(instance)) return undefined;
  if (typeof incarnation !== 'string' || !isCount(epoch)) return undefined;
  if (typeof paused !== 'boolean' || typeof healing !== 'boolean') return undefined;
  // The first versions did not say them.
  if (created !== undefined && (typeof created !== 'string' || Number.isNaN(Date.parse(created))))
    return undefined;
  if (position !== undefined && !isCount(position)) return undefined;
  if (outlived !== undefined && !isCount(outlived)) return undefined;
  if (life !== undefined && !isCount(life)) return undefined;
  return { instance, incarnation, epoch, created, position, outlived, life, paused, healing };
}

/** What an instance has under a key. */
export interface PeerEntry extends ReplicaEntry {
  /** Of a head that is not removed. */
  readonly generation?: number | undefined;
}

/**
 * A page of entries, by key.
 *
 * @param after the last key of the page before
 * @returns undefined for what is none, or goes back
 */
export function parseEntries(
  bytes: Uint8Array,
  after: string | undefined,
): [string, PeerEntry][] | undefined {
  let page: unknown;
  try {
    page = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
  if (!Array.isArray(page)) return undefined;
  const entries: [string, PeerEntry][] = [];
  let last = Buffer.from(after ?? '', 'base64url');
  for (const one of page as unknown[]) {
    const [key, said] = Array.isArray(one) ? (one as unknown[]) : [];
    const entry = parseEntry(said);
    if (!isKey(key) || !entry) return undefined;
    const next = Buffer.from(key, 'base64url');
    if (next.compare(last) <= 0) return undefined;
    last = next;
    entries.push([key, entry]);
  }
  return entries;
}

function parseEntry(json: unknown): PeerEntry | undefined {
  const { revision, removed, isHead, fingerprint, lineage, chunks, generation } = objectOf(json) ?? {};
  if (!isCount(revision) || !isPrint(fingerprint)) return undefined;
  if (!isCount(chunks) || chunks > MOST_CHUNKS) return undefined;
  if (typeof removed !== 'boolean' || typeof isHead !== 'boolean') return undefined;
  if (generation !== undefined && !isCount(generation)) return undefined;
  if (!Array.isArray(lineage) || lineage.length > LINEAGE) return undefined;
  const ancestors: Ancestor[] = [];
  for (const one of lineage as unknown[]) {
    const ancestor = objectOf(one) ?? {};
    if (!isCount(ancestor.revision) || !isPrint(ancestor.fingerprint)) return undefined;
    ancestors.push({ revision: ancestor.revision, fingerprint: ancestor.fingerprint });
  }
  return { revision, removed, isHead, fingerprint, lineage: ancestors, chunks, generation };
}

const INSTANCE = /^[0-9a-f]{16}$/;
const ASKER = /^[0-9a-f]{32}$/;
const isPrint = (value: unknown): value is string => typeof value === 'string' && INSTANCE.test(value);
