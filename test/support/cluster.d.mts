import type { ConnectionOptions, NatsConnection } from '@nats-io/nats-core';
import type { Direction, Link } from './links.d.mts';
import type { Process, TemporaryFolder } from './processes.d.mts';

/**
 * Real nats-servers with JetStream on loopback, `n1`, `n2`, …, in a cluster if there are several. Between any two of them there is a
 * link that can be cut; clients reach them directly, or through links of their own, see {@link NatsCluster.gate}.
 */
export class NatsCluster implements AsyncDisposable {
  /** Starts them and waits until JetStream answers. */
  static start(options?: {
    /** Default 3; one is no cluster. */
    readonly size?: number;
    /**
     * `open` (the default): who connects without a word is in the account APP, which has JetStream; `sys` with the password `sys` is
     * in the system account. `operator`: an operator's tokens, see {@link NatsCluster.appCreds}.
     */
    readonly auth?: 'open' | 'operator';
    /** JetStream's `sync_interval`, or that of each server; default `always`. */
    readonly sync?: string | readonly string[];
    /** Without links between the servers, for measurements. */
    readonly direct?: boolean;
    /** More lines for each one's configuration file. */
    readonly config?: string;
  }): Promise<NatsCluster>;
  readonly servers: readonly ClusterServer[];
  /** Past all links. */
  readonly urls: string[];
  readonly folder: TemporaryFolder;
  /** Files, with `auth: 'operator'`. */
  readonly appCreds: string | undefined;
  readonly systemCreds: string | undefined;
  server(name: string): ClusterServer;
  /** A client's own way to all servers. `name` is for people. */
  gate(name: string): Promise<Gate>;
  /** A connection of the account APP, past all links; closed by `stop` at the latest. It looks for its servers for ever. */
  connect(options?: ConnectionOptions): Promise<NatsConnection>;
  connectSystem(options?: ConnectionOptions): Promise<NatsConnection>;
  /**
   * Cuts a server off from the other servers, with `clients` from all gates too. With a direction only what it is asked (`there`: as
   * seen from who dials) or what is answered is lost.
   */
  isolate(
    server: ClusterServer,
    options?: { readonly clients?: boolean; readonly direction?: Direction },
  ): void;
  /** What goes between servers takes so much longer. */
  delay(milliseconds: number): void;
  /** Of all links and gates. */
  mend(): void;
  /** Mends all, lets go on who is paused, starts who was stopped, and waits for JetStream. */
  resume(): Promise<void>;
  /** Waits until JetStream answers, and has all servers that run. */
  ready(options?: { readonly timeoutMs?: number }): Promise<void>;
  /** Waits until all servers that keep the stream have all of it. */
  settled(stream: string, options?: { readonly timeoutMs?: number }): Promise<void>;
  leaderOf(stream: string): Promise<ClusterServer | undefined>;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** One nats-server of a cluster. It keeps its ports and its folder from one start to the next. */
export class ClusterServer {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  readonly process: Process;
  readonly running: boolean;
  readonly paused: boolean;
  /** All that JetStream keeps. */
  readonly storeDir: string;
  start(): Promise<void>;
  /** SIGTERM, and waits for the end. */
  stop(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** SIGSTOP: it neither answers nor breaks a connection. */
  pause(): void;
  resume(): void;
  /** A copy of all that is in its folder at this moment; the caller disposes of it. One that runs is paused for it. */
  save(): Promise<TemporaryFolder>;
  /** Sets the folder of one that is stopped back to a copy. */
  putBack(copy: TemporaryFolder): void;
  /** Removes the folder of one that is stopped. */
  wipe(): void;
  /** The folder in which it keeps a stream's messages, see block-files.mjs. */
  messagesOf(stream: string): string;
}

/** How one client reaches all servers: through a link to each. */
export interface Gate {
  readonly name: string;
  readonly urls: string[];
  /** In the order of the cluster's servers. */
  readonly links: readonly Link[];
  /** To one server, or to all; see {@link Link.cut}. */
  cut(server?: ClusterServer, direction?: Direction): void;
  delay(milliseconds: number): void;
  /** Resets the connections to one server, or to all, and refuses new ones until `mend`. */
  break(server?: ClusterServer): void;
  mend(): void;
}
