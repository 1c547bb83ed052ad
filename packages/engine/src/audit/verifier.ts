import type { Anchor } from '../integrity.js';
import { GENESIS, sha256 } from './hash.js';
import { type Checkpoint, checkpointMessage, type Retirement, retirementMessage } from './signer.js';

/** What a verified log holds, or where it breaks. */
export interface AuditVerdict {
  /** Lines whose place in the chain holds. */
  readonly entries: number;
  readonly checkpoints: number;
  /** The first line that is there; 1 unless older ones were retired. */
  readonly first: number;
  /** Times of the first and the last line, as they stand there. */
  readonly firstTime?: string;
  readonly lastTime?: string;
  /** `seq` of the last line that is signed: who has no signing key can still have changed what follows it. */
  readonly signed: number;
  /** The last line that holds; who kept it elsewhere finds a tail that was cut or changed. */
  readonly head: Anchor;
  /** The store that signed, and its public key; undefined while there was no signature. */
  readonly storeId?: string;
  readonly key?: string;
  /** Whose chain it is; undefined where no instances share the store. */
  readonly instance?: string;
  /** The last lines of other instances' logs that this one says it has seen among the copies, by chain. */
  readonly witnessed?: Readonly<Record<string, Anchor>>;
  /** Chains of copies of which this log says that they were taken away on purpose, and their last lines. */
  readonly takenAway?: Readonly<Record<string, Anchor>>;
  /** `seq` of intents that no outcome closes. */
  readonly openIntents: readonly number[];
  /** What a reader of the log should know: that lines were lost, and somebody accepted it. The first hundred. */
  readonly remarks: readonly AuditRemark[];
  /** Lines that were known from elsewhere. */
  readonly known: readonly KnownVerdict[];
  /** The first line that does not hold, and why; undefined if all do. */
  readonly broken?: AuditBreak;
}

export interface AuditRemark {
  readonly seq: number;
  readonly time: string;
  readonly action: string;
  readonly target?: string;
}

export interface AuditBreak {
  /** Which line of those that were read, from 1. */
  readonly line: number;
  /** The `seq` that it should have. */
  readonly seq: number;
  readonly reason: string;
  /** The file that it stands in, and its line there, from 1. */
  readonly file?: string;
  readonly fileLine?: number;
}

/** A line that the log must have, known from elsewhere. */
export interface KnownLine extends Anchor {
  /** Who says so: `the store`, `--expect`. */
  readonly from: string;
}

export interface KnownVerdict extends KnownLine {
  /** `retired`: it was taken away with a signed entry that says so, and cannot be checked. */
  readonly state: 'holds' | 'retired';
}

export interface VerifyOptions {
  /** The store's id in hex, which signatures are bound to; without it the one that the first of them names. */
  readonly storeId?: string | undefined;
  /** The public key to trust; without it the one that signed first, which proves only that one key signed all. */
  readonly key?: string | undefined;
  /** Whose chain it must be; without it the one that its first line names that names any. */
  readonly instance?: string | undefined;
  readonly known?: readonly KnownLine[] | undefined;
  /** Checks a signature by a public key. */
  verify(message: Uint8Array, signature: Uint8Array, publicKey: string): boolean;
}

const REMARKS = 100;
const REMARKABLE = new Set(['accept-rollback', 'set-aside-torn-line', 'copies-lost']);

/**
 * Checks a log line by line, wherever the lines come from: the number of each, the hash of the one before, the signatures
 * of checkpoints and retirements, and lines that are known from elsewhere.
 *
 * Life: {@link add} for each line in order, then {@link end}.
 */
export class AuditVerifier {
  readonly #options: VerifyOptions;
  readonly #known: ReadonlyMap<number, readonly KnownLine[]>;
  readonly #intents = new Set<number>();
  readonly #remarks: AuditRemark[] = [];
  readonly #witnessed: Record<string, Anchor> = {};
  readonly #takenAway: Record<string, Anchor> = {};
  #storeId: string | undefined;
  #key: string | undefined;
  /** What the lines name; once one does, all do. */
  #instance: string | undefined;
  #entries = 0;
  #checkpoints = 0;
  #signed = 0;
  #head: Anchor = { seq: 0, hash: GENESIS };
  #firstTime: string | undefined;
  #lastTime: string | undefined;
  /** The last line that is missing at the start, until a retirement accounts for it. */
  #missing: Anchor | undefined;
  #first = 1;
  #broken: AuditBreak | undefined;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#storeId = options.storeId;
    this.#key = options.key;
    const known = new Map<number, KnownLine[]>();
    for (const line of options.known ?? []) {
      if (line.seq > 0) known.set(line.seq, [...(known.get(line.seq) ?? []), line]);
    }
    this.#known = known;
  }

  /**
   * @param line its bytes without the newline
   * @returns false when the log is broken: what follows says nothing any more
   */
  add(line: Uint8Array): boolean {
    if (this.#broken) return false;
    const entry = parseEntry(line);
    const reason = entry ? this.#problem(entry, line) : 'the line is no JSON object';
    if (reason !== undefined) this.breakOff(reason);
    return this.#broken === undefined;
  }

  /** The next line cannot hold, for a reason of its reader's. */
  breakOff(reason: string): void {
    this.#broken ??= { line: this.#entries + 1, seq: this.#head.seq + 1, reason };
  }

  /** Lines at the start are not there, and should be. */
  #breakAtStart(reason: string): void {
    this.#broken ??= { line: 1, seq: 1, reason };
  }

  /** Says what became of it; there are no more lines. */
  end(): AuditVerdict {
    this.#checkStart();
    this.#checkEnd();
    return {
      entries: this.#entries,
      checkpoints: this.#checkpoints,
      first: this.#first,
      signed: this.#signed,
      head: this.#head,
      openIntents: [...this.#intents],
      remarks: this.#remarks,
      known: this.#knownVerdicts(),
      ...(this.#firstTime !== undefined && { firstTime: this.#firstTime }),
      ...(this.#lastTime !== undefined && { lastTime: this.#lastTime }),
      ...(this.#storeId !== undefined && { storeId: this.#storeId }),
      ...(this.#key !== undefined && { key: this.#key }),
      ...(this.#instance !== undefined && { instance: this.#instance }),
      ...(Object.keys(this.#witnessed).length > 0 && { witnessed: this.#witnessed }),
      ...(Object.keys(this.#takenAway).length > 0 && { takenAway: this.#takenAway }),
      ...(this.#broken && { broken: this.#broken }),
    };
  }

  /** Undefined if the line holds; it is the log's end then. */
  #problem(entry: Entry, line: Uint8Array): string | undefined {
    if (this.#entries === 0) this.#begin(entry);
    if (this.#broken) return undefined;
    const { seq, prev, action, time } = entry;
    if (seq !== this.#head.seq + 1) return `its seq is not ${this.#head.seq + 1}`;
    if (prev !== this.#head.hash) return 'it does not carry the hash of the line before';
    const { instance } = entry;
    const expected = this.#instance ?? this.#options.instance ?? instance;
    if (instance !== undefined && instance !== expected) return `it is of the instance ${instance}`;
    if (instance === undefined && this.#instance !== undefined) return 'it names no instance';
    if (action === 'checkpoint' || action === 'retire') {
      if (!this.#isSigned(entry)) return "its signature is not the server's";
      this.#signed = seq;
      if (action === 'checkpoint') this.#checkpoints++;
      else if (entry.upTo === this.#missing?.seq && entry.upToHash === this.#missing?.hash)
        this.#missing = undefined;
    }
    this.#instance = instance;
    const hash = sha256(line);
    for (const known of this.#known.get(seq) ?? []) {
      if (known.hash !== hash) return `it is not the line that ${known.from} knows`;
    }
    if (action === 'witness') readLines(entry, this.#witnessed);
    if (action === 'retire-copies') readLines(entry, this.#takenAway);
    if (entry.phase === 'intent') this.#intents.add(seq);
    if (entry.intent !== undefined) this.#intents.delete(entry.intent);
    if (REMARKABLE.has(action) && this.#remarks.length < REMARKS) {
      const target = typeof entry.target === 'string' ? { target: entry.target } : {};
      this.#remarks.push({ seq, time, action, ...target });
    }
    this.#firstTime ??= time;
    this.#lastTime = time;
    this.#head = { seq, hash };
    this.#entries++;
    return undefined;
  }

  /** Older lines may have been retired: then an entry further on must say that the ones before this one were. */
  #begin({ seq, prev }: Entry): void {
    if (!Number.isSafeInteger(seq) || seq <= 1 || typeof prev !== 'string') return;
    this.#first = seq;
    this.#missing = { seq: seq - 1, hash: prev };
    this.#head = this.#missing;
    for (const known of this.#known.get(seq - 1) ?? []) {
      if (known.hash !== prev)
        this.breakOff(`it does not carry the hash of the line that ${known.from} knows`);
    }
  }

  #isSigned(entry: Entry): boolean {
    const { key, store } = entry;
    const trusted = key === (this.#key ?? key) && store === (this.#storeId ?? store);
    if (!trusted || store === undefined || !isSigned(entry, { ...this.#options, storeId: store }))
      return false;
    this.#key = key;
    this.#storeId = store;
    return true;
  }

  #checkStart(): void {
    if (!this.#missing) return;
    const { seq } = this.#missing;
    this.#breakAtStart(`the lines up to ${seq} are gone, and no signed entry says that they were retired`);
  }

  #checkEnd(): void {
    if (this.#options.instance !== undefined && this.#entries > 0 && this.#instance === undefined) {
      this.breakOff(`no line names the instance ${this.#options.instance}: it is another log`);
    }
    for (const { seq, from } of [...this.#known.values()].flat()) {
      if (seq <= this.#head.seq) continue;
      this.breakOff(`it is gone, and ${from} knows of line ${seq}: the end was cut off`);
    }
  }

  #knownVerdicts(): KnownVerdict[] {
    return [...this.#known.values()]
      .flat()
      .filter(({ seq }) => seq <= this.#head.seq)
      .map((line) => ({ ...line, state: line.seq < this.#first ? 'retired' : 'holds' }));
  }
}

/** Reads `<chain>:<seq>:<hash>` with spaces between; what is none is passed over. */
function readLines({ target }: Entry, into: Record<string, Anchor>): void {
  for (const text of typeof target === 'string' ? target.split(' ') : []) {
    const [, chain, seq, hash] = /^([0-9a-f]{16}(?:-\d+)?):(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
    if (chain !== undefined && hash !== undefined) into[chain] = { seq: Number(seq), hash };
  }
}

/** A line as it claims to be; what it claims is checked before it counts. */
export interface Entry extends Partial<Checkpoint>, Partial<Retirement> {
  readonly seq: number;
  readonly prev: string;
  readonly time: string;
  readonly action: string;
  readonly phase?: string;
  readonly intent?: number;
  readonly target?: string;
  readonly signature?: string;
  readonly key?: string;
  readonly store?: string;
}

/** Whose signatures count, and how they are checked. */
export interface StoreSigning {
  readonly storeId: string;
  readonly verify: VerifyOptions['verify'];
}

/** True for a checkpoint or a retirement that is signed for this store by the key that it names. */
export function isSigned(entry: Entry, { storeId, verify }: StoreSigning): boolean {
  const { key, signature, action } = entry;
  if (typeof key !== 'string' || typeof signature !== 'string') return false;
  const message =
    action === 'retire'
      ? retirementMessage(storeId, entry as Retirement)
      : checkpointMessage(storeId, entry as Checkpoint);
  try {
    return verify(message, Buffer.from(signature, 'base64'), key);
  } catch {
    // Not what a key or a signature looks like.
    return false;
  }
}

/** Undefined for what is no JSON object. */
export function parseEntry(line: Uint8Array): Entry | undefined {
  try {
    const text = Buffer.from(line.buffer, line.byteOffset, line.byteLength).toString();
    const entry = JSON.parse(text) as Entry;
    return typeof entry === 'object' && entry !== null ? entry : undefined;
  } catch {
    return undefined;
  }
}
