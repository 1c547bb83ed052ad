import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import type { CofferError } from '../../errors.js';
import type { AlarmBell } from './alarm.js';
import type { Beats } from './beats.js';
import { unavailable } from './commit-errors.js';
import { lastNote } from './continuity.js';
import { type EpochSeal, requireEpoch } from './epoch.js';
import type { Whole } from './intake.js';
import { readLast } from './last.js';
import { isLiteral, type Layout } from './layout.js';
import type { Leases } from './leases.js';
import type { Members } from './members.js';
import { decodeMessage } from './messages.js';
import { parseAlarm, unlessStrange } from './notes.js';
import type { ReplicaLike } from './replica-contract.js';

export interface HearingOptions {
  readonly layout: Layout;
  readonly replica: ReplicaLike;
  readonly beats: Beats;
  readonly members: Members;
  readonly leases: Leases;
  readonly alarm: AlarmBell;
  readonly seal: EpochSeal;
  /** Ends the reading. */
  readonly stop: (why: CofferError) => void;
}

/** Hands what the stream has beside records to who keeps it: what instances say of themselves and to each other. */
export class Hearing {
  readonly #options: HearingOptions;
  /** An own beat that came back, and counts as soon as nothing lacks of what lay before it. */
  #beat: string | undefined;

  constructor(options: HearingOptions) {
    this.#options = options;
  }

  /** @throws Regression, Outdated, and CofferError as {@link requireEpoch} */
  take(messages: readonly Whole[]): void {
    for (const message of messages) this.#note(message);
  }

  /** All is applied that lay before what came. */
  settled(): void {
    if (this.#beat === undefined) return;
    this.#options.beats.came(this.#beat);
    this.#beat = undefined;
  }

  /** What others said before: only what came since is read with the rest. */
  async readAll(manager: JetStreamManager, connection: NatsConnection): Promise<void> {
    const { layout } = this.#options;
    const { stream, notes: filters } = layout;
    for await (const drops of readLast({ connection, manager, stream, filters })) {
      for (const drop of drops) {
        if (!isLiteral(drop.subject)) continue;
        const message = decodeMessage(layout, drop);
        if (message.kind !== 'record' && message.kind !== 'chunk') this.#note(message);
      }
    }
  }

  /** While one head waits for its keys, what comes behind it is not read; but all stop for an alarm, and follow after a heal. */
  async lookAhead(manager: JetStreamManager): Promise<void> {
    const { layout, replica, seal } = this.#options;
    const alarm = await lastNote(manager, layout.stream, layout.alarm);
    const meta = await lastNote(manager, layout.stream, layout.meta);
    if (alarm?.data) await this.#alarmed(alarm.data);
    else requireEpoch(meta?.data, replica.origin, seal);
  }

  #note(message: Whole): void {
    const { replica, beats, members, leases, seal, stop } = this.#options;
    switch (message.kind) {
      case 'beat':
        if (message.instance === replica.instance && message.bytes) {
          this.#beat = Buffer.from(message.bytes).toString();
        }
        return;
      case 'member':
        members.heard(message.instance, message.message);
        beats.members = members.alive;
        if (members.isForgotten) stop(unavailable('this instance was forgotten'));
        return;
      case 'lease':
        unlessStrange(() => leases.heard(message.work, message.bytes, message.sequence));
        return;
      case 'alarm':
        if (message.bytes) void this.#alarmed(message.bytes);
        return;
      case 'meta':
        requireEpoch(message.bytes, replica.origin, seal);
    }
  }

  async #alarmed(bytes: Uint8Array): Promise<void> {
    const { alarm, stop } = this.#options;
    const said = unlessStrange(() => parseAlarm(bytes));
    if (!said) return;
    await alarm.heard(said).catch(() => {});
    if (alarm.stopsReading) stop(unavailable('the store is being healed'));
  }
}
