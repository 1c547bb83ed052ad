import { setTimeout as delay } from 'node:timers/promises';

import type { Administration } from '../administration.js';
import type { Caller } from '../caller.js';
import { CofferError } from '../errors.js';
import { accessDenied, type Gate } from '../gate.js';
import type { Anchor } from '../integrity.js';
import type { AuditCopies } from './copies/copies.js';
import { isChain } from './copies/format.js';
import type { CopiesFacts } from './copies/publisher.js';
import type { ChainInfo } from './copies/reader.js';
import { requireKnownAction } from './filter.js';
import type { AuditLog } from './log.js';
import { type AuditRange, type LogEnd, readLog } from './reader.js';

const HEARTBEAT_MS = 15_000;
/** New lines are gathered for so long before a follower gets them: under load it would be woken for every few. */
const GATHER_MS = 50;
/** How many may follow at one time. */
const FOLLOWERS = 64;
/** What a reader gets when there was nothing else for a while; it passes over it. */
const HEARTBEAT = Buffer.from('\n');

/** What somebody wants to read of the log. */
export interface AuditQuery extends AuditRange {
  /**
   * Where instances share the store: `all` of them, in the order of their times, or the copies of one chain, as {@link
   * AuditReading.instances} names it. Without it, or where none share it, this server's own log.
   */
  readonly instance?: string | undefined;
  /** In place of `from`: so many lines before this moment. */
  readonly last?: number | undefined;
  /** Goes on with new lines as they become durable, until the caller goes or loses its right, or the server stops. */
  readonly follow?: boolean | undefined;
}

export interface AuditReadOptions {
  /** Aborted when the reader has gone. */
  readonly signal?: AbortSignal | undefined;
  /** A sign of life comes when there was nothing else for so long, in milliseconds; default 15 s. */
  readonly heartbeatMs?: number | undefined;
}

/** Where a log begins and ends, and what the store knows of it. */
export interface AuditHead {
  /** The newest line that is durable. */
  readonly head: Anchor;
  /** The line that the store has sealed. */
  readonly anchor: Anchor;
  /** `seq` of the oldest line that is there. */
  readonly first: number;
}

/** The logs that there are, where instances share a store. */
export interface AuditInstances {
  /** This server's; undefined if it is alone. */
  readonly own: (CopiesFacts & { readonly instance: string; readonly chain: string }) | undefined;
  /** What there is of copies; a chain that none was made of yet is missing. */
  readonly chains: readonly ChainInfo[];
}

export interface ReadingParts {
  readonly log: AuditLog;
  readonly copies: AuditCopies | undefined;
  readonly gate: Gate;
  readonly administration: Administration;
  readonly now: () => Date;
  /** The anchor in the store's sealed summary. */
  anchor(): Anchor;
}

/** The audit log for administrators. That they read it stands in it. */
export class AuditReading {
  readonly #parts: ReadingParts;
  readonly #followers = new Set<Follower>();
  #closed = false;

  constructor(parts: ReadingParts) {
    this.#parts = parts;
  }

  /**
   * Signs the end first, so that who keeps it elsewhere keeps something signed.
   *
   * @throws CofferError `access_denied`
   */
  async head(caller: Caller): Promise<AuditHead> {
    const { log, anchor } = this.#parts;
    await this.#admit(caller, 'head');
    await log.checkpoint();
    return { head: log.durable, anchor: anchor(), first: await log.first() };
  }

  /** @throws CofferError `access_denied`, `unavailable` */
  async instances(caller: Caller): Promise<AuditInstances> {
    const { copies } = this.#parts;
    await this.#admit(caller, 'instances');
    if (!copies) return { own: undefined, chains: [] };
    // First what was acknowledged, then what is there: the other way round a copy could seem to be missing.
    const { facts, instance, own: chain } = copies;
    return { own: { ...facts, instance, chain }, chains: await copies.chains() };
  }

  /**
   * The wanted lines with their newlines, some at a time: those that were durable when this was asked, so that the entry for
   * the reading is not among them; with `follow` all that come, too. An empty line is a sign of life.
   *
   * @throws CofferError `access_denied`, `invalid_argument`, `busy`; of other instances' logs `unavailable`, `not_found`
   */
  async *read(
    caller: Caller,
    query: AuditQuery,
    { signal, heartbeatMs = HEARTBEAT_MS }: AuditReadOptions = {},
  ): AsyncGenerator<Buffer, void> {
    const { log } = this.#parts;
    const { from, last, follow = false, instance, ...filter } = query;
    if (from !== undefined && last !== undefined) {
      throw new CofferError(
        'invalid_argument',
        'say which line is the first, or how many of the last: not both',
      );
    }
    if (
      instance !== undefined &&
      (last !== undefined || follow || (instance === 'all' && from !== undefined))
    ) {
      throw new CofferError(
        'invalid_argument',
        'other instances’ lines cannot be followed, nor the last ones be counted: ask each instance for its own',
      );
    }
    requireKnownAction(filter);
    const asked = log.durable.seq;
    await this.#admit(caller, describe(query));
    const range = { ...filter, from: last === undefined ? from : Math.max(1, asked - last + 1) };
    const lines = await this.#linesOf(instance, range, asked);
    // The caller hears at once that it is let in.
    yield Buffer.alloc(0);
    if (!follow) {
      for await (const piece of alive(lines, heartbeatMs)) {
        if (signal?.aborted) return;
        // Without an error the reader would take what it has for all.
        if (this.#closed) throw new CofferError('stopped', 'the server is shutting down');
        if (!this.#mayRead(caller)) throw accessDenied();
        yield piece;
      }
      return;
    }
    const follower = this.#enter(
      new Follower(log, { signal, heartbeatMs, lifeOf: () => this.#lifeOf(caller) }),
    );
    try {
      for await (const piece of alive(readLog(log.folder, range, follower), heartbeatMs)) {
        if (follower.over) return;
        yield piece;
      }
    } finally {
      this.#followers.delete(follower);
    }
  }

  /** Some callers may not be who they were. */
  recheck(): void {
    for (const follower of this.#followers) follower.wake();
  }

  /** Ends all who follow. */
  close(): void {
    this.#closed = true;
    for (const follower of this.#followers) follower.end();
  }

  async #linesOf(
    instance: string | undefined,
    range: AuditRange,
    upTo: number,
  ): Promise<AsyncIterable<Buffer>> {
    const { log, copies } = this.#parts;
    if (instance === undefined || (instance === 'all' && !copies)) {
      return readLog(log.folder, range, { seq: () => upTo, more: async () => false });
    }
    if (instance === 'all' && copies) return copies.readAll(range, upTo);
    if (!isChain(instance) || !(await copies?.info(instance))) {
      throw new CofferError(
        'not_found',
        `there are no copies of an audit log ${JSON.stringify(instance.slice(0, 32))}`,
      );
    }
    return (copies as AuditCopies).read(instance, range);
  }

  async #admit(caller: Caller, target: string): Promise<void> {
    const { gate } = this.#parts;
    const asked = { caller, action: 'read-audit', target } as const;
    if (!this.#mayRead(caller)) await gate.deny(asked);
    // What is on this disk does not grow old, nor does a right that is no grant.
    await (this.isOperator(caller) ? gate.allowStale(asked) : gate.allow(asked));
  }

  /** True for who may read whatever the store says, and however old it is here. */
  isOperator(caller: Caller): boolean {
    return this.#parts.administration.policy.isOperator(caller);
  }

  #mayRead(caller: Caller): boolean {
    const { administration } = this.#parts;
    return administration.knows(caller) && administration.policy.isAdministrator(caller);
  }

  /** How long the caller may still read if nothing happens, in milliseconds; 0 if it may not. */
  #lifeOf(caller: Caller): number {
    if (!this.#mayRead(caller)) return 0;
    const { administration, now } = this.#parts;
    const expiry = administration.expiryOf(caller);
    return expiry ? Math.max(0, expiry.getTime() - now().getTime()) : Number.POSITIVE_INFINITY;
  }

  #enter(follower: Follower): Follower {
    if (this.#closed) throw new CofferError('stopped', 'the server is shutting down');
    if (this.#followers.size >= FOLLOWERS) {
      throw new CofferError('busy', 'as many follow the audit log as there may be: end some, then try again');
    }
    this.#followers.add(follower);
    return follower;
  }
}

/** With signs of life where there is nothing for long. */
async function* alive(pieces: AsyncIterable<Buffer>, heartbeatMs: number): AsyncGenerator<Buffer, void> {
  let beatAt = performance.now() + heartbeatMs;
  for await (const piece of pieces) {
    if (piece.length === 0 && performance.now() < beatAt) continue;
    yield piece.length > 0 ? piece : HEARTBEAT;
    beatAt = performance.now() + heartbeatMs;
  }
}

interface FollowerParts {
  readonly signal: AbortSignal | undefined;
  readonly heartbeatMs: number;
  /** As long as its caller may read, if nothing happens, in milliseconds; 0: no more. */
  lifeOf(): number;
}

/** One who waits for new lines. */
class Follower implements LogEnd {
  readonly #log: AuditLog;
  readonly #parts: FollowerParts;
  #wake: () => void = () => undefined;
  #ended = false;

  constructor(log: AuditLog, parts: FollowerParts) {
    this.#log = log;
    this.#parts = parts;
  }

  seq(): number {
    return this.#log.durable.seq;
  }

  /** Returns in time for a sign of life, too. */
  async more(seen: number): Promise<boolean> {
    if (this.#log.durable.seq === seen && !this.over) await this.#movement();
    if (this.#log.durable.seq > seen && !this.over) await delay(GATHER_MS);
    return !this.over;
  }

  /** To look whether it may go on. */
  wake(): void {
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  get over(): boolean {
    const { signal, lifeOf } = this.#parts;
    return this.#ended || this.#log.ended || signal?.aborted === true || lifeOf() === 0;
  }

  async #movement(): Promise<void> {
    const { signal, heartbeatMs, lifeOf } = this.#parts;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(heartbeatMs, lifeOf()));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
      signal?.addEventListener('abort', this.#wake, { once: true });
      void this.#log.moved().then(this.#wake);
    });
    signal?.removeEventListener('abort', this.#wake);
  }
}

/** For the audit log: what was asked for, as in a URL's query. */
function describe({ since, until, follow, ...query }: AuditQuery): string {
  const parts = {
    ...query,
    since: since?.toISOString(),
    until: until?.toISOString(),
    follow: follow ? '1' : undefined,
  };
  const stated = Object.entries(parts).flatMap(([key, value]): [string, string][] =>
    value === undefined ? [] : [[key, String(value)]],
  );
  return new URLSearchParams(stated).toString() || 'all';
}
