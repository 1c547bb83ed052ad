import type { Authority, Issued } from './certificates.d.mts';
import type { Exit, Process, TemporaryFolder } from './processes.d.mts';

/** A real Vault in development mode on 127.0.0.1, that keeps everything in memory, with KV version 2 at `secret`. */
export class VaultServer implements AsyncDisposable {
  /** Starts one and waits until it serves. @param options with `tls`, over TLS with a certificate that it makes */
  static start(options?: { readonly tls?: boolean }): Promise<VaultServer>;
  readonly url: string;
  /** The root token. */
  readonly token: string;
  /** With TLS: the file of its authority. */
  readonly ca: string | undefined;
  process: Process;
  readonly folder: TemporaryFolder;
  /** Asks its API, as root; `path` is behind `/v1/`. Rejects on a refusal. */
  call(
    method: string,
    path: string,
    body?: object,
  ): Promise<{ readonly data: Readonly<Record<string, unknown>>; readonly [more: string]: unknown }>;
  /** Mounts KV of this version. */
  mount(path: string, version: 1 | 2): Promise<void>;
  /** Writes a version in KV version 2, and answers with its number. */
  put(path: string, data: object, options?: { readonly mount?: string }): Promise<number>;
  stop(): Promise<Exit>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** A real Vault that is no development server: it keeps everything in a folder, and is sealed after each start. Without a mount. */
export class KeptVault extends VaultServer {
  /** Initialized and unsealed. */
  static override start(): Promise<KeptVault>;
  /** The same over TLS, with a listener for each certificate; `url` is that of the first, which is to be one for 127.0.0.1. */
  static startWithTls(
    authority: Pick<Authority, 'cert'>,
    certificates: readonly Pick<Issued, 'cert' | 'key'>[],
  ): Promise<KeptVault>;
  /** Of each listener. */
  readonly urls: readonly string[];
  /** Two that share what they keep: the first is active, the second hands on to it, and may not take its place without it. */
  static startTwo(): Promise<[KeptVault, KeptVault]>;
  unseal(): Promise<void>;
  seal(): Promise<void>;
  /** Kills it until `restart`. */
  pause(): Promise<void>;
  /** Kills it, and starts it on the same port with what it has kept: sealed. */
  restart(): Promise<void>;
}
