import type { Exit, Finished, Process, StartOptions, TemporaryFolder } from './processes.d.mts';

/** The path of a program that test/peers/install.sh has built; an error that says so when it has not. */
export function peer(
  name:
    | 'setec'
    | 'setec-server'
    | 'setec-client'
    | 'schemathesis'
    | 'nats-server'
    | 'nats-server-old'
    | 'nats-jwt'
    | 'nats-connect'
    | 'nats-connect-c'
    | 'secrets-nats-kv'
    | 'vault'
    | 'helm'
    | 'hadolint'
    | 'etcd'
    | 'kube-apiserver'
    | 'wasmcloud-client',
): string;

/** Command and arguments that run the `coffer` command of this repository, for `Process` and `run`. */
export function cofferCommand(...args: string[]): [command: string, args: string[]];

/** Runs the `coffer` command to its end. */
export function coffer(
  args: readonly string[],
  options?: StartOptions & { readonly input?: string | Uint8Array },
): Promise<Finished>;

export interface Grant {
  readonly to: readonly string[];
  readonly actions: readonly string[];
  readonly secrets: readonly string[];
}

/** A `coffer server` process on a port of its own, its state in FOLDER/state and its root key in FOLDER/root.key. */
export class CofferServer implements AsyncDisposable {
  /** Starts one and waits until it serves. A folder of the caller's is kept after `stop`, any other removed. */
  static start(options?: {
    readonly dev?: boolean;
    /** Over TLS, with a certificate for 127.0.0.1 that was made for it. */
    readonly tls?: boolean;
    readonly folder?: TemporaryFolder;
    /** More arguments to `coffer server`. */
    readonly args?: readonly string[];
    /** How long it may take until it serves; default 30 s. */
    readonly timeoutMs?: number;
    readonly env?: Readonly<Record<string, string>>;
  }): Promise<CofferServer>;
  /** `http://127.0.0.1:PORT`, or `https:`. */
  readonly url: string;
  readonly process: Process;
  readonly folder: TemporaryFolder;
  readonly stateDir: string;
  /** With `tls`: the file of the authority to trust. */
  readonly ca: string;
  /** The admin socket, as `coffer -s` takes it. */
  readonly socket: string;
  /** Makes a bearer token through the admin socket; `principal` is what grants name it by. */
  createToken(name: string): Promise<{ readonly token: string; readonly principal: string }>;
  applyPolicy(grants: readonly Grant[]): Promise<void>;
  /** Begins the re-encryption of all records under a new data key. */
  rotateDataKey(): Promise<void>;
  isRotating(): Promise<boolean>;
  /** Stops it; an error if it said the value of a secret, see canary.mjs. */
  stop(): Promise<Exit>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The real setec server, on loopback, with a database of its own. */
export class SetecServer implements AsyncDisposable {
  static start(options?: {
    /** How many secrets `bench/0`, `bench/1`, … to start with. */
    readonly preload?: number;
    /** What callers at `limitedUrl` may do, in setec's form. */
    readonly limited?: readonly { readonly action: readonly string[]; readonly secret: readonly string[] }[];
  }): Promise<SetecServer>;
  /** Where every caller may do everything. */
  readonly url: string;
  readonly limitedUrl: string;
  /** How long it took to open its database. */
  readonly openMilliseconds: number;
  readonly process: Process;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The URL with a token as its HTTP Basic password, the one way to give setec's own clients a credential. */
export function withPassword(url: string, token: string): string;
