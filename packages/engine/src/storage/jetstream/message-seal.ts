import { createHash } from 'node:crypto';
import type { MsgHdrs } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import { type Authenticate, isSeal } from './heal-talk.js';
import { HEADER } from './layout.js';
import type { Outgoing, RawMessage } from './messages.js';

/** As long as there is no key to seal with. */
export const noKeys = () =>
  new CofferError('unavailable', 'the keys of the store are not here yet: ask again');

/** What of a message its seal covers beside its subject; of its bytes the print does. */
const COVERED = [
  HEADER.operation,
  HEADER.kind,
  HEADER.chunks,
  HEADER.lineage,
  HEADER.after,
  HEADER.generation,
  HEADER.print,
] as const;

/** The same, of those that have it. */
const COVERED_WHERE_SAID = HEADER.beside;

const DOMAIN = Buffer.from('coffer-message-v1\0');

export interface MessageSealOptions {
  /** Of the bucket. */
  readonly stream: string;
  /** The subject of the key ring's record, which is there before there is a key, and has its own proof. */
  readonly exempt?: string | undefined;
  /** Left out until {@link MessageSeal.begin}. */
  readonly authenticate?: Authenticate | undefined;
}

/**
 * Tells what instances of the store wrote into the bucket from what somebody else did who may publish there: each record, each removal
 * and what an instance says of itself and its commits carries a keyed digest of the stream, its subject, and its headers, one of which is
 * the SHA-256 of its bytes. So headers alone tell.
 *
 * It does not tell that a message is new: who has seen one can put it there again. That it follows on what is there its lineage says,
 * which is covered.
 */
export class MessageSeal {
  readonly #stream: string;
  readonly #exempt: string | undefined;
  #authenticate: Authenticate | undefined;

  constructor({ stream, exempt, authenticate }: MessageSealOptions) {
    this.#stream = stream;
    this.#exempt = exempt;
    this.#authenticate = authenticate;
  }

  begin(authenticate: Authenticate): void {
    this.#authenticate = authenticate;
  }

  /** False as long as nothing can be sealed but what is exempt. */
  get hasKey(): boolean {
    return this.#authenticate?.(DOMAIN) !== undefined;
  }

  /** The message with its print and its seal. @throws CofferError `unavailable` as long as there is no key */
  seal(message: Outgoing): Outgoing {
    const sealed = this.sealIfKnown(message);
    if (sealed) return sealed;
    throw noKeys();
  }

  /** The same; undefined as long as there is no key, as for an instance that fills its replica. */
  sealIfKnown({ subject, headers, data }: Outgoing): Outgoing | undefined {
    const isPrinted = headers.some(([name]) => name === HEADER.print);
    const said = isPrinted ? headers : [...headers, [HEADER.print, printOf(data)] as const];
    if (subject === this.#exempt) return { subject, headers: said, data };
    const seal = this.#of(subject, (name) => said.find(([one]) => one === name)?.[1] ?? '');
    return seal === undefined ? undefined : { subject, headers: [...said, [HEADER.seal, seal]], data };
  }

  /**
   * Whether an instance wrote these headers. Whether the bytes are what the print says, {@link isPrintOf} tells.
   *
   * @returns undefined as long as there is no key to tell by
   */
  isGood(subject: string, headers: MsgHdrs | undefined): boolean | undefined {
    if (subject === this.#exempt) return true;
    const expected = this.#of(subject, (name) => headers?.get(name) ?? '');
    return expected === undefined ? undefined : isSeal(expected, headers?.get(HEADER.seal));
  }

  #of(subject: string, header: (name: string) => string): string | undefined {
    const more = header(COVERED_WHERE_SAID);
    const said = JSON.stringify([
      this.#stream,
      subject,
      ...COVERED.map(header),
      ...(more === '' ? [] : [more]),
    ]);
    const mac = this.#authenticate?.(Buffer.concat([DOMAIN, Buffer.from(said)]));
    return mac && Buffer.from(mac).toString('base64url');
  }
}

/** Of a message's bytes, or of a record's: SHA-256, base64url. */
export const printOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('base64url');

/** Whether a message's bytes are those that it says; of a record in parts they are not. */
export const isPrintOf = ({ headers, data }: Pick<RawMessage, 'headers' | 'data'>): boolean =>
  headers?.get(HEADER.print) === printOf(data);
