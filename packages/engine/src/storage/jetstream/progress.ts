import type { CofferError } from '../../errors.js';
import type { Admission } from '../shared.js';
import { admitted } from './admission.js';
import type { Stray } from './beside.js';
import type { Taken, Whole } from './intake.js';
import { sealedMark } from './mark.js';
import type { MessageSeal } from './message-seal.js';
import type { Mark } from './notes.js';
import type { AppliedHead } from './reconciliation.js';
import type { ReplicaLike, ReplicaWrite } from './replica-contract.js';
import { type Awaited, Waiters } from './waiters.js';

/** A mark as the stream has it. */
export interface PlacedMark extends Mark {
  readonly revision: number;
}

export type HeadsListener = (heads: readonly AppliedHead[] | 'reset') => void;

export interface ProgressOptions {
  readonly replica: ReplicaLike;
  readonly seal: MessageSeal;
  /** Why nothing more will come; undefined if it may. */
  readonly refusal: () => CofferError | undefined;
}

/** Up to where the stream is in the replica: takes over what came, and tells who waits for a place in it, or for heads. */
export class Progress {
  readonly #options: ProgressOptions;
  readonly #listeners = new Set<HeadsListener>();
  readonly #waiters = new Waiters();
  #position: number;
  #settled: number;
  #mark: PlacedMark | undefined;

  constructor(options: ProgressOptions) {
    const { replica } = options;
    this.#options = options;
    this.#position = replica.position;
    this.#settled = replica.settled;
  }

  /** Up to where the stream is applied: durable and visible. */
  get position(): number {
    return this.#position;
  }

  /** Up to where nothing lacks, see {@link ReplicaLike.settled}, and is visible. */
  get settled(): number {
    return Math.min(this.#settled, this.#options.replica.settled);
  }

  /** The newest of this instance that is applied. */
  get mark(): PlacedMark | undefined {
    return this.#mark;
  }

  /** How many wait in {@link passed} and {@link untilSettled}. */
  get waiting(): number {
    return this.#waiters.count;
  }

  passed(sequence: number, signal?: AbortSignal): Promise<void> {
    return this.#until({ sequence, is: () => this.#position }, signal);
  }

  untilSettled(sequence: number, signal?: AbortSignal): Promise<void> {
    return this.#until({ sequence, is: () => this.settled }, signal);
  }

  async #until(awaited: Awaited, signal: AbortSignal | undefined): Promise<void> {
    if (awaited.is() >= awaited.sequence) return;
    const refusal = this.#options.refusal();
    if (refusal) throw refusal;
    await this.#waiters.wait(awaited, signal);
  }

  onHeads(listener: HeadsListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * In one transaction, after the engine's word on each head.
   *
   * @param signal ends what `admission` waits for
   * @param judge as of {@link admitted}
   * @returns what was written
   * @throws Regression for a head that cannot follow on the one that is here; what `admission` does, and the replica
   */
  async take(
    { messages, upTo, settled }: Taken,
    admission: Admission | undefined,
    signal: AbortSignal,
    judge?: (strays: readonly Stray[]) => Promise<void>,
  ): Promise<readonly ReplicaWrite[]> {
    const { replica } = this.#options;
    const writes = await admitted(messages, replica, admission, true, signal, judge);
    const mark = this.#markOf(messages);
    const position = Math.max(upTo, this.#position);
    await replica.apply(writes, [], position, { mark: mark?.revision, settled });
    this.#position = position;
    this.#settled = replica.settled;
    this.#mark = mark ?? this.#mark;
    return writes;
  }

  /** The newest of this instance among them. What it has not sealed somebody else wrote, and says nothing. */
  #markOf(messages: readonly Whole[]): PlacedMark | undefined {
    const { replica, seal } = this.#options;
    for (const one of messages.toReversed()) {
      if (one.kind !== 'mark' || one.instance !== replica.instance) continue;
      const mark = sealedMark(seal, one.message);
      if (mark) return { ...mark, revision: one.sequence };
    }
    return undefined;
  }

  /** In the turn in which they become visible; or all may have changed. */
  tell(heads: readonly AppliedHead[] | 'reset'): void {
    for (const listener of this.#listeners) listener(heads);
  }

  /** Ends the waits for what is there by now. */
  wake(): void {
    this.#waiters.look();
  }

  /** Nothing is settled, of whichever epoch, until the stream is read to its end again. */
  unsettle(): void {
    this.#settled = 0;
  }

  /** The replica was made anew, or equal to another stream, up to there. */
  restart(position: number): void {
    this.#position = position;
  }

  refuseAll(error: CofferError): void {
    this.#waiters.rejectAll(error);
  }

  close(error: CofferError): void {
    this.refuseAll(error);
    this.#listeners.clear();
  }
}
