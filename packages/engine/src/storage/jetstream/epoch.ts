import type { JetStreamManager } from '@nats-io/jetstream';
import { Regression } from './admission.js';
import { type Authenticate, isSeal } from './heal-talk.js';
import type { Layout } from './layout.js';
import { noKeys } from './message-seal.js';
import { BUCKET_FORMAT, type Meta, parseAnyMeta, parseMeta, requireFormat } from './notes.js';
import type { ReplicaOrigin } from './replica-contract.js';

/** Of a replica that was filled before there was a key to look at the seal with. */
export const UNPROVEN = 0;

/** The first is written before the store has a key, and needs no seal. */
const FIRST = 1;

const DOMAIN = Buffer.from('coffer-epoch-v1\0');

/** The stream was healed, or went on without waiting for this instance: what is here has to be compared with all of it. */
export class Outdated extends Error {
  readonly meta: Meta;
  /** This instance had more of the same stream once than it has now: its folder is an older copy. */
  readonly isPutBack: boolean;

  constructor(meta: Meta, isPutBack = false) {
    super('the store was healed, or this instance was forgotten');
    this.name = 'Outdated';
    this.meta = meta;
    this.isPutBack = isPutBack;
  }
}

/**
 * Tells an epoch that a heal has begun from one that somebody else wrote, who would have all instances take over whatever he wrote
 * beside it: a keyed digest of the stream, the store, the epoch and the format.
 */
export class EpochSeal {
  readonly #stream: string;
  #authenticate: Authenticate | undefined;

  /** @param authenticate left out until {@link begin} */
  constructor(stream: string, authenticate?: Authenticate) {
    this.#stream = stream;
    this.#authenticate = authenticate;
  }

  /** False as long as a new replica is filled: the key comes with what it is filled with. */
  get isBegun(): boolean {
    return this.#authenticate !== undefined;
  }

  begin(authenticate: Authenticate): void {
    this.#authenticate = authenticate;
  }

  /**
   * Of an epoch that a heal begins.
   *
   * @param begins where in the stream
   * @throws CofferError `unavailable` as long as there is no key
   */
  begun(incarnation: Uint8Array, epoch: number, begins?: number): Meta {
    const meta = { format: BUCKET_FORMAT, incarnation, epoch, begins };
    const seal = this.#of(meta);
    if (seal === undefined) throw noKeys();
    return { ...meta, seal };
  }

  /** @returns undefined as long as there is no key to tell by */
  isGood(meta: Meta): boolean | undefined {
    if (meta.epoch === FIRST && meta.format === BUCKET_FORMAT) return true;
    const expected = this.#of(meta);
    return expected === undefined ? undefined : isSeal(expected, meta.seal);
  }

  #of({ format, incarnation, epoch, begins }: Meta): string | undefined {
    const of = [this.#stream, Buffer.from(incarnation).toString('hex'), epoch, format];
    const said = JSON.stringify(begins === undefined ? of : [...of, begins]);
    const mac = this.#authenticate?.(Buffer.concat([DOMAIN, Buffer.from(said)]));
    return mac && Buffer.from(mac).toString('hex');
  }
}

/**
 * What the record of the store's birth says to an instance that has `origin`. While a replica is filled, it says nothing yet.
 *
 * @param bytes undefined: it was removed
 * @throws Regression, {@link Outdated}; CofferError `unavailable` as long as there is no key to tell by, `newer_format`, `tampered`
 */
export function requireEpoch(
  bytes: Uint8Array | undefined,
  origin: ReplicaOrigin | undefined,
  seal: EpochSeal,
): Meta {
  if (!bytes) {
    throw new Regression('missing', 'the record of the store’s birth is not in the stream any more');
  }
  if (!origin) return parseMeta(bytes);
  const meta = parseAnyMeta(bytes);
  if (!Buffer.from(origin.incarnation).equals(meta.incarnation)) {
    throw new Regression('recreated', 'the bucket belongs to another store now');
  }
  if (!seal.isBegun) return parseMeta(bytes);
  const isGood = seal.isGood(meta);
  if (isGood === undefined) throw noKeys();
  if (!isGood) throw forged(meta);
  requireFormat(meta.format);
  if (meta.epoch < origin.epoch) {
    throw new Regression('behind', `the stream is of epoch ${meta.epoch}, and was healed since`);
  }
  if (meta.epoch > origin.epoch && origin.epoch !== UNPROVEN) throw new Outdated(meta);
  return meta;
}

/** Where an epoch that a heal began begins in the stream: whoever writes in it has read up to there. 0 of the first. Errors as of nats.js */
export async function beginOf(
  manager: JetStreamManager,
  layout: Layout,
  { epoch, begins }: Meta,
): Promise<number> {
  if (epoch <= FIRST) return 0;
  if (begins !== undefined) return begins;
  const found = await manager.streams.getMessage(layout.stream, { last_by_subj: layout.meta });
  return found?.seq ?? 0;
}

/** What a `meta` is whose seal is not good. */
export const forged = ({ epoch, format }: Meta): Regression =>
  new Regression(
    'damaged',
    `the stream says that it is of epoch ${epoch} and format ${format}, and no heal has begun that: somebody who is no instance writes to the bucket`,
  );
