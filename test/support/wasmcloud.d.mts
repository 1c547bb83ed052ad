import type { Finished, Process } from './processes.d.mts';

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
  /** So many gets, so many at a time. */
  bench(request: HostRequest & { readonly count: number; readonly in_flight: number }): Promise<LoadReport>;
  /** Gets until it is stopped; one that is not answered is made again until it is. */
  load(request: HostRequest & { readonly in_flight: number; readonly expect: string }): {
    stop(): Promise<LoadReport>;
  };
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
  }): Promise<SecretsNatsKvServer>;
  readonly process: Process;
  [Symbol.asyncDispose](): Promise<void>;
}
