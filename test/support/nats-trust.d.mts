import type { TemporaryFolder } from './processes.d.mts';

/** An operator, an account APP with JetStream and a system account SYS, with a user of each; its files are in the folder. */
export function newTrust(folder: TemporaryFolder): {
  /** Lines for a nats-server's configuration. */
  readonly config: readonly string[];
  /** Files. */
  readonly appCreds: string;
  readonly systemCreds: string;
};
