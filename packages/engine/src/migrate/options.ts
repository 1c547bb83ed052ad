import { SERVER } from '../caller.js';
import { closeStore, openStore } from '../open-store.js';
import { DEFAULT_MIN_FREE_BYTES, type EngineOptions } from '../options.js';
import type { JetStreamOptions } from '../storage/jetstream/options.js';
import type { LocalStoreOptions } from '../storage/local-store.js';
import type { Copied } from './copy.js';

/** What moving a store takes: the state folder's store and keys, and the bucket. */
export interface MigrateOptions
  extends Pick<
    EngineOptions,
    'stateDir' | 'rootKey' | 'createSigner' | 'promptPassphrase' | 'env' | 'now' | 'onNotice'
  > {
  readonly jetstream: JetStreamOptions;
  /** Of this program, for lists of members. */
  readonly version: string;
  readonly minFreeBytes?: number | undefined;
  /** Moves out of JetStream without asking there: what this instance's replica has is the store. */
  readonly force?: boolean | undefined;
  /** How long is listened whether other instances still run, of which was heard a moment ago. */
  readonly othersMs?: number | undefined;
  onProgress?(progress: MigrateProgress): void;
}

export interface MigrateProgress {
  readonly step: 'copy' | 'verify';
  readonly records: number;
}

/** What a move did. */
export interface Migrated {
  /** Undefined where an earlier attempt had copied them, and only the end was missing. */
  readonly copied?: Copied;
  /** The folder in which what was in the state folder is kept; undefined where nothing was. */
  readonly kept: string | undefined;
  /** The folder in which this instance's audit log is kept, out of JetStream. */
  readonly keptLog?: string | undefined;
}

export const localOptions = ({ minFreeBytes }: MigrateOptions): LocalStoreOptions => ({
  minFreeBytes: minFreeBytes ?? DEFAULT_MIN_FREE_BYTES,
  // The call that meets it fails.
  onFatal: () => undefined,
});

/** Of the embedded store in the state folder. */
export const engineOptions = (options: MigrateOptions): EngineOptions => ({
  stateDir: options.stateDir,
  rootKey: options.rootKey,
  createSigner: (seed) => options.createSigner(seed),
  storage: { minFreeBytes: localOptions(options).minFreeBytes },
  promptPassphrase: options.promptPassphrase,
  env: options.env,
  now: options.now,
  onNotice: (sentence) => options.onNotice?.(sentence),
  onFatal: () => undefined,
});

/** Opens the embedded store as a server does, which proves it, and writes in its log that it is moved, or was. */
export async function noteInLog(options: MigrateOptions, target: string): Promise<void> {
  const opened = await openStore(engineOptions(options));
  try {
    await opened.audit.append({ caller: SERVER, action: 'migrate', target }, { authorized: true });
  } finally {
    await closeStore(opened);
  }
}
