import type { Gate, NatsCluster } from './cluster.d.mts';
import type { TemporaryFolder } from './processes.d.mts';
import type { CofferServer } from './servers.d.mts';

/** One of several coffer servers whose store is in a cluster's JetStream. It keeps its folder and its port from one start to the next. */
export class CofferInstance implements AsyncDisposable {
  /** Writes its configuration; it does not run yet. */
  static prepare(options: {
    readonly cluster: NatsCluster;
    /** For people; that of its gate as well. */
    readonly name: string;
    /** One that has run: the root key is the same. */
    readonly like?: CofferInstance | undefined;
    /** Past all links, for measurements. */
    readonly direct?: boolean;
    /** More of `storage` in the configuration, and of the configuration itself. */
    readonly storage?: Readonly<Record<string, unknown>>;
    readonly config?: Readonly<Record<string, unknown>>;
    readonly args?: readonly string[];
  }): Promise<CofferInstance>;
  readonly name: string;
  /** Its way to the cluster; undefined if it goes past all links. */
  readonly gate: Gate | undefined;
  /** Of this start. */
  readonly server: CofferServer;
  readonly url: string;
  readonly folder: TemporaryFolder;
  readonly running: boolean;
  readonly paused: boolean;
  /** Waits until it serves. */
  start(): Promise<void>;
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGSTOP. */
  pause(): void;
  resume(): void;
  /** Removes the replica of one that is stopped; with `audit` its whole state. */
  wipe(options?: { readonly audit?: boolean }): void;
  /** Stops it and removes its folder. */
  [Symbol.asyncDispose](): Promise<void>;
}
