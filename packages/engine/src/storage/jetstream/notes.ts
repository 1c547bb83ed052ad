import { CofferError } from '../../errors.js';
import type { StorageAlarm } from '../shared.js';

/**
 * What instances tell each other beside records, each as one JSON object: the store's birth (`meta`), what an instance says of
 * itself, or that it was forgotten (`m.`), what it writes (`w.`), who holds a lease (`l.`), and the alarm.
 */

/** Of what is in the bucket. A higher one is refused. */
export const BUCKET_FORMAT = 1;

/** No store is healed so often: what says so is not coffer's. */
const MAX_EPOCH = 1_000_000_000;

/** Of what people read, at most: in characters, and only such as can be seen. */
const NAME_LENGTH = 256;
const MESSAGE_LENGTH = 2_000;

export interface Meta {
  readonly format: number;
  readonly incarnation: Uint8Array;
  /** Grows with every heal. */
  readonly epoch: number;
  /** Where the heal put this into the stream: put there again, it lies further on. */
  readonly begins?: number | undefined;
  /** Of the heal that began the epoch, see `epoch.ts`. */
  readonly seal?: string | undefined;
}

export interface MemberNote {
  readonly name: string;
  readonly version: string;
  /** How often it was forgotten and came back: what is said of an earlier life means nothing. */
  readonly life: number;
  /** Of which epoch it speaks: in another one what it has counts for nothing. */
  readonly epoch: number;
  /** All up to this sequence of the stream is in its replica, on its disk; or it reads all of the stream, and began when it was so long. */
  readonly confirmed: number;
  /** It waits for all to have what is up to this sequence; 0 if for nothing. */
  readonly awaited: number;
  /**
   * The sequence of the note that said so first, where this one only says that it is still there: since then the stream may have been
   * put back.
   */
  readonly since?: number | undefined;
  /** It has ended as it should: nothing is heard of it before its next start. */
  readonly ended?: true | undefined;
  /** Another instance has changed the root key, and this one was not given the new one. */
  readonly lacksRootKey?: true | undefined;
  /** By its own clock. */
  readonly at: Date;
}

/** What an instance says at the beginning of a batch: which of its commits that is, and what it changes. */
export interface Mark {
  /** Drawn for this commit, and said with each attempt at it. */
  readonly commit: string;
  /** A digest of what the heads of the batch are, see `mark.ts`. */
  readonly heads: string;
}

export interface LeaseNote {
  readonly instance: string;
  /** Grows with each renewal, so that a watcher sees that the holder lives, whatever the clocks say. */
  readonly count: number;
}

export interface AlarmNote extends StorageAlarm {
  /** The instance that heals the store: as long as there is one, nobody takes anything over. */
  readonly healer: string | undefined;
}

const encode = (note: object): Uint8Array => Buffer.from(JSON.stringify(note));

export const encodeMeta = ({ incarnation, ...meta }: Meta): Uint8Array =>
  encode({ ...meta, incarnation: Buffer.from(incarnation).toString('hex') });

/** @throws CofferError `newer_format`, `tampered` */
export function parseMeta(bytes: Uint8Array): Meta {
  const fields = objectOf(bytes, 'meta');
  requireFormat(wholeNumber(fields, 'format', 'meta'));
  return parseAnyMeta(bytes);
}

/** @throws CofferError `newer_format` */
export function requireFormat(format: number): void {
  if (format <= BUCKET_FORMAT) return;
  throw new CofferError(
    'newer_format',
    `the bucket has format ${format} and this coffer reads up to ${BUCKET_FORMAT}: use a newer coffer`,
  );
}

/** Of whichever format: by its seal one is told that a newer coffer wrote from what somebody else did. @throws CofferError `tampered` */
export function parseAnyMeta(bytes: Uint8Array): Meta {
  const fields = objectOf(bytes, 'meta');
  const format = wholeNumber(fields, 'format', 'meta');
  const incarnation = text(fields, 'incarnation', 'meta', /^[0-9a-f]{32}$/);
  const epoch = wholeNumber(fields, 'epoch', 'meta');
  if (epoch > MAX_EPOCH) throw strange('meta', 'epoch');
  const begins = fields.begins === undefined ? undefined : wholeNumber(fields, 'begins', 'meta');
  const seal = fields.seal === undefined ? undefined : text(fields, 'seal', 'meta', SEAL);
  return { format, incarnation: Buffer.from(incarnation, 'hex'), epoch, begins, seal };
}

export const encodeMember = (member: MemberNote): Uint8Array =>
  encode({
    ...member,
    name: legible(member.name, NAME_LENGTH),
    version: legible(member.version, NAME_LENGTH),
    at: member.at.toISOString(),
  });

/** @throws CofferError `tampered` */
export function parseMember(bytes: Uint8Array): MemberNote {
  const fields = objectOf(bytes, 'member');
  return {
    name: legibleText(fields, 'name', 'member', NAME_LENGTH),
    version: legibleText(fields, 'version', 'member', NAME_LENGTH),
    life: fields.life === undefined ? 0 : wholeNumber(fields, 'life', 'member'),
    epoch: fields.epoch === undefined ? 1 : wholeNumber(fields, 'epoch', 'member'),
    confirmed: wholeNumber(fields, 'confirmed', 'member'),
    // The first versions waited in silence.
    awaited: fields.awaited === undefined ? 0 : wholeNumber(fields, 'awaited', 'member'),
    since: fields.since === undefined ? undefined : wholeNumber(fields, 'since', 'member'),
    ended: fields.ended === true ? true : undefined,
    lacksRootKey: fields.lacksRootKey === true ? true : undefined,
    at: time(fields, 'at', 'member'),
  };
}

/** In the place of a member's note: it is waited for no more. @param life the one that it was forgotten in */
export const encodeForgotten = (life: number): Uint8Array => encode({ forgotten: life });

/** @returns undefined for what does not say that. @throws CofferError `tampered` */
export function parseForgotten(bytes: Uint8Array): number | undefined {
  const fields = objectOf(bytes, 'member');
  return fields.forgotten === undefined ? undefined : wholeNumber(fields, 'forgotten', 'member');
}

export const encodeMark = (mark: Mark): Uint8Array => encode(mark);

/** @throws CofferError `tampered` */
export function parseMark(bytes: Uint8Array): Mark {
  const fields = objectOf(bytes, 'mark');
  return {
    commit: text(fields, 'commit', 'mark', COMMIT),
    heads: text(fields, 'heads', 'mark', DIGEST),
  };
}

export const encodeLease = (lease: LeaseNote): Uint8Array => encode(lease);

/** @throws CofferError `tampered` */
export function parseLease(bytes: Uint8Array): LeaseNote {
  const fields = objectOf(bytes, 'lease');
  return {
    instance: text(fields, 'instance', 'lease', INSTANCE),
    count: wholeNumber(fields, 'count', 'lease'),
  };
}

export const encodeAlarm = (alarm: AlarmNote): Uint8Array =>
  encode({ ...alarm, message: legible(alarm.message, MESSAGE_LENGTH), at: alarm.at.toISOString() });

/** @throws CofferError `tampered` */
export function parseAlarm(bytes: Uint8Array): AlarmNote {
  const fields = objectOf(bytes, 'alarm');
  const kind = text(fields, 'kind', 'alarm');
  if (!isAlarmKind(kind)) throw strange('alarm', 'kind');
  return {
    kind,
    message: legibleText(fields, 'message', 'alarm', MESSAGE_LENGTH),
    instance: text(fields, 'instance', 'alarm', INSTANCE),
    at: time(fields, 'at', 'alarm'),
    healer: fields.healer === undefined ? undefined : text(fields, 'healer', 'alarm', INSTANCE),
  };
}

/** A note that no instance wrote says nothing: it must not stop who reads it. @returns undefined then */
export function unlessStrange<T>(take: () => T): T | undefined {
  try {
    return take();
  } catch (error) {
    if (error instanceof CofferError && error.code === 'tampered') return undefined;
    throw error;
  }
}

/** A note as the stream has it; undefined if it is not there, or no instance wrote it. */
export const parsedNote = <T>(data: Uint8Array | undefined, parse: (bytes: Uint8Array) => T): T | undefined =>
  data && unlessStrange(() => parse(data));

const INSTANCE = /^[0-9a-f]{16}$/;
const SEAL = /^[0-9a-f]{64}$/;
const COMMIT = /^[0-9a-f]{32}$/;
const DIGEST = /^[\w-]{43}$/;
const KINDS: readonly string[] = [
  'behind',
  'gone',
  'recreated',
  'missing',
  'damaged',
  'fork',
] satisfies StorageAlarm['kind'][];
const isAlarmKind = (kind: string): kind is StorageAlarm['kind'] => KINDS.includes(kind);

type Fields = Record<string, unknown>;

function objectOf(bytes: Uint8Array, what: string): Fields {
  try {
    const json: unknown = JSON.parse(Buffer.from(bytes).toString());
    if (typeof json === 'object' && json !== null && !Array.isArray(json)) return json as Fields;
  } catch {
    // as anything else that is no object
  }
  throw strange(what, 'an object');
}

function text(fields: Fields, name: string, what: string, pattern?: RegExp): string {
  const value = fields[name];
  if (typeof value !== 'string' || (pattern && !pattern.test(value))) throw strange(what, name);
  return value;
}

/** Who can write to the bucket has no say in what a terminal does, nor in how much of it is kept with each commit. */
function legibleText(fields: Fields, name: string, what: string, length: number): string {
  const value = text(fields, name, what);
  if (legible(value, length) !== value) throw strange(what, name);
  return value;
}

const legible = (value: string, length: number): string =>
  value.replace(/\p{Cc}|\p{Cf}/gu, ' ').slice(0, length);

function wholeNumber(fields: Fields, name: string, what: string): number {
  const value = fields[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) throw strange(what, name);
  return value;
}

function time(fields: Fields, name: string, what: string): Date {
  const at = new Date(text(fields, name, what));
  if (Number.isNaN(at.getTime())) throw strange(what, name);
  return at;
}

const strange = (what: string, part: string) =>
  new CofferError(
    'tampered',
    `the record “${what}” of the bucket is not coffer's (${part}): nobody else may write there`,
  );
