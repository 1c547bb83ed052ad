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
  readonly process: Process;
  readonly folder: TemporaryFolder;
  /** Asks its API, as root; `path` is behind `/v1/`. Rejects on a refusal. */
  call(
    method: string,
    path: string,
    body?: object,
  ): Promise<{ readonly data: Readonly<Record<string, unknown>> }>;
  /** Mounts KV of this version. */
  mount(path: string, version: 1 | 2): Promise<void>;
  /** Writes a version in KV version 2, and answers with its number. */
  put(path: string, data: object, options?: { readonly mount?: string }): Promise<number>;
  stop(): Promise<Exit>;
  [Symbol.asyncDispose](): Promise<void>;
}
