import type { NatsServer } from './nats.d.mts';
import type { Exit, Finished, Process, TemporaryFolder } from './processes.d.mts';

/** What a host asks for. */
export interface HostRequest {
  /** Default `wasmcloud.secrets`. */
  readonly prefix?: string;
  /** Default `nats-kv`. */
  readonly backend?: string;
  readonly key: string;
  readonly field?: string;
  readonly version?: string;
  readonly entity_jwt: string;
  readonly host_jwt: string;
  readonly application?: string;
  /** JSON in a string. */
  readonly policy?: string;
}

/** What wasmCloud's client library made of the answer: a secret, or its error with the sentence that it has for it. */
export type HostAnswer =
  | {
      readonly secret: {
        readonly version: string;
        readonly string: string | null;
        /** Base64. */
        readonly binary: string | null;
      };
    }
  | { readonly error: { readonly kind: HostErrorKind; readonly text: string } };

/** `server`: the backend answered with an error. */
export type HostErrorKind = 'server' | 'missing' | 'no-responders' | 'timeout' | 'unsent' | 'unreadable';

/** Many gets at a time. */
export interface LoadReport {
  readonly answered: number;
  /** How many ended otherwise, by their kind; `wrong`: with another value than expected. */
  readonly others: Partial<Record<HostErrorKind | 'wrong', number>>;
  readonly first_error: string | null;
  readonly seconds: number;
  /** Answered per second. */
  readonly rate: number;
  readonly median_ms: number;
  readonly p99_ms: number;
  readonly max_ms: number;
}

/** A host of wasmCloud, as far as secrets go: the published client library, in the program test/peers/wasmcloud-client. */
export class WasmcloudClient implements AsyncDisposable {
  constructor(url: string, options?: { /** A file. */ readonly creds?: string });
  readonly process: Process;
  /** As a host, it asks for the backend's transit key before the first request, and never again. */
  get(request: HostRequest): Promise<HostAnswer>;
  /** So many gets, and for at least so long; with `keys`, of the secrets `<key>0`, `<key>1`, … in turn. */
  bench(
    request: HostRequest & {
      readonly count?: number;
      readonly seconds?: number;
      readonly keys?: number;
      readonly in_flight: number;
    },
  ): Promise<LoadReport>;
  /** Gets until it is stopped; one that is not answered is made again until it is. */
  load(request: HostRequest & { readonly in_flight: number; readonly expect: string }): {
    stop(): Promise<LoadReport>;
  };
  /** What wadm makes of a manifest: what is wrong with it, and what hosts are told to fetch. */
  manifest(text: string): Promise<{
    readonly failures: readonly string[];
    readonly secrets?: readonly (Pick<HostRequest, 'backend' | 'key' | 'application' | 'policy'> & {
      /** The component or provider. */
      readonly of: string;
      readonly name: string;
      readonly field: string | null;
      readonly version: string | null;
    })[];
  }>;
  /** As if the host had started anew: asks for the transit key again. */
  forget(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Where secrets-nats-kv's commands go. */
export interface NatsKvTarget {
  /** Of the NATS server. */
  readonly url: string;
  /** The backend's transit key, which `put` seals to. */
  readonly transitSeed?: string;
  /** A file. */
  readonly creds?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a command of wasmCloud's own secrets-nats-kv to its end. */
export function secretsNatsKv(args: readonly string[], target: NatsKvTarget): Promise<Finished>;

/** wasmCloud's own backend: `secrets-nats-kv run`. */
export class SecretsNatsKvServer implements AsyncDisposable {
  static start(options: {
    readonly url: string;
    readonly transitSeed: string;
    readonly encryptionSeed: string;
    /** More arguments. */
    readonly args?: readonly string[];
  }): Promise<SecretsNatsKvServer>;
  readonly process: Process;
  [Symbol.asyncDispose](): Promise<void>;
}

/** The seeds of two xkeys, as secrets-nats-kv has them. */
export interface BackendSeeds {
  readonly transit: string;
  readonly encryption: string;
}

export function newSeeds(): BackendSeeds;

/** `coffer wasmcloud run`, its state in FOLDER/state. */
export class CofferBackend implements AsyncDisposable {
  /** Starts one and waits until it serves. A folder of the caller's is kept after `stop`, any other removed. */
  static start(options: {
    readonly nats: Pick<NatsServer, 'url'>;
    readonly folder?: TemporaryFolder;
    /** In its environment; by default new ones. */
    readonly seeds?: BackendSeeds;
    /** Who is trusted, and more. */
    readonly args?: readonly string[];
    readonly env?: Readonly<Record<string, string>>;
  }): Promise<CofferBackend>;
  readonly process: Process;
  readonly folder: TemporaryFolder;
  readonly stateDir: string;
  readonly seeds: BackendSeeds;
  /** The admin socket, as `coffer -s` takes it. */
  readonly socket: string;
  /** Stops it; an error if it said the value of a secret, see canary.mjs. */
  stop(): Promise<Exit>;
  [Symbol.asyncDispose](): Promise<void>;
}
