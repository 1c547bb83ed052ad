import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { readLast } from './last.js';
import type { Layout } from './layout.js';
import type { MessageSeal } from './message-seal.js';
import { strange } from './messages.js';

export interface ProofOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly seal: MessageSeal;
  /** Up to where the replica was filled: what comes behind is looked at when it does. */
  readonly position: number;
}

/**
 * Looks whether instances wrote what a new replica was filled with: the key to tell by came with it. Reads headers only, since the
 * bytes were held against them.
 *
 * @throws CofferError `tampered` for a record that nobody sealed; errors as those of a reading
 */
export async function requireSealed(options: ProofOptions): Promise<void> {
  const { connection, manager, layout, seal, position } = options;
  const all = { connection, manager, stream: layout.stream, filters: [layout.all], headersOnly: true };
  for await (const drops of readLast(all)) {
    for (const { subject, sequence, headers } of drops) {
      if (sequence > position || layout.parse(subject)?.kind !== 'record') continue;
      if (!seal.isGood(subject, headers)) throw strange(sequence, 'its seal is not good');
    }
  }
}
