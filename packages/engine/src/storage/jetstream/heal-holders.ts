import { setTimeout as wait } from 'node:timers/promises';
import type { JetStreamManager } from '@nats-io/jetstream';
import { CofferError } from '../../errors.js';
import { UNPROVEN } from './epoch.js';
import type { HealAsk } from './heal-ask.js';
import type { Holding } from './heal-futures.js';
import { generationOf, isContradicted, type RecordSense, STREAM } from './heal-plan.js';
import type { PeerEntry, PeerState } from './heal-talk.js';
import { type Layout, token } from './layout.js';
import type { ReplicaLike } from './replica-contract.js';
import { commonOf, isBlank } from './standing.js';
import { bytesInStream, type StreamImage } from './stream-image.js';

/** For so long the others are waited for, until they take nothing over any more. */
const PAUSE_MS = 10_000;

export interface HoldersOptions {
  readonly layout: Layout;
  readonly replica: ReplicaLike;
  readonly sense: RecordSense;
  readonly ask: HealAsk;
}

/** Who has something of the store, when it is healed, and what: this instance, those that answer it, and the stream. */
export class Holders {
  readonly #options: HoldersOptions;

  constructor(options: HoldersOptions) {
    this.#options = options;
  }

  /** Of this store. */
  isOurs({ incarnation }: PeerState): boolean {
    return incarnation === Buffer.from(this.#options.replica.origin?.incarnation ?? []).toString('hex');
  }

  /**
   * Those others of this store that answer, be they of an earlier epoch; when they have to, only once they have stopped.
   *
   * @throws CofferError `conflict` if one has seen a later epoch than this instance, `unavailable` if one does not stop
   */
  async peers(untilPaused: boolean, known?: readonly string[]): Promise<PeerState[]> {
    const { replica, ask } = this.#options;
    const epoch = replica.origin?.epoch ?? 0;
    for (const end = performance.now() + PAUSE_MS; ; await wait(100)) {
      const peers = (await ask.peers(known)).filter((peer) => this.isOurs(peer));
      const ahead = peers.find((peer) => peer.epoch > epoch);
      if (ahead) {
        throw new CofferError(
          'conflict',
          `instance ${ahead.instance} has seen a heal that this one has not: run “coffer storage heal” there`,
        );
      }
      const others = peers.filter(({ instance }) => instance !== replica.instance);
      const still = peers.filter(({ paused }) => !paused).map(({ instance }) => instance);
      if (!untilPaused || still.length === 0) return others;
      if (performance.now() > end) {
        throw new CofferError(
          'unavailable',
          `not all instances have stopped (${still.join(', ')}): heal again`,
        );
      }
    }
  }

  /**
   * What this instance and the others have, but for those whose word does not count.
   *
   * @param inStream the stream's epoch
   * @returns also who was left out, since the stream says so of them
   */
  async replicas(
    peers: readonly PeerState[],
    { members }: StreamImage,
    created: string | undefined,
    inStream: number,
  ): Promise<{ readonly replicas: Holding[]; readonly leftOut: readonly string[] }> {
    const { replica } = this.#options;
    const { instance, position, outlived, life, origin } = replica;
    const own = { instance, position, outlived, life, created: origin?.created, epoch: origin?.epoch ?? 0 };
    const all = [own, ...peers];
    // Of an epoch that nobody has taken over, notes say what instances were about to read.
    const isTaken = all.some(({ epoch }) => epoch >= inStream);
    const saidOf = ({ instance: who, epoch }: { readonly instance: string; readonly epoch: number }) => {
      const said = members.get(who);
      return isTaken || (said?.note?.epoch ?? 0) <= epoch ? said : undefined;
    };
    const sound = all.filter((one) => {
      const { epoch, position: at = Number.POSITIVE_INFINITY, life = 0 } = one;
      return epoch !== UNPROVEN && !isBlank(saidOf(one), { epoch, position: at, life });
    });
    const replicas = await Promise.all(
      sound.map(async (one): Promise<Holding> => {
        const { instance: who, created: era = created, epoch, position = 0, outlived = 0 } = one;
        const isSame = era === created;
        const common = isSame ? commonOf(saidOf(one)) : 0;
        const standpoint = isSame && epoch === own.epoch ? { position, outlived } : undefined;
        return { who, entries: await this.#entriesOf(who), era: eraOf(era), common, standpoint };
      }),
    );
    // A new one that could not follow yet has nothing but what it read, and nobody has looked at that.
    const missed = all.filter((one) => !sound.includes(one) && one.epoch !== UNPROVEN);
    const leftOut = missed.map(({ instance: who }) => who);
    return { replicas, leftOut };
  }

  /** Of a head that somebody has; 0 if it cannot be read. */
  async generation(
    manager: JetStreamManager,
    { generations }: StreamImage,
    replicas: readonly Holding[],
    who: string,
    key: string,
  ): Promise<number> {
    const said: PeerEntry | undefined = replicas.find((one) => one.who === who)?.entries.get(key);
    const known = who === STREAM ? generations.get(key) : said?.generation;
    if (known !== undefined) return known;
    try {
      const bytes = await this.bytes(manager, who, key);
      return generationOf(this.#options.sense, Buffer.from(key, 'base64url'), bytes);
    } catch {
      return 0; // what cannot be read does not win
    }
  }

  /** @throws CofferError `unavailable` */
  async bytes(manager: JetStreamManager, who: string, key: string): Promise<Uint8Array> {
    const { layout, replica, ask } = this.#options;
    const id = Buffer.from(key, 'base64url');
    if (who === STREAM) return bytesInStream(manager, layout, id);
    const own = who === replica.instance ? replica.get(id)?.bytes : undefined;
    return own ?? ask.recordOf(who, key);
  }

  /** Of what no store is without, nobody's word counts that it is removed; nor that something is no head which is one. */
  async #entriesOf(who: string): Promise<Map<string, PeerEntry>> {
    const { replica, sense, ask } = this.#options;
    const entries =
      who === replica.instance
        ? new Map([...replica.entries()].map(([key, entry]) => [token(key), entry]))
        : await ask.entriesOf(who);
    for (const [key, entry] of entries) {
      const id = Buffer.from(key, 'base64url');
      const isRefused = isContradicted(sense, id, entry) || (entry.removed && sense.isLasting?.(id));
      if (isRefused) entries.delete(key);
    }
    return entries;
  }
}

/** When a stream was made, in milliseconds. */
export const eraOf = (created: string | undefined) =>
  created === undefined ? undefined : Date.parse(created);
