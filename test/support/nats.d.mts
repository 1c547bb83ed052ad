import type { Exit, Process, TemporaryFolder } from './processes.d.mts';

/** A real nats-server, on a port of its own of 127.0.0.1, with JetStream, all that it keeps in a folder of its own. */
export class NatsServer implements AsyncDisposable {
  /** Starts one and waits until it serves. */
  static start(options?: {
    /** Operator mode: the operator's token. The server keeps accounts in a full resolver, where they can be deleted, too. */
    readonly operator?: string;
    /** In operator mode: the key of its system account, whose token belongs into `accounts`. */
    readonly systemAccount?: string;
    /** In operator mode: tokens of accounts by their keys, there from the start. */
    readonly accounts?: Readonly<Record<string, string>>;
    /** A `cluster` block, in place of JetStream. */
    readonly cluster?: string;
    /** Default: any that is free. */
    readonly port?: number;
    /** More lines for its configuration file. */
    readonly config?: string;
  }): Promise<NatsServer>;
  /** Two in a cluster, without JetStream, that tell their clients of each other. */
  static startTwo(options?: Parameters<typeof NatsServer.start>[0]): Promise<NatsServer[]>;
  /** `nats://127.0.0.1:PORT`, also after `restart`. */
  readonly url: string;
  readonly port: number;
  readonly process: Process;
  /** How often somebody was not let in since it was started. */
  readonly refusedLogins: number;
  readonly folder: TemporaryFolder;
  /** The folder of the full resolver: a file `KEY.jwt` for each account. */
  readonly resolverDir: string;
  /** Stops it until `restart`. */
  pause(): Promise<void>;
  /** Stops it if it runs, and starts it on the same port with what it has kept. @param changes other lines for its configuration file */
  restart(changes?: { readonly config?: string }): Promise<void>;
  /** Has it read its configuration again while it runs. Begin with a `port` or with `restart`: its port may not change. */
  reload(changes?: { readonly config?: string }): Promise<void>;
  stop(): Promise<Exit>;
  [Symbol.asyncDispose](): Promise<void>;
}
