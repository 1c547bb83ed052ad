import type { CopiesFacts } from './audit/copies/publisher.js';
import type { SharedHealth } from './storage/shared.js';
import type { StorageFacts } from './storage/storage.js';
import type { TimingsSnapshot } from './timings.js';

/** How an engine is, in numbers: for those who watch over it. No name and no principal is in it. */
export interface EngineFacts {
  readonly storeFormat: number;
  readonly secrets: number;
  readonly versions: number;
  readonly storage: StorageFacts;
  /** Of a store that other instances share. */
  readonly shared: SharedHealth | undefined;
  readonly audit: {
    /** Of the newest entry that is on stable storage: how many entries were ever written. */
    readonly sequence: number;
    /** Each `fdatasync` of the log. */
    readonly syncs: TimingsSnapshot;
    /** Where instances share the store: how far the copies of this one's log are. */
    readonly copies: CopiesFacts | undefined;
  };
  readonly keys: {
    /** Of the ring: the active one, and those whose records are not all re-encrypted. */
    readonly dataKeys: number;
    /** Records that wait to be re-encrypted; 0 if all are under the active one. */
    readonly remaining: number;
    /** True if another instance has changed the root key, and this one was not given the new one. */
    readonly lacksRootKey: boolean;
  };
  readonly watchers: number;
  /** When the last backup was made in whole, since this engine was opened. */
  readonly lastBackup: Date | undefined;
}
