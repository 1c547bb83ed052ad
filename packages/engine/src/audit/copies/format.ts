import { NONCE_BYTES, openInto, sealInto, TAG_BYTES } from '../../crypto/aead.js';
import type { RandomPool } from '../../crypto/random-pool.js';
import { CofferError } from '../../errors.js';

/**
 * Copies of the audit logs of all instances that share a store, in the JetStream stream `COFFER_AUDIT_<bucket>`.
 *
 * **Which is the truth.** Each instance writes a log of its own on its own disk, exactly as an only server does, and nothing is
 * revealed or changed before its line is durable there. Copies follow. No request ever waits for one or is refused because one is
 * late, the stream full or NATS away: the log grows, what waits is counted (`pending`) and why is told (`problem`).
 *
 * **When.** Lines are copied when they are durable locally, gathered for 50 ms, in their order and whole, one message at a time per
 * instance, each with the sequence that the one before it has in the stream (`Nats-Expected-Last-Subject-Sequence`): a message
 * whose acknowledgement was lost is found there and not repeated, and two processes with one log cannot both deliver. After a
 * time away an instance looks for its last message and goes on behind it, from its files: each line comes once.
 *
 * **What survives the loss of an instance's disk**: all that was acknowledged by the stream, which is as durable as the
 * store's own (same servers, same number of replicas). The lines behind it, of the last moments or of the whole time away,
 * are gone with the disk. A new disk makes a new instance, whose chain begins with line 1.
 *
 * **Whose.** A chain belongs to one instance: each line names it, its checkpoints and retirements are signed over it, the subject
 * carries it and a message's seal is bound to it. Files, messages or chains that are exchanged do not verify.
 *
 * **Not delivered yet, or removed.** Behind the last copy, lines that only the instance's own disk has are not delivered yet.
 * Removed is what was acknowledged and is not there: a hole (a message does not continue the one before it), a beginning that no
 * signed `retire` explains, or an end before a line that somebody saw there: the instance itself, which knows what was acknowledged
 * and notices at its next message; its checkpoints, which state it (`delivered`); another instance, which writes down now and then
 * which last lines of others it found (`witness`). Copies of an end that was removed are made again from the log, which says so
 * (`copies-lost`).
 *
 * **Put back.** Where the stream has lines that the log has not, the log was put back to an earlier state: nothing more is
 * delivered, and it is told, until a start with `--accept-rollback` writes that down. The log then gets a chain of copies beside
 * the one that it left, `<instance>-1`, from its first line on; what was there before stays as evidence, and verifies by itself.
 *
 * **Retention.** Files of the log go when they are old (`audit.retentionDays`) *and* their copies are acknowledged. The signed
 * `retire` that comes first is copied, too; then the instance purges its own messages that hold nothing else. The stream itself
 * drops nothing: no age, and at `max_bytes` it refuses what is new.
 *
 * A subject is `coffer.audit.<bucket>.<chain>`, a chain its instance's 16 hex digits, with `-1`, `-2`, … behind where it was put
 * back. A message has one header, {@link COPY_HEADER}, in clear:
 * `<first>:<last>:<prev>:<hash>:<time>:<part>/<parts>`, which lines it holds (`seq`), the hash of the line before them, that of
 * the last one, the first one's time in milliseconds, and which part of these lines it is, where they are longer than one message
 * may be. The payload is format (1 byte, 1) ‖ data key id (4, big-endian) ‖ nonce (24) ‖ ciphertext ‖ tag (16),
 * XChaCha20-Poly1305 under a key that is derived from that data key, see `keys.ts`. The associated data is
 * `coffer-audit-copy-v1` ‖ 0 ‖ store id in hex ‖ 0 ‖ chain ‖ 0 ‖ header. The plaintext is {@link CopyNote} as JSON, a newline, and the
 * lines' exact bytes with their newlines. It is not compressed: from its length could be seen how alike names are.
 *
 * On `coffer.audit.<bucket>.keys` lies the newest note of keys, see `keys.ts`.
 */
export const COPY_HEADER = 'Coffer-Audit';
const COPY_FORMAT = 1;
const OVERHEAD = 1 + 4 + NONCE_BYTES + TAG_BYTES;
const DOMAIN = 'coffer-audit-copy-v1';

/** Names of streams and subjects. */
export class CopiesLayout {
  readonly stream: string;
  readonly #prefix: string;

  constructor(bucket: string) {
    this.stream = `COFFER_AUDIT_${bucket}`;
    this.#prefix = `coffer.audit.${bucket}.`;
  }

  get all(): string {
    return `${this.#prefix}*`;
  }
  get keys(): string {
    return `${this.#prefix}keys`;
  }
  chain(chain: string): string {
    return `${this.#prefix}${chain}`;
  }

  /** Which chain's it is; undefined for any other subject. */
  chainOf(subject: string): string | undefined {
    const chain = subject.startsWith(this.#prefix) ? subject.slice(this.#prefix.length) : '';
    return isChain(chain) ? chain : undefined;
  }
}

export const isChain = (text: string): boolean => /^[0-9a-f]{16}(-[1-9]\d{0,3})?$/.test(text);
export const instanceOf = (chain: string): string => chain.slice(0, 16);
/** 0 for an instance's first. */
export const lifeOf = (chain: string): number => Number(chain.slice(17) || 0);
export const chainOf = (instance: string, life: number): string =>
  life === 0 ? instance : `${instance}-${life}`;

/** Which lines a message holds. */
export interface CopySpan {
  readonly first: number;
  readonly last: number;
  /** Of the line before the first; 64 zeros before line 1. */
  readonly prev: string;
  /** Of the last line. */
  readonly hash: string;
  /** Of the first line, in milliseconds. */
  readonly time: number;
  /** From 1. */
  readonly part: number;
  readonly parts: number;
}

/** What a message says beside its lines. */
export interface CopyNote {
  /** The instance's name, for people. */
  readonly name: string;
  /** `seq` of the last line so far that tells more than what other instances have (`witness`); 0 if there is none. */
  readonly told: number;
  /** Up to which line the chain is the same as the one before it, of a log that was put back; 0 of a first one. */
  readonly common: number;
}

export const formatSpan = ({ first, last, prev, hash, time, part, parts }: CopySpan): string =>
  `${first}:${last}:${prev}:${hash}:${time}:${part}/${parts}`;

/** Undefined for what no instance wrote. */
export function parseSpan(text: string): CopySpan | undefined {
  const found =
    /^([1-9]\d{0,15}):([1-9]\d{0,15}):([0-9a-f]{64}):([0-9a-f]{64}):(\d{1,15}):([1-9]\d{0,4})\/([1-9]\d{0,4})$/.exec(
      text,
    );
  if (!found) return undefined;
  const [, first, last, prev = '', hash = '', time, part, parts] = found;
  const span = { first: Number(first), last: Number(last), prev, hash, time: Number(time) };
  const whole = span.first <= span.last && Number(part) <= Number(parts);
  return whole ? { ...span, part: Number(part), parts: Number(parts) } : undefined;
}

/** Whose message it is; bound to its seal. */
export interface CopyOwner {
  /** Hex. */
  readonly storeId: string;
  readonly chain: string;
}

const associatedData = ({ storeId, chain }: CopyOwner, header: string): Buffer =>
  Buffer.from([DOMAIN, storeId, chain, header].join('\0'));

/** A message's payload. */
export function sealCopy(
  owner: CopyOwner,
  header: string,
  plaintext: Uint8Array,
  { id, key }: { readonly id: number; readonly key: Buffer },
  random: RandomPool,
): Buffer {
  const payload = Buffer.allocUnsafeSlow(OVERHEAD + plaintext.length);
  payload[0] = COPY_FORMAT;
  payload.writeUInt32BE(id, 1);
  sealInto(payload, 5, plaintext, associatedData(owner, header), key, random);
  return payload;
}

/** Id of the data key that a payload is under; 0 for what is none. */
export const copyKeyOf = (payload: Uint8Array): number =>
  payload.length < OVERHEAD || payload[0] !== COPY_FORMAT
    ? 0
    : new DataView(payload.buffer, payload.byteOffset).getUint32(1);

/** Undefined if it is not what that instance wrote of that store, under that header and that key. */
export function openCopy(
  owner: CopyOwner,
  header: string,
  payload: Uint8Array,
  key: Buffer,
): Buffer | undefined {
  const plaintext = Buffer.allocUnsafe(payload.length - OVERHEAD);
  return openInto(plaintext, payload.subarray(5), associatedData(owner, header), key) ? plaintext : undefined;
}

/** Note, newline, lines. */
export const encodeBody = (note: CopyNote, lines: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`${JSON.stringify(note)}\n`), lines]);

/** @throws CofferError `audit_broken` */
export function decodeBody(plaintext: Buffer): { readonly note: CopyNote; readonly lines: Buffer } {
  const end = plaintext.indexOf(0x0a);
  try {
    const { name, told, common } = JSON.parse(plaintext.toString('utf8', 0, end)) as CopyNote;
    if (typeof name === 'string' && Number.isSafeInteger(told) && Number.isSafeInteger(common)) {
      return { note: { name, told, common }, lines: plaintext.subarray(end + 1) };
    }
  } catch {
    // Told below.
  }
  throw new CofferError('audit_broken', 'a copy of the audit log is not one that an instance wrote');
}
