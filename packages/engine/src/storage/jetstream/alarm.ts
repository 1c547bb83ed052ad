import { CofferError } from '../../errors.js';
import type { StorageAlarm } from '../shared.js';
import type { Regression } from './admission.js';
import type { AlarmNote } from './notes.js';
import type { ReplicaLike } from './replica-contract.js';

/**
 * The alarm: kept in the replica, so that a restart does not silence it, and in the stream, so that all hear it. Whoever knows of it
 * refuses changes. Only a heal ends it.
 */
export class AlarmBell {
  readonly #replica: ReplicaLike;
  readonly #listeners = new Set<() => void>();

  constructor(replica: ReplicaLike) {
    this.#replica = replica;
  }

  get current(): StorageAlarm | undefined {
    return this.#replica.alarm;
  }

  /** True if this instance found it: it takes nothing over any more, for its replica has what the stream lacks. */
  get isOwn(): boolean {
    return this.current?.instance === this.#replica.instance;
  }

  /** What a change is refused with; undefined as long as there is none. */
  get problem(): CofferError | undefined {
    const alarm = this.current;
    return alarm && new CofferError('store_alarm', alarm.message);
  }

  /** Called when {@link current} changes. @returns a function that ends it */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** This instance has found what must not be. An own finding counts for more than one that was heard of. */
  async raise({ kind, message }: Regression): Promise<void> {
    if (this.isOwn) return;
    await this.#set({
      kind,
      message: `${message}; nobody writes until “coffer storage heal” has compared all instances with the stream`,
      instance: this.#replica.instance,
      at: new Date(),
    });
  }

  /** Another instance has. */
  async heard({ kind, message, instance, at }: AlarmNote): Promise<void> {
    if (this.current) return;
    await this.#set({ kind, message, instance, at });
  }

  /** After a heal. */
  async clear(): Promise<void> {
    if (this.current) await this.#set(undefined);
  }

  async #set(alarm: StorageAlarm | undefined): Promise<void> {
    await this.#replica.setAlarm(alarm);
    for (const listener of this.#listeners) listener();
  }
}
