import type { CofferClientError } from '../errors.js';
import type { Secret } from '../secret/secret.js';
import type { CallOptions } from '../types.js';
import type { StoreEvents } from './options.js';

/** What values that are made from secrets need of a {@link Store}. */
export interface SecretSource {
  /** The handle of a secret, which is fetched if it is not held and lookups are allowed. */
  lookup(name: string, options?: CallOptions): Promise<Secret>;
  /** Calls `listener` whenever `event` happens, until the function that it gives is called. */
  on<K extends keyof StoreEvents>(event: K, listener: (event: StoreEvents[K]) => unknown): () => void;
  /** Tells the listeners of `error`. */
  report(error: CofferClientError): void;
}
