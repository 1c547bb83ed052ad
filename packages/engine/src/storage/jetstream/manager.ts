import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';

/** How long JetStream has for an answer, if nothing else is said. */
const ANSWER_MS = 3_000;

/** By which JetStream is asked. It is not asked whether it is there: what is asked next tells. */
export const managerOf = (connection: NatsConnection, timeout = ANSWER_MS): Promise<JetStreamManager> =>
  jetstreamManager(connection, { timeout, checkAPI: false });
