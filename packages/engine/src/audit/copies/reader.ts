import type { Anchor } from '../../integrity.js';
import { linesOf } from '../cursor.js';
import { matcherOf } from '../filter.js';
import { LineHead } from '../line-head.js';
import { type AuditRange, CLOCK_STEP } from '../reader.js';
import {
  type CopyNote,
  type CopySpan,
  copyKeyOf,
  decodeBody,
  instanceOf,
  openCopy,
  parseSpan,
} from './format.js';
import type { CopyKeys } from './keys.js';
import { readNotes } from './notes.js';
import type { CopiesStream, StoredCopy } from './stream.js';

/** Of all chains that are read at one time, what may be held of messages that were not looked at. */
const PAGES_BYTES = 32 * 1024 * 1024;
const PAGE_BYTES_MIN = 192 * 1024;
const PAGE_BYTES_MAX = 4 * 1024 * 1024;
/** How many chains are looked at together. */
const LOOKS = 16;

/** What there is of one chain of copies. */
export interface ChainInfo {
  /** The instance's 16 hex digits, and `-1` and so on where its log was put back. */
  readonly chain: string;
  readonly instance: string;
  /** The instance's name. */
  readonly name: string;
  /** The first and the last line that are there. */
  readonly first: number;
  readonly head: Anchor;
  /** When the last copy's first line was written. */
  readonly time: Date;
  /** Up to which line it is the same as the chain before it. */
  readonly common: number;
}

/** The end of a chain. */
export interface ChainEnd extends Anchor, CopyNote {
  /** The last message's sequence in the stream. */
  readonly message: number;
  /** When its first line was written, in milliseconds. */
  readonly time: number;
}

interface OpenedCopy {
  readonly message: number;
  readonly span: CopySpan;
  readonly note: CopyNote;
  readonly lines: Buffer;
}

/** Reads the copies of all instances' logs. */
export class CopiesReader {
  readonly #stream: CopiesStream;
  readonly #keys: CopyKeys;
  readonly #storeId: string;

  constructor(stream: CopiesStream, keys: CopyKeys, storeId: string) {
    this.#stream = stream;
    this.#keys = keys;
    this.#storeId = storeId;
  }

  /** Of all chains. */
  async names(): Promise<string[]> {
    await this.#stream.ready();
    return this.#stream.chains();
  }

  /** All chains, by name. */
  async chains(): Promise<ChainInfo[]> {
    const names = await this.names();
    const infos: (ChainInfo | undefined)[] = [];
    for (let start = 0; start < names.length; start += LOOKS) {
      infos.push(...(await Promise.all(names.slice(start, start + LOOKS).map((name) => this.info(name)))));
    }
    return infos.filter((info) => info !== undefined);
  }

  /** Undefined if there is no such chain. */
  async info(chain: string): Promise<ChainInfo | undefined> {
    const end = await this.end(chain);
    const start = end && (await this.#stream.next(this.#stream.layout.chain(chain), 1));
    if (!end || !start) return undefined;
    const { seq, hash, name, common, time } = end;
    const first = parseSpan(start.header)?.first ?? 1;
    return {
      chain,
      instance: instanceOf(chain),
      name,
      first,
      head: { seq, hash },
      common,
      time: new Date(time),
    };
  }

  /** Where a chain ends, as far as its last message opens; of one whose last lines are not complete, before them. */
  async end(chain: string): Promise<ChainEnd | undefined> {
    const last = await this.#stream.last(this.#stream.layout.chain(chain));
    if (!last) return undefined;
    const opened = await this.#open(chain, last);
    if (!opened) return { seq: 0, hash: '', message: last.seq, name: '', told: 0, common: 0, time: 0 };
    const { span, note, message } = opened;
    const { time } = span;
    return span.part === span.parts
      ? { ...note, seq: span.last, hash: span.hash, message, time }
      : { ...note, seq: span.first - 1, hash: span.prev, message, time };
  }

  /**
   * The wanted lines of a chain with their newlines, as they stood in the log, up to the end that it has now. In place of what
   * does not open comes a line that is no entry.
   *
   * @param readers how many chains are read at one time
   */
  async *read(chain: string, range: AuditRange, readers = 1): AsyncGenerator<Buffer, void> {
    const subject = this.#stream.layout.chain(chain);
    const last = await this.#stream.last(subject);
    if (!last) return;
    const { since, until, from = 0 } = range;
    const wanted = matcherOf(range);
    const begin = since ? { time: new Date(since.getTime() - CLOCK_STEP) } : { seq: 1 };
    const page = Math.min(PAGE_BYTES_MAX, Math.max(PAGE_BYTES_MIN, Math.floor(PAGES_BYTES / readers)));
    const skipped = from > 1 && !since ? { seq: await this.messageOf(chain, from) } : begin;
    let parts: Buffer[] = [];
    for await (const message of this.#stream.messages(subject, skipped, last.seq, page)) {
      const opened = await this.#open(chain, message);
      if (!opened) {
        yield unreadable(chain, message.seq);
        continue;
      }
      const { span, lines } = opened;
      // What goes before a first part was left behind by an instance that began anew.
      if (span.part === 1) parts = [];
      parts.push(lines);
      if (parts.length < span.part || span.part < span.parts) continue;
      const whole = parts.length === 1 ? lines : Buffer.concat(parts);
      parts = [];
      if (span.last < from) continue;
      yield wanted || span.first < from ? select(whole, from, wanted) : whole;
      if (until && span.time > until.getTime() + CLOCK_STEP) return;
    }
  }

  /** The first of a chain's messages that holds lines from `seq` on; the last one if none does. */
  async messageOf(chain: string, seq: number): Promise<number> {
    const subject = this.#stream.layout.chain(chain);
    let low = 1;
    let high = (await this.#stream.last(subject))?.seq ?? 0;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const message = await this.#stream.next(subject, middle);
      const span = message && parseSpan(message.header);
      if (message && span && span.last < seq) low = message.seq + 1;
      else high = middle;
    }
    return low;
  }

  async #open(chain: string, { seq, header, payload }: StoredCopy): Promise<OpenedCopy | undefined> {
    const span = parseSpan(header);
    const id = copyKeyOf(payload);
    if (!span || id === 0) return undefined;
    let key = this.#keys.get(id);
    if (!key) {
      await readNotes({ stream: this.#stream, keys: this.#keys });
      key = this.#keys.get(id);
    }
    const plaintext = key && openCopy({ storeId: this.#storeId, chain }, header, payload, key);
    return plaintext && { message: seq, span, ...decodeBody(plaintext) };
  }
}

function select(lines: Buffer, from: number, wanted: ((line: Buffer) => boolean) | undefined): Buffer {
  const kept: Buffer[] = [];
  let start = 0;
  for (const line of linesOf({ bytes: lines })) {
    const isBefore = from > 0 && (LineHead.of(line)?.seq ?? from) < from;
    if (!isBefore && (wanted?.(line) ?? true)) kept.push(lines.subarray(start, start + line.length + 1));
    start += line.length + 1;
  }
  return Buffer.concat(kept);
}

const unreadable = (chain: string, message: number): Buffer =>
  Buffer.from(
    `${JSON.stringify({ instance: instanceOf(chain), unreadable: `message ${message} of the copies` })}\n`,
  );
