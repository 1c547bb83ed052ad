import type { IncomingMessage, ServerResponse } from 'node:http';
import { type Caller, MANY_REQUESTS } from '@coffer/engine';
import { Refusal } from '../refusal.js';
import { SharedRoom } from './room.js';

export interface BodyLimits {
  /** Longest name of a secret, in bytes of UTF-8. */
  readonly nameBytes: number;
  /** Largest request body. */
  readonly bodyBytes: number;
  /** Largest sum of the large request bodies that are held at one time, and of the large answers not yet taken. */
  readonly inFlightBytes: number;
}

/** What a route's body is made of, and so how large it may be. */
export type BodyKind = 'value' | 'name' | 'names' | 'policy' | 'small';

/** A body up to this size needs no room: every connection may hold one. */
const SMALL_BYTES = 64 * 1024;
const POLICY_BYTES = 1024 * 1024;
/** No growing body starts smaller. */
const FIRST_BYTES = 4096;
const EMPTY = Buffer.alloc(0);

/** Who sends a body, of which kind, and in which exchange. */
export interface BodySource {
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  readonly caller: Caller;
  readonly kind: BodyKind;
}

/**
 * Reads request bodies into memory, within limits for each of them, for all that one principal sends, and for all
 * together.
 */
export class BodyReader {
  readonly #largest: Readonly<Record<BodyKind, number>>;
  readonly #room: SharedRoom;

  constructor({ nameBytes, bodyBytes, inFlightBytes }: BodyLimits) {
    this.#largest = {
      value: bodyBytes,
      name: Math.min(bodyBytes, SMALL_BYTES + 6 * nameBytes),
      names: Math.min(bodyBytes, SMALL_BYTES + 6 * nameBytes * MANY_REQUESTS),
      policy: Math.min(bodyBytes, POLICY_BYTES),
      small: Math.min(bodyBytes, SMALL_BYTES),
    };
    this.#room = new SharedRoom(inFlightBytes, Math.max(bodyBytes, Math.floor(inFlightBytes / 4)));
  }

  /**
   * Gives the request's body to `use`, and wipes it afterwards: it may carry a secret. A body too large is refused as
   * soon as its declared length or what has arrived says so.
   *
   * @throws Refusal `too_large`; `busy`; `bad_request` when the caller goes away.
   */
  async withBody<T>(source: BodySource, use: (body: Buffer) => Promise<T>): Promise<T> {
    const { incoming, outgoing, caller, kind } = source;
    const largest = this.#largest[kind];
    const declared = declaredLength(incoming);
    if (declared !== undefined && declared > largest) throw tooLarge(largest);
    if (incoming.headers.expect !== undefined) outgoing.writeContinue();
    const [{ id: holder }] = caller.principals;
    let taken = 0;
    const body = new GrowingBody(declared ?? largest, (capacity) => {
      const more = capacity <= SMALL_BYTES ? 0 : capacity - taken;
      if (more > 0 && !this.#room.take(holder, more)) throw busy();
      taken += more;
    });
    try {
      await collect(incoming, body, declared, largest);
      return await use(body.bytes);
    } finally {
      body.wipe();
      if (taken > 0) this.#room.give(holder, taken);
    }
  }
}

/** One buffer, however small the parts that arrive: an object for each would cost hundreds of times a part's bytes. */
class GrowingBody {
  readonly #expected: number;
  readonly #reserve: (capacity: number) => void;
  #buffer: Buffer = EMPTY;
  #length = 0;

  /** `reserve` is told each capacity before it is used, and throws if that is too much. */
  constructor(expected: number, reserve: (capacity: number) => void) {
    this.#expected = expected;
    this.#reserve = reserve;
  }

  get length(): number {
    return this.#length;
  }

  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Takes the part over, or copies and wipes it. */
  append(part: Buffer): void {
    const length = this.#length + part.length;
    if (part.length === this.#expected && this.#length === 0) {
      this.#reserve(length);
      this.#buffer = part;
    } else {
      if (length > this.#buffer.length) this.#grow(length);
      part.copy(this.#buffer, this.#length);
      part.fill(0);
    }
    this.#length = length;
  }

  wipe(): void {
    this.#buffer.fill(0);
  }

  #grow(needed: number): void {
    const doubled = Math.max(needed, FIRST_BYTES, 2 * this.#buffer.length);
    const capacity = Math.max(needed, Math.min(doubled, this.#expected));
    this.#reserve(capacity);
    const larger = Buffer.allocUnsafeSlow(capacity);
    this.#buffer.copy(larger, 0, 0, this.#length);
    this.#buffer.fill(0);
    this.#buffer = larger;
  }
}

/** Reads to the end of the body. */
function collect(
  incoming: IncomingMessage,
  body: GrowingBody,
  declared: number | undefined,
  largest: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let settled = false;
    const refuse = (error: unknown) => {
      settled = true;
      reject(error);
    };
    const finish = () => {
      settled = true;
      resolve();
    };
    incoming.on('data', (part: Buffer) => {
      if (settled) return;
      if (body.length + part.length > largest) return refuse(tooLarge(largest));
      try {
        body.append(part);
      } catch (error) {
        return refuse(error);
      }
      // The end is announced a turn of the event loop later, and a body of known length need not wait for it.
      if (body.length === declared) finish();
    });
    if (!declared) incoming.on('end', finish);
    incoming.on('close', () => {
      if (!settled) refuse(gone());
    });
    if (incoming.destroyed) refuse(gone());
  });
}

/** Undefined for a chunked body. Node has checked that it is a number. */
export function declaredLength(incoming: IncomingMessage): number | undefined {
  const declared = incoming.headers['content-length'];
  if (declared !== undefined) return Number(declared);
  return incoming.headers['transfer-encoding'] === undefined ? 0 : undefined;
}

function tooLarge(largest: number): Refusal {
  return new Refusal('too_large', `the request body is larger than ${largest} bytes`);
}

function busy(): Refusal {
  return new Refusal('busy', 'the server holds as many request bodies as it can: try again in a second');
}

function gone(): Refusal {
  return new Refusal('bad_request', 'the request ended before its body did');
}
